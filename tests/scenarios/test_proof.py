"""A deploy that says success has seen what a desk would; one that does not names what stands in the way.

desk 192.168.50.10 ── office ══ tun-1 ══ nat-us-east-1a ── app-us-east-1a 10.0.21.10
                        ╠══════ tun-2 ══ nat-us-east-1b ── app-us-east-1b 10.0.22.10
                        ╚══════ tun-3 ══ nat-us-east-1c ── app-us-east-1c 10.0.23.10

Each scenario gets several things wrong at once, where each is named by itself, and then right.
"""

from tests.scenarios.flows import changed
from tests.scenarios.harness import Host, World, lab, spaceless
from tests.scenarios.states import FORGET, MONITOR, all_home

NATS = [Host(f"nat-us-east-1{letter}") for letter in "abc"]
APPS = [f"10.0.2{number}.10" for number in (1, 2, 3)]
# What nftables' own examples have.
WORKSTATION = """
table inet mine {
  chain input {
    type filter hook input priority filter; policy drop;
    iif "lo" accept
    ct state established,related accept
    tcp dport 22 accept
    icmp type echo-request accept
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname "lan" oifname "wan" accept
  }
}
"""


def aws(*words: str) -> None:
    done = lab("aws", *words)
    assert done.status == 0, done.output


def test_the_proof_names_faults_of_the_vpc(world: World, desk: Host) -> None:
    aws("source-dest-check", NATS[0].name, "on")
    for destination in ("internet", "office"):
        aws("route", "us-east-1b", "private", destination, "off")
    aws("security-group", "app-us-east-1c", "office", "deny")
    # No desk's packet arrives through the zone's own NAT; by a detour, which masquerades them, they do.
    unreached = f"[ $({MONITOR} show | grep -c 'over .*: its NAT does not reach the zone$') = 3 ]"
    Host("office").eventually(unreached, 10)
    for address in APPS:
        desk.reaches(address)
    said = spaceless(world.deploy_fails("--limit", "office"))
    for letter, address in zip("abc", APPS, strict=True):
        nat = f"nat-us-east-1{letter}"
        assert f"us-east-1{letter}: its probe {address} answers {nat}, and does not answer the office's own" in said
        assert f"1. source/destination check of {nat}'s interface is on: aws ec2 describe-network-interfaces" in said
    assert "2. the route table of 10.0.22.0/24 does not lead 192.168.50.0/24 to nat-us-east-1b's interface" in said
    assert "3. the security group of 10.0.23.10 does not admit 192.168.50.0/24" in said
    assert lab("heal").status == 0

    # Without a probe, and with one that does not answer at all, a deploy says what it has not seen.
    site = world.copy_of_site()
    del site["zones"][0]["probe"]
    world.use(site)
    aws("security-group", "app-us-east-1b", "office", "deny")
    aws("security-group", "app-us-east-1b", "vpc", "deny")
    said = spaceless(world.deploy("--limit", "office"))
    assert "us-east-1a: that a desk's packets arrive at a host there was not proved. Write `probe`" in said
    assert "us-east-1b: its probe answers neither the office nor its NAT" in said


def test_the_proof_names_rules_and_routes_of_the_router(world: World, desk: Host, office: Host) -> None:
    with changed(office, f"echo '{WORKSTATION}' | nft -f -", "nft delete table inet mine"):
        desk.cannot_reach(APPS[0])
        said = spaceless(world.deploy_fails("--limit", "office"))
        zones = "us-east-1a, us-east-1b, us-east-1c"
        assert f"{zones}: a desk's packets go nowhere: BFD hears nothing" in said
        assert "nftables, table inet mine, chain input (policy drop) drops BFD's packets" in said
        assert 'in /etc/nftables.conf: iifname "tun-1" udp dport 3784 accept' in said
        assert f"chain forward (policy drop) drops what desks of 192.168.50.0/24 send to {zones}" in said
    all_home()

    # A rule without a priority lands before ours. And a line that carries less than it should says nothing of it.
    stray = "ip rule add from 192.168.50.0/24 iif lan lookup 200 && ip route add default via 198.51.100.9 table 200"
    narrow = (
        "nft 'table ip narrow { chain forward { type filter hook forward priority -20;"
        ' oifname "to-vpc" ip length > 1400 drop; }; }\''
    )
    with (
        changed(office, stray, "ip rule delete from 192.168.50.0/24 iif lan lookup 200; ip route flush table 200"),
        changed(Host("internet"), narrow, "nft delete table ip narrow"),
    ):
        desk.cannot_reach(APPS[0])
        said = spaceless(world.deploy_fails("--limit", "office"))
        assert (
            "(from 192.168.50.0/24 iif lan lookup 200) comes before ours, 7900: what desks of 192.168.50.0/24 send"
            in said
        )
        assert "leaves by wan" in said
        assert "packets of 1440 bytes do not cross tun-1, tun-2, tun-3, though small ones do" in said
        assert "Write tunnels: {mtu: 1340} in site.yml" in said
    desk.reaches(APPS[0])
    world.deploy("--limit", "office")


def test_a_site_that_overlaps_a_network_of_the_router_is_refused(world: World, office: Host) -> None:
    docker = (
        "ip link add docker0 type bridge && ip address add 10.0.64.1/20 dev docker0 && ip link set docker0 up"
        " && iptables -t mangle -F vpc-openvpn-mss"
    )
    with changed(office, docker, "ip link delete docker0"):
        said = spaceless(world.deploy_fails("--limit", "office"))
        assert "docker0 leads to 10.0.64.0/20, a part of 10.0.0.0/16, which is the site's" in said
        office.fails("iptables-save | grep -e '-A vpc-openvpn-mss'")  # nothing was loaded
    world.deploy("--limit", "office")
    office.succeeds("iptables-save | grep -e '-A vpc-openvpn-mss'")


def test_the_proof_reads_what_other_programs_do_not_show(world: World, desk: Host, office: Host) -> None:
    """Rules of iptables-legacy, chains for a host's own packets, and packets that vanish before any table of IPv4's."""
    drop = "iptables-legacy -{} FORWARD -i lan -d 10.0.0.0/8 -j DROP"
    with changed(office, drop.format("A"), drop.format("D")):
        desk.cannot_reach(APPS[0])
        said = spaceless(world.deploy_fails("--limit", "office"))
        assert (
            "iptables-legacy, table filter, chain FORWARD (-A FORWARD -d 10.0.0.0/8 -i lan -j DROP) drops what" in said
        )
    with changed(NATS[0], "iptables-legacy -P FORWARD DROP", "iptables-legacy -P FORWARD ACCEPT"):
        said = spaceless(world.deploy_fails("--limit", NATS[0].name))
        assert "iptables-legacy, table filter, chain FORWARD (policy drop) drops what desks send to the zone" in said
    all_home()

    rule = 'udp dport 3784 oifname "tun-1" drop'
    own = f"nft 'table ip own {{ chain out {{ type filter hook output priority 0; {rule}; }}; }}'"
    with changed(office, own, "nft delete table ip own"):
        said = spaceless(world.deploy_fails("--limit", "office"))
        assert "1. nftables, table ip own, chain out" in said and "drops BFD's packets to a NAT" in said
    all_home()

    # The NAT's kernel forwards, by all that can be read of it, and the office reaches the zone: by a detour.
    rule = "ip saddr 10.0.21.0/24 drop"
    chain = f"chain in {{ type filter hook ingress device eth0 priority 0; {rule}; }}"
    netdev = f"nft 'table netdev own {{ {chain}; }}'"
    with changed(NATS[0], netdev, "nft delete table netdev own"):
        desk.eventually(f"ping -q -c 1 -W 1 {APPS[0]}")
        office.succeeds(FORGET)  # the monitor, which has judged nothing then
        said = spaceless(world.deploy_fails("--limit", "office"))
        assert (
            f"us-east-1a: its probe {APPS[0]} answers through another zone's NAT, and not through its own" in said
            or ("us-east-1a: a desk's packets go by a detour" in said)
        )
    all_home()


def test_the_proof_names_faults_of_a_nat(world: World, desk: Host) -> None:
    site = world.copy_of_site()
    site["office"]["public_address"] = "198.51.100.12"
    world.use(site)
    said = spaceless(world.deploy_fails("--limit", "nat"))
    address = "the office's packets come from 198.51.100.10, and office.public_address in site.yml is 198.51.100.12"
    assert said.count(address) >= 3
    # Nothing was loaded, and no tunnel goes down.
    for each in APPS:
        desk.reaches(each)
    world.use(world.baseline)
    aws("security-group", NATS[1].name, "outbound", "deny")
    other = (
        "nft 'table ip mine { chain through { type filter hook forward priority 10; ip saddr 10.0.21.0/24 drop; }; }'"
    )
    with changed(NATS[0], other, "nft delete table ip mine"):
        said = spaceless(world.deploy_fails("--limit", "nat"))
        assert (
            "chain through (ip saddr 10.0.21.0/24 drop) drops what the zone answers to desks, and what private" in said
        )
        assert "nothing that this NAT sends to the internet is answered (tried: http://198.51.100.200,198.51." in said
        assert "1. its security group has no egress to 0.0.0.0/0: aws ec2" in said
    aws("security-group", NATS[1].name, "outbound", "allow")
    world.deploy("--limit", "nat")
    for each in APPS:
        desk.reaches(each)
