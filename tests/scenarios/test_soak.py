"""Random faults for a long time, one or two at once: each zone is reached again, and in the end all is as at the start.

desk 192.168.50.10 ── office ══ tun-N ══ nat-us-east-1X 10.0.N.10 ── app-us-east-1X 10.0.2N.10

`make test-soak` takes an hour (SECONDS=… for another time), and a seed of its own unless SEED=… gives one.
"""

import os
import random
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import pytest

from tests.scenarios.harness import Host, World, lab
from tests.scenarios.states import MONITOR, all_home, fingerprints, remember
from tests.scenarios.test_keeper import FLUSH
from tests.scenarios.test_neighbours import kept

LASTS = float(os.environ.get("SOAK", "0"))  # seconds
SEED = int(os.environ.get("SOAK_SEED") or time.time())
OFFICE, DESK = Host("office"), Host("desk")
ZONES = ("a", "b", "c")
APPS = {zone: f"10.0.2{number}.10" for number, zone in enumerate(ZONES, 1)}
REACHED, HOME = 60, 180  # seconds: until every zone is reached again; until each is by its own tunnel
# Processes of ours by what they run; rules and routes and files are in the hosts' fingerprints.
PROCESSES = (
    "ps -e -o args= > /run/ps; grep -E 'openvpn|bird' /run/ps | grep -vE '^(sh|ps|grep|systemctl|journalctl)' | sort;"
    " rm /run/ps"
)

pytestmark = pytest.mark.skipif(not LASTS, reason="make test-soak")


@dataclass(frozen=True)
class Fault:
    """What is done, and after some seconds what ends it, unless it ends by itself."""

    name: str
    begin: Callable[[], None]
    end: Callable[[], None] = lambda: None
    seconds: tuple[float, float] = (0, 0)


def on(host: Host, command: str, end: str = "", seconds: tuple[float, float] = (0, 0)) -> Fault:
    """A command on a host, whatever it exits with: another fault may be there already."""
    return Fault(
        f"{host.name}: {command}",
        lambda: void(host.answers(command)),
        (lambda: void(host.answers(end))) if end else lambda: None,
        seconds,
    )


def of_lab(*words: str, end: tuple[str, ...] = ("heal",), seconds: tuple[float, float] = (2, 15)) -> Fault:
    """A fault of a network, or a host's power."""
    return Fault(" ".join(words), lambda: void(lab(*words)), lambda: void(lab(*end)), seconds)


def void(_: object) -> None:
    """For what is done and not looked at."""


def faults() -> list[Fault]:
    """All kinds, each with its hosts."""
    found = [
        on(OFFICE, FLUSH),
        on(OFFICE, "ip rule flush"),
        on(OFFICE, "ip route flush table vpc-zones"),
        on(OFFICE, "sysctl -qw net.ipv4.ip_forward=0"),
        on(OFFICE, "systemctl restart vpc-openvpn-firewall"),
        on(OFFICE, "systemctl restart nftables"),
        *(
            on(OFFICE, f"systemctl {verb} vpc-openvpn-{unit}")
            for verb in ("kill -s KILL", "stop", "restart")
            for unit in ("bird", "monitor")
        ),
        on(OFFICE, "systemctl kill -s KILL vpc-openvpn-keeper"),
        on(OFFICE, "systemctl kill -s STOP vpc-openvpn-monitor", "systemctl kill -s CONT vpc-openvpn-monitor", (2, 8)),
    ]
    for number, zone in enumerate(ZONES, 1):
        nat, client = Host(f"nat-us-east-1{zone}"), f"openvpn-client@vpc-us-east-1{zone}"
        others = [each for each in ZONES if each != zone]
        found += [
            on(OFFICE, f"ip link set tun-{number} down"),
            on(OFFICE, f"ip link del tun-{number}"),
            on(OFFICE, f"ip address flush dev tun-{number}"),
            *(on(OFFICE, f"systemctl {verb} {client}") for verb in ("stop", "restart", "kill -s KILL")),
            on(nat, FLUSH),
            on(nat, "nft flush ruleset"),
            on(nat, "sysctl -qw net.ipv4.ip_forward=0"),
            on(nat, "ip link set tun-office down"),
            on(nat, "ip link del tun-office"),
            on(nat, "ip address flush dev tun-office"),
            *(on(nat, f"systemctl {verb} openvpn-server@office") for verb in ("stop", "restart", "kill -s KILL")),
            *(on(nat, f"systemctl {verb} vpc-openvpn-bird") for verb in ("stop", "kill -s KILL")),
            on(nat, "systemctl kill -s KILL vpc-openvpn-keeper"),
            on(nat, "systemctl reboot"),
            of_lab("kill", nat.name, end=("start", nat.name)),
            of_lab("isolate", f"us-east-1{zone}"),
            *(of_lab("partition", f"us-east-1{zone}", f"us-east-1{other}") for other in others),
        ]
    return found


def test_faults_for_a_long_time_leave_nothing(world: World) -> None:
    dice = random.Random(SEED)
    print(
        f"\nSOAK={LASTS:g} SOAK_SEED={SEED}; seconds until every zone is reached, and until each is by its own tunnel"
    )
    hosts = [Host(name) for name in world.hosts]
    recoveries: dict[str, list[float]] = defaultdict(list)
    with kept(OFFICE), kept(hosts[1]), kept(hosts[2]), kept(hosts[3]):
        all_home()
        remember(world)
        processes = {host: host.succeeds(PROCESSES) for host in hosts}
        ends = time.monotonic() + LASTS
        while time.monotonic() < ends:
            chosen = dice.sample(faults(), dice.choice((1, 1, 2)))
            for fault in chosen:
                fault.begin()
                time.sleep(dice.uniform(0, 1))
            time.sleep(max(dice.uniform(*fault.seconds) for fault in chosen))
            for fault in chosen:
                fault.end()
            reached, home = recovered()
            names = " + ".join(fault.name for fault in chosen)
            print(f"{reached:6.1f} {home:6.1f}  {names}", flush=True)
            for fault in chosen:
                recoveries[fault.name].append(reached)
        print("\nmedian  most  times  until every zone is reached")
        for name, times in sorted(recoveries.items(), key=lambda each: -max(each[1])):
            print(f"{median(times):6.1f} {max(times):5.1f} {len(times):6}  {name}")
        all_home()
        after = fingerprints(world)
        assert after == world.deployed
        assert {host: host.succeeds(PROCESSES) for host in hosts} == processes
        drift = world.run("./vpc", "drift")
        assert drift.status == 0, drift.output
    remember(world)


def recovered() -> tuple[float, float]:
    """Seconds until a desk reaches each zone, and until each is reached by its own tunnel."""
    began = time.monotonic()
    for address in APPS.values():
        DESK.eventually(f"ping -q -c 1 -W 1 {address}", REACHED)
    reached = time.monotonic() - began
    OFFICE.eventually(f"[ $({MONITOR} show | grep -c ': by its own tunnel$') = {len(ZONES)} ]", HOME)
    return reached, time.monotonic() - began
