"""What the kernel says of routes and routing rules, in iproute2's own words."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from vpc_openvpn.diagnosis import routes
from vpc_openvpn.diagnosis.routes import Way

VPC, TUNNEL = IPv4Network("10.0.0.0/16"), IPv4Network("10.200.1.0/29")
OFFICE_END = IPv4Address("10.200.1.2")


@pytest.mark.parametrize(
    ("route", "found"),
    [
        ('{"dst":"10.0.64.0/20","dev":"docker0","protocol":"kernel","prefsrc":"10.0.64.1"}', "docker0"),
        ('{"dst":"10.0.5.6","gateway":"192.168.50.2","dev":"lan"}', "lan"),
        ('{"dst":"10.200.1.0/29","dev":"vpn0","protocol":"kernel","prefsrc":"10.200.1.5"}', "vpn0"),
        ('{"dst":"default","gateway":"198.51.100.9","dev":"wan"}', ""),
        ('{"dst":"10.0.0.0/8","gateway":"192.168.50.2","dev":"lan"}', ""),
        ('{"dst":"172.17.0.0/16","dev":"docker0"}', ""),
        ('{"type":"unreachable","dst":"10.0.0.0/16","metric":4294967295}', ""),
        # Ours, under this name or under the one that it had before.
        ('{"dst":"10.200.1.0/29","dev":"tun-1","protocol":"kernel","prefsrc":"10.200.1.2"}', ""),
        ('{"dst":"10.200.1.0/29","dev":"tun-old","protocol":"kernel","prefsrc":"10.200.1.2"}', ""),
    ],
)
def test_a_foreign_route_inside_the_sites_networks_is_found(route: str, found: str) -> None:
    inside = routes.inside(f"[{route}]", [VPC, TUNNEL], ["tun-1"], [OFFICE_END])
    assert [each.interface for each, _ in inside] == ([found] if found else [])


def test_ip_route_get_yields_interface_and_table_or_an_error() -> None:
    by_tunnel = "10.0.21.4 from 192.168.50.254 via 10.200.1.1 dev tun-1 table vpc-zones      cache iif lan"
    assert routes.way(by_tunnel) == Way("tun-1", "vpc-zones", by_tunnel)
    assert routes.way("10.0.21.4 from 192.168.50.254 dev wan").table == "main"
    assert routes.way("RTNETLINK answers: No route to host ").interface == ""


OWN = '{"priority":6701,"src":"10.200.1.2","dst":"10.0.0.0","dstlen":16,"table":"probe-a","protocol":"vpc-openvpn"}'


@pytest.mark.parametrize(
    ("rule", "table", "found"),
    [
        (
            '{"priority":6699,"src":"192.168.50.0","srclen":24,"table":"200"}',
            "200",
            "6699 from 192.168.50.0/24 lookup 200",
        ),
        ('{"priority":5270,"src":"all","table":"52"}', "52", "5270 from all lookup 52"),
        (
            '{"priority":5,"src":"all","fwmark":"0x1","fwmask":"0xff","table":"7"}',
            "7",
            "5 from all fwmark 0x1/0xff lookup 7",
        ),
        # Not for this packet; not where it went; behind ours; the kernel's own first one.
        ('{"priority":6699,"src":"192.168.60.0","srclen":24,"table":"200"}', "200", ""),
        ('{"priority":6699,"src":"all","table":"200"}', "main", ""),
        ('{"priority":9300,"src":"all","table":"200"}', "200", ""),
        ('{"priority":0,"src":"all","table":"local"}', "local", ""),
    ],
)
def test_a_foreign_rule_before_ours_is_named(rule: str, table: str, found: str) -> None:
    taken = Way("wan", table, "")
    desk, host = IPv4Address("192.168.50.254"), IPv4Address("10.0.21.4")
    assert routes.rule_ahead(f"[{rule},{OWN}]", taken, 7900, ("86", "vpc-openvpn"), desk, host) == found


def test_default_routes_that_serve_at_once_are_counted() -> None:
    one = '{"dst":"default","gateway":"198.51.100.9","dev":"wan"}'
    spare = '{"dst":"default","gateway":"203.0.113.1","dev":"lte","metric":500}'
    both = '{"dst":"default","nexthops":[{"gateway":"198.51.100.9","dev":"wan"},{"gateway":"203.0.113.1","dev":"lte"}]}'
    assert routes.default_routes(f"[{one},{spare}]") == ["198.51.100.9 (wan)"]
    assert routes.default_routes(f"[{both}]") == ["198.51.100.9 (wan)", "203.0.113.1 (lte)"]
    assert routes.default_routes("") == []
