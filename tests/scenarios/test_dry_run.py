"""A dry run shows everything and touches nothing; neither it nor a deploy shows key material.

office, nat-us-east-1b: blank          nat-us-east-1a, nat-us-east-1c: as the site says
"""

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from secrets import token_hex

import pytest

from tasks import paths
from tests.scenarios.harness import DEPLOY, Answer, Host, World, lab
from tests.scenarios.spy import watching

KEYS = "/etc/vpc-openvpn/identity"

# Everything on the host's own disk, in /run and in /tmp: kind, mode, owner, size, both times, and where a link points.
FILES = r"""find / /run /tmp -xdev \( -path /proc -o -path /sys -o -path /dev \) -prune -o \
    -printf '%p\t%y %m %u %g %s %T@ %C@ %l\n'"""
CONTENT = "find /etc /usr/local /var/lib/dpkg /var/lib/systemd /run/vpc-openvpn /root -type f -exec sha256sum {} + 2>&1"
KERNEL = r"""
nft list ruleset | sed 's/counter packets [0-9]* bytes [0-9]*//'
ip -4 rule; ip -4 route show table all; ip -o link | sed 's/ qlen.*//'; ip -4 -o address
sysctl -a 2>/dev/null | grep '^net\.' | grep -v nf_conntrack_count
systemctl list-units --all --plain --no-legend --type=service,socket,timer | grep -v -e '^session' -e '^user'
"""
# The files that every login changes, networkd's account of links, and those that OpenVPN writes every minute.
BY_ITSELF = re.compile(
    r"/run|/run/motd\.dynamic|/run/log/journal/.*|/run/utmp|/var/log/(wtmp|btmp|lastlog|journal/.*)"
    r"|/home|/home/admin|/home/admin/\.sudo_as_admin_successful"
    r"|/run/systemd/netif(/.*)?"
    r"|/run/openvpn-(server|client)/status-.*"
)

# Of these paths: regular files that no package has brought, and that a reboot keeps.
OWN = r"""for path in {}; do
    case $path in /run/*) continue ;; esac
    [ ! -f "$path" ] || [ -L "$path" ] || dpkg -S "$path" > /dev/null 2>&1 || echo "$path"
done"""
UNSHOWN = [paths.DEPLOYED]  # the deploy's own name and time


@pytest.fixture
def blank(world: World) -> Iterator[list[Host]]:
    """The office's router and a NAT, both with a new disk."""
    hosts = [Host("office"), Host("nat-us-east-1b")]
    for host in hosts:
        world.replace(host.name)
        host.succeeds("find / -xdev > /dev/null")  # overlayfs notes at the first look that a directory is merged
    yield hosts


def test_a_dry_run_shows_all_changes_and_makes_none(world: World, blank: list[Host]) -> None:
    configured = Host("nat-us-east-1a")
    before = {host.name: state(host) for host in (*blank, configured)}
    site = world.copy_of_site() | {"tunnels": {"mtu": 1380}}
    world.use(site)
    planned = world.plan()
    assert planned.status == 0, planned.output
    for host in (*blank, configured):
        now = state(host)
        changed = {path for path, _ in before[host.name].items() ^ now.items() if not BY_ITSELF.fullmatch(path)}
        assert not changed, f"a dry run has touched {host.name}: {sorted(changed)}"
    # The comparison works: it sees a deploy.
    applied = world.apply()
    assert applied.status == 0, applied.output
    for host in (*blank, configured):
        assert before[host.name].items() ^ state(host).items()

    shown = re.sub(r"\x1b\[[0-9;]*m", "", planned.output)
    of_host = {host.name: shown_of(shown, host.name) for host in (*blank, configured)}
    for host in blank:
        assert "Will install openvpn, bird2, iptables, conntrack" in of_host[host.name]
        written = set(state(host)) - set(before[host.name])
        ours = [path for path in written if re.search("vpc-openvpn|^/etc/openvpn/", path)]
        files = [path for path in host.succeeds(OWN.format(shlex.join(ours))).splitlines() if path not in UNSHOWN]
        assert len(files) >= 10, files
        for path in files:
            if path.endswith(".key"):
                assert f"Will create {path} (secret, not shown)\n" in of_host[host.name]
                continue
            diff = of_host[host.name].split(f"Will create {path}\n", 1)[1]
            for line in host.succeeds(f"cat {path}").splitlines():
                assert f"+ {line}\n" in diff, f"{path} on {host.name}: not shown: {line}"
    # On a host that is there, only what differs.
    change = r"Will modify /etc/openvpn/server/office\.conf\n(.*\n)*? +- tun-mtu 1440\n +\+ tun-mtu 1380\n"
    assert re.search(change, of_host[configured.name])
    assert of_host[configured.name].count("Will modify") == 2, of_host[configured.name]
    assert "Will create" not in of_host[configured.name]


def test_no_key_material_leaks(world: World) -> None:
    nat = Host("nat-us-east-1b")
    world.replace(nat.name)
    # Without the spy, which would make apt wait; apt gets to know no secret.
    nat.succeeds(
        "{ apt-get -qq update; apt-get -qq install --yes openvpn bird2 iptables conntrack; } >/dev/null 2>&1"
        " && systemctl disable --quiet --now bird.service"
    )
    real = list(world.secrets())
    # Secrets that belong to no host leak in every way that the test has to notice.
    argument, variable, log, instant, kept = (token_hex(20) for _ in range(5))
    leaks = f"""
        /bin/true {argument}
        VARIABLE={variable} /bin/true
        echo {log} | logger
        echo {instant} > /root/instant; chmod 600 /root/instant; mv /root/instant /root/moved
        umask 077; echo {kept} > /root/kept; cp /root/kept /tmp/kept
    """
    options = ["--limit", nat.name, "-vvv", "--debug", "--diff"]
    with watching(nat) as traces:
        for command in ([*DEPLOY, "--dry", *options], [*DEPLOY, "--yes", *options], [*DEPLOY[:2], "debug-inventory"]):
            done = world.run(*command)
            assert done.status == 0, done.output
        assert as_admin(world, "198.51.100.22", leaks).status == 0
    [trace] = traces

    assert trace.sightings([argument]).commands
    assert trace.sightings([variable]).commands
    assert trace.sightings([log]).messages
    assert sorted(trace.sightings([instant]).open_to_others()) == ["/root/instant", "/root/moved"]
    assert trace.sightings([kept]).modes == {"/root/kept": {0o600}, "/tmp/kept": {0o600}}
    nat.eventually(f"journalctl --all --output cat | grep {log}")
    assert holding(nat, [kept]) == {"/root/kept", "/tmp/kept"}

    seen = trace.sightings(real)
    assert not seen.commands, "in the arguments or the environment of a command"
    assert not seen.messages, "in a message to another process"
    names = [f"{KEYS}/host.key", f"{KEYS}/tunnel-us-east-1b.key"]
    assert sorted(seen.modes) == sorted([*names, *(f"{name}.new" for name in names)])
    assert not seen.open_to_others(), seen.modes
    assert holding(nat, real) == set(names)
    nat.succeeds(f"[ $(stat -c %a {KEYS}) = 700 ]")
    world.holds_no_secret(nat.succeeds("journalctl --all --output export"), "the journal")


def as_admin(world: World, address: str, script: str) -> Answer:
    """`script`, as the operator would run it by ssh and sudo."""
    ssh = world.baseline["ssh"]
    options = ["-i", ssh["key"], "-o", f"UserKnownHostsFile={ssh['known_hosts']}", "-o", "BatchMode=yes"]
    return lab("run", "--", "ssh", *options, f"admin@{address}", "sudo", "sh", stdin=script)


def holding(host: Host, secrets: list[str]) -> set[str]:
    """The files on `host` that have any of `secrets` in them."""
    folders = "/etc /var /usr/local /home /root /run /tmp /srv /opt"
    found = lab("exec", host.name, "--", "grep", "-rlsF", "-f", "-", *folders.split(), stdin="\n".join(secrets) + "\n")
    return {path for path in found.output.split() if "/journal/" not in path}


def state(host: Host) -> dict[str, str]:
    """All that a dry run could touch, by what it is: files with their times and content, and the kernel's settings."""
    found = {}
    for line in host.answers(FILES).output.splitlines():
        path, _, rest = line.partition("\t")
        found[path] = rest
    for line in host.answers(CONTENT).output.splitlines():
        found[f"content of {line[66:]}"] = line[:64]
    for line, count in Counter(host.answers(KERNEL).output.splitlines()).items():
        found[f"kernel: {line}"] = f"{count} times"
    assert len(found) > 5000
    return found


def shown_of(output: str, host: str) -> str:
    """What the plan says of `host`: the lines with its name, each with the diff that follows it."""
    parts = re.split(r"^    \[(\S+?)\] +", output, flags=re.MULTILINE)
    return "".join(text for name, text in zip(parts[1::2], parts[2::2], strict=True) if name == host)
