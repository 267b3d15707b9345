"""What a NAT's answers mean: `templates/nat/proof.sh` has asked."""

from collections import defaultdict
from collections.abc import Container, Iterator
from ipaddress import IPv4Address

from vpc_openvpn.diagnosis import routes
from vpc_openvpn.diagnosis.filters import Packet
from vpc_openvpn.diagnosis.findings import Findings, answers, complaints, describe_interfaces, document, in_order
from vpc_openvpn.diagnosis.obstacles import Obstacle, masquerades, obstacles, sentence, tables
from vpc_openvpn.diagnosis.office import BFD_PORT
from vpc_openvpn.site.plan import SINGLE, NatPlan

OUTSIDE = IPv4Address("198.41.0.4")  # a root name server's: nothing is sent there, the kernel is asked for the way
MAIN_RULE = 32766


def judge(plan: NatPlan, output: str, ours: Container[object]) -> Findings:
    """What of `plan` does not hold, and what was not seen. `ours`: how `ip` calls the protocol of our rules."""
    found = answers(output)
    result = Findings(complaints(found))
    ways = {}
    for line in found.get("way", []):
        what, from_, to, comes_in, answer = line.split(" ", 4)
        ways[what] = (IPv4Address(from_), IPv4Address(to), comes_in, routes.way(answer))
    rules = document(found, "rules")
    for what, (source, destination, interface, taken) in ways.items():
        if not taken.interface or taken.interface == plan.tunnel.nat_interface:
            result.wrong.append(_lost(what, source, destination, interface, taken, rules, ours))
    packets = list(_packets(plan, ways))
    rulesets = tables(found)
    private = next((packet for packet in packets if packet.what == _LEAVES_AS), None)
    met: dict[tuple[str, bool], list[Obstacle]] = defaultdict(list)
    for obstacle in obstacles(rulesets, [packet for packet in packets if packet is not private]):
        met[obstacle.verdict.where, obstacle.certain].append(obstacle)
    for (_, certain), each in met.items():
        what = ", and ".join(obstacle.packet.what for obstacle in each)
        said = sentence(each, what, [plan.tunnel.nat_interface])
        (result.wrong if certain else result.unproved).append(said)
    if private and not masquerades(rulesets, private):
        result.wrong.append(
            "no rule masquerades the private subnets towards the internet. Type: systemctl reload vpc-openvpn-firewall"
        )
    crosses = not any(text.startswith("no answer from") for text in result.wrong)
    for line in found.get("leaves", []):
        word, _, tried = line.partition(" ")
        if word == "office":
            result.unproved.append(
                "of the internet the office alone answered this NAT: that private subnets reach it was not proved"
                + (f" (no answer: {tried})" if tried else ", as apt has no mirror there")
            )
        else:
            result.wrong.append(_no_egress(plan, tried, crosses=crosses))
    return result


_LEAVES_AS = "the address of what private subnets send to the internet"


def _lost(
    what: str,
    source: IPv4Address,
    destination: IPv4Address,
    interface: str,
    taken: routes.Way,
    rules: str,
    ours: Container[object],
) -> str:
    packet = {
        "desk": f"what a desk ({source}) sends to {destination}",
        "private": f"what a private host ({source}) sends to the internet",
    }[what]
    end = f"leaves by {taken.interface}" if taken.interface else f"goes nowhere ({taken.said})"
    ahead = routes.rule_ahead(rules, taken, MAIN_RULE, ours, source, destination)
    if ahead:
        priority, _, words = ahead.partition(" ")
        return f"{packet} {end}: ip rule {priority} ({words}) sends it there. Type: ip rule del priority {priority}"
    return f"{packet} {end}. See: ip route get {destination} from {source} iif {interface}"


def _packets(plan: NatPlan, ways: dict[str, tuple[IPv4Address, IPv4Address, str, routes.Way]]) -> Iterator[Packet]:
    tunnel = plan.tunnel
    if "desk" in ways and (outwards := ways["desk"][3].interface):
        desk, there = ways["desk"][:2]
        yield Packet("what desks send to the zone", "forward", desk, there, iif=tunnel.nat_interface, oif=outwards)
        yield Packet(
            "what the zone answers to desks",
            "forward",
            there,
            desk,
            iif=outwards,
            oif=tunnel.nat_interface,
            state="established",
        )
        whole = next((str(network) for network in plan.vpc if there in network), "")
        yield Packet("what desks send to the zone", "postrouting", desk, there, oif=outwards, within=whole)
        for office in plan.office_addresses[:1]:
            yield Packet("the office's tunnel", "input", office, plan.private_address, "udp", tunnel.port, iif=outwards)
            yield Packet(
                "what answers the office's tunnel",
                "output",
                plan.private_address,
                office,
                "udp",
                oif=outwards,
                state="established",
            )
    if plan.strategy != SINGLE:
        yield Packet(
            "BFD's packets, by which the office hears that this NAT lives",
            "input",
            tunnel.office_address,
            tunnel.nat_address,
            "udp",
            BFD_PORT,
            iif=tunnel.nat_interface,
            ttl=255,
        )
        yield Packet(
            "BFD's packets, by which this NAT says that it lives",
            "output",
            tunnel.nat_address,
            tunnel.office_address,
            "udp",
            BFD_PORT,
            oif=tunnel.nat_interface,
            ttl=255,
        )
    if "private" in ways and (outwards := ways["private"][3].interface):
        host, outside, interface, _ = ways["private"]
        yield Packet("what private subnets send to the internet", "forward", host, outside, iif=interface, oif=outwards)
        yield Packet(_LEAVES_AS, "postrouting", host, outside, oif=outwards)


def _no_egress(plan: NatPlan, tried: str, *, crosses: bool) -> str:
    """Why nothing that the NAT sends to the internet is answered. What carries the tunnel is the less likely cause."""
    subnets = ", ".join(map(str, plan.private_subnets))
    path = [
        f"the route table of {plan.host}'s subnet has no 0.0.0.0/0 to the internet gateway (console: VPC → Subnets →"
        " Route table)",
        f"its Elastic IP is missing: aws ec2 describe-addresses --public-ips {plan.public_address} --query"
        f" 'Addresses[].PrivateIpAddress' (it has to be {plan.private_address})",
    ]
    gates = [
        "its security group has no egress to 0.0.0.0/0:"
        f" {describe_interfaces('addresses.private-ip-address', plan.private_address, 'Groups')}",
        "another firewall on it: nft list ruleset; iptables -S OUTPUT",
    ]
    return (
        f"nothing that this NAT sends to the internet is answered (tried: {tried}), so {subnets}"
        f" cannot reach it. Likely, in this order:{in_order([*gates, *path] if crosses else [*path, *gates])}"
    )
