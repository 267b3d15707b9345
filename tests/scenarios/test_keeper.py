"""What the last deploy put on a host is back within seconds, whatever has removed it.

desk 192.168.50.10 ── office ══ tun-N ══ nat-us-east-1X 10.0.N.10 ── app-us-east-1X 10.0.2N.10
                         └──────────────── web 198.51.100.200 ────────────────┘
"""

import time
from collections.abc import Iterator
from difflib import unified_diff

import pytest

from tests.scenarios.flows import changed
from tests.scenarios.harness import Host, World
from tests.scenarios.states import REPAIRS, all_home, remember
from tests.scenarios.test_neighbours import kept

DESK, APP, WEB = Host("desk"), "10.0.21.10", "198.51.100.200"
WITHIN = 5  # seconds
TO_CONNECT = 5  # seconds that a client of OpenVPN gets to connect
LOOKS = 6  # seconds in which what is put back would be
OFFICE, NAT = "office", "nat-us-east-1a"
# What is back within 0.2 s is read first: settings, and units that were killed.
KEPT = r"""
sysctl net.ipv4.ip_forward net.ipv4.ip_nonlocal_bind
(cd /etc/systemd/system; for unit in vpc-openvpn-*.service openvpn-*@*.d; do
    unit=${unit%.d}; [ $unit = vpc-openvpn-again.service ] || echo $unit $(systemctl is-active $unit)
done)
iptables-save | grep vpc-openvpn | sed 's/ \[[0-9:]*\]$//'
ip -4 rule; ip -4 route show table all | grep -v 'table local' | sort
ip -o -4 address | cut -d ' ' -f 2-7 | sort
ip -o link | grep -o ' tun[^ ]* <[^>]*> mtu [0-9]*' | sort
"""
FLUSH = "for table in raw mangle nat filter; do iptables -t $table -F; iptables -t $table -X; done"

# systemd starts it again after 0.2 s.
KILLED = "systemctl kill -s KILL {0}; sleep 0.05; systemctl is-active --quiet {0} || echo {0} is gone"

# By host and kind: what the keeper counts it as, if it is the keeper's to mend, and the fault.
FAULTS = {
    (OFFICE, "rules"): [
        ("firewall", FLUSH),
        ("firewall", "nft flush ruleset"),
        ("firewall", "ip rule flush"),
    ],
    (NAT, "rules"): [
        ("firewall", FLUSH),
        ("firewall", "nft flush ruleset"),
        ("firewall", "iptables -I vpc-openvpn-forward -j ACCEPT"),
    ],
    (OFFICE, "routes"): [
        ("", "ip route flush table vpc-zones && ip route flush table pin-us-east-1a"),
        ("tun-1", "ip route del 10.200.1.0/29 dev tun-1"),
    ],
    (NAT, "routes"): [
        ("tun-office", "ip route del 192.168.50.0/24 via 10.200.1.2"),
        ("firewall", "ip route del unreachable 192.168.50.0/24 metric 4294967295"),
    ],
    (OFFICE, "interfaces"): [
        ("tun-1", "ip link set tun-1 down"),
        ("tun-1", "ip address flush dev tun-1"),
        ("tun-1", "ip link set tun-1 mtu 600"),
        ("tun-1", "ip link del tun-1"),
    ],
    (NAT, "interfaces"): [
        ("tun-office", "ip link set tun-office down"),
        ("tun-office", "ip address flush dev tun-office"),
        ("tun-office", "ip link set tun-office mtu 600"),
        ("tun-office", "ip link del tun-office"),
    ],
    (OFFICE, "settings"): [("settings", "sysctl -qw net.ipv4.ip_forward=0")],
    (NAT, "settings"): [("settings", "sysctl -qw net.ipv4.ip_forward=0 net.ipv4.ip_nonlocal_bind=0")],
    (OFFICE, "units"): [
        ("vpc-openvpn-bird.service", "systemctl stop vpc-openvpn-bird"),
        ("vpc-openvpn-monitor.service", "systemctl stop vpc-openvpn-monitor"),
        ("openvpn-client@vpc-us-east-1a.service", "systemctl stop openvpn-client@vpc-us-east-1a"),
        *(("", KILLED.format(unit)) for unit in ("vpc-openvpn-bird", "vpc-openvpn-monitor")),
        ("tun-1", "systemctl kill -s KILL vpc-openvpn-keeper && ip link set tun-1 down"),
    ],
    (NAT, "units"): [
        ("vpc-openvpn-bird.service", "systemctl stop vpc-openvpn-bird"),
        ("openvpn-server@office.service", "systemctl stop openvpn-server@office"),
        ("", "systemctl kill -s KILL openvpn-server@office"),
    ],
}


@pytest.fixture(scope="module", autouse=True)
def watched(booted: World) -> Iterator[None]:
    """The keepers of both hosts are at work in all of these scenarios."""
    with kept(Host(OFFICE)), kept(Host(NAT)):
        remember(booted)
        yield
    remember(booted)


@pytest.mark.parametrize(("name", "kind"), FAULTS, ids=[" ".join(each) for each in FAULTS])
def test_what_was_deployed_comes_back(world: World, name: str, kind: str) -> None:
    host = Host(name)
    for what, fault in FAULTS[name, kind]:
        all_home()
        before = host.succeeds(KEPT)
        repairs = int(host.succeeds(f"{REPAIRS} '{what}'"))
        assert unmended(host, fault) != before, fault
        # A tunnel that has begun anew proves itself before its zone is sent there: its host's state is back before.
        comes_back(host, tunnels(before) if what.startswith(("openvpn", "tun-1")) else before, time.monotonic(), fault)
        if what:
            host.eventually(f"[ $({REPAIRS} '{what}') -gt {repairs} ]", WITHIN)
        if "nft" in fault:  # what the router's owner has in nftables.conf went as well
            host.succeeds("systemctl try-restart nftables")
        DESK.eventually(f"ping -q -c 1 -W 1 {APP}", WITHIN)
        Host("app-us-east-1a").eventually(f"ping -q -c 1 -W 1 {WEB}", WITHIN)
    all_home()
    assert world.plan("--limit", name).pending == {}


@pytest.mark.parametrize(
    ("name", "unit", "interface"),
    [(OFFICE, "openvpn-client@vpc-us-east-1a", "tun-1"), (NAT, "openvpn-server@office", "tun-office")],
)
def test_an_interface_that_is_deleted_while_openvpn_sets_it_up_comes_back(
    world: World, name: str, unit: str, interface: str
) -> None:
    host = Host(name)
    all_home()
    host.succeeds(f"systemctl restart {unit}; until ip link del {interface} 2> /dev/null; do :; done")
    host.eventually(f"ip -4 -o address show dev {interface} | grep inet", TO_CONNECT + WITHIN)
    all_home()
    assert world.plan("--limit", name).pending == {}


def unmended(host: Host, fault: str) -> str:
    """The host's state after `fault`, which the keeper finds a moment later: it once mended one before it was seen."""
    keeper = "systemctl kill --signal={} vpc-openvpn-keeper 2>/dev/null"
    return host.succeeds(f"{keeper.format('STOP')}\n{fault}\n{KEPT}\n{keeper.format('CONT')} || true")


def comes_back(host: Host, before: str, began: float, fault: str) -> None:
    """Within WITHIN seconds of `began` the host's state has all lines of `before`."""
    wanted = before.splitlines()
    while True:
        now = host.succeeds(KEPT).splitlines()
        missing = [line for line in unified_diff(wanted, now, n=0, lineterm="") if line[:1] == "-" and line[:2] != "--"]
        if not missing:
            return
        assert time.monotonic() - began < WITHIN, (fault, missing)


def tunnels(state: str) -> str:
    """The lines of a state that do not depend on which way a zone takes."""
    return "\n".join(line for line in state.splitlines() if " proto bird" not in line)


def test_an_operators_word_counts_more(world: World) -> None:
    """A unit that is disabled or masked stays stopped, and so does what a stopped keeper would put back."""
    office = Host(OFFICE)
    all_home()
    office.succeeds("systemctl disable --quiet --now vpc-openvpn-monitor")
    office.succeeds(f"sleep {LOOKS}")
    office.fails("systemctl is-active vpc-openvpn-monitor")
    office.succeeds("systemctl enable --quiet --now vpc-openvpn-monitor")

    office.succeeds("systemctl stop vpc-openvpn-keeper")
    comes_back_only_after(office, "systemctl start vpc-openvpn-keeper")


def comes_back_only_after(office: Host, command: str) -> None:
    """A routing rule that is deleted stays away until the command has run."""
    office.succeeds("ip rule del priority 7900")
    office.succeeds(f"sleep {LOOKS}")
    office.fails("ip rule | grep ^7900:")
    office.succeeds(command)
    office.eventually("ip rule | grep ^7900:", WITHIN)
    all_home()


def test_nothing_is_put_back_during_a_deploy(world: World) -> None:
    office = Host(OFFICE)
    lock = "/run/vpc-openvpn/deploy.lock"
    # As a deploy has it: of a process that has ended.
    held = f"systemd-run --quiet --unit=test-deploy bash -c 'exec 9>> {lock}; flock 9; sleep 60'"
    office.succeeds(held)
    office.eventually(f"! flock -n {lock} true", WITHIN)
    comes_back_only_after(office, "systemctl stop test-deploy")


def test_what_is_removed_again_and_again_is_put_back_and_said_louder(world: World) -> None:
    nat = Host(NAT)
    all_home()
    for _ in range(4):
        nat.succeeds("ip link set tun-office down")
        nat.eventually("ip link show tun-office | grep -q ,UP", WITHIN)
    nat.eventually("journalctl -u vpc-openvpn-keeper -p err -o cat | grep 'put back again, .* tun-office'", WITHIN)
    nat.eventually('grep -o \'"what": "tun-office"[^}]*"looping": true\' /run/vpc-openvpn/keeper.state', WITHIN)


# --- a firewall that does not load ------------------------------------------------------------------------------------


RULES = "/etc/vpc-openvpn/firewall.rules"
SSH = "timeout 3 bash -c 'exec 3<>/dev/tcp/198.51.100.21/22; head -c 4 <&3' | grep SSH"
CLOSED = "iptables -S vpc-openvpn-forward | tail -n 1 | grep -x -e '-A vpc-openvpn-forward -j DROP'"
BROKEN = {
    "a word that iptables does not know": f"sed -i '0,/^-A vpc-openvpn-input/s//& --nonsense/' {RULES}",
    "an empty file": f": > {RULES}",
    "a file cut short": f"head -n 20 {RULES} > /tmp/rules && cp /tmp/rules {RULES}",
}


MENDED = f"mv /root/rules {RULES}"
# Nothing of ours runs at all.
UNIT = "/etc/systemd/system/vpc-openvpn-firewall.service.d"
# Each with what undoes it, which no deploy would.
FAULTS_OF_ITS_UNIT = {name: (f"cp {RULES} /root/rules && {fault}", MENDED) for name, fault in BROKEN.items()} | {
    "a sandbox that cannot be set up": (
        f"mkdir {UNIT} && printf '[Service]\\nInaccessiblePaths=/nowhere\\n' > {UNIT}/test.conf"
        " && systemctl daemon-reload",
        f"rm -r {UNIT} && systemctl daemon-reload",
    )
}


@pytest.mark.attack
@pytest.mark.parametrize("broken", FAULTS_OF_ITS_UNIT)
def test_a_nat_whose_rules_do_not_load_is_closed(world: World, broken: str) -> None:
    nat, app, web = Host(NAT), Host("app-us-east-1a"), Host("web")
    all_home()
    app.reaches(WEB)
    with changed(nat, *FAULTS_OF_ITS_UNIT[broken]):
        nat.power_cycle()
        nat.eventually("ip -4 -o address show eth0 | grep -q inet", 20)
        is_closed(app, web)
        nat.succeeds(CLOSED)
        nat.fails("systemctl is-active vpc-openvpn-firewall")
    # Retried until it succeeds.
    nat.eventually("systemctl is-active vpc-openvpn-firewall", WITHIN)
    app.eventually(f"ping -q -c 1 -W 1 {WEB}", WITHIN)
    web.fails(SSH)
    all_home()
    assert world.plan("--limit", NAT).pending == {}


def is_closed(app: Host, web: Host) -> None:
    """The NAT forwards nothing, and lets operators in alone: the office is among them."""
    app.cannot_reach(WEB)
    web.fails(SSH)
    DESK.succeeds(SSH)


def opens_with_its_rules(world: World, nat: Host, app: Host) -> None:
    """By itself; nothing is left to deploy."""
    app.eventually(f"ping -q -c 1 -W 1 {WEB}", WITHIN)
    all_home()
    assert world.plan("--limit", NAT).pending == {}


@pytest.mark.attack
def test_a_nat_without_its_file_of_rules_is_closed_when_they_are_flushed(world: World) -> None:
    """As after a deploy that has died: what is on the disk is not what was loaded."""
    nat, app, web = Host(NAT), Host("app-us-east-1a"), Host("web")
    all_home()
    with changed(nat, f"mv {RULES} /root/rules && {FLUSH}", MENDED):
        nat.eventually("iptables -S INPUT | grep -e -j", WITHIN)
        is_closed(app, web)
        nat.succeeds("journalctl -u vpc-openvpn-keeper -p err -o cat | grep 'cannot put back firewall'")
    opens_with_its_rules(world, nat, app)


@pytest.mark.attack
@pytest.mark.parametrize("broken", [next(iter(BROKEN)), "a sandbox that cannot be set up"])
def test_a_nat_whose_rules_are_flushed_and_do_not_load_again_is_closed(world: World, broken: str) -> None:
    """Their chains are still there, and empty; the unit that has loaded them is `active`."""
    nat, app, web = Host(NAT), Host("app-us-east-1a"), Host("web")
    all_home()
    with changed(nat, *FAULTS_OF_ITS_UNIT[broken]):
        nat.succeeds("iptables -F")
        nat.eventually(CLOSED, WITHIN)
        is_closed(app, web)
        said = world.run("./vpc", "status")
        assert said.status in (1, 2) and f"{NAT}: firewall is gone, and cannot be put back" in said.output, said.output
    opens_with_its_rules(world, nat, app)


@pytest.mark.attack
def test_an_office_whose_rules_do_not_load_sends_nothing_for_the_vpc(world: World) -> None:
    office = Host(OFFICE)
    all_home()
    office.succeeds(f"cp {RULES} /root/rules && : > {RULES}")
    office.power_cycle()
    DESK.eventually(f"ping -q -c 1 -W 1 {WEB}", 20)  # the router is still its owner's
    DESK.cannot_reach(APP)
    office.succeeds("iptables -nvxL vpc-openvpn-forward | awk '/DROP.* 10.0.0.0.16/ && $1 > 0' | grep .")
    office.succeeds(MENDED)
    office.eventually("systemctl is-active vpc-openvpn-firewall", WITHIN)
    all_home()
    DESK.reaches(APP)
    assert world.plan("--limit", OFFICE).pending == {}
