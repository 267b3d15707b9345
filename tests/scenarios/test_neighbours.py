"""Hosts have managers of networks, firewalls and packages of their owner's, which leave the tunnels alone.

desk 192.168.50.10 ── office ══ tun-N ══ nat-us-east-1X 10.0.N.10 ── app-us-east-1X 10.0.2N.10
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.scenarios.flows import LANS_LINE, Flow, all_fall_silent, all_recover, changed, losing_nothing, strays
from tests.scenarios.harness import KEEPER_DROP_IN, Host, World, idle_keeper

APP_A, APP_B = "10.0.21.10", "10.0.22.10"
SITE = {"detour": "off"}  # a tunnel that is lost is a zone that is lost
WEB = "198.51.100.200"
LOOK, HELD_WITHIN = 3, 10  # seconds between two looks of the keeper's, and until it has loaded again
FIREWALL = "/usr/local/lib/vpc-openvpn/firewall"
LOADS = "journalctl -b -u vpc-openvpn-keeper -o cat | grep -c 'which are loaded again:' || true"
HELD = f'[ "$({FIREWALL} show)" = "$(sed -n \'/^\\*/,$p\' /run/vpc-openvpn/vpc-openvpn-firewall.service.record)" ]'

# networkd takes over the interfaces as they are; `zz-` has it take over every other interface, too, a tunnel's as well.
NETWORKD = """
set -e
cd /etc/systemd/network
ip -4 -o address show scope global | grep -v ' tun-' | while read -r _ link _ address _; do
    printf '[Match]\\nName=%s\\n[Network]\\nAddress=%s\\n' "$link" "$address" > "10-test-$link.network"
    ip -4 route show default dev "$link" | sed -n 's/.*via \\([^ ]*\\).*/Gateway=\\1/p' >> "10-test-$link.network"
done
printf '[Match]\\nName=*\\n[Network]\\nDHCP=yes\\n' > zz-test.network
systemctl unmask --quiet systemd-networkd.service systemd-networkd.socket
systemctl enable --quiet --now systemd-networkd
"""
NO_NETWORKD = """
systemctl disable --quiet --now systemd-networkd.socket systemd-networkd
systemctl mask --quiet systemd-networkd.service systemd-networkd.socket
rm -f /etc/systemd/network/*-test*.network
"""


@contextmanager
def networkd(host: Host) -> Iterator[None]:
    """systemd-networkd manages every interface of the host's for as long as the block lasts."""
    host.succeeds(NETWORKD)
    try:
        yield
    finally:
        host.succeeds(NO_NETWORKD)


@pytest.mark.parametrize("name", ["office", "nat-us-east-1a"])
def test_networkd_removes_nothing(world: World, desk: Host, name: str) -> None:
    host = Host(name)
    tunnel = "tun-1" if name == "office" else "tun-office"
    addresses = [APP_A, APP_B] if name == "office" else [APP_A]
    settings = "/etc/systemd/networkd.conf.d/vpc-openvpn.conf"
    with networkd(host):
        # What keeps it off is the file: without it the way to the zones goes with the first change of an interface.
        host.succeeds(f"rm {settings} && systemctl restart systemd-networkd && networkctl reconfigure {_own(host)}")
        host.eventually("! ip -4 route show table all proto 86 | grep .")
        assert world.deploy("--limit", name).changed[name]
        host.succeeds(f"networkctl --no-legend list {tunnel} | grep unmanaged")
        with losing_nothing(desk, *addresses):
            host.succeeds(f"networkctl reconfigure {_own(host)} {tunnel}")
            host.succeeds("touch /etc/systemd/network/zz-test.network && networkctl reload")
            host.succeeds("systemctl restart systemd-networkd && networkctl reconfigure " + _own(host))
            host.succeeds("/lib/systemd/systemd-networkd-wait-online --any --timeout 10 || true")
        assert world.plan("--limit", name).pending == {}
        with Flow(desk, "ping", APP_A) as flow:
            all_recover([flow])
            host.succeeds("systemctl reboot")
            all_fall_silent([flow])
            all_recover([flow], 40)
        host.eventually("systemctl is-active systemd-networkd && networkctl --no-legend list | grep ' configur'")
        assert world.plan("--limit", name).pending == {}


def _own(host: Host) -> str:
    """The host's interfaces that networkd is there for."""
    return " ".join(host.succeeds("ls /etc/systemd/network | sed -n 's/^10-test-\\(.*\\).network/\\1/p'").split())


# --- rules that another program removes ---------------------------------------------------------------------------


@contextmanager
def kept(host: Host) -> Iterator[None]:
    """The host's keeper does its work for as long as the block lasts."""
    host.succeeds(f"rm {KEEPER_DROP_IN} && systemctl daemon-reload && systemctl restart vpc-openvpn-keeper")
    try:
        yield
    finally:
        idle_keeper(host.name)
        host.succeeds("systemctl daemon-reload && systemctl restart vpc-openvpn-keeper")


@contextmanager
def installed(host: Host, package: str) -> Iterator[None]:
    """The host has the package for as long as the block lasts."""
    apt = "DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 --yes --no-install-recommends {} >/dev/null"
    host.succeeds(f"apt-get -qq update && {apt.format('install ' + package)}")
    try:
        yield
    finally:
        host.succeeds(apt.format("purge --autoremove " + package))


def test_rules_that_are_flushed_come_back(world: World, desk: Host, office: Host) -> None:
    nat, app = Host("nat-us-east-1a"), Host("app-us-east-1a")
    with kept(nat), kept(office), installed(nat, "firewalld"):
        nat.succeeds("firewall-cmd --set-default-zone trusted")
        for host, flush in (
            (nat, "firewall-cmd --reload"),
            (nat, "systemctl start nftables && systemctl stop nftables"),  # the first stops firewalld
            (nat, "systemctl start firewalld"),
            (nat, "nft flush ruleset"),
            (office, "iptables -F && ip rule flush proto 86 && ip route flush table all proto 86"),
        ):
            host.eventually(HELD, HELD_WITHIN)
            loads = int(host.succeeds(LOADS))
            host.succeeds(flush)
            host.eventually(f"[ $({LOADS}) -gt {loads} ]", HELD_WITHIN)
            host.eventually(f"{HELD} && systemctl is-active vpc-openvpn-firewall", HELD_WITHIN)
            desk.reaches(APP_A)
            app.reaches(WEB)
            assert world.plan("--limit", host.name).pending == {}
        said = nat.succeeds("journalctl -b -u vpc-openvpn-keeper -o cat")
        assert "gone: -A FORWARD -j vpc-openvpn-forward" in said

        # A change that is tried is not the keeper's to judge, nor what a deploy has tried and not yet written.
        site = world.copy_of_site()
        site["operators"] = ["203.0.113.0/24"]
        world.use(site)
        world.deploy_fails("--limit", nat.name)
        tried = nat.succeeds(f"{FIREWALL} show")
        nat.succeeds(f"sleep {LOOK + 1}")
        assert nat.succeeds(f"{FIREWALL} show") == tried
        nat.succeeds("sh /run/vpc-openvpn/trial/firewall keep")
        nat.succeeds(f"sleep {LOOK + 1}")
        assert nat.succeeds(f"{FIREWALL} show") == tried
        nat.succeeds("systemctl restart vpc-openvpn-firewall")
        nat.succeeds(HELD)


FAILS_ONCE = """
mv /usr/sbin/iptables-nft-restore /usr/sbin/iptables-nft-restore.real
cat > /usr/sbin/iptables-nft-restore <<'EOF'
#!/bin/sh
[ -e /run/failed-once ] || { touch /run/failed-once; exit 4; }
exec -a iptables-nft-restore /usr/sbin/iptables-nft-restore.real "$@"
EOF
sed -i s,/bin/sh,/bin/bash, /usr/sbin/iptables-nft-restore
chmod 755 /usr/sbin/iptables-nft-restore
"""
FAILS_NO_MORE = "mv /usr/sbin/iptables-nft-restore.real /usr/sbin/iptables-nft-restore"


@pytest.mark.parametrize("name", ["office", "nat-us-east-1a"])
def test_a_load_that_fails_at_boot_is_tried_again(world: World, desk: Host, name: str) -> None:
    host, app = Host(name), Host("app-us-east-1a")
    leaked = strays(LANS_LINE)
    with (
        changed(host, FAILS_ONCE, FAILS_NO_MORE),
        Flow(desk, "ping", APP_A) as to_zone,
        Flow(app, "ping", WEB) as to_web,
    ):
        all_recover([to_zone, to_web])
        host.succeeds("rm -f /run/failed-once")
        host.power_cycle()
        all_recover([to_zone, to_web], 40)
        host.succeeds("test -e /run/failed-once")
        assert host.succeeds("systemctl show --value -p NRestarts vpc-openvpn-firewall").strip() == "1"
    assert strays(LANS_LINE) == leaked
    assert world.plan("--limit", name).pending == {}


LEGACY = "update-alternatives --quiet --set iptables /usr/sbin/iptables-legacy"


def test_rules_in_the_other_backend_of_iptables_go(world: World, desk: Host) -> None:
    nat = Host("nat-us-east-1a")
    # What an earlier version left there, when that was the host's choice.
    nat.succeeds("iptables-nft-save | iptables-legacy-restore && iptables-legacy -I vpc-openvpn-forward -j DROP")
    nat.succeeds("iptables-legacy -A INPUT -s 203.0.113.7 -j DROP")
    with changed(nat, LEGACY, "iptables -F; update-alternatives --quiet --auto iptables"):
        desk.cannot_reach(APP_A)
        nat.succeeds("iptables-nft -F vpc-openvpn-input")  # something to do
        assert world.deploy("--limit", nat.name).changed
        desk.reaches(APP_A)
        assert "vpc-openvpn" not in nat.succeeds("iptables-legacy-save")
        assert "203.0.113.7" in nat.succeeds("iptables-legacy-save")
