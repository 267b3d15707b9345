"""What must hold between the parts of a site; each rule is a function that yields what breaks it.

Rules compare the parts that are sound in themselves and pass over those that are not, so that one report
shows both kinds of error and none that is only the echo of another.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations
from typing import TypeVar

from topology.model import NUMBERS, Office, Tunnels, Vpc, Zone
from topology.problem import KeyPath, Problem, dotted

MOST_ZONES = 16
LINK_LOCAL_RESOLVER = IPv4Address("169.254.169.253")  # Amazon's, the same in every VPC
AWS_RESERVED = 4  # the first four of each subnet, and its last: Amazon VPC User Guide, "Subnet CIDR blocks"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parts:
    """The sound parts of a site file: None, or no entry, for one that is missing or has its own error."""

    office: Office | None
    vpc: Vpc | None
    tunnels: Tunnels | None
    zones: Mapping[int, Zone]  # by place in the file
    zone_names: Sequence[str] = ()  # of all zones in the file, sound or not


Rule = Callable[[Parts], Iterator[Problem]]
Placed = tuple[KeyPath, T]
"""A value and where it stands."""


def check(parts: Parts) -> list[Problem]:
    """Everything that breaks a rule."""
    return [problem for rule in RULES for problem in rule(parts)]


# --- networks -----------------------------------------------------------------------------------------------


def networks_are_apart(parts: Parts) -> Iterator[Problem]:
    """The office's LANs, the VPC and the tunnels: a packet must have one place to go."""
    for (first, mine), (second, other) in combinations(_networks(parts), 2):
        if mine.overlaps(other):
            why = f"overlaps {dotted(first)}, {mine}: an address in both has two places to be"
            if second == ("tunnels", "network"):
                given = parts.tunnels is not None and "network" in parts.tunnels.model_fields_set
                value = f"{other}" if given else f"{other} (the default)"
                yield Problem(second, value, why, _free_tunnels_network(parts))
            else:
                yield Problem(second, str(other), why, "correct the one that is wrong, or renumber one of them")


def subnets_are_in_the_vpc(parts: Parts) -> Iterator[Problem]:
    if parts.vpc is None:
        return
    for path, subnet in _subnets(parts.zones):
        if not any(subnet.subnet_of(network) for network in parts.vpc.network):
            why = f"is not in the VPC: vpc.network is {_listed(parts.vpc.network)}"
            yield Problem(path, str(subnet), why, "write a subnet of it, or correct vpc.network")


def subnets_are_apart(parts: Parts) -> Iterator[Problem]:
    for (first, mine), (second, other) in combinations(_subnets(parts.zones), 2):
        if mine == other:
            why = f"is also {_named(first, parts)}: a subnet is in one zone, and public or private"
            yield Problem(second, str(other), why, "keep it in one of the two")
        elif mine.overlaps(other):
            why = f"overlaps {_named(first, parts)}, {mine}"
            yield Problem(second, str(other), why, "correct one of the two: subnets of one VPC never overlap")


def resolver_is_in_the_vpc(parts: Parts) -> Iterator[Problem]:
    if parts.vpc is None or parts.vpc.resolver is None:
        return
    networks, resolver = parts.vpc.network, parts.vpc.resolver
    if not any(resolver in network for network in networks) and resolver != LINK_LOCAL_RESOLVER:
        why = f"is not in the VPC: vpc.network is {_listed(networks)}"
        instead = f"leave it out for Amazon's, {networks[0].network_address + 2}, or write one that is in the VPC"
        yield Problem(("vpc", "resolver"), str(resolver), why, instead)


# --- addresses ----------------------------------------------------------------------------------------------


def nats_are_in_their_public_subnets(parts: Parts) -> Iterator[Problem]:
    """Each nat has an address that AWS can give to a host, in a public subnet of its own zone."""
    for index, zone in parts.zones.items():
        address = zone.nat.private_address
        path: KeyPath = ("zones", index, "nat", "private_address")
        home = next((subnet for subnet in zone.subnets.public if address in subnet), None)
        if home is None:
            public = _listed(zone.subnets.public)
            other = next((place for place, subnet in _subnets(parts.zones) if address in subnet), None)
            where = f"; it is in {_named(other, parts)}" if other else ""
            why = f"is not in a public subnet of this zone ({public}){where}"
            yield Problem(path, str(address), why, "correct the address, or list its subnet under subnets.public")
        elif not AWS_RESERVED <= int(address) - int(home[0]) < home.num_addresses - 1:
            why = f"is reserved by AWS: no host has one of the first four addresses, or the last, of {home}"
            usable = f"from {home[AWS_RESERVED]} to {home[-2]}"
            yield Problem(path, str(address), why, f"write the nat's own address, {usable}")


def public_addresses_are_public(parts: Parts) -> Iterator[Problem]:
    """A tunnel's own packets must not be routed into the tunnel."""
    for path, address in _public_addresses(parts):
        for place, network in _networks(parts):
            if address in network:
                why = f"is inside {dotted(place)}, {network}, so it is not public"
                yield Problem(path, str(address), why, "write the address that the internet sees")


# --- one of each --------------------------------------------------------------------------------------------


def zone_names_are_unique(parts: Parts) -> Iterator[Problem]:
    names = [(("zones", index, "name"), zone.name) for index, zone in parts.zones.items()]
    for path, name, first in _repeated(names):
        yield Problem(path, name, f"is also {dotted(first)}", "give each zone its own name")


def addresses_are_unique(parts: Parts) -> Iterator[Problem]:
    """Public ones too, so that an address and a port make one tunnel's end."""
    for path, address, first in _repeated(_private_addresses(parts)):
        yield Problem(path, str(address), f"is also {_named(first, parts)}", "write this nat's own address")
    for path, address, first in _repeated(_public_addresses(parts)):
        own = "write each address once" if path[0] == "office" else "write this nat's own Elastic IP"
        yield Problem(path, str(address), f"is also {_named(first, parts)}", own)


def numbers_are_unique(parts: Parts) -> Iterator[Problem]:
    """A repeated zone name repeats its number; that much `zone_names_are_unique` says."""
    taken = {zone.number for zone in parts.zones.values()}
    free = next(number for number in NUMBERS if number not in taken)
    for path, number, first in _repeated([(("zones", i), zone.number) for i, zone in _distinct(parts.zones)]):
        this, other = (parts.zones[int(place[1])] for place in (path, first))
        why = f"has tunnel number {number}, as has {_named(first, parts)}"
        if this.tunnel.number is None and other.tunnel.number is None:
            why += f": both names end in `{this.name[-1]}`"
        place = (*path, "name") if this.tunnel.number is None else (*path, "tunnel", "number")
        value = this.name if this.tunnel.number is None else str(number)
        yield Problem(place, value, why, f"write tunnel: {{number: {free}}} in one of the two")


def interfaces_are_unique(parts: Parts) -> Iterator[Problem]:
    """Two derived ones are the same only if their numbers are; that much `numbers_are_unique` says."""
    places = [(("zones", i, "tunnel", "interface"), zone.interface) for i, zone in _distinct(parts.zones)]
    for path, interface, first in _repeated(places):
        this, other = (parts.zones[int(place[1])] for place in (path, first))
        if not this.tunnel.interface:
            path, first = first, path  # the one that was written is the one to change
        if this.tunnel.interface or other.tunnel.interface:
            why = f"is also the interface of {_named(first[:2], parts)}"
            yield Problem(path, interface, why, "write another, or leave it out")


# --- detours ------------------------------------------------------------------------------------------------


def detours_are_other_zones(parts: Parts) -> Iterator[Problem]:
    """Each once. Zones with errors of their own may be named all the same."""
    for index, zone in parts.zones.items():
        paths: list[Placed[str]] = [
            (("zones", index, "detour", place), name) for place, name in enumerate(zone.detour or ())
        ]
        for path, name in paths:
            if name == zone.name:
                yield Problem(path, name, "is this zone itself", "name other zones: a detour goes through their nats")
            elif name not in parts.zone_names:
                others = [other for other in parts.zone_names if other != zone.name]
                near = difflib.get_close_matches(name, others, n=1)
                instead = f"did you mean `{near[0]}`?" if near else f"the other zones are {', '.join(others) or 'none'}"
                yield Problem(path, name, "is not a zone of this site", instead)
        for path, name, first in _repeated(paths):
            yield Problem(path, name, f"is also {dotted(first)}", "name each zone once, the best first")


def probes_are_in_their_zones(parts: Parts) -> Iterator[Problem]:
    for index, zone in parts.zones.items():
        path: KeyPath = ("zones", index, "probe")
        if zone.probe is None:
            continue
        if zone.probe == zone.nat.private_address:
            why = "is the nat itself: that it answers does not say that it forwards"
            yield Problem(path, str(zone.probe), why, "write a host behind it, or leave it out")
        elif not any(zone.probe in subnet for subnet in zone.subnets.public + zone.subnets.private):
            why = "is not in a subnet of this zone"
            yield Problem(path, str(zone.probe), why, "write a host of this zone that answers pings, or leave it out")


def zones_are_not_too_many(parts: Parts) -> Iterator[Problem]:
    if len(parts.zones) > MOST_ZONES:
        why = f"are more than the {MOST_ZONES} that are supported"
        yield Problem(("zones",), f"{len(parts.zones)} zones", why, f"keep {MOST_ZONES} or fewer")


RULES: tuple[Rule, ...] = (
    networks_are_apart,
    subnets_are_in_the_vpc,
    subnets_are_apart,
    resolver_is_in_the_vpc,
    nats_are_in_their_public_subnets,
    public_addresses_are_public,
    zone_names_are_unique,
    addresses_are_unique,
    numbers_are_unique,
    interfaces_are_unique,
    detours_are_other_zones,
    probes_are_in_their_zones,
    zones_are_not_too_many,
)


# --- where things stand -------------------------------------------------------------------------------------


def _networks(parts: Parts) -> Iterator[Placed[IPv4Network]]:
    if parts.office is not None:
        for index, lan in enumerate(parts.office.lans):
            yield ("office", "lans", index), lan
    if parts.vpc is not None:
        yield from _each(("vpc", "network"), parts.vpc.network)
    if parts.tunnels is not None:
        yield ("tunnels", "network"), parts.tunnels.network


def _each(path: KeyPath, values: Sequence[T]) -> Iterator[Placed[T]]:
    """The items of a list for which one value may stand alone."""
    for index, value in enumerate(values):
        yield (path if len(values) == 1 else (*path, index)), value


def _subnets(zones: Mapping[int, Zone]) -> Iterator[Placed[IPv4Network]]:
    for place, zone in zones.items():
        for index, subnet in enumerate(zone.subnets.public):
            yield ("zones", place, "subnets", "public", index), subnet
        for index, subnet in enumerate(zone.subnets.private):
            yield ("zones", place, "subnets", "private", index), subnet


def _private_addresses(parts: Parts) -> Iterator[Placed[IPv4Address]]:
    for index, zone in parts.zones.items():
        yield ("zones", index, "nat", "private_address"), zone.nat.private_address


def _public_addresses(parts: Parts) -> Iterator[Placed[IPv4Address]]:
    if parts.office is not None:
        yield from _each(("office", "public_address"), parts.office.public_address)
    for index, zone in parts.zones.items():
        yield ("zones", index, "nat", "public_address"), zone.nat.public_address


def _distinct(zones: Mapping[int, Zone]) -> Iterator[tuple[int, Zone]]:
    """The zones less those whose name an earlier one has."""
    names: set[str] = set()
    for index, zone in zones.items():
        if zone.name not in names:
            names.add(zone.name)
            yield index, zone


def _repeated(values: Iterable[Placed[T]]) -> Iterator[tuple[KeyPath, T, KeyPath]]:
    """Each value that an earlier place has too: its place, itself, the first place."""
    seen: dict[T, KeyPath] = {}
    for path, value in values:
        if value in seen:
            yield path, value, seen[value]
        else:
            seen[value] = path


def _named(path: KeyPath, parts: Parts) -> str:
    """A key path with the name of the zone that it is in, easier to find than its place in the list."""
    if path[0] != "zones":
        return dotted(path)
    return f"{dotted(path)} ({parts.zones[int(path[1])].name})"


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))


def _free_tunnels_network(parts: Parts) -> str:
    """What to write for the tunnels: the first private /16 that is apart from the office and the VPC."""
    taken = [network for path, network in _networks(parts) if path[0] != "tunnels"]
    candidates = [f"10.{n}.0.0/16" for n in range(200, 256)] + [f"172.{n}.0.0/16" for n in range(16, 32)]
    for candidate in map(IPv4Network, candidates):
        if not any(candidate.overlaps(network) for network in taken):
            return f"write tunnels: {{network: {candidate}}}, or another /16 that nothing uses"
    return "write tunnels: {network: …} with a /16 that nothing uses"
