"""Nothing is forwarded or let in that the site does not ask for, and no rule or route of others is touched.

desk 192.168.50.10 ── office ══ tun-N ══ nat-us-east-1X 10.0.N.10 ── app-us-east-1X 10.0.2N.10
                         └──── internet ── 198.51.100.2N ──┘
                                  └── web 198.51.100.200

A refusal proves a rule only if that rule alone is in the way: so whatever else refuses is opened first, the packet is
refused still, and passes once a rule before ours permits it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.scenarios.flows import (
    LANS_LINE,
    PEERS,
    PORT,
    Arrivals,
    Background,
    changed,
    permitting,
    strays,
)
from tests.scenarios.harness import INSTANCE, Host, World

DESK, APP, WEB = "192.168.50.10", "10.0.21.10", "198.51.100.200"
NAT_PRIVATE, NAT_PUBLIC = "10.0.1.10", "198.51.100.21"
SITE = {"detour": "off"}  # no packet has more than one way
pytestmark = pytest.mark.usefixtures("open_vpc")


@pytest.fixture
def app() -> Host:
    """An application host in the first zone."""
    return Host("app-us-east-1a")


@pytest.fixture
def nat() -> Host:
    """That zone's NAT."""
    return Host("nat-us-east-1a")


@pytest.fixture
def vpc() -> Host:
    """The VPC's implicit router."""
    return Host("vpc")


# --- from the internet --------------------------------------------------------------------------------------------


def test_the_internet_reaches_no_port_of_a_nat(world: World, web: Host, nat: Host) -> None:
    ssh, other, datagram = (
        f"{PEERS} connect {NAT_PUBLIC} 22",
        f"{PEERS} connect {NAT_PUBLIC} 8080",
        f"{PEERS} replay {NAT_PUBLIC} 5000 00",
    )
    Host("operator").succeeds(ssh)
    assert "timed out" in web.fails(ssh)
    assert "timed out" in web.fails(other)
    assert "timed out" in web.succeeds(datagram)
    web.cannot_reach(NAT_PUBLIC)
    # Nothing else is in the way: without our rule the host itself answers, if only that no process listens.
    with permitting(nat, f"INPUT -s {WEB} -j ACCEPT"):
        web.succeeds(ssh)
        assert "Connection refused" in web.fails(other)
        assert "Connection refused" in web.succeeds(datagram)
        web.reaches(NAT_PUBLIC)
    assert "timed out" in web.fails(ssh)


def test_the_tunnels_port_is_open_to_the_offices_addresses_only(
    world: World, web: Host, desk: Host, office: Host, nat: Host
) -> None:
    genuine = _first_packet_of_a_tunnel(office)
    forged = genuine[:-2] + f"{int(genuine[-2:], 16) ^ 1:02x}"
    replay = f"{PEERS} replay {NAT_PUBLIC} 1194"
    assert "timed out" in web.succeeds(f"{replay} {genuine}")

    with _another_public_address(office):
        desk.cannot_reach(APP)
    desk.eventually(f"ping -c 1 -W 1 {APP}")

    site = world.copy_of_site()
    site["office"]["public_address"] = ["198.51.100.10", "198.51.100.11"]
    world.use(site)
    world.deploy("--limit", "nat-us-east-1a")
    assert "timed out" in web.succeeds(f"{replay} {genuine}")
    desk.reaches(APP)
    with _another_public_address(office):
        desk.eventually(f"ping -c 1 -W 1 {APP}")
        office.succeeds("systemctl restart openvpn-client@vpc-us-east-1a")
        desk.eventually(f"ping -c 1 -W 1 {APP}")

    site["office"]["public_address"] = "dynamic"
    world.use(site)
    world.deploy("--limit", "nat-us-east-1a")
    # Open to every address: an answer gets only a client that has the tunnel's tls-crypt key.
    assert "answer" in web.succeeds(f"{replay} {genuine}")
    assert "timed out" in web.succeeds(f"{replay} {forged}")
    desk.reaches(APP)
    with _another_public_address(office):
        desk.eventually(f"ping -c 1 -W 1 {APP}")
        office.succeeds("systemctl restart openvpn-client@vpc-us-east-1a")
        desk.eventually(f"ping -c 1 -W 1 {APP}")

    # Or the deploy would refuse to shut out the office: OpenVPN writes every ten seconds where its packets come from.
    nat.eventually("grep CLIENT_LIST,office,198.51.100.10: /run/openvpn-server/status-office.log", 15)
    world.use(world.baseline)
    world.deploy("--limit", "nat-us-east-1a")
    assert "timed out" in web.succeeds(f"{replay} {genuine}")


def _first_packet_of_a_tunnel(office: Host) -> str:
    """What the office sends to begin a session, in hexadecimal digits."""
    with Background(Host("internet"), f"{PEERS} sniff to-office") as sniffer:
        sniffer.waits_for("^sniffing")
        office.succeeds("systemctl restart openvpn-client@vpc-us-east-1a")
        # P_CONTROL_HARD_RESET_CLIENT_V2, behind the UDP header's 8 bytes.
        return sniffer.waits_for(rf"^198.51.100.10 {NAT_PUBLIC} 17 \d+ 0 .{{16}}38[0-9a-f]+$").split()[-1][16:]


@contextmanager
def _another_public_address(office: Host) -> Iterator[None]:
    """The office's provider gives it another address for as long as the block lasts."""
    give = (
        "ip address flush dev wan && ip address add 198.51.100.{}/29 dev wan && ip route add default via 198.51.100.9"
    )
    with changed(office, give.format(11), give.format(10)):
        yield


def test_nothing_from_the_internet_is_forwarded_into_the_vpc(
    world: World, web: Host, nat: Host, app: Host, vpc: Host
) -> None:
    internet = Host("internet")
    detour = f"ip rule {{}} priority 50 iif internet to {APP} lookup 900"
    with (
        # Routers on the internet send the NAT packets for the private subnet; and the NAT forwards a port.
        changed(internet, f"ip route add {APP} via 100.64.0.2", f"ip route del {APP}"),
        changed(vpc, f"ip route add default via {NAT_PRIVATE} table 900", "ip route flush table 900"),
        changed(vpc, detour.format("add"), detour.format("del")),
        permitting(nat, f"PREROUTING -p udp --dport 7001 -j DNAT --to-destination {APP}", table="nat"),
        permitting(nat, "INPUT -p udp --dport 7001 -j ACCEPT"),
        Arrivals(app, WEB, APP) as packets,
    ):
        for address, port in ((APP, PORT), (NAT_PUBLIC, 7001)):
            web.succeeds(f"{PEERS} say {address} {port}")
        packets.have_not_come()
        with permitting(nat, f"FORWARD -s {WEB} -j ACCEPT"):
            for address, port in ((APP, PORT), (NAT_PUBLIC, 7001)):
                web.succeeds(f"{PEERS} say {address} {port}")
                packets.come(f"....{port:04x}")  # the UDP header's ports


# --- between zones, and between the VPC and the office ------------------------------------------------------------


def test_a_nat_serves_its_own_zone_only(
    world: World, desk: Host, office: Host, web: Host, app: Host, vpc: Host
) -> None:
    other = Host("nat-us-east-1b")
    use = "ip route replace default via {0} table 201 && ip route replace 192.168.50.0/24 via {0} table 201"
    with changed(vpc, use.format("10.0.2.10"), use.format(NAT_PRIVATE)):
        app.cannot_reach(WEB)
        app.cannot_reach(DESK)
        with (
            permitting(other, f"FORWARD -s {APP} -j ACCEPT"),
            permitting(other, f"FORWARD -d {APP} -j ACCEPT"),
            permitting(other, f"POSTROUTING -s {APP} -d {WEB} -j MASQUERADE", table="nat"),
            Arrivals(desk, APP, DESK) as packets,
        ):
            app.reaches(WEB)
            # The office's firewall drops these: this tunnel is for the other zone's packets.
            app.succeeds(f"{PEERS} say {DESK} {PORT}")
            packets.have_not_come()
            with permitting(office, f"FORWARD -s {APP} -j ACCEPT"):
                app.succeeds(f"{PEERS} say {DESK} {PORT}")
                packets.come()
        app.cannot_reach(WEB)
    app.reaches(WEB)
    app.reaches(DESK)


OTHER_LAN = "192.168.77.0/24"
OTHER_DESK = "192.168.77.10"


@pytest.fixture
def other_lan(office: Host, desk: Host) -> Iterator[None]:
    """A network of the office's that is not in the site, with the desk's second address in it."""
    router, second = "ip address {} 192.168.77.1/24 dev lan", f"ip address {{}} {OTHER_DESK}/24 dev eth0"
    with (
        changed(office, router.format("add"), router.format("del")),
        changed(desk, second.format("add"), second.format("del")),
    ):
        yield


@contextmanager
def taken_over(nat: Host, *networks: str) -> Iterator[None]:
    """An intruder on `nat` sends and receives packets of `networks` through its tunnel."""
    client = "/etc/vpc-openvpn/clients/office"
    masks = {"24": "255.255.255.0", "32": "255.255.255.255"}
    for network in networks:
        address, length = network.split("/")
        nat.succeeds(f"echo iroute {address} {masks[length]} >> {client}")
    nat.succeeds("systemctl restart openvpn-server@office")
    for network in networks:
        nat.succeeds(f"ip route add {network} dev tun-office")
    nat.eventually("ping -c 1 -W 1 $(ip -4 route show 192.168.50.0/24 | sed -n 's/.* via \\([^ ]*\\) .*/\\1/p')")
    try:
        yield
    finally:
        # The next deploy mends the file, and restarts what runs from it.
        nat.succeeds("ip address flush dev lo scope global")


def test_a_zone_reaches_only_the_offices_lans(
    world: World, desk: Host, office: Host, nat: Host, other_lan: None
) -> None:
    """The NAT itself is the attacker: nothing but the office's own rules is in its way."""
    internet, app_b, nat_b = Host("internet"), Host("app-us-east-1b"), Host("nat-us-east-1b")
    with (
        taken_over(nat, OTHER_LAN, f"{WEB}/32", "10.0.22.0/24"),
        taken_over(nat_b, f"{NAT_PRIVATE}/32"),
    ):
        nat.succeeds("ip address add 10.0.22.99/32 dev lo && ip address add 192.168.50.99/32 dev lo")
        nat.succeeds(f"ping -c 1 -W 1 -I {NAT_PRIVATE} {DESK}")  # what it may do, it can
        for source, destination, witness, interface in (
            (NAT_PRIVATE, OTHER_DESK, desk, "eth0"),  # another network of the office
            (NAT_PRIVATE, WEB, internet, "to-office"),  # the internet, by the office's line
            (NAT_PRIVATE, "10.0.22.10", app_b, "eth0"),  # another zone
            ("10.0.22.99", DESK, desk, "eth0"),  # under another zone's address
            ("192.168.50.99", DESK, desk, "eth0"),  # under an address of the office's own
            ("10.200.1.1", DESK, desk, "eth0"),  # under the tunnel's address
        ):
            send = f"ping -c 2 -i 0.1 -W 1 -I {source} {destination}"
            rule = f"FORWARD -s {source} -d {destination} -j ACCEPT"
            with (
                Arrivals(witness, source, destination, interface) as packets,
                permitting(nat_b, rule),
                permitting(office, f"PREROUTING -s {source} -j ACCEPT", table="raw"),
            ):
                nat.fails(send)
                packets.have_not_come()
                with permitting(office, rule):
                    nat.answers(send)
                    packets.come()


def test_networks_that_are_not_in_the_site_do_not_enter_the_vpc(
    world: World, desk: Host, office: Host, nat: Host, app: Host, other_lan: None
) -> None:
    send, rule = f"ping -c 2 -i 0.1 -W 1 -I {OTHER_DESK} {APP}", f"FORWARD -s {OTHER_LAN} -j ACCEPT"
    with taken_over(nat, OTHER_LAN), Arrivals(app, OTHER_DESK, APP) as packets:
        for one in (office, nat):  # the other one alone is enough
            with permitting(one, rule):
                desk.fails(send)
                packets.have_not_come()
        with permitting(office, rule), permitting(nat, rule):
            desk.answers(send)
            packets.come()


def test_unused_vpc_addresses_are_unreachable(world: World, desk: Host, office: Host) -> None:
    leaked, send = strays(LANS_LINE), f"{PEERS} connect 10.0.99.10 80"
    assert "No route to host" in desk.fails(send)
    assert strays(LANS_LINE) == leaked
    guard = "unreachable 10.0.0.0/16 table vpc-zones proto vpc-openvpn"
    office.succeeds(f"ip route del {guard} && iptables -F vpc-openvpn-forward")
    desk.fails(send)
    assert strays(LANS_LINE) > leaked
    world.deploy("--limit", "office")
    leaked = strays(LANS_LINE)
    assert "No route to host" in desk.fails(send)
    assert strays(LANS_LINE) == leaked


def test_only_operators_may_ssh_through_a_tunnel(world: World, desk: Host, nat: Host) -> None:
    ssh = f"{PEERS} connect {NAT_PRIVATE} 22"
    desk.succeeds(ssh)
    site = world.copy_of_site()
    site["operators"].remove("192.168.50.0/24")
    world.use(site)
    world.deploy("--limit", "nat-us-east-1a")
    assert "timed out" in desk.fails(ssh)
    desk.reaches(NAT_PRIVATE)
    world.use(world.baseline)
    world.deploy("--limit", "nat-us-east-1a")
    desk.succeeds(ssh)


# --- beside other people's rules ----------------------------------------------------------------------------------


def test_tunnel_packets_keep_their_addresses(world: World, desk: Host, office: Host, app: Host) -> None:
    """Whatever the router's own rules masquerade, the VPC sees office addresses and the office the VPC's."""
    to_internet = "curl -sf -m 5 http://198.51.100.200/"
    own = "POSTROUTING -s 192.168.50.0/24 -j MASQUERADE"
    with changed(office, f"iptables -t nat -A {own}", f"iptables -t nat -D {own}"):
        with Arrivals(app, DESK, APP) as packets:
            desk.reaches(APP)
            packets.come()
        with Arrivals(desk, APP, DESK) as packets:
            app.reaches(DESK)
            packets.come()
        assert desk.succeeds(to_internet).strip() == "198.51.100.10"
        # The router's rule would do it, if ours did not keep it off.
        office.succeeds("iptables -t nat -F vpc-openvpn-postrouting")
        with Arrivals(app, DESK, APP) as packets:
            assert "timed out" in desk.fails(f"{PEERS} connect {APP} {PORT}")
            packets.have_not_come()
        world.deploy("--limit", "office")
        desk.reaches(APP)
    assert desk.succeeds(to_internet).strip() == "198.51.100.10"


FOREIGN_RULES = """
iptables -N own-chain
iptables -A own-chain -s 203.0.113.7 -j DROP
iptables -I INPUT -j own-chain
iptables -A FORWARD -s 203.0.113.8 -m comment --comment 'like vpc-openvpn-forward -j vpc-openvpn-forward' -j DROP
iptables -A OUTPUT -d 203.0.113.9 -j DROP
iptables -t nat -A POSTROUTING -d 203.0.113.10 -j SNAT --to-source 198.51.100.10
iptables -t nat -A PREROUTING -p tcp --dport 8443 -j DNAT --to-destination 192.168.50.10
iptables -t mangle -A FORWARD -d 203.0.113.11 -j MARK --set-mark 5
iptables -t raw -A PREROUTING -d 203.0.113.12 -j DROP
nft add table inet own
nft 'add chain inet own input { type filter hook input priority 5; }'
nft add rule inet own input ip saddr 203.0.113.13 counter drop
ip route add 203.0.113.0/28 via $(ip -4 route show default | cut -d ' ' -f 3)
ip route add unreachable 203.0.113.16/28 metric 4294967295
ip route add default dev lo table 77
ip rule add fwmark 5 lookup 77
sysctl -q -w net.ipv4.conf.all.log_martians=1 net.ipv4.tcp_fin_timeout=31 net.ipv4.conf.lo.rp_filter=1
"""
# Ours, the tunnels' own, and what changes by itself is left out.
FOREIGN_STATE = r"""
for table in raw mangle nat filter; do
    iptables-save -t $table \
        | grep -v -e '^#' -e '^:vpc-openvpn-' -e '^-A vpc-openvpn-' -e '^-A [A-Z]* -j vpc-openvpn-' \
        | sed 's/ \[[0-9]*:[0-9]*\]$//'
done
nft list tables | grep -v ' ip '
nft list table inet own
ip -4 rule | grep -v 'proto vpc-openvpn'
ip -4 route show table all | grep -v -e tun- -e 'proto vpc-openvpn' -e 'proto bird'
sysctl -a 2>/dev/null | grep '^net\.ipv[46]\.' | grep -v -e '\.tun-' -e random -e '\.neigh\.' -e netfilter
"""


@pytest.mark.parametrize("name", ["office", "nat-us-east-1a"])
def test_foreign_rules_and_routes_survive_a_deploy(world: World, desk: Host, name: str) -> None:
    host = Host(name)
    host.succeeds(f"set -e; {FOREIGN_RULES}")
    before = host.succeeds(FOREIGN_STATE)
    assert all(f"203.0.113.{number}" in before for number in range(7, 14))
    # All that is ours is gone or changed, so that a deploy has everything to do.
    chains = {
        "mangle": ["forward", "prerouting"] if name == "office" else ["forward"],
        "nat": ["postrouting"],
        "filter": ["input", "forward"],
    }
    for table, names in chains.items():
        for chain in names:
            host.succeeds(f"iptables -t {table} -F vpc-openvpn-{chain}")
    host.succeeds("ip route flush table all proto vpc-openvpn; ip rule flush protocol vpc-openvpn")
    changes = world.deploy("--limit", name)
    assert "Firewall and guard routes are loaded" in changes.changed[name]
    assert host.succeeds(FOREIGN_STATE) == before
    host.succeeds("systemctl restart vpc-openvpn-firewall")
    assert host.succeeds(FOREIGN_STATE) == before
    desk.reaches(APP)
    host.power_cycle()  # what was changed here was never meant to last


def test_a_drop_policy_of_the_router_does_not_stop_the_tunnels(
    world: World, desk: Host, office: Host, app: Host
) -> None:
    with changed(office, "iptables -P FORWARD DROP", "iptables -P FORWARD ACCEPT"):
        desk.cannot_reach(WEB)
        desk.reaches(APP)
        app.reaches(DESK)
        world.deploy("--limit", "office")
        desk.cannot_reach(WEB)
        desk.reaches(APP)


def test_the_routers_strict_reverse_path_check_stays(world: World, desk: Host, office: Host, app: Host) -> None:
    strict = "sysctl -w net.ipv4.conf.all.rp_filter={}"
    with changed(office, strict.format(1), strict.format(0)):
        world.deploy("--limit", "office")
        desk.reaches(APP)
        app.reaches(DESK)
        assert office.succeeds("cat /proc/sys/net/ipv4/conf/all/rp_filter").strip() == "1"


@pytest.mark.parametrize(
    "again",
    [
        "systemctl restart nftables",
        "systemctl reload nftables",
    ],
)
def test_our_chains_come_back_after_a_flush(world: World, desk: Host, office: Host, again: str) -> None:
    flushing = r"sed -i '1a flush ruleset' /etc/nftables.conf"
    with changed(office, flushing, "sed -i '/^flush ruleset$/d' /etc/nftables.conf"):
        chains = "iptables-save | grep -e '^[-:]A* *vpc-openvpn-' -e '-j vpc-openvpn-'"
        before = office.succeeds(chains)
        office.succeeds("nft flush ruleset")
        office.fails(chains)
        office.succeeds(again)
        office.eventually(f"[ $({chains} | wc -l) = {len(before.splitlines())} ]")  # table by table
        assert sorted(office.succeeds(chains).splitlines()) == sorted(before.splitlines())
        desk.reaches(APP)
        assert world.plan("--limit", "office").pending == {}


# --- a NAT with an interface in each subnet -----------------------------------------------------------------------


def test_a_nat_may_have_two_interfaces(world: World, desk: Host, nat: Host, app: Host, vpc: Host) -> None:
    """Its second one is in the private subnet, whose route table points there.

    vpc ── zone1-public ── eth0 nat-us-east-1a eth1 10.0.21.5 ── zone1-private ── app-us-east-1a
    """
    prefix = f"vpclab.{INSTANCE}-" if INSTANCE else "vpclab-"
    plug = (
        f"ip link add nat1x type veth peer name eth1 netns {prefix}{nat.name}"
        " && ip link set nat1x master zone1-private up"
    )
    table = "ip route replace default via {0} table 201 && ip route replace 192.168.50.0/24 via {0} table 201"
    with (
        changed(vpc, plug, "ip link delete nat1x"),
        changed(nat, "ip link set eth1 up && ip address add 10.0.21.5/24 dev eth1", "ip link set eth1 down"),
        changed(vpc, table.format("10.0.21.5"), table.format(NAT_PRIVATE)),
        Arrivals(vpc, APP, WEB, "nat1x") as outwards,
    ):
        world.deploy("--limit", "nat-us-east-1a")
        app.reaches(WEB)
        outwards.come()
        app.reaches(DESK)
        desk.reaches(APP)
        # The way back may be the other interface, even where rp_filter is strict on this one.
        nat.succeeds("sysctl -w net.ipv4.conf.eth1.rp_filter=1")
        nat.succeeds("ip route del 10.0.21.0/24 dev eth1 && ip route add 10.0.21.1/32 dev eth1")
        app.reaches(WEB)
        app.reaches(DESK)
        desk.reaches(APP)
        nat.succeeds("sysctl -w net.ipv4.conf.all.rp_filter=0")
        app.cannot_reach(WEB)
        world.deploy("--limit", "nat-us-east-1a")
        app.reaches(WEB)
