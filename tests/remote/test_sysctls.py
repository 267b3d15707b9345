"""Kernel settings in others' files that contradict ours."""

import pytest

from vpc_openvpn.remote.effects import contradictions, other_settings

OURS = {"net/ipv4/ip_forward": "1", "net/ipv4/conf/*/send_redirects": "0", "net/ipv4/conf/tun-1/rp_filter": "2"}


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("net.ipv4.ip_forward = 0", "net.ipv4.ip_forward = 0"),
        ("net/ipv4/ip_forward=0", "net/ipv4/ip_forward = 0"),
        ("-net.ipv4.ip_forward=0", "-net.ipv4.ip_forward = 0"),
        ("net.ipv4.ip_forward=1", None),
        ("net.ipv4.conf.all.send_redirects=1", "net.ipv4.conf.all.send_redirects = 1"),
        ("net.ipv4.conf.*.rp_filter=1", "net.ipv4.conf.*.rp_filter = 1"),
        ("net.ipv4.conf.all.rp_filter=1", None),
    ],
)
def test_a_setting_that_contradicts_ours_is_named_with_file_and_line(line: str, named: str | None) -> None:
    found = contradictions(f"/etc/sysctl.d/99-x.conf:7:{line}\n", OURS, {"/etc/sysctl.d/zz-vpc-openvpn.conf"})
    assert found == ([f"/etc/sysctl.d/99-x.conf, line 7, has {named}"] if named else [])


def test_our_own_file_is_no_contradiction() -> None:
    path = "/etc/sysctl.d/zz-vpc-openvpn.conf"
    assert contradictions(f"{path}:3:net.ipv4.ip_forward = 0\n", OURS, {path}) == []


def test_lines_are_found_by_setting_name() -> None:
    assert "(ip_forward|rp_filter|send_redirects) *=" in other_settings(OURS)
