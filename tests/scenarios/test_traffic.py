"""Who reaches whom, judged by packets: office ↔ every zone, every zone → internet by its own NAT, no others.

desk 192.168.50.10 ── office ══ tunnel per zone ══ nat-Z 10.0.n.10 ── app-Z 10.0.(20+n).10
                         └──── internet ── web 198.51.100.200 ───────┘
"""

import pytest

from tests.scenarios.flows import PEERS, PORT, Arrivals, Background, changed
from tests.scenarios.harness import Host, World
from tests.scenarios.states import MONITOR

ZONES = {"us-east-1a": 1, "us-east-1b": 2, "us-east-1c": 3}
SITE = {"detour": "off"}  # a lost tunnel is a lost zone
zones = pytest.mark.parametrize(("zone", "number"), ZONES.items())


@zones
def test_a_desk_and_a_zone_reach_each_other(world: World, desk: Host, office: Host, zone: str, number: int) -> None:
    app = Host(f"app-{zone}")
    desk.reaches(f"10.0.{20 + number}.10")
    app.reaches("192.168.50.10")
    # Through the zone's own tunnel, and through nothing else.
    office.succeeds(f"ip route get 10.0.{20 + number}.10 | grep -q 'dev tun-{number} '")
    office.succeeds(f"systemctl stop openvpn-client@vpc-{zone}")
    desk.cannot_reach(f"10.0.{20 + number}.10")
    app.cannot_reach("192.168.50.10")


@zones
def test_a_zone_leaves_by_its_own_nat(world: World, zone: str, number: int) -> None:
    app, nat = Host(f"app-{zone}"), Host(f"nat-{zone}")
    ask = "curl -sf -m 5 http://198.51.100.200/"
    assert f"198.51.100.{20 + number}" in app.succeeds(ask)
    # It is the NAT's rule that lets it out: without it, nothing comes back.
    nat.succeeds("iptables -t nat -F vpc-openvpn-postrouting")
    app.fails(ask)


def test_the_router_itself_reaches_a_zone_from_the_offices_network(world: World, office: Host) -> None:
    app = Host("app-us-east-1a")
    connect = f"timeout 2 bash -c '</dev/tcp/10.0.21.10/{PORT}'"
    with Background(app, f"{PEERS} echo {PORT}"), Arrivals(app, "192.168.50.1", "10.0.21.10") as packets:
        app.eventually(f"{PEERS} connect 127.0.0.1 {PORT}")
        office.succeeds(connect)
        packets.come()
        # Health checks keep the tunnel's address.
        office.succeeds(f"{MONITOR} show | grep -c 'by its own tunnel' | grep -qx 3")
        # A router that loses its address there still has its ways to the zones.
        with changed(office, "ip address del 192.168.50.1/24 dev lan", "ip address add 192.168.50.1/24 dev lan"):
            office.succeeds("ip route get 10.0.21.10 | grep -q 'dev tun-1 '")
        # It has the LAN's address again when a tunnel, or BIRD, starts.
        office.succeeds("systemctl reload vpc-openvpn-bird")
        office.eventually(connect)
