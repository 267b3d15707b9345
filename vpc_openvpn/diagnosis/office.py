"""What the office router's answers mean: `templates/office/proof.sh` has asked."""

import re
from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network

from vpc_openvpn.diagnosis import routes
from vpc_openvpn.diagnosis.filters import Packet
from vpc_openvpn.diagnosis.findings import Findings, answers, complaints, describe_interfaces, document, in_order
from vpc_openvpn.diagnosis.obstacles import Obstacle, obstacles, sentence, tables
from vpc_openvpn.site.plan import ZONES, OfficePlan, Tunnel

BFD_PORT = 3784
# How the monitor's sentences about a zone end, files/vpc_openvpn_monitor/report.py.
DRAINED, PASSING = "drained", ("has yet to prove itself", "is silent")
_UNJUDGED = ("answers", "silent", "not-asked")  # what a probe's answer says that blames nothing on the way
UNREACHED = "does not reach the zone"
ANY = IPv4Address("0.0.0.0")  # the kernel chooses the source


def judge(plan: OfficePlan, output: str, ours: Container[object], *, patient: bool) -> Findings:
    """What of `plan` does not hold, and what was not seen. `patient`: what was just started has had its time.
    `ours`: how `ip` calls the protocol of our rules.
    """
    return _Office(plan, answers(output), ours, patient).findings()


class _Office:
    def __init__(self, plan: OfficePlan, found: dict[str, list[str]], ours: Container[object], patient: bool) -> None:
        self._plan, self._found, self._ours, self._patient = plan, found, ours, patient
        self._interfaces = plan.interfaces
        self._opinions = dict(line.split(" ", 1) for line in found.get("state", []))
        self._tunnels = {tunnel.zone: tunnel for tunnel in plan.tunnels}
        self._rulesets = tables(found)
        self._lost: set[str] = set()  # zones of which it is known why their probes do not answer

    def findings(self) -> Findings:
        result = Findings([*map(self._with_causes, complaints(self._found))])
        result.wrong += self._large()
        result.wrong += self._own()
        result.wrong += self._ways()
        self._forwarding(result)
        self._probes(result)
        result.unproved += self._lans()
        gateways = routes.default_routes(document(self._found, "routes"))
        if len(gateways) > 1:
            result.unproved.append(
                f"the router has {len(gateways)} default routes at once, {' and '.join(gateways)}: a tunnel leaves by"
                " either, and with a fixed `office.public_address` the NATs admit only what that lists"
            )
        return result

    def _with_causes(self, complaint: str) -> str:
        """What AWS may lack, for a tunnel from whose NAT nothing comes at all."""
        match = re.match(r"no answer from .* through (\S+);", complaint)
        connection = next((each for each in self._plan.connections if match and each.interface == match[1]), None)
        if connection is None or len(connection.tunnels) > 1 or "another program has taken" in complaint:
            return complaint
        tunnel = connection.tunnel
        groups = describe_interfaces("association.public-ip", tunnel.remote, "Groups")
        causes = [
            f"what a deploy to {tunnel.nat_host} says: OpenVPN does not run there, or a firewall of its own drops it",
            f"{tunnel.nat_host}'s security group does not admit UDP {tunnel.port} from the office's address: {groups}",
            f"{tunnel.remote} is not {tunnel.nat_host}'s: aws ec2 describe-addresses --public-ips {tunnel.remote}",
            "the route table of its subnet has no 0.0.0.0/0 to the internet gateway (console: VPC → Subnets)",
        ]
        return (
            f"{complaint}\nWhere nothing has come back (TLS handshake failed), likely, in this order:{in_order(causes)}"
        )

    def _large(self) -> Iterator[str]:
        by_size = defaultdict(list)
        for line in self._found.get("large", []):
            interface, mtu, *fits = line.split()
            by_size[mtu, *fits].append(interface)
        for (mtu, *fits), interfaces in by_size.items():
            yield (
                f"packets of {mtu} bytes do not cross {', '.join(sorted(interfaces))}, though small ones do: the line"
                " between office and NAT carries less, without a word. "
                + (
                    f"Write tunnels: {{mtu: {fits[0]}}} in site.yml"
                    if fits
                    else "Nor do those of 1280, the least there is"
                )
            )

    # --- the kernel's way for a desk's packet -----------------------------------------------------------------------

    def _ways(self) -> Iterator[str]:
        by_rule: dict[tuple[str, str, str], list[str]] = defaultdict(list)
        away: dict[str, routes.Way] = {}
        for zone, network, desk, _, taken in self._answers_of_ways():
            tunnel = self._tunnels[zone]
            if taken.interface == self._home(tunnel) or self._may_take_a_detour(zone, taken):
                continue
            if taken.interface in self._interfaces and self._unreached(zone):
                continue  # its probe's answers tell why
            self._lost.add(zone)
            rules = document(self._found, "rules")
            ahead = routes.rule_ahead(rules, taken, ZONES, self._ours, desk, tunnel.beyond)
            if ahead:
                by_rule[ahead, str(network), taken.interface].append(zone)
            else:
                away[zone] = taken
        for (ahead, lan, interface), zones in by_rule.items():
            priority, _, words = ahead.partition(" ")
            yield (
                f"ip rule {priority} ({words}) comes before ours, {ZONES}: what desks of {lan} send to"
                f" {', '.join(zones)} {f'leaves by {interface}' if interface else 'goes nowhere'}. Give it a priority"
                f" behind ours where it is made; for now type: ip rule del priority {priority} &&"
                f" ip rule add {words} priority {routes.FOREIGN_PRIORITY}"
            )
        yield from self._away(away)

    def _answers_of_ways(self) -> list[tuple[str, IPv4Network, IPv4Address, str, routes.Way]]:
        """Zone, office network, desk, the network's interface, the kernel's answer; in the order of the site file."""
        found = []
        for line in self._found.get("way", []):
            zone, network, desk, interface, said = line.split(" ", 4)
            found.append((zone, IPv4Network(network), IPv4Address(desk), interface, routes.way(said)))
        order = list(self._tunnels)
        return sorted(found, key=lambda each: order.index(each[0]))

    def _home(self, tunnel: Tunnel) -> str:
        return self._plan.connection_to(tunnel.zone).interface

    def _may_take_a_detour(self, zone: str, taken: routes.Way) -> bool:
        opinion = self._opinions.get(zone, "")
        passing = opinion.endswith(PASSING) and not self._patient
        return taken.interface in self._interfaces and (opinion.endswith(DRAINED) or passing)

    def _unreached(self, zone: str) -> bool:
        probe = next((state for name, state in map(str.split, self._found.get("probe", [])) if name == zone), "")
        return self._opinions.get(zone, "").endswith(UNREACHED) and probe not in ("", *_UNJUDGED)

    def _away(self, away: dict[str, routes.Way]) -> Iterator[str]:
        """Zones that no rule of others keeps from their tunnels; one sentence for those with the same cause."""
        hears = {zone: state for zone, _, state in map(str.split, self._found.get("bfd", []))}
        alike: dict[tuple[str, str, bool], list[str]] = defaultdict(list)
        for zone, taken in away.items():
            if taken.interface in self._interfaces:
                where = f"by a detour, {taken.interface}, not by the zone's own tunnel"
            elif taken.interface:
                where = f"by {taken.interface}, not by the zone's own tunnel"
            else:
                where = "nowhere"
            opinion = self._opinions.get(zone, "")
            alike[where, opinion, hears.get(zone, "Up") == "Up"].append(zone)
        for (where, opinion, heard), zones in alike.items():
            said = f"{', '.join(zones)}: a desk's packets go {where}"
            tunnel = self._tunnels[zones[0]]
            if opinion:
                yield f"{said}. The monitor there says: {opinion}. Type the same again in a minute"
            elif heard:
                yield f"{said}. See: journalctl -u vpc-openvpn-bird; ip route show table {ZONES}"
            else:
                nats = [self._tunnels[zone].nat_host for zone in zones]
                tunnels = [self._home(self._tunnels[zone]) for zone in zones]
                deaf = obstacles(self._rulesets, bfd(tunnel.office_address, tunnel.nat_address, self._home(tunnel)))
                causes = [sentence([each], each.packet.what, tunnels) for each in deaf]
                causes.append(f"another firewall on {', '.join(nats)}: a deploy there names it")
                yield f"{said}: BFD hears nothing. Likely, in this order:{in_order(causes)}"

    def _own(self) -> Iterator[str]:
        """Chains that drop what the router itself sends through the internet to a NAT."""
        outwards = routes.default_interface(document(self._found, "routes"))
        found: dict[str, tuple[Obstacle, list[str]]] = {}
        for tunnel in self._plan.tunnels:
            packet = Packet("", "output", ANY, tunnel.remote, "udp", tunnel.port, oif=outwards)
            for each in obstacles(self._rulesets, [packet] if outwards else []):
                if each.certain:
                    found.setdefault(each.verdict.where, (each, []))[1].append(tunnel.nat_host)
        for obstacle, nats in found.values():
            yield sentence([obstacle], f"the tunnels' own packets to {', '.join(nats)}", [])

    # --- firewalls ---------------------------------------------------------------------------------------------------

    def _forwarding(self, result: Findings) -> None:
        """Chains in the way of desks' packets, of their answers, and of their addresses, with the zones concerned."""
        found: dict[tuple[str, bool, str], tuple[Obstacle, list[str]]] = {}
        for zone, network, desk, lan, _ in self._answers_of_ways():
            tunnel = self._tunnels[zone]
            for each in obstacles(self._rulesets, crossing(tunnel.beyond, desk, lan, self._home(tunnel))):
                key = each.verdict.where, each.certain, each.packet.what.format(network=network, zones="{zones}")
                zones = found.setdefault(key, (each, []))[1]
                zones += [zone] if zone not in zones else []
        for (_, certain, what), (obstacle, zones) in found.items():
            tunnels = [self._home(self._tunnels[zone]) for zone in zones]
            said = sentence([obstacle], what.format(zones=", ".join(zones)), tunnels)
            (result.wrong if certain else result.unproved).append(said)

    # --- probes ------------------------------------------------------------------------------------------------------

    def _probes(self, result: Findings) -> None:
        not_asked = []
        for line in sorted(self._found.get("probe", [])):
            zone, state = line.split()
            if state == "not-asked":
                not_asked.append(zone)
            elif zone in self._lost:
                continue
            elif state == "silent":
                result.unproved.append(
                    f"{zone}: its probe answers neither the office nor its NAT, so whether a desk's packets arrive"
                    " there was not proved. Is it on, and does its security group admit pings?"
                )
            elif state != "answers":
                reached = state == "masqueraded-only"
                result.wrong.append(_lost(self._plan, self._tunnels[zone], self._plan.probes[zone], reached=reached))
        if not_asked:
            zones = ", ".join(not_asked)
            result.unproved.append(
                f"{zones}: that a desk's packets arrive at a host there was not proved. Write `probe`, the address of a"
                " host that answers pings, in the zone's block of site.yml; the router asks it from its address in an"
                " office LAN, and has to have one"
            )

    def _lans(self) -> Iterator[str]:
        for line in self._found.get("lan", []):
            network, desk, *route = line.split()
            if not route or route[0] in ("default", "RTNETLINK", "unreachable", "blackhole"):
                yield (
                    f"{network}: this router has no way to it but its default route, so nothing was proved for desks"
                    f" there. Is its port down, or its route missing? See: ip route get {desk}"
                )


def bfd(here: IPv4Address, there: IPv4Address, interface: str) -> Sequence[Packet]:
    """BFD's packets between the ends of a tunnel."""
    return (
        Packet(
            "BFD's packets, which say that a NAT lives", "input", there, here, "udp", BFD_PORT, iif=interface, ttl=255
        ),
        Packet("BFD's packets to a NAT", "output", here, there, "udp", BFD_PORT, oif=interface, ttl=255),
    )


def crossing(there: IPv4Address, desk: IPv4Address, lan: str, interface: str) -> Sequence[Packet]:
    """A desk's packets to a zone's host through `interface`, and the answers; `lan`: the interface of the desk's
    network.
    """
    return (
        Packet("what desks of {network} send to {zones}", "prerouting", desk, there, iif=lan),
        Packet("what desks of {network} send to {zones}", "forward", desk, there, iif=lan, oif=interface),
        Packet(
            "what {zones} answers to desks of {network}", "prerouting", there, desk, iif=interface, state="established"
        ),
        Packet(
            "what {zones} answers to desks of {network}",
            "forward",
            there,
            desk,
            iif=interface,
            oif=lan,
            state="established",
        ),
        Packet("what desks of {network} send to {zones}", "postrouting", desk, there, oif=interface),
    )


def _lost(plan: OfficePlan, tunnel: Tunnel, target: IPv4Address, *, reached: bool) -> str:
    """Why a probe answers the NAT's own address, or other NATs, and not the office."""
    lans = ", ".join(map(str, plan.lans))
    nat = tunnel.nat_host
    groups, check = (
        describe_interfaces("association.public-ip", tunnel.remote, f"[NetworkInterfaceId,{field}]")
        for field in ("Groups", "SourceDestCheck")
    )
    if not reached:
        return (
            f"{tunnel.zone}: its probe {target} answers through another zone's NAT, and not through its own, {nat}."
            + in_order(
                [
                    f"{nat}'s security group does not let packets out to {target}: {groups}",
                    f"the security group of {target} does not admit {nat}'s",
                    f"another firewall on {nat}: nft list ruleset",
                ]
            )
        )
    [subnet] = [each for each in tunnel.subnets if target in each] or [tunnel.subnets[-1]]
    return (
        f"{tunnel.zone}: its probe {target} answers {nat}, and does not answer the office's own addresses ({lans}):"
        " desks do not reach it. Likely, in this order:"
        + in_order(
            [
                f"source/destination check of {nat}'s interface is on: {check}; off:"
                " aws ec2 modify-network-interface-attribute --no-source-dest-check --network-interface-id ENI",
                f"the route table of {subnet} does not lead {lans} to {nat}'s interface: aws ec2 describe-route-tables"
                f" --filters Name=route.destination-cidr-block,Values={plan.lans[0]}"
                f" (console: VPC → Subnets → {subnet} → Route table)",
                f"the security group of {target} does not admit {lans}:"
                f" {describe_interfaces('addresses.private-ip-address', target, 'Groups')}",
                f"another firewall on {nat}, or on {target}: nft list ruleset",
            ]
        )
    )
