"""Which firewall of a host's own stands in a packet's way, and what to type or to add there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vpc_openvpn.diagnosis import firewalld
from vpc_openvpn.diagnosis.filters import Packet, Table, Verdict, from_iptables, from_nft, verdicts

OURS = "vpc-openvpn-"  # our chains' names begin so


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A chain that ends badly for a packet. `certain`: whatever is not known from outside."""

    packet: Packet
    verdict: Verdict

    @property
    def certain(self) -> bool:
        return self.verdict.certain


def sentence(met: Sequence[Obstacle], what: str, tunnels: Sequence[str]) -> str:
    """One sentence on `what`, the packets that end at one chain, and one on each mend. `tunnels`: the interfaces of all
    tunnels that this concerns; several zones may have the same.
    """
    verdict = met[0].verdict
    tunnels = list(dict.fromkeys(tunnels))
    verb = verdict.verb
    may = "" if verdict.certain else "may be in the way: as far as can be seen it "
    if verdict.owner == "firewalld":
        mend = firewalld.mend(verdict.outcome, verdict.table, [each.packet for each in met], tunnels)
    else:
        mend = ". ".join(dict.fromkeys(_mend(each.packet, verdict) for each in met))
        mend += " (and the same for each tunnel)" if len(tunnels) > 1 else ""
    return f"{verdict.where} {may}{verb} {what}. {mend}"


def tables(found: dict[str, list[str]]) -> list[Table]:
    """The host's rulesets, from a proof's answer. Of a table that both nft and iptables-save show, the latter's word
    counts: nft shows its rules less well.
    """
    saved = from_iptables("\n".join(found.get("iptables", [])))
    shown = {f"ip {table.name}" for table in saved}
    nft = [table for text in found.get("nft", []) for table in from_nft(text)]
    legacy = from_iptables("\n".join(found.get("legacy", [])), "iptables-legacy")
    return [*(table for table in nft if table.name not in shown), *saved, *legacy]


def obstacles(rulesets: Sequence[Table], packets: Iterable[Packet]) -> list[Obstacle]:
    """Chains that drop a packet, or change the source address of one that has to keep it."""
    found = []
    for packet in packets:
        for verdict in verdicts(rulesets, packet):
            ours = f"-A {OURS}" in verdict.by
            if verdict.outcome in ("drop", "nat") and not (ours and not verdict.certain):
                found.append(Obstacle(packet, verdict))
    return found


def masquerades(rulesets: Sequence[Table], packet: Packet) -> bool:
    """Whether a packet gets another source address on its way out, for certain."""
    return any(verdict.outcome == "nat" for verdict in verdicts(rulesets, packet))


def _mend(packet: Packet, verdict: Verdict) -> str:
    """Where the chain likely comes from, and what to write there."""
    if verdict.outcome == "nat" and verdict.chain.hook == "prerouting":
        return f"Leave the VPC's networks out of that rule, in {_source(verdict)}"
    if verdict.outcome == "nat":
        nft = verdict.table.kind == "nftables"
        if not packet.oif.startswith("tun"):  # one interface for the VPC and the internet
            example = f"ip daddr != {packet.within}" if nft else f"! -d {packet.within}"
            return f"Leave the VPC out of that rule, in {_source(verdict)}: {example}"
        example = 'oifname "wan"' if nft else "-o wan"
        return f"Give that rule the internet line's interface, in {_source(verdict)}: {example}, say"
    if verdict.owner == "ufw" and packet.hook == "forward":
        return f"Type: ufw route allow in on {packet.iif} out on {packet.oif}"
    if verdict.owner == "ufw":
        return f"Type: ufw allow in on {packet.iif} proto {packet.protocol} to any port {packet.port}"
    if verdict.table.kind == "nftables":
        words = [f'iifname "{packet.iif}"'] if packet.iif else []
        words += [f'oifname "{packet.oif}"'] if packet.oif else []
        words += [f"{packet.protocol} dport {packet.port}"] if packet.port else []
        back = f'; iifname "{packet.oif}" oifname "{packet.iif}" accept' if packet.hook == "forward" else ""
        return f"Add to that chain, first, in {_source(verdict)}: {' '.join(words)} accept{back}"
    words = [f"-t {verdict.table.name}"] if verdict.table.name != "filter" else []
    words += [f"-i {packet.iif}"] if packet.iif else []
    words += [f"-o {packet.oif}"] if packet.oif else []
    words += [f"-p {packet.protocol} --dport {packet.port}"] if packet.port else []
    chain = "DOCKER-USER" if verdict.owner == "Docker" and packet.hook == "forward" else verdict.chain.name
    command = "iptables-legacy" if verdict.table.kind == "iptables-legacy" else "iptables"
    return f"Type, and keep where {_source(verdict)} loads it: {command} -I {chain} {' '.join(words)} -j ACCEPT"


def _source(verdict: Verdict) -> str:
    return {"nftables": "/etc/nftables.conf", "iptables": "the host's own script"}.get(verdict.owner, verdict.owner)
