"""Every host may lose its power at any time, and needs no operator when it is back.

desk 192.168.50.10 ── office ══ tunnel per zone ══ nat-Z ── app-Z 10.0.(20+n).10
"""

from contextlib import ExitStack

import pytest

from tests.scenarios.flows import PEERS, PORT, Background, Flow, all_fall_silent, all_recover
from tests.scenarios.harness import Host, World

DEADLINE = 30  # seconds from power on until packets cross again; a boot takes about 1, a tunnel up to 10
ZONES = {"us-east-1a": 1, "us-east-1b": 2, "us-east-1c": 3}
SITE = {"detour": "off"}  # what is seen to come back is the zone's own tunnel
FIREWALL, SYSCTLS = "vpc-openvpn-firewall.service", "systemd-sysctl.service"


@pytest.mark.parametrize(
    ("name", "orderly"),
    [
        ("office", False),
        ("office", True),
        ("nat-us-east-1a", False),
        ("nat-us-east-1b", True),
        ("nat-us-east-1c", False),
    ],
)
def test_packets_cross_again_after_a_reboot(world: World, desk: Host, name: str, orderly: bool) -> None:
    host = Host(name)
    concerned = {zone: number for zone, number in ZONES.items() if name in ("office", f"nat-{zone}")}
    with ExitStack() as running:
        flows = []
        for zone, number in concerned.items():
            app = Host(f"app-{zone}")
            running.enter_context(Background(app, f"{PEERS} echo {PORT}"))
            flows.append(running.enter_context(Flow(desk, "udp", f"10.0.{20 + number}.10")))
            flows.append(running.enter_context(Flow(app, "ping", "192.168.50.10")))
            flows.append(running.enter_context(Flow(app, "ping", "198.51.100.200")))
        all_recover(flows)
        before = host.succeeds(_BOOT)
        if orderly:
            host.succeeds("systemctl reboot")
        else:
            host.power_cycle()
        host.eventually(f"! {_BOOT} | grep -qxF '{before.strip()}' && systemctl is-system-running", DEADLINE)
        all_recover(flows, DEADLINE)

    assert host.succeeds("systemctl --failed --no-legend --plain").strip() == ""
    assert world.plan("--limit", name).pending == {}
    # The firewall was complete before anything could be forwarded, and before there was a network.
    loaded = _moment(host, FIREWALL, "ActiveEnter")
    assert 0 < loaded <= _moment(host, SYSCTLS, "InactiveExit")
    assert loaded <= _moment(host, "network-pre.target", "ActiveEnter")


_BOOT = "systemctl show --value --property UserspaceTimestampMonotonic"


def _moment(host: Host, unit: str, event: str) -> int:
    """When a unit last began (InactiveExit) or was done with (ActiveEnter) starting, in microseconds."""
    return int(host.succeeds(f"systemctl show --value --property {event}TimestampMonotonic {unit}"))


def test_without_enabled_units_a_reboot_loses_packets(world: World, desk: Host) -> None:
    nat, app = Host("nat-us-east-1a"), Host("app-us-east-1a")
    with (
        Background(app, f"{PEERS} echo {PORT}"),
        Flow(desk, "udp", "10.0.21.10") as to_zone,
        Flow(app, "ping", "198.51.100.200") as to_internet,
    ):
        nat.succeeds(f"systemctl disable {FIREWALL} openvpn-server@office")
        nat.power_cycle()
        all_fall_silent([to_zone, to_internet])
        assert world.deploy("--limit", "nat-us-east-1a").changed["nat-us-east-1a"]
        all_recover([to_zone, to_internet])
