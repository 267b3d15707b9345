"""A NAT that has fallen into other hands, and strangers on the way: what each tries, and that it gains nothing by it.

desk 192.168.50.10 ── office ══ tun-N ══ nat-us-east-1X 10.0.N.10 ── app-us-east-1X 10.0.2N.10
                         └──── internet ── 198.51.100.2N ──┘
                                  └── web 198.51.100.200

Each attack is seen to work once what stands in its way is taken out of it. `make test-attacks` has the long forms.
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tasks.firewall import BEGUN
from tests.scenarios.flows import (
    PEERS,
    PORT,
    Arrivals,
    Background,
    armed,
    changed,
    losing_nothing,
    permitting,
    writing_all,
)
from tests.scenarios.harness import Host, World, long_form
from tests.scenarios.states import all_home

OFFICE, DESK, WEB, INTERNET = Host("office"), Host("desk"), Host("web"), Host("internet")
NAT, NAT_B, APP, APP_B = Host("nat-us-east-1a"), Host("nat-us-east-1b"), Host("app-us-east-1a"), Host("app-us-east-1b")
DESKS, APPS, APP_BS, WEBS = "192.168.50.10", "10.0.21.10", "10.0.22.10", "198.51.100.200"
ROUTER, PUBLIC, NAT_PUBLIC = "192.168.50.1", "198.51.100.10", "198.51.100.21"
OWN, FAR = "10.200.1.2", "10.200.1.1"  # the ends of zone a's tunnel
CLIENT, CLIENT_FILE = "openvpn-client@vpc-us-east-1a", "/etc/openvpn/client/vpc-us-east-1a.conf"
HANDED_OUT = "/etc/vpc-openvpn/clients/office"
GIVEN = (f"ifconfig-push {OWN} 255.255.255.248", "iroute 192.168.50.0 255.255.255.0")
FORGED = b"forged".hex()

pytestmark = [pytest.mark.attack, pytest.mark.usefixtures("open_vpc")]


@contextmanager
def handing_out(*lines: str) -> Iterator[None]:
    """NAT a's OpenVPN says this to the office, too, in place of the address that it should."""
    kept = f"cp {HANDED_OUT} /run/handed-out && cat > {HANDED_OUT} << 'LINES'\n" + "\n".join(lines) + "\nLINES\n"
    begin_anew = "systemctl restart openvpn-server@office"
    with changed(NAT, f"{kept}{begin_anew}", f"mv /run/handed-out {HANDED_OUT} && {begin_anew}"):
        yield


@contextmanager
def taking_all() -> Iterator[None]:
    """The office's client takes what it is given, as it would without its list."""
    edit = (
        f"cp -p {CLIENT_FILE} /run/client.conf && sed -i '/^pull-filter/d' {CLIENT_FILE} && systemctl restart {CLIENT}"
    )
    with changed(OFFICE, edit, f"mv /run/client.conf {CLIENT_FILE} && systemctl restart {CLIENT}"):
        yield


def connects_anew() -> None:
    """The office's client has a new connection to NAT a since this was asked for."""
    OFFICE.succeeds(f"systemctl restart {CLIENT}")
    OFFICE.eventually(f"systemctl show --value --property StatusText {CLIENT} | grep -q '^Initialization Sequence'")


ROUTER_STATE = (
    "ip -o address show | cut -d ' ' -f 2-7 | grep -v -e lft -e ' fe80:' | sort;"
    " ip -4 route show table all | grep tun-1 | sort; ip link show tun-1 | sed 's/^[0-9]*: //'"
)


# --- what a NAT hands out -----------------------------------------------------------------------------------------


ADDRESSES = [  # each with its network
    ("10.200.2.1", "255.255.255.255"),  # another tunnel's far end
    ("10.200.2.2", "255.255.255.252"),  # the office's end of another tunnel, with a nearer way to the far one
    ("10.200.2.2", "255.255.255.248"),  # the same, with as near a one
    ("198.51.100.201", "128.0.0.0"),  # half the internet
    ("198.51.100.201", "255.255.255.240"),  # one network of it, whose host answers desks and the router
]


def test_a_nat_gives_the_office_no_address_of_its_choice(world: World) -> None:
    addresses, way = "ip -4 -o address show dev tun-1", "ip -4 route get 198.51.100.201"
    assert f" {OWN}/29 " in OFFICE.succeeds(addresses)
    before = OFFICE.succeeds(way)
    for address, mask in ADDRESSES:
        with handing_out(f"ifconfig-push {address} {mask}", GIVEN[1]):
            connects_anew()
            assert OFFICE.succeeds(addresses).count(" inet ") == OFFICE.succeeds(addresses).count(f" {OWN}/29 ")
            assert OFFICE.succeeds(way) == before
            DESK.reaches(APP_BS)
            DESK.reaches(WEBS)
            with taking_all():
                OFFICE.eventually(f"{addresses} | grep -q ' {address}/'")
    world.deploy()
    OFFICE.eventually(f"{addresses} | grep -q ' {OWN}/29 '")
    DESK.eventually(f"ping -c 1 -W 1 {APPS}")
    all_home()


def test_a_nat_changes_nothing_else_of_the_office(world: World) -> None:
    pushed = [
        *("route 203.0.113.0 255.255.255.0", "redirect-gateway def1", "dhcp-option DNS 10.0.1.10", "verb 9"),
        *("tun-mtu 1300", "ping-restart 600", "ifconfig-ipv6 fd00:9::2/64 fd00:9::1", "route-ipv6 fd00:50::/64"),
        *("topology net30", "sndbuf 1000", "shaper 100"),
    ]
    resolver = OFFICE.succeeds("cat /etc/resolv.conf")
    state = OFFICE.succeeds(ROUTER_STATE)
    with (
        writing_all(OFFICE, CLIENT),  # it has been restarted often in the last minute
        handing_out(
            *GIVEN,
            *(f'push "{option}"' for option in pushed),
        ),
    ):
        connects_anew()
        DESK.eventually(f"ping -c 1 -W 1 {APPS}")
        all_home()
        assert OFFICE.succeeds(ROUTER_STATE) == state
        assert OFFICE.succeeds("cat /etc/resolv.conf") == resolver
        # Since it was started the last time; what it says reaches a busy journal later than it is so.
        run = f"_SYSTEMD_INVOCATION_ID=$(systemctl show --value --property InvocationID {CLIENT})"
        OFFICE.eventually(f"[ $(journalctl {run} --output cat | grep -c 'removed by filter') -ge {len(pushed)} ]")
    world.deploy()
    all_home()


def test_another_address_on_a_tunnel_is_drift(world: World) -> None:
    other = "ip address {} 10.200.2.2/30 dev tun-1"  # by its prefix the nearest way to tunnel b's far end
    with changed(OFFICE, other.format("add"), other.format("del")):
        drift = world.run("./vpc", "drift")
        assert drift.status != 0
        assert "tun-1 has the address 10.200.2.2 as well" in drift.output
        # BIRD's next hops are interfaces': the way to zone b stays.
        assert "dev tun-2 " in OFFICE.succeeds("ip -4 route show table vpc-zones 10.0.22.0/24")
        DESK.reaches(APP_BS)
    assert world.run("./vpc", "drift").status == 0


# --- what comes out of its tunnel -----------------------------------------------------------------------------------


@contextmanager
def letting_all_in() -> Iterator[None]:
    """Nothing judges where packets out of zone a's tunnel come from."""
    with ExitStack() as stack:
        for table in ("raw", "mangle"):
            stack.enter_context(permitting(OFFICE, "PREROUTING -i tun-1 -j ACCEPT", table))
        yield


@pytest.mark.parametrize(
    ("source", "answers", "to"), [(WEBS, WEB, PUBLIC), (APP_BS, APP_B, DESKS)], ids=["internet", "another zone"]
)
def test_a_nat_answers_for_no_other_host(world: World, source: str, answers: Host, to: str) -> None:
    """`to` is where a connection's answers go: a desk's to the internet are for the router, which masquerades them."""
    genuine = f"^heard {source} {b'q'.hex()}$"
    with (
        handing_out(*GIVEN, f"iroute {PUBLIC} 255.255.255.255"),
        armed(NAT) as arms,
        Background(answers, f"{PEERS} echo {PORT}"),
        Background(DESK, f"{PEERS} hear {source} {PORT} 33333 90") as desk,
    ):
        forge = f"{arms} forge 3 tun-office {source} {PORT} {to} 33333 {FORGED}"
        DESK.eventually(f"ping -c 1 -W 1 {APPS}")
        all_home()
        desk.waits_for(genuine)
        NAT.succeeds(forge)
        with Arrivals(DESK, source, DESKS) as packets:
            packets.come()
        assert FORGED not in desk.output()
        with letting_all_in():
            NAT.succeeds(forge)
            desk.waits_for(f"^heard {source} {FORGED}$")
    world.deploy()
    all_home()


def test_a_nat_reports_no_error_about_another_zones_connection(world: World) -> None:
    error = f"error tun-office {FAR} {DESKS} 33333 {APP_BS} {PORT}"
    with (
        armed(NAT) as arms,
        Background(APP_B, f"{PEERS} echo {PORT}"),
        Background(DESK, f"{PEERS} hear {APP_BS} {PORT} 33333 60") as desk,
    ):
        desk.waits_for("^heard")
        before = desk.output().count("refused")  # until `echo` was there
        NAT.succeeds(f"{arms} {error}")
        with Arrivals(DESK, APP_BS, DESKS) as packets:
            packets.come()
        assert desk.output().count("refused") == before
        with letting_all_in():
            NAT.succeeds(f"{arms} {error}")
            desk.waits_for(rf"(?s)(^refused$.*){{{before + 1}}}")


def test_answers_by_a_detour_are_no_attack(world: World) -> None:
    """A datagram's flow that began by zone b's own tunnel is answered through zone a's, once NAT b is dead."""
    all_home()
    with (
        Background(APP_B, f"{PEERS} echo {PORT}"),
        Background(DESK, f"{PEERS} hear {APP_BS} {PORT} 33334 60") as desk,
        losing_nothing(DESK, APPS),
    ):
        desk.waits_for("^heard")
        with changed(
            NAT_B,
            "systemctl disable --quiet --now openvpn-server@office",
            "systemctl enable --quiet --now openvpn-server@office",
        ):
            OFFICE.eventually("ip -4 route show table vpc-zones 10.0.22.0/24 | grep -q 'dev tun-1 '")
            with Arrivals(DESK, APP_BS, DESKS) as packets:
                packets.come()
    all_home()


@contextmanager
def passing_ipv6(host: Host) -> Iterator[None]:
    """No rule of ours stands in IPv6's way on `host`."""
    rules = [f"ip6tables -w {{}} {chain} -j ACCEPT" for chain in ("INPUT", "OUTPUT")]
    with changed(
        host, " && ".join(each.format("-I") for each in rules), "; ".join(each.format("-D") for each in rules)
    ):
        yield


def test_nothing_crosses_a_tunnel_by_ipv6(world: World) -> None:
    """An intruder on the NAT has IPv6 in his tunnel, and even the office's end has an address there."""
    given = (
        "printf 'server-ipv6 fd00:9::/64\\n' >> /etc/openvpn/server/office.conf"
        f" && printf 'ifconfig-ipv6-push fd00:9::2/64 fd00:9::1\\n' >> {HANDED_OUT}"
        " && systemctl restart openvpn-server@office"
    )
    NAT.succeeds(given)
    try:
        connects_anew()
        DESK.eventually(f"ping -c 1 -W 1 {APPS}")
        assert "fd00:" not in OFFICE.succeeds("ip -6 -o address show dev tun-1")
        OFFICE.succeeds("sysctl -qw net.ipv6.conf.tun-1.disable_ipv6=0 && ip address add fd00:9::2/64 dev tun-1 nodad")
        to_office, to_nat = "ping -6 -c 2 -i 0.2 -W 1 fd00:9::2", "ping -6 -c 2 -i 0.2 -W 1 fd00:9::1"
        with passing_ipv6(NAT):
            NAT.fails(to_office)
            OFFICE.fails(to_nat)
        with passing_ipv6(OFFICE):
            OFFICE.fails(to_nat)
            with passing_ipv6(NAT):
                NAT.succeeds(to_office)
                OFFICE.succeeds(to_nat)
    finally:
        OFFICE.answers("ip -6 address flush dev tun-1 scope global")
        world.deploy()
        all_home()


@contextmanager
def with_services(world: World, *services: str) -> Iterator[None]:
    """The site says that the VPC's hosts may ask the router for these."""
    site = world.copy_of_site()
    site["office"]["services"] = [*services]
    world.use(site)
    world.deploy("--limit", "office")
    try:
        yield
    finally:
        world.use(world.baseline)
        world.deploy("--limit", "office")


def test_zones_ask_of_the_router_what_the_site_says(world: World) -> None:
    ssh, other = f"{PEERS} connect {ROUTER} 22", f"{PEERS} connect {ROUTER} 8080"
    APP.reaches(DESKS)
    assert "timed out" in APP.fails(ssh)
    assert "timed out" in APP.fails(other)
    APP.cannot_reach(ROUTER)
    with with_services(world, "22/tcp", "ping"):
        APP.succeeds(ssh)
        APP.reaches(ROUTER)
        assert "timed out" in APP.fails(other)
        NAT.fails(f"timeout 3 bash -c 'exec 3<>/dev/tcp/{OWN}/22'")  # to the tunnel's end, from the zone's NAT
    assert "timed out" in APP.fails(ssh)
    APP.cannot_reach(ROUTER)


# --- strangers ------------------------------------------------------------------------------------------------------


def test_a_neighbour_on_the_internets_wire_is_no_desk(world: World) -> None:
    send = f"{PEERS} forge 3 - 192.168.50.77 5555 {APPS} {PORT} {FORGED}"
    route = f"ip route {{}} {APPS}/32 via {PUBLIC}"
    with changed(INTERNET, route.format("add"), route.format("del")), Arrivals(APP, "192.168.50.77", APPS) as packets:
        INTERNET.succeeds(send)
        packets.have_not_come()
        with permitting(OFFICE, "PREROUTING -s 192.168.50.77 -j ACCEPT", "raw"):
            INTERNET.succeeds(send)
            packets.come()


def test_forged_packets_fill_no_nats_table_of_connections(world: World) -> None:
    count = 2000
    entries = "conntrack -L -p udp --dport 1194 2> /dev/null | wc -l"
    forged = " && ".join(
        f"{PEERS} forge {count // 40} - {PUBLIC} {1025 + number} {NAT_PUBLIC} 1194 38{'61' * 53}"
        for number in range(40)
    )
    with losing_nothing(DESK, APPS):
        WEB.succeeds(forged)
    assert int(NAT.succeeds(entries)) == 0
    with permitting(NAT, "PREROUTING -p udp --dport 1194 -j ACCEPT", "raw"):
        WEB.succeeds(forged)
        assert int(NAT.succeeds(entries)) >= 40
    NAT.succeeds("conntrack -D -p udp --dport 1194 || true")


LINES = "journalctl --sync; journalctl -u openvpn-server@office --no-pager -o cat | wc -l"


def test_forged_packets_do_not_flood_a_nats_log(world: World) -> None:
    """OpenVPN writes a line or two about each. Its unit has a limit, which the journal raises on a large disk, to eight
    times as much at most.
    """
    count, limit = 2000, 100
    forged = f"{PEERS} forge {count} - {PUBLIC} 1025 {NAT_PUBLIC} 1194 38{'61' * 53}"
    before = int(NAT.succeeds(LINES))
    with losing_nothing(DESK, APPS):
        WEB.succeeds(forged)
    assert int(NAT.succeeds(LINES)) - before < 8 * limit
    with writing_all(NAT, "openvpn-server@office"):
        all_home()
        before = int(NAT.succeeds(LINES))
        WEB.succeeds(forged)
        NAT.eventually(f"[ $({LINES}) -gt {before + count} ]")
    all_home()


ENTRIES = "conntrack -L -p udp --dport 9 2> /dev/null | wc -l"
FORGET = "conntrack -D -p udp --dport 9 > /dev/null 2>&1 || true"
DENIED = "iptables -w -vnxL vpc-openvpn-begun | awk '$3 == \"DROP\" { print $1 }'"


def flooded(count: int, rate: int) -> tuple[int, float]:
    """So many datagrams of a host of zone a to a desk, each a connection of its own: how many entries the office has
    then, and how many seconds that took.
    """
    began = time.monotonic()
    APP.succeeds(f"{PEERS} flood {APPS} {DESKS} 2000 {count} {rate}")
    return int(OFFICE.succeeds(ENTRIES)), time.monotonic() - began


def test_a_zone_does_not_fill_the_offices_table_of_connections(world: World) -> None:
    connect = f"{PEERS} connect {{}} {PORT}"
    with (
        Background(APP_B, f"{PEERS} echo {PORT}"),
        Background(DESK, f"{PEERS} echo {PORT}"),
        changed(OFFICE, FORGET, FORGET),
    ):
        APP.eventually(connect.format(DESKS))
        with losing_nothing(DESK, APP_BS), losing_nothing(APP_B, DESKS):
            entries, seconds = flooded(20_000, 0)
            APP_B.succeeds(connect.format(DESKS))
            DESK.succeeds(connect.format(APP_BS))
            DESK.reaches(APPS)
        assert entries <= BEGUN["burst"] + seconds * BEGUN["a_second"]
        APP.eventually(connect.format(DESKS))
        # What has an entry already is not counted again, answered or not.
        one = f"{PEERS} forge {{}} - {APPS} 1999 {DESKS} 9 {FORGED}"
        APP.succeeds(one.format(1))
        denied = OFFICE.succeeds(DENIED)
        APP.succeeds(one.format(5 * BEGUN["burst"]))
        assert int(denied) > 0 and OFFICE.succeeds(DENIED) == denied
        with permitting(OFFICE, "FORWARD -i tun-1 -j ACCEPT"):
            assert flooded(20_000, 0)[0] > BEGUN["at_a_time"]


def test_a_private_host_may_use_the_tunnels_port_towards_the_internet(world: World) -> None:
    with Background(WEB, f"{PEERS} echo {PORT}"), Background(APP, f"{PEERS} hear {WEBS} {PORT} 1194 30") as app:
        app.waits_for(f"^heard {WEBS} {b'q'.hex()}$")


def test_a_nat_denies_ipv6(world: World) -> None:
    """By the wire of its subnet, which is where IPv6 from the internet would come from as well."""
    vpc = Host("vpc")
    near = vpc.succeeds("ip -o -4 address | sed -n 's/^[0-9]*: \\([^ ]*\\) .* 10\\.0\\.1\\.1\\/.*/\\1/p'").strip()
    off = f"sysctl -qw net.ipv6.conf.{near}.disable_ipv6="
    address = "ip -6 address {} fd00:1::{}/64 dev {} nodad"
    with (
        changed(vpc, f"{off}0 && {address.format('add', 1, near)}", f"{off}1"),
        changed(NAT, address.format("add", 10, "eth0"), address.format("del", 10, "eth0")),
    ):
        ssh, ping = "timeout 3 bash -c 'exec 3<>/dev/tcp/fd00:1::10/22'", "ping -6 -c 1 -W 2 fd00:1::10"
        vpc.fails(ssh)
        vpc.fails(ping)
        # It has an address, and its own questions are answered.
        NAT.succeeds("ping -6 -c 1 -W 2 fd00:1::1")
        with changed(NAT, "ip6tables -w -I INPUT -j ACCEPT", "ip6tables -w -D INPUT -j ACCEPT"):
            vpc.succeeds(ssh)
            vpc.succeeds(ping)


# --- long forms -----------------------------------------------------------------------------------------------------


@long_form
def test_no_port_of_a_nat_answers_the_internet(world: World) -> None:
    scan = f"nmap -n -Pn {{}} --max-retries 1 --min-rate 4000 -oG - {NAT_PUBLIC}"
    for kind in ("-sS -p-", "-sF -p 1-1024", "-sX -p 1-1024", "-sA -p 1-1024", "-sU -p 1-2048", "-sO"):
        found = WEB.succeeds(scan.format(kind))
        assert "/open/" not in found and "/unfiltered/" not in found and "/closed/" not in found, found
    assert "22/open/" in Host("operator").succeeds(scan.format("-sS -p 22"))


@long_form
def test_a_zone_that_has_all_connections_that_it_may_have_begins_no_more(world: World) -> None:
    """Slowly, and so that it may: the number of them is what ends it. An entry lasts for half a minute."""
    connect = f"{PEERS} connect {DESKS} {PORT}"
    with Background(DESK, f"{PEERS} echo {PORT}"), changed(OFFICE, FORGET, FORGET):
        APP.eventually(connect)
        with losing_nothing(DESK, APPS, APP_BS), losing_nothing(APP_B, DESKS):
            entries, _ = flooded(8000, 2 * BEGUN["a_second"])
            APP.fails(connect)
            APP_B.succeeds(connect)
        assert 0.9 * BEGUN["at_a_time"] < entries <= BEGUN["at_a_time"]
        APP.eventually(connect, 60)
        # The tunnel itself comes back meanwhile: its ends begin what they say to each other anew.
        with Background(APP, f"{PEERS} flood {APPS} {DESKS} 2000 40000 {4 * BEGUN['a_second']}"):
            OFFICE.eventually(f"[ $({ENTRIES}) -gt {0.9 * BEGUN['at_a_time']:.0f} ]", 40)
            NAT.succeeds("systemctl restart openvpn-server@office")
            OFFICE.eventually(f"birdc -s /run/vpc-openvpn/bird.ctl show bfd sessions | grep -q '^{FAR} .* Up '", 15)
            DESK.eventually(f"ping -c 1 -W 1 {APPS}", 5)
            assert int(OFFICE.succeeds(ENTRIES)) > 0.9 * BEGUN["at_a_time"]


@long_form
def test_forged_bfd_ends_no_session(world: World) -> None:
    sessions = "birdc -s /run/vpc-openvpn/bird.ctl show bfd sessions | grep -c ' Up '"
    up = OFFICE.succeeds(sessions)
    # Version 1, each state, with and without the other end's discriminator, as either end.
    states = [f"20{state:02x}0518{'00000001' * 2}{'0000c350' * 3}" for state in (0x00, 0x40, 0x80, 0xC0)]
    with losing_nothing(DESK, APPS, APP_BS), armed(NAT) as arms:
        for content in states:
            for port in (3784, 3785, 4784):
                WEB.succeeds(f"{PEERS} forge 20 - {FAR} 50000 {PUBLIC} {port} {content}")
                WEB.succeeds(f"{PEERS} forge 20 - {OWN} 50000 {NAT_PUBLIC} {port} {content}")
                APP.succeeds(f"{PEERS} forge 20 - {FAR} 50000 {ROUTER} {port} {content}")
                NAT.succeeds(f"{arms} forge 20 tun-office 10.200.2.1 50000 10.200.2.2 {port} {content}")
    assert OFFICE.succeeds(sessions) == up


@long_form
def test_random_and_replayed_packets_end_no_tunnel(world: World) -> None:
    random_bytes = [os.urandom(size).hex() for size in (1, 14, 54, 86, 300, 1400)]
    opcodes = [f"{opcode << 3:02x}{os.urandom(53).hex()}" for opcode in range(32)]
    with Background(INTERNET, f"{PEERS} sniff to-office") as sniffer:
        sniffer.waits_for("^sniffing")
        genuine = sniffer.waits_for(rf"^{PUBLIC} {NAT_PUBLIC} 17 \d+ 0 [0-9a-f]+$").split()[-1][16:]
    process = NAT.succeeds("systemctl show --value --property MainPID openvpn-server@office")
    with losing_nothing(DESK, APPS):
        for content in (*random_bytes, *opcodes, genuine):
            for source in (PUBLIC, WEBS):
                WEB.succeeds(f"{PEERS} forge 20 - {source} 50001 {NAT_PUBLIC} 1194 {content}")
            WEB.succeeds(f"{PEERS} forge 20 - {NAT_PUBLIC} 1194 {PUBLIC} 50001 {content}")
    assert NAT.succeeds("systemctl show --value --property MainPID openvpn-server@office") == process
