"""What a tunnel does not carry goes nowhere: not out by the office's line, and not out by the VPC's.

desk 192.168.50.10 ── office ══ (down) ══ nat-us-east-1a ── app-us-east-1a 10.0.21.10
                         └──── internet ────┘
                    counts what comes by each line from or for private addresses
"""

import pytest

from tests.scenarios.flows import (
    LANS_LINE,
    PEERS,
    PORT,
    VPCS_LINE,
    Background,
    Flow,
    all_fall_silent,
    all_recover,
    changed,
    steady,
    strays,
)
from tests.scenarios.harness import Host, World, lab

APP = "10.0.21.10"
DESK = "192.168.50.10"
SITE = {"detour": "off"}  # a lost tunnel is a lost zone
TUNNEL = "openvpn-client@vpc-us-east-1a"
NO_GUARD_ROUTE = "ip route del unreachable 10.0.0.0/16 table vpc-zones proto vpc-openvpn"
NO_GUARD_RULE = "iptables -D vpc-openvpn-forward -d 10.0.0.0/16 -j REJECT --reject-with icmp-host-unreachable"


@pytest.fixture
def app() -> Host:
    """An application host in the first zone."""
    return Host("app-us-east-1a")


@pytest.fixture
def nat() -> Host:
    """That zone's NAT."""
    return Host("nat-us-east-1a")


def test_nothing_leaves_by_the_line_while_the_tunnel_is_down(world: World, desk: Host, office: Host, app: Host) -> None:
    leaked = strays(LANS_LINE)
    office.succeeds(f"systemctl stop {TUNNEL}")
    # A desk gets an error at once, not after a time-out.
    assert "No route to host" in desk.fails(f"{PEERS} connect {APP} {PORT}")
    with steady(desk, APP, app) as flows:
        all_fall_silent(flows)
        assert strays(LANS_LINE) == leaked
        # Flows that were begun in the outage are not stuck with it.
        office.succeeds(f"systemctl start {TUNNEL}")
        all_recover(flows)

        assert lab("kill", "nat-us-east-1a").status == 0
        all_fall_silent(flows)
        assert strays(LANS_LINE) == leaked
        assert lab("start", "nat-us-east-1a").status == 0
        all_recover(flows, seconds=40)
    assert strays(LANS_LINE) == leaked


def test_route_and_rule_each_prevent_leaks_alone(world: World, desk: Host, office: Host, app: Host) -> None:
    leaked = strays(LANS_LINE)
    office.succeeds(f"systemctl stop {TUNNEL}")
    with steady(desk, APP, app) as flows:
        office.succeeds(NO_GUARD_ROUTE)
        all_fall_silent(flows)
        assert strays(LANS_LINE) == leaked
        world.deploy("--limit", "office")
        all_recover(flows)

        office.succeeds(f"systemctl stop {TUNNEL} && {NO_GUARD_RULE}")
        all_fall_silent(flows)
        assert strays(LANS_LINE) == leaked

        # Without both, and with the router's own masquerading, they do leak; and are not stuck with that either.
        office.succeeds(f"{NO_GUARD_ROUTE} && iptables -t nat -F vpc-openvpn-postrouting")
        with Flow(desk, "udp", APP) as misled:
            flows.append(misled)
            all_fall_silent(flows)
            assert strays(LANS_LINE) > leaked
            assert "dst=198.51.100.10" in _tracked(office, APP)
            world.deploy("--limit", "office")
            leaked = strays(LANS_LINE)
            all_recover(flows)
    assert strays(LANS_LINE) == leaked


def test_nothing_leaves_by_the_line_before_the_tunnel_was_ever_up(
    world: World, desk: Host, office: Host, app: Host
) -> None:
    leaked = strays(LANS_LINE)
    with steady(desk, APP, app) as flows:
        all_recover(flows)
        office.succeeds(f"systemctl disable {TUNNEL}")
        office.power_cycle()
        all_fall_silent(flows)
        desk.reaches("198.51.100.200")  # the router is up, and forwards
        assert strays(LANS_LINE) == leaked
        world.deploy("--limit", "office")
        all_recover(flows)
        assert strays(LANS_LINE) == leaked

        # It is the unit that loads rule and route at boot: without it, packets leak.
        office.succeeds(f"systemctl disable {TUNNEL} vpc-openvpn-firewall")
        office.power_cycle()
        all_fall_silent(flows)
        assert strays(LANS_LINE) > leaked
        world.deploy("--limit", "office")
        all_recover(flows)


def test_a_flow_that_leaked_before_the_first_deploy_recovers(world: World, desk: Host, office: Host, app: Host) -> None:
    leaked = strays(LANS_LINE)
    with steady(desk, APP, app) as flows:
        assert lab("replace", "office").status == 0
        all_fall_silent(flows)
        assert strays(LANS_LINE) > leaked
        world.trust()
        world.deploy()
        leaked = strays(LANS_LINE)
        all_recover(flows)
    assert strays(LANS_LINE) == leaked


def test_only_leaked_flows_are_removed_from_conntrack(world: World, desk: Host, office: Host, app: Host) -> None:
    """A load of the firewall drops what conntrack knows of flows that leaked, and of no other."""
    office.succeeds("iptables -t nat -F vpc-openvpn-postrouting && iptables -F vpc-openvpn-forward")
    office.succeeds("ip route add 10.0.99.0/24 via 198.51.100.9 table vpc-zones")
    with (
        changed(office, "true", "ip route del 10.0.99.0/24 table vpc-zones"),
        Flow(desk, "udp", "10.0.99.10") as misled,
        Background(app, f"{PEERS} echo {PORT}"),
        Flow(desk, "udp", APP) as through_tunnel,
        Flow(desk, "ping", "198.51.100.200") as to_internet,
    ):
        all_fall_silent([misled])
        all_recover([through_tunnel, to_internet])
        # A mark of ours tells an entry of conntrack's from one that was made anew.
        office.succeeds(f"conntrack -U -s {DESK} --mark 7")
        for destination in ("10.0.99.10", APP, "198.51.100.200"):
            assert "mark=7" in _tracked(office, destination)
        office.succeeds("systemctl reload vpc-openvpn-firewall")
        all_recover([through_tunnel, to_internet])
        assert "mark=7" not in _tracked(office, "10.0.99.10")
        assert "mark=7" in _tracked(office, APP)
        assert "mark=7" in _tracked(office, "198.51.100.200")


def _tracked(host: Host, destination: str) -> str:
    """What the kernel remembers of flows from the desk to an address."""
    return host.succeeds(f"conntrack -L -s {DESK} -d {destination} 2>/dev/null")


def test_a_zone_sends_nothing_for_the_office_to_the_internet(world: World, desk: Host, nat: Host, app: Host) -> None:
    vpc = Host("vpc")
    way_back = "ip route {} 192.168.50.0/24 via 10.0.1.10 table 101"
    # Without this route a packet that the NAT forwards would leave by the VPC's internet gateway.
    with (
        changed(vpc, way_back.format("del"), way_back.format("add")),
        steady(app, DESK, desk) as flows,
    ):
        all_recover(flows)
        leaked = strays(VPCS_LINE)
        nat.succeeds("systemctl stop openvpn-server@office")
        all_fall_silent(flows)
        assert strays(VPCS_LINE) == leaked
        nat.succeeds("ip route del unreachable 192.168.50.0/24 proto 86")
        all_fall_silent(flows)
        assert strays(VPCS_LINE) == leaked
        nat.succeeds("iptables -D vpc-openvpn-forward -d 192.168.50.0/24 -j DROP")
        all_fall_silent(flows)
        assert strays(VPCS_LINE) > leaked
        world.deploy("--limit", "nat-us-east-1a")
        leaked = strays(VPCS_LINE)
        all_recover(flows)
        assert strays(VPCS_LINE) == leaked
