"""A lot of data crosses a tunnel, also where firewalls on the way eat what path MTU discovery needs.

desk ── 1500 ── office ══ tun-1, 1440 ══ nat-us-east-1a ── 1500 ── app-us-east-1a
                   └─ 1500 or 1492, seen by the internet ─┘
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.scenarios.flows import PEERS, PORT, Background, changed, permitting
from tests.scenarios.harness import Host, World

APP = "10.0.21.10"
MEGABYTES = 100
SITE = {"detour": "off"}  # the way is the one that is drawn above
NO_ERRORS = "OUTPUT -p icmp --icmp-type fragmentation-needed -j DROP"


@pytest.fixture
def nat() -> Host:
    """The first zone's NAT."""
    return Host("nat-us-east-1a")


@pytest.fixture
def store() -> Iterator[None]:
    """An application host in the first zone that takes and gives data, and echoes what it receives."""
    app = Host("app-us-east-1a")
    with Background(app, f"{PEERS} store {PORT}"), Background(app, f"{PEERS} echo {PORT + 1}"):
        app.eventually(f"{PEERS} connect 127.0.0.1 {PORT} && {PEERS} connect 127.0.0.1 {PORT + 1}")
        yield


@contextmanager
def no_path_mtu_discovery(*routers: Host) -> Iterator[None]:
    """These hosts send no ICMP error for a packet too big for the next link."""
    with ExitStack() as rules:
        for router in routers:
            rules.enter_context(permitting(router, NO_ERRORS))
        # Nor does a sender remember what it was told before.
        for sender in (Host("desk"), Host("app-us-east-1a")):
            sender.succeeds("ip route flush cache")
        yield


def test_a_large_transfer_crosses(world: World, desk: Host, office: Host, nat: Host, store: None) -> None:
    with Background(Host("internet"), f"{PEERS} sniff to-office") as sniffer:
        sniffer.waits_for("^sniffing")
        for direction in ("send", "receive"):
            desk.succeeds(f"timeout 60 {PEERS} {direction} {APP} {PORT} 10")
        desk.succeeds(f"{PEERS} datagram {APP} {PORT + 1} 1472")
        outer = _outer_packets(sniffer)
    # As large as they may be, and no larger; none in pieces.
    assert all(count > 1000 for count in (len(outer["198.51.100.10"]), len(outer["198.51.100.21"])))
    for sizes in outer.values():
        assert 1450 < max(size for size, _ in sizes) <= 1492
        assert not [size for size, fragment in sizes if fragment]
    with no_path_mtu_discovery(office, nat):
        for direction in ("send", "receive"):
            desk.succeeds(f"timeout 60 {PEERS} {direction} {APP} {PORT} {MEGABYTES}")


def _outer_packets(sniffer: Background) -> dict[str, list[tuple[int, int]]]:
    """Length and fragment field of each of the tunnel's packets on the office's line, by who sent it."""
    packets: dict[str, list[tuple[int, int]]] = {"198.51.100.10": [], "198.51.100.21": []}
    for line in sniffer.output().splitlines():
        match line.split(" "):
            case [source, destination, "17", length, fragment, _] if {source, destination} == packets.keys():
                packets[source].append((int(length), int(fragment)))
    return packets


def test_our_mss_rule_replaces_lost_icmp_errors(world: World, desk: Host, office: Host, nat: Host, store: None) -> None:
    # OpenVPN's own `mssfix` does the same by default; without it, there is our rule alone.
    for host, unit in ((office, "openvpn-client@vpc-us-east-1a"), (nat, "openvpn-server@office")):
        configuration = unit.replace("openvpn-", "/etc/openvpn/").replace("@", "/") + ".conf"
        host.succeeds(f"echo mssfix 0 >> {configuration} && systemctl restart {unit}")
    desk.eventually(f"ping -c 1 -W 1 {APP}")
    with no_path_mtu_discovery(office, nat):
        for host in (office, nat):
            host.succeeds("iptables -t mangle -F vpc-openvpn-forward")
        for direction in ("send", "receive"):
            desk.fails(f"timeout 4 {PEERS} {direction} {APP} {PORT} 1")
        # Either end's rule alone is enough: a zone may be newer than the office, or the reverse.
        for host in (office, nat):
            host.succeeds("systemctl reload vpc-openvpn-firewall")
            for direction in ("send", "receive"):
                desk.succeeds(f"timeout 20 {PEERS} {direction} {APP} {PORT} 1")
            host.succeeds("iptables -t mangle -F vpc-openvpn-forward")
    # Where the errors do arrive nothing of ours is needed.
    for direction in ("send", "receive"):
        desk.succeeds(f"timeout 20 {PEERS} {direction} {APP} {PORT} 1")


def test_a_transfer_crosses_a_line_of_1492_bytes(world: World, desk: Host, office: Host, store: None) -> None:
    """PPPoE; whatever is larger is lost without a word."""
    internet, narrow = Host("internet"), "ip link set {} mtu {}"
    with (
        changed(internet, narrow.format("office", 1492), narrow.format("office", 1500)),
        changed(office, narrow.format("wan", 1492), narrow.format("wan", 1500)),
    ):
        Host("web").fails("ping -c 1 -W 1 -M do -s 1472 198.51.100.10")
        for direction in ("send", "receive"):
            desk.succeeds(f"timeout 60 {PEERS} {direction} {APP} {PORT} 10")
        desk.succeeds(f"{PEERS} datagram {APP} {PORT + 1} 1472")
