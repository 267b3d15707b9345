"""Hosts as virtual machines: a kernel, an initramfs, cloud-init, udev and a boot of their own. One story, in order.

desk 192.168.50.10 ── office ══ tunnel per zone ══ nat-Z 10.0.n.10 ── app-Z 10.0.(20+n).10
                                                     └── web 198.51.100.200

The office's router and the NATs are machines; traffic is judged from desks and application hosts, which are not.
Emulated machines are slow: the bounds below say how long to wait for one, and nothing about the product.
"""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.scenarios.flows import PEERS, PORT, Background, Flow, all_recover
from tests.scenarios.harness import Host, World, lab, spaceless

QUICK = bool(os.environ.get("QUICK"))
ZONES = {"us-east-1a": 1} if QUICK else {"us-east-1a": 1, "us-east-1b": 2}
OFFICE, DESK = Host("office"), Host("desk")
NATS = {zone: Host(f"nat-{zone}") for zone in ZONES}
MACHINES = [OFFICE, *NATS.values()]
LOST = list(ZONES)[-1]  # the zone whose NAT is replaced

BUILD_AND_BOOT, BOOT = 1800, 600  # seconds
RECOVERY = 60  # seconds until packets cross, after hosts have booted
FIREWALL, SYSCTLS = "vpc-openvpn-firewall.service", "systemd-sysctl.service"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The lab, with blank hosts at first. Each test goes on from where the one before has ended."""
    if os.geteuid() != 0:
        pytest.exit("The lab boots hosts, which takes root: sudo make test-machines", 1)
    lab("down")
    try:
        started = lab("up", "--machines", "--zones", str(len(ZONES)), timeout=BUILD_AND_BOOT)
        assert started.status == 0, started.output
        yield World(tmp_path_factory.mktemp("site") / "site.yml")
    finally:
        lab("down")


def test_hosts_boot_as_debians_cloud_images_do(world: World) -> None:
    for host in MACHINES:
        assert "cloud" in host.succeeds("uname -r")
        # What the initramfs has mounted; nothing may be executed there.
        host.fails("printf '#!/bin/sh\n' > /run/script && chmod +x /run/script && /run/script")
        host.succeeds("aa-enabled && systemctl is-active systemd-networkd.service && ls /etc/netplan/*.yaml")
        host.succeeds("networkctl --no-pager --no-legend list | grep -w configured")
        assert host.succeeds("cloud-init status").strip() == "status: done"


def test_what_a_deploy_has_done_survives_a_power_cut_at_its_end(world: World) -> None:
    """A kernel may keep in memory for half a minute what was written, unless it has to flush it."""
    for address in addresses().values():
        DESK.cannot_reach(address)
    deployed = world.apply()
    for host in MACHINES:
        assert lab("kill", host.name).status == 0
    assert deployed.status == 0, deployed.output
    with ThreadPoolExecutor() as at_once:
        for started in at_once.map(lambda host: lab("start", host.name, timeout=BOOT), MACHINES):
            assert started.status == 0, started.output
    for host in MACHINES:
        host.eventually(IS_UP, BOOT)
    the_firewall_came_first()
    again = world.apply()
    assert (again.status, again.changed) == (0, {}), again.output
    all_reach_each_other()
    nothing_failed()


@pytest.mark.skipif(QUICK, reason="minutes: they have booted after a power cut already")
def test_rebooted_hosts_carry_packets_again(world: World) -> None:
    """The NATs in an orderly way, the office's router by a power cut, all at once."""
    with Background(Host(f"app-{LOST}"), f"{PEERS} echo {PORT}"), Flow(DESK, "udp", addresses()[LOST]) as flow:
        all_recover([flow])
        boots = {host: host.succeeds(BOOT_ID) for host in MACHINES}
        for nat in NATS.values():
            nat.answers("systemctl reboot")  # which may end its console before it can answer
        assert lab("kill", OFFICE.name).status == 0
        started = lab("start", OFFICE.name, timeout=BOOT)
        assert started.status == 0, started.output
        for host in MACHINES:
            host.eventually(f"! {BOOT_ID} | grep -qxF '{boots[host].strip()}' && {IS_UP}", BOOT)
        all_recover([flow], RECOVERY)
    all_reach_each_other()
    nothing_failed()
    the_firewall_came_first()
    assert world.plan().pending == {}


def test_a_nat_that_was_replaced_is_rebuilt(world: World) -> None:
    old_key = host_key(NATS[LOST])
    replaced = lab("replace", NATS[LOST].name, timeout=BOOT)
    assert replaced.status == 0, replaced.output
    assert host_key(NATS[LOST]) != old_key
    NATS[LOST].fails("test -e /etc/vpc-openvpn")
    # cloud-init may still be at work: who types this right after a launch meets it, too.
    rebuilt = world.run("./vpc", "rebuild", LOST, "--host-key", host_key(NATS[LOST]), timeout=1200)
    assert rebuilt.status == 0, rebuilt.output
    assert f"What a desk sends to {LOST} crosses the zone's own tunnel." in spaceless(rebuilt)
    all_reach_each_other()
    nothing_failed()


def test_drift_exits_0(world: World) -> None:
    drift = world.run("./vpc", "drift")
    assert drift.status == 0, drift.output


# Not what our own questions leave in the journal, by the guest agent.
KERNEL_SAID = "journalctl --boot --quiet _TRANSPORT=kernel + _TRANSPORT=audit --grep"
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
IS_UP = "systemctl is-system-running | grep -qx -e running -e degraded"


def the_firewall_came_first() -> None:
    """It was complete before anything could be forwarded, and before there was a network."""
    for host in MACHINES:
        loaded = moment(host, FIREWALL, "ActiveEnter")
        assert 0 < loaded <= moment(host, SYSCTLS, "InactiveExit")
        assert loaded <= moment(host, "systemd-networkd.service", "InactiveExit")


def addresses() -> dict[str, str]:
    """A host in each zone's private subnet."""
    return {zone: f"10.0.{20 + number}.10" for zone, number in ZONES.items()}


def all_reach_each_other() -> None:
    """Desks and zones, and each zone the internet, by its own NAT's address."""
    for zone, address in addresses().items():
        app = Host(f"app-{zone}")
        DESK.reaches(address)
        app.reaches("192.168.50.10")
        assert f"198.51.100.{20 + ZONES[zone]}" in app.succeeds("curl -sf -m 10 http://198.51.100.200/")


def nothing_failed() -> None:
    """No unit has failed, and AppArmor has denied nothing."""
    for host in MACHINES:
        assert host.succeeds("systemctl --failed --no-legend --plain").strip() == ""
        host.succeeds(f"{KERNEL_SAID} 'apparmor=\"STATUS\"'")
        host.fails(f"{KERNEL_SAID} 'apparmor=\"DENIED\"'")


def moment(host: Host, unit: str, event: str) -> int:
    """When a unit last began (InactiveExit) or was done with (ActiveEnter) starting, in microseconds."""
    return int(host.succeeds(f"systemctl show --value --property {event}TimestampMonotonic {unit}"))


def host_key(host: Host) -> str:
    """The fingerprint of its ssh host key, as its console shows it."""
    listed = json.loads(lab("list", "--json").output)
    return next(str(each["ssh_host_key"]) for each in listed if each["name"] == host.name)
