"""Hosts have managers of networks, firewalls and packages of their owner's, which leave the tunnels alone.

desk 192.168.50.10 ── office ══ tun-N ══ nat-us-east-1X 10.0.N.10 ── app-us-east-1X 10.0.2N.10
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.scenarios.flows import Flow, all_fall_silent, all_recover, losing_nothing
from tests.scenarios.harness import Host, World

APP_A, APP_B = "10.0.21.10", "10.0.22.10"
SITE = {"detour": "off"}  # a tunnel that is lost is a zone that is lost

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
