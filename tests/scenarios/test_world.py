"""The scenarios' own ground: what one scenario leaves on a host never meets the next.

office ══ nat-us-east-1a, -1b, -1c
"""

import pytest

from tests.scenarios import states
from tests.scenarios.flows import changed
from tests.scenarios.harness import Host, World, lab
from tests.scenarios.states import fingerprints, remember, restore

OFFICE, A, B, C = Host("office"), *(Host(f"nat-us-east-1{letter}") for letter in "abc")

# By host: what a scenario may leave there, and a command that succeeds where it is gone.
LEFT = {
    OFFICE: (
        ("echo '# left' >> /etc/vpc-openvpn/bird.conf", "! grep left /etc/vpc-openvpn/bird.conf"),
        ("ip rule del priority 7601", "ip rule | grep -q ^7601:"),
        ("systemctl stop vpc-openvpn-monitor", "systemctl is-active vpc-openvpn-monitor"),
        ("echo 1 > /proc/sys/net/ipv4/conf/tun-1/rp_filter", "grep 2 /proc/sys/net/ipv4/conf/tun-1/rp_filter"),
    ),
    A: (
        ("iptables -I vpc-openvpn-input -j ACCEPT", "! iptables -C vpc-openvpn-input -j ACCEPT"),
        ("iptables -t nat -D POSTROUTING -j vpc-openvpn-postrouting", "iptables -t nat -S POSTROUTING | grep vpc-"),
        ("echo 0 > /proc/sys/net/ipv4/ip_forward", "grep 1 /proc/sys/net/ipv4/ip_forward"),
        ("systemctl disable --now vpc-openvpn-bird", "systemctl is-enabled vpc-openvpn-bird"),
    ),
    B: (
        ("chmod 644 /etc/vpc-openvpn/identity/host.key", "[ $(stat -c %a /etc/vpc-openvpn/identity/host.key) = 600 ]"),
        ("rm /etc/openvpn/server/office.conf", "[ -e /etc/openvpn/server/office.conf ]"),
        ("apt-get -qq remove --yes conntrack > /dev/null 2>&1", "conntrack --version"),
        ("echo > /run/vpc-openvpn/openvpn-server@office.service.record", "grep . /run/vpc-openvpn/openvpn-*.record"),
    ),
}


def test_unchanged_hosts_are_not_deployed_again(world: World) -> None:
    assert fingerprints(world) == world.deployed
    assert restore(world) is False


def test_changes_that_a_scenario_leaves_are_undone(world: World) -> None:
    for changes in zip(*LEFT.values(), strict=True):
        before = fingerprints(world)
        for host, (change, right) in zip(LEFT, changes, strict=True):
            host.succeeds(right)
            host.succeeds(change)
            host.fails(right)
        after = fingerprints(world)
        assert [name for name in world.hosts if before[name] != after[name]] == [host.name for host in LEFT]
    assert lab("kill", C.name).status == 0
    assert restore(world) is True
    assert fingerprints(world) == world.deployed
    for host, left in LEFT.items():
        for _, right in left:
            host.succeeds(right)
    C.succeeds("systemctl is-active openvpn-server@office")


def test_a_scenario_fails_if_a_deploy_cannot_undo_its_changes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "SETTLED", 0)
    with (
        changed(B, "echo left > /etc/left", "rm /etc/left"),
        pytest.raises(AssertionError, match=f"(?s){B.name}.*etc/left"),
    ):
        restore(world)
    remember(world)
