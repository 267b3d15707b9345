"""The table "What may pass" of docs/site-file.md, line by line and both ways, in three states: as deployed, while NAT a
has no tunnel, and under `strategy: single`. Its rows, and what is asked for each, are in passing.py.

Each host that hears says whom it has heard: so it is also seen under which address something passes.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from tests.scenarios import passing
from tests.scenarios.flows import PEERS, Arrivals, Background, armed, changed, permitting, writing_all
from tests.scenarios.harness import Host, World
from tests.scenarios.passing import APPS, DNS, NAMED, PORT, PUBLIC, ROWS, Probe, Row, app, nat
from tests.scenarios.peers import NONE
from tests.scenarios.states import PROOF, all_home

SITE = passing.SITE
INSTALLS = True  # an exporter
TRIES = 3  # of what should pass: other labs are waiting for the processor
pytestmark = [pytest.mark.attack, pytest.mark.usefixtures("open_vpc")]

REAL = tuple(map(Host, ("office", *map(nat, "abc"))))
NAMESPACES = tuple(map(Host, ("desk", "web", *map(app, "abc"))))
BFD = "birdc -s /run/vpc-openvpn/bird.ctl show bfd sessions | grep -q '^{} .* Up '"
HANDED_OUT = "/etc/vpc-openvpn/clients/office"
HARD_RESET = f"38{'61' * 53}"  # OpenVPN's first packet, without its key
NAMED_BY_OPENVPN = "journalctl -u openvpn-server@office --no-pager -n 300 | grep -q 'AF_INET.{}:{}'"


@contextmanager
def ears() -> Iterator[None]:
    """Every host hears on its ports, and says from which address it is asked."""
    with ExitStack() as stack:
        program = stack.enter_context(armed(*REAL))
        for host in (*REAL, *NAMESPACES):
            ports = f"{PORT},{NAMED},{DNS}" if host.name == "office" else PORT
            stack.enter_context(Background(host, f"{program if host in REAL else PEERS} mirror {ports}"))
        for host in (*REAL, *NAMESPACES):
            host.eventually(f"ss -Hltn 'sport = {PORT}' | grep -q .")
        yield


@contextmanager
def fallen(zone: str, then: str = "true") -> Iterator[None]:
    """The NAT's OpenVPN has the whole VPC at the tunnel's other end, and says of each packet what is wrong with it.
    `then` is run on the office's router.
    """
    told = f"cp -p {HANDED_OUT} /run/handed-out && echo 'iroute 10.0.0.0 255.255.0.0' >> {HANDED_OUT}"
    with (
        changed(Host(nat(zone)), told, f"mv /run/handed-out {HANDED_OUT} && systemctl restart openvpn-server@office"),
        writing_all(Host(nat(zone)), "openvpn-server@office"),
    ):
        Host("office").succeeds(then)
        yield


def asked(host: str, probes: Sequence[Probe]) -> dict[Probe, str]:
    """What `peers ask` prints for each."""
    questions = ";".join(f"{each.kind},{each.address},{each.port},{each.own}" for each in probes)
    program = "python3 /run/peers.py" if Host(host) in REAL else PEERS
    return dict(zip(probes, Host(host).succeeds(f"{program} ask '{questions}'").split(), strict=True))


def session(host: str, probes: Sequence[Probe]) -> dict[Probe, str]:
    """Whether BIRD's sessions are up."""
    return {
        each: passing.ANSWERS if Host(host).answers(BFD.format(each.address)).status == 0 else NONE for each in probes
    }


def at_the_tunnels_port(host: str, probes: Sequence[Probe]) -> dict[Probe, str]:
    """Whether OpenVPN names the sender. What should arrive is sent last: what has not by then does not."""
    named = dict[Probe, str]()
    for each in sorted(probes, key=lambda each: each.seen is not None):
        port = random.randrange(20_000, 60_000)
        Host(host).succeeds(f"{PEERS} forge 1 - {each.own} {port} {each.address} {each.port} {HARD_RESET}")
        named[each] = NAMED_BY_OPENVPN.format(each.own, port)
        if each.seen:
            end_of(each).eventually(named[each], 5)
    return {each: each.own if end_of(each).answers(named[each]).status == 0 else NONE for each in probes}


def end_of(probe: Probe) -> Host:
    """The NAT with that public address, or the zone's host with that address."""
    found = {address: nat(zone) for zone, address in PUBLIC.items()}
    found |= {address: app(zone) for zone, address in APPS.items()}
    return Host(found[probe.address])


def through(host: str, probes: Sequence[Probe]) -> dict[Probe, str]:
    """What a NAT puts into its tunnel comes to a zone's host."""
    found = {}
    for each in probes:
        with Arrivals(end_of(each), each.own, each.address) as packets:
            Host(host).succeeds(
                f"python3 /run/peers.py forge 3 tun-office {each.own} {PORT} {each.address} {PORT} {HARD_RESET}"
            )
            found[each] = each.own if packets.seen() else NONE
    return found


WAYS: dict[str, Callable[[str, Sequence[Probe]], dict[Probe, str]]] = {
    **dict.fromkeys(("tcp", "udp", "ping"), asked),
    "bfd": session,
    "tunnel": at_the_tunnels_port,
    "through": through,
}


def wrong(state: str) -> list[str]:
    """What is otherwise than the rows have it. What passes once and should not is wrong."""
    rows: dict[Probe, Row] = {}
    for row in ROWS:
        rows |= dict.fromkeys(row.ways[state].probes, row)
    left, found = list(rows), dict[Probe, str]()
    for _ in range(TRIES):
        groups = defaultdict[tuple[Callable[[str, Sequence[Probe]], dict[Probe, str]], str], list[Probe]](list)
        for each in left:
            groups[WAYS[each.kind], each.host].append(each)
        with ThreadPoolExecutor() as at_once:
            for answers in at_once.map(lambda group: group[0][0](group[0][1], group[1]), groups.items()):
                found |= answers
        left = [each for each in left if each.seen and found[each] != each.seen]
    return [
        f"{each.host} → {each.address} ({each.kind} {each.port}): {found[each]}, not {each.seen}: {row.text}"
        for each, row in rows.items()
        if found[each] != (each.seen or NONE)
    ]


def test_as_deployed(world: World) -> None:
    with fallen("a"), ears():
        all_home()
        assert wrong("home") == []


def test_while_a_zone_is_reached_by_a_detour(world: World) -> None:
    unit = "systemctl {} --quiet --now openvpn-server@office"
    with fallen("b"), ears(), changed(Host(nat("a")), unit.format("disable"), unit.format("enable")):
        Host("office").eventually("ip -4 route show table vpc-zones 10.0.22.0/24 | grep -q 'dev tun-2 '", PROOF)
        Host("office").eventually("ip -4 route show table vpc-zones 10.0.21.0/24 | grep -q 'dev tun-2 '")
        assert wrong("detour") == []
    all_home()


def test_under_one_connection_for_all_zones(world: World) -> None:
    site = world.copy_of_site()
    site["strategy"] = "single"
    world.use(site)
    world.deploy()
    try:
        # Its first choice is NAT a; while that one's OpenVPN restarts it takes another.
        with fallen("a", "systemctl restart openvpn-client@vpc"), ears():
            Host("office").eventually(f"ping -c 1 -W 1 {passing.FAR['a']}")
            assert wrong("single") == []
    finally:
        world.use(world.baseline)
        world.deploy()
        all_home()


def test_what_passes_and_should_not_is_seen(world: World) -> None:
    """The office and a NAT let all through that comes out of a tunnel: then the table is not so any more."""
    with (
        fallen("a"),
        fallen("b"),  # its OpenVPN would drop what is from another zone
        ears(),
        permitting(Host("office"), "FORWARD -i tun-1 -j ACCEPT"),
        permitting(Host("office"), "INPUT -i tun-1 -j ACCEPT"),
        permitting(Host(nat("b")), "FORWARD -i tun-office -j ACCEPT"),
        permitting(Host(nat("a")), "INPUT -j ACCEPT"),
    ):
        all_home()
        said = "\n".join(wrong("home"))
    for target in (
        f"{nat('a')} → {APPS['b']} (through {PORT})",
        f"{app('a')} → {passing.ROUTER} (tcp {passing.SSH})",
        f"{app('a')} → {passing.NATS['a']} (tcp {passing.SSH})",
        f"{app('a')} → {passing.NATS['a']} (tcp {passing.EXPORTER})",
        f"web → {PUBLIC['a']} (tcp {PORT})",
        f"web → {PUBLIC['a']} (tunnel {passing.TUNNEL})",
    ):
        assert target in said, f"{target} is not among:\n{said}"
