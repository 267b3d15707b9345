"""Who reaches whom, judged by packets: office ↔ every zone, every zone → internet by its own NAT, nobody else.

desk 192.168.50.10 ── office ══ tunnel per zone ══ nat-Z 10.0.n.10 ── app-Z 10.0.(20+n).10
                         └──── internet ── web 198.51.100.200 ───────┘
"""

import pytest

from tests.scenarios.harness import Host, World

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
