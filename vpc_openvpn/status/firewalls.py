"""Whether the office router's firewalls let a zone's packets through: all of its rules, as it reports them. Pure."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address
from itertools import product

from vpc_openvpn.diagnosis.filters import Packet, Table
from vpc_openvpn.diagnosis.obstacles import obstacles, tables
from vpc_openvpn.diagnosis.office import bfd, crossing
from vpc_openvpn.status.claims import Claims, readable

KINDS = ("iptables", "legacy", "nft")


class Firewalls:
    """Those of a report on the office router itself. `read`: it has all of its rules."""

    def __init__(self, said: Claims) -> None:
        filters = said.inside("filters")
        found = _tables(filters)
        self.read = found is not None and all(filters.long_text(kind) is not None for kind in KINDS)
        self._tables = found or []
        self._desks = [*_desks(said)]
        self._tunnels = said.inside("tunnels")

    def block(self, zone: str, via: str | None) -> str | None:
        """Which chain keeps desks' packets from a zone by the tunnel of `via`, or the answers from desks; None if, for
        all that is known, none does.
        """
        interface = self._tunnels.inside(via or "").word("interface")
        hosts = [*_addresses(self._tunnels.inside(zone).elements("hosts"))]
        if not interface:
            return None
        packets = (
            (packet, network)
            for (network, desk, lan), there in product(self._desks, hosts)
            for packet in crossing(there, desk, lan, interface)
        )
        return self._first(
            (packet, packet.what.format(network=network, zones="the zone")) for packet, network in packets
        )

    def deafen(self, zone: str) -> str | None:
        """Which chain drops BFD's packets, by which a zone's NAT is known to live; None if none is known to."""
        tunnel = self._tunnels.inside(zone)
        interface, ends = tunnel.word("interface"), [*_addresses([tunnel.text("own"), tunnel.text("nat")])]
        if not interface or len(ends) < 2:
            return None
        return self._first((packet, packet.what) for packet in bfd(ends[0], ends[1], interface))

    def _first(self, packets: Iterable[tuple[Packet, str]]) -> str | None:
        for packet, what in packets:
            for each in obstacles(self._tables, [packet]):
                if each.certain:
                    return readable(f"{each.verdict.where} {each.verdict.verb} {what}")
        return None


def _tables(said: Claims) -> list[Table] | None:
    lines = {kind: (said.long_text(kind) or "").splitlines() for kind in ("iptables", "legacy")}
    try:
        return tables({**lines, "nft": [said.long_text("nft") or ""]})
    except Exception:  # what stands in for rules may have any shape; then nothing is known of them
        return None


def _desks(said: Claims) -> Iterator[tuple[str, IPv4Address, str]]:
    for each in map(Claims, said.elements("desks")):
        network, interface = each.text("network"), each.word("interface")
        for address in _addresses([each.text("desk")]):
            if network and interface:
                yield network, address, interface


def _addresses(said: Iterable[object]) -> Iterator[IPv4Address]:
    for each in said:
        try:
            yield IPv4Address(str(each))
        except ValueError:
            continue
