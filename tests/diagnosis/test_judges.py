"""What the answers of a proof mean, for the lab's site of two zones."""

import subprocess

import pytest

from tasks import forward_path
from tests.diagnosis.test_filters import match, nft
from tests.rendered.cases import LAB, plans
from vpc_openvpn.diagnosis import nat, office
from vpc_openvpn.diagnosis.findings import Findings
from vpc_openvpn.site.plan import NatPlan, OfficePlan

OFFICE, NAT = (plans(LAB)[host] for host in ("office", "nat-us-east-1a"))
assert isinstance(OFFICE, OfficePlan) and isinstance(NAT, NatPlan)
WELL = """\
lan 192.168.50.0/24 192.168.50.254 192.168.50.0/24 dev lan proto kernel scope link src 192.168.50.1
way us-east-1b 192.168.50.0/24 192.168.50.254 lan 10.0.22.3 from 192.168.50.254 via 10.200.2.1 dev tun-2 table vpc-zones
bfd us-east-1b 10.200.2.1 Up
probe us-east-1b answers
way us-east-1a 192.168.50.0/24 192.168.50.254 lan 10.0.21.3 from 192.168.50.254 via 10.200.1.1 dev tun-1 table vpc-zones
bfd us-east-1a 10.200.1.1 Up
probe us-east-1a answers
rules []
routes [{"dst":"default","gateway":"198.51.100.9","dev":"wan"}]
"""
HOME = "via 10.200.1.1 dev tun-1 table vpc-zones"


def at_office(output: str, *, patient: bool = True) -> Findings:
    assert isinstance(OFFICE, OfficePlan)
    return office.judge(OFFICE, output, ("86",), patient=patient)


def test_healthy_hosts_have_no_findings() -> None:
    assert isinstance(NAT, NatPlan)
    assert at_office(WELL) == Findings()
    assert nat.judge(NAT, WELL_NAT, ("86",)) == Findings()


def test_a_zone_on_a_detour_is_named_unless_it_is_drained() -> None:
    away = WELL.replace(HOME, "via 10.200.2.1 dev tun-2 table vpc-zones")
    [said] = at_office(away).wrong
    assert said.startswith("us-east-1a: a desk's packets go by a detour, tun-2, not by the zone's own tunnel. See: ")
    assert at_office(f"{away}state us-east-1a drained\n") == Findings()
    [said] = at_office(f"{away}state us-east-1a by a detour over us-east-1b: its NAT has yet to prove itself\n").wrong
    assert "its NAT has yet to prove itself" in said
    # A plan does not wait until a tunnel that was restarted has proved itself.
    assert (
        at_office(
            f"{away}state us-east-1a by a detour over us-east-1b: its NAT has yet to prove itself\n", patient=False
        )
        == Findings()
    )
    # One whose own NAT does not let desks' packets through has moved by itself; what is wrong is said all the same.
    unreached = f"{away}state us-east-1a by a detour over us-east-1b: its NAT does not reach the zone\n"
    [said] = at_office(unreached).wrong
    assert "The monitor there says" in said
    [said] = at_office(unreached.replace("probe us-east-1a answers", "probe us-east-1a masqueraded-only")).wrong
    assert "source/destination check of nat-us-east-1a's interface is on" in said
    astray = away.replace("dev tun-2 table vpc-zones\nbfd us-east-1a", "dev wan\nbfd us-east-1a")
    [said] = at_office(f"{astray}state us-east-1a drained\n").wrong
    assert "a desk's packets go by wan" in said


def test_a_firewall_that_drops_bfd_is_named_once_for_all_zones() -> None:
    deaf = WELL.replace(" Up", " Down")
    for number in (1, 2):
        way = f"10.0.2{number}.3 from 192.168.50.254 via 10.200.{number}.1 dev tun-{number} table vpc-zones"
        deaf = deaf.replace(way, "RTNETLINK answers: No route to host")
    [said] = at_office(f"{deaf}nft {nft(hook='input')}\n").wrong
    assert "us-east-1a, us-east-1b: a desk's packets go nowhere: BFD hears nothing" in said
    assert "1. nftables, table inet own, chain base (policy drop) drops BFD's packets" in said
    assert 'iifname "tun-1" udp dport 3784 accept' in said
    assert "2. another firewall on nat-us-east-1a, nat-us-east-1b" in said


def test_an_output_chain_that_drops_the_routers_own_packets_is_named() -> None:
    only_ssh = nft([match({"payload": {"protocol": "tcp", "field": "dport"}}, 22), {"accept": None}], hook="output")
    [said] = at_office(f"{WELL}nft {only_ssh}\n").wrong
    assert "drops the tunnels' own packets to nat-us-east-1a, nat-us-east-1b" in said
    assert 'oifname "wan" udp dport 1194 accept' in said
    # Not where that cannot be told: of a packet's own mark, say.
    unclear = nft([match({"meta": {"key": "mark"}}, 1), {"accept": None}], hook="output")
    assert at_office(f"{WELL}nft {unclear}\n").wrong == []

    deaf = WELL.replace(" Up", " Down")
    for number in (1, 2):
        way = f"10.0.2{number}.3 from 192.168.50.254 via 10.200.{number}.1 dev tun-{number} table vpc-zones"
        deaf = deaf.replace(way, "RTNETLINK answers: No route to host")
    bfd = nft(
        [match({"payload": {"protocol": "udp", "field": "dport"}}, 3784), {"drop": None}],
        hook="output",
        policy="accept",
    )
    [said] = at_office(f"{deaf}nft {bfd}\n").wrong
    assert "1. nftables, table inet own, chain base" in said and "BFD's packets to a NAT" in said
    assert isinstance(NAT, NatPlan)
    [said] = nat.judge(NAT, f"{WELL_NAT}nft {bfd}\n", ("86",)).wrong
    assert "drops BFD's packets, by which this NAT says that it lives" in said


def test_a_tunnel_from_which_nothing_comes_has_its_causes_in_aws() -> None:
    silent = "wrong no answer from 10.200.1.1 (nat-us-east-1a) through tun-1; openvpn-client@x is active, and says:\n"
    [said] = at_office(f"{WELL}{silent}wrong     TLS handshake failed\n").wrong
    assert "TLS handshake failed\nWhere nothing has come back" in said
    assert "2. nat-us-east-1a's security group does not admit UDP 1194 from the office's address: aws ec2" in said
    assert "3. 198.51.100.21 is not nat-us-east-1a's: aws ec2 describe-addresses --public-ips 198.51.100.21" in said
    down = f"{silent}wrong     another program has taken tun-1 down, or its address away. Type: systemctl restart x\n"
    [said] = at_office(f"{WELL}{down}").wrong
    assert "security group" not in said


def test_a_nats_masquerade_of_all_packets_leaves_the_vpc_out() -> None:
    assert isinstance(NAT, NatPlan)
    masquerade = nft([{"masquerade": None}], hook="postrouting", policy="accept", kind="nat")
    [said] = nat.judge(NAT, f"{WELL_NAT}nft {masquerade}\n", ("86",)).wrong
    assert "gives another source address to what desks send to the zone." in said
    assert "Leave the VPC out of that rule, in /etc/nftables.conf: ip daddr != 10.0.0.0/16" in said


def test_the_internet_is_not_proved_by_the_office_alone() -> None:
    assert isinstance(NAT, NatPlan)
    [said] = nat.judge(NAT, f"{WELL_NAT}leaves office http://mirror\n", ("86",)).unproved
    assert said.endswith("was not proved (no answer: http://mirror)")


def test_a_forwarding_chain_fails_a_deploy_where_it_drops_for_certain() -> None:
    drops = at_office(f"{WELL}nft {nft()}\n")
    assert [text.partition(". ")[0] for text in drops.wrong] == [
        "nftables, table inet own, chain base (policy drop) drops what desks of 192.168.50.0/24 send to us-east-1a,"
        " us-east-1b",
        "nftables, table inet own, chain base (policy drop) drops what us-east-1a, us-east-1b answers to desks of"
        " 192.168.50.0/24",
    ]
    some_ports = nft([match({"payload": {"protocol": "tcp", "field": "dport"}}, 443), {"accept": None}])
    might = at_office(f"{WELL}nft {some_ports}\n")
    assert "may be in the way" in might.unproved[0]
    passes = nft([match({"meta": {"key": "oifname"}}, "tun-*"), {"accept": None}], policy="accept")
    assert at_office(f"{WELL}nft {passes}\n") == Findings()


def test_a_masquerade_without_an_interface_fails_a_deploy() -> None:
    masquerade = nft([{"masquerade": None}], hook="postrouting", policy="accept", kind="nat")
    [said] = at_office(f"{WELL}nft {masquerade}\n").wrong
    assert "gives another source address to what desks of 192.168.50.0/24 send" in said


def test_a_rule_ahead_is_named_and_its_zones_probes_are_not_blamed_on_aws() -> None:
    ahead = '[{"priority":6699,"src":"192.168.50.0","srclen":24,"table":"200"}]'
    stray = WELL.replace(HOME, "dev wan table 200").replace("rules []", f"rules {ahead}")
    [said] = at_office(stray.replace("probe us-east-1a answers", "probe us-east-1a masqueraded-only")).wrong
    assert said.startswith("ip rule 6699 (from 192.168.50.0/24 lookup 200) comes before ours, 7900: what desks of")
    assert said.endswith("ip rule del priority 6699 && ip rule add from 192.168.50.0/24 lookup 200 priority 30000")


@pytest.mark.parametrize(
    ("state", "wrong", "unproved"),
    [
        ("masqueraded-only", "1. source/destination check of nat-us-east-1a's interface is on: aws ec2", ""),
        ("elsewhere", "1. nat-us-east-1a's security group does not let packets out to 10.0.21.10", ""),
        ("silent", "", "us-east-1a: its probe answers neither the office nor its NAT"),
        ("not-asked", "", "us-east-1a: that a desk's packets arrive at a host there was not proved. Write `probe`"),
    ],
)
def test_a_probe_result_is_wrong_or_unproved(state: str, wrong: str, unproved: str) -> None:
    found = at_office(WELL.replace("probe us-east-1a answers", f"probe us-east-1a {state}"))
    assert [len(found.wrong), len(found.unproved)] == [bool(wrong), bool(unproved)]
    assert wrong in "".join(found.wrong) and unproved in "".join(found.unproved)


def test_faults_of_large_packets_lans_and_lines_are_named() -> None:
    [small] = at_office(f"{WELL}large tun-1 1440 1340\nlarge tun-2 1440 1340\n").wrong
    assert "packets of 1440 bytes do not cross tun-1, tun-2" in small
    assert small.endswith("Write tunnels: {mtu: 1340} in site.yml")
    [smaller] = at_office(f"{WELL}large tun-1 1440\n").wrong
    assert "Nor do those of 1280" in smaller
    [no_lan] = at_office(WELL.replace("254 192.168.50.0/24 dev", "254 default via 198.51.100.9 dev wan")).unproved
    assert no_lan.startswith("192.168.50.0/24: this router has no way to it but its default route")
    two = '{"dst":"default","nexthops":[{"gateway":"198.51.100.9","dev":"wan"},{"gateway":"203.0.113.1","dev":"lte"}]}'
    [lines] = at_office(WELL.replace('{"dst":"default","gateway":"198.51.100.9","dev":"wan"}', two)).unproved
    assert "2 default routes at once, 198.51.100.9 (wan) and 203.0.113.1 (lte)" in lines
    [crosses] = at_office(f"{WELL}wrong no answer\nwrong     log\n").wrong
    assert crosses == "no answer\n    log"


# --- a NAT ----------------------------------------------------------------------------------------------------------

WELL_NAT = """\
way desk 192.168.50.254 10.0.21.3 tun-office 10.0.21.3 from 192.168.50.254 via 10.0.1.1 dev eth0 cache iif tun-office
way private 10.0.21.4 198.41.0.4 eth0 198.41.0.4 from 10.0.21.4 via 10.0.1.1 dev eth0 cache iif eth0
rules []
iptables *nat
iptables :POSTROUTING ACCEPT [0:0]
iptables -A POSTROUTING -s 10.0.21.0/24 ! -d 10.0.0.0/16 -j MASQUERADE
iptables COMMIT
iptables *filter
iptables :INPUT ACCEPT [0:0]
iptables :FORWARD ACCEPT [0:0]
iptables COMMIT
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("-j MASQUERADE", "-j LOG", "no rule masquerades the private subnets towards the internet"),
        (":FORWARD ACCEPT", ":FORWARD DROP", "iptables, table filter, chain FORWARD (policy drop) drops"),
        (":INPUT ACCEPT", ":INPUT DROP", "drops the office's tunnel, and BFD's packets"),
        (
            "dev eth0 cache iif eth0",
            "dev tun0 table 7",
            "what a private host (10.0.21.4) sends to the internet leaves by",
        ),
        (
            "rules []",
            "leaves no http://mirror\nrules []",
            "Likely, in this order:\n    1. its security group has no egress",
        ),
        ("rules []", "wrong no answer from\nleaves no x\nrules []", "in this order:\n    1. the route table"),
        ("! -d 10.0.0.0/16 -j", "-j", ""),
    ],
)
def test_faults_of_a_nat_are_named(old: str, new: str, said: str) -> None:
    assert isinstance(NAT, NatPlan)
    assert WELL_NAT.count(old) == 1
    output = WELL_NAT.replace(old, new)
    if "tun0" in new:
        output = output.replace("dev tun0", "dev tun-office")
    found = nat.judge(NAT, output, ("86",))
    assert said in "\n".join(found.wrong)
    assert bool(found.wrong) == bool(said)


@pytest.mark.parametrize("host", ["office", "nat-us-east-1a"])
def test_sh_can_read_each_proof(host: str) -> None:
    plan = plans(LAB)[host]
    for script in (forward_path.script(plan, 20), forward_path.crossing(plan, "us-east-1a", 0)):
        subprocess.run(["sh", "-n"], input=script, text=True, check=True)
