"""What a host's kernel and its folders hold, to compare before with after."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import unified_diff

from tests.scenarios.harness import Host

PROOF = 60  # seconds
KERNEL_STATE = """
iptables-save | sed -e '/^#/d' -e 's/ \\[[0-9:]*\\]$//'
{ ip -4 rule; ip -4 route show table all | grep -v 'proto kernel'; ip -o -4 address | cut -d ' ' -f 2-7; } | sort
ip -o link | grep -o ' tun.* mtu [0-9]*' | sort
ls /etc/openvpn/*/ /etc/vpc-openvpn /etc/vpc-openvpn/* /usr/local/lib/vpc-openvpn /etc/systemd/system/*.wants
ls /run/vpc-openvpn/*.record
"""

MANAGED = """
cd /
for path in $(find etc/vpc-openvpn etc/openvpn/*/ etc/sysctl.d etc/systemd/system usr/local/lib/vpc-openvpn); do
    stat -c '%n %F %a %U %G' $path
    [ ! -f $path ] || sha256sum $path
    [ ! -L $path ] || readlink $path
done | sort
units=$(cd etc/systemd/system; ls -d vpc-openvpn-*.service openvpn-*@*.d | sed 's/.d$//')
for unit in $units; do echo $unit $(systemctl is-active $unit) $(systemctl is-enabled $unit); done
dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\n' openvpn bird2 iptables conntrack iputils-ping
systemctl is-active bird.service
systemctl list-units --all --no-legend 'vpc-openvpn-undo*'; ls run/vpc-openvpn/trial/*.before
"""


# After an outage a tunnel has to prove itself for a while, and BFD has to come up, before it is the way to its zone
# again. Without detours there is nothing that could be away.
ALL_HOME = """
[ -e /usr/local/lib/vpc-openvpn/detour ] || exit 0
[ -z "$(/usr/local/lib/vpc-openvpn/detour show | grep -v ': trusted$')" ] || exit
for zone in 1 2 3; do
    ip -4 route show table 8600 10.0.2$zone.0/24 | grep -q "via 10.200.$zone.1 " || exit
done
"""


def all_home() -> None:
    """Every zone is reached by its own tunnel."""
    Host("office").eventually(ALL_HOME, PROOF)


def managed(host: Host) -> str:
    """All that the cookbook manages there: files with their contents, units, packages, and what the kernel holds."""
    return host.answers(MANAGED).output + kernel_state(host)


def kernel_state(host: Host) -> str:
    """Rules, routes, addresses, interfaces, and the names of the files that they come from."""
    return host.succeeds(KERNEL_STATE)


@contextmanager
def unchanged_after(*hosts: Host) -> Iterator[None]:
    """When the block ends, which changes the site and takes it back, the hosts come to be what they were."""
    before = {host: kernel_state(host) for host in hosts}
    yield
    for host, state in before.items():
        comes_to(host, state)


def comes_to(host: Host, state: str) -> None:
    """The host's state becomes `state`, within the time that a tunnel which was restarted has to prove itself."""
    deadline = time.monotonic() + PROOF
    while (now := kernel_state(host)) != state:
        difference = "\n".join(unified_diff(state.splitlines(), now.splitlines(), "before", host.name, lineterm=""))
        assert time.monotonic() < deadline, difference
        time.sleep(0.5)
