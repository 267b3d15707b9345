"""What a host's kernel and its folders hold, to compare before with after."""

import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from difflib import unified_diff

from tests.scenarios.harness import Host, World, lab

PROOF = 60  # seconds
SETTLED = 15  # seconds after a deploy until each unit has started and each interface is there again
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
set +f; dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\n' openvpn bird2 iptables conntrack iputils-ping
systemctl is-active bird.service
systemctl list-units --all --no-legend 'vpc-openvpn-undo*'; ls run/vpc-openvpn/trial/*.before
"""

# All that a scenario could leave on a host: files (but for those that each blank machine makes anew), packages, units,
# firewalls (not iptables' own tables, which stay when they are empty), rules, routes, links, settings. BIRD's routes
# come and go with the tunnels; `all_home` waits for them. systemd does not read the links of SysV's runlevels. Whom a
# host trusted in earlier years, a machine in its place does not know.
FINGERPRINT = r"""
set -f; files="etc usr/local -xdev ! -name ssh_host_* ! -name machine-id ! -name shadow* ! -path etc/rc?.d/*"
files="$files ! -path etc/vpc-openvpn/pins"
cd / && find $files -printf '%p %M %u %g %l\n' | sort
find $files -type f -exec sha256sum {} + | sort -k 2
set +f; dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\n'
cd /etc/systemd/system && systemctl show -p Id -p ActiveState -p NeedDaemonReload \
    bird.service nftables.service $(ls -d vpc-openvpn-*.service openvpn-*@*.d 2>/dev/null | sed 's/\.d$//')
systemctl list-units --all --no-legend 'vpc-openvpn-undo*'
cd /run/vpc-openvpn && {
    tail -n +1 *.record; ls trial/*.before; flock -n deploy.lock true || echo a deploy is under way
}
for tables in iptables-save ip6tables-save; do
    $tables | awk '/^\*/ { table = $1 } /^-A|^:/ && !/^:.* ACCEPT / { sub(/ \[[0-9:]*\]$/, ""); print table, $0 }' |
        sort -s -k 1,1 -k 3,3
done
nft list tables | grep -v -E ' ip6? (raw|mangle|nat|filter|security)$'
ip -4 rule; ip -6 rule
{ ip -4 route show table all; ip -6 route show table all; } | grep -v -e 'proto kernel' -e 'proto bird' | sort
ip -o address show scope global | cut -d ' ' -f 2-7 | sort
ip -o link | sed 's/^[0-9]*: \([^:@]*\).* \(mtu [0-9]*\) .* \(state [A-Z]*\) .*/\1 \2 \3/' | sort
grep -r . /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf | sort
"""

MONITOR = "/usr/local/lib/vpc-openvpn/vpc-openvpn-monitor"
# Followed by the name of what the keeper has put back: how often.
REPAIRS = """python3 -c '
import json, pathlib, sys
state = pathlib.Path("/run/vpc-openvpn/keeper.state")
repairs = json.loads(state.read_text())["repairs"] if state.exists() else []
print(sum(each["count"] for each in repairs if each["what"] == sys.argv[1]))
'"""
FORGET = "rm -f /run/vpc-openvpn/monitor.memory; systemctl kill -s KILL vpc-openvpn-monitor"

# After an outage a tunnel has to prove itself for a while, and BFD has to come up, before it is the way to its zone
# again. Without detours there is nothing that could be away.
ALL_HOME = f"""
[ -e /etc/systemd/system/vpc-openvpn-monitor.service ] || exit 0
for zone in 1 2 3; do
    ip -4 route show table vpc-zones 10.0.2$zone.0/24 | grep -q "via 10.200.$zone.1 " || exit
done
[ -z "$({MONITOR} show | grep -v ': by its own tunnel$')" ]
"""


def all_home() -> None:
    """Every zone is reached by its own tunnel. Where one is not, the monitor is restarted, without its memory: after
    failures in a row it waits for many answers, from its start for a few.
    """
    office = Host("office")
    if office.answers(ALL_HOME).status != 0:
        office.answers(FORGET)
        office.eventually(ALL_HOME, PROOF)


def managed(host: Host) -> str:
    """All that the cookbook manages there: files with their contents, units, packages, and what the kernel holds."""
    return host.answers(MANAGED).output + kernel_state(host)


def settled(names: Sequence[str]) -> dict[str, str]:
    """What is managed on each of these hosts, once it is the same for two seconds: BIRD's routes come one after the
    other, and a NAT that has died is given up later than its zone is taken to a detour.
    """
    deadline, state = time.monotonic() + SETTLED, dict[str, str]()
    while (now := {name: managed(Host(name)) for name in names}) != state:
        left = "\n".join(difference(state.get(name, ""), now[name], name) for name in now)
        assert time.monotonic() < deadline, f"still changing:\n{left}"
        state = now
        time.sleep(2)
    return state


def kernel_state(host: Host) -> str:
    """Rules, routes, addresses, interfaces, and the names of the files that they come from."""
    return host.succeeds(KERNEL_STATE)


def fingerprints(world: World) -> dict[str, str]:
    """By the name of each host that is deployed to: what a deploy, and nothing else, should have made of it."""
    with ThreadPoolExecutor() as at_once:
        answers = at_once.map(lambda name: Host(name).answers(f"{{ {FINGERPRINT} }} 2>/dev/null"), world.hosts)
    return {name: answer.output for name, answer in zip(world.hosts, answers, strict=True)}


def remember(world: World) -> None:
    """The hosts are as scenarios of this site shall find them."""
    world.deployed = fingerprints(world)


def restore(world: World) -> bool:
    """The networks and hosts become what they were when they were remembered, by a deploy where one is needed: whether
    it was. What a deploy does not mend fails the scenario that has left it, and that one alone.
    """
    world.use(world.baseline)
    assert lab("heal").status == 0
    for host in json.loads(lab("list", "--json").output):
        if host["state"] != "up":
            assert lab("start", host["name"]).status == 0
    if fingerprints(world) == world.deployed:
        return False
    world.trust()
    mended = world.apply()
    assert mended.status == 0, f"the lab could not be brought back:\n{mended.output}"
    deadline = time.monotonic() + SETTLED
    while (now := fingerprints(world)) != world.deployed and time.monotonic() < deadline:
        time.sleep(0.5)
    left = "\n".join(difference(world.deployed[name], now[name], name) for name in world.hosts)
    world.deployed = now
    assert not left.strip(), f"left on the hosts by the scenario, and not mended by a deploy:\n{left}"
    return True


def difference(before: str, now: str, name: str) -> str:
    """What has changed on the host, as a diff without context; empty if nothing has."""
    return "\n".join(unified_diff(before.splitlines(), now.splitlines(), "before", name, n=0, lineterm=""))


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
        assert time.monotonic() < deadline, difference(state, now, host.name)
        time.sleep(0.5)
