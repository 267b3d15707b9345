"""What must hold between the parts of a site; each rule is a function that yields what breaks it.

Rules compare the parts that are sound in themselves and pass over those that are not, so that one report
shows both kinds of error and none that is only the echo of another.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import TypeVar

from vpc_openvpn.site.model import NUMBERS, Alerts, Office, Tunnels, Vpc, Zone
from vpc_openvpn.site.problem import KeyPath, Problem, dotted

MOST_RULES = 25_000  # in the office router's firewall. Tried: they load in seconds
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
    alerts: Alerts | None = None
    strategy: str = ""


Rule = Callable[[Parts], Iterator[Problem]]
Placed = tuple[KeyPath, T]
"""A value and where it stands."""


def check(parts: Parts) -> list[Problem]:
    """Everything that breaks a rule."""
    return [problem for rule in RULES for problem in rule(parts)]


# --- networks -----------------------------------------------------------------------------------------------


def networks_are_apart(parts: Parts) -> Iterator[Problem]:
    """The office's LANs, the VPC and the tunnels: a packet must have one place to go."""
    for path, network, first, other in overlapping([*_networks(parts)]):
        why = f"overlaps {dotted(first)}, {other}: an address in both has two places to be"
        if path == ("tunnels", "network"):
            given = parts.tunnels is not None and "network" in parts.tunnels.model_fields_set
            value = f"{network}" if given else f"{network} (the default)"
            yield Problem(path, value, why, _free_tunnels_network(parts))
        else:
            yield Problem(path, str(network), why, "correct the one that is wrong, or renumber one of them")


def subnets_are_in_the_vpc(parts: Parts) -> Iterator[Problem]:
    if parts.vpc is None:
        return
    for path, subnet in _subnets(parts.zones):
        if not any(subnet.subnet_of(network) for network in parts.vpc.network):
            why = f"is not in the VPC: vpc.network is {_listed(parts.vpc.network)}"
            yield Problem(path, str(subnet), why, "write a subnet of it, or correct vpc.network")


def subnets_are_apart(parts: Parts) -> Iterator[Problem]:
    for path, subnet, first, other in overlapping([*_subnets(parts.zones)]):
        if subnet == other:
            why = f"is also {_named(first, parts)}: a subnet is in one zone, and public or private"
            yield Problem(path, str(subnet), why, "keep it in one of the two")
        else:
            why = f"overlaps {_named(first, parts)}, {other}"
            yield Problem(path, str(subnet), why, "correct one of the two: subnets of one VPC never overlap")


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


def ssh_reaches_each_host(parts: Parts) -> Iterator[Problem]:
    """Two hosts at one address and port are one host to ssh: a deploy would wait for itself there.

    Two nats with one public address are two of `addresses_are_unique`'s.
    """
    for path, (host, port), first in _repeated(_ssh_addresses(parts)):
        if path[-1] == "public_address":
            path, first = first, path  # the one that was written is the one to change
        if path[-1] != "public_address":
            why = f"is also {_named(first, parts)}, and the port is {port} for both: ssh finds one host there, not two"
            yield Problem(path, host, why, "write this host's own address or, where they share one, its own port")


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


def firewalls_are_not_too_large(parts: Parts) -> Iterator[Problem]:
    """The office router has a rule for each LAN, subnet and tunnel that may carry the one to the other."""
    if parts.office is None:
        return
    lans, subnets, tunnels = len(parts.office.lans), len([*_subnets(parts.zones)]), len(parts.zones)
    if lans * subnets * tunnels > MOST_RULES:
        why = f"with {subnets} subnets and {tunnels} tunnels they take more than {MOST_RULES} firewall rules"
        instead = "write larger networks that hold several of these"
        yield Problem(("office", "lans"), f"{lans} networks", why, instead)


def alerts_have_a_monitor(parts: Parts) -> Iterator[Problem]:
    """What they say is what the office router's monitor sees. A single connection has none."""
    if parts.alerts is not None and parts.strategy == "single":
        why = "is there, and strategy: single has no monitor that could know of anything"
        yield Problem(("alerts",), "", why, "leave `alerts` out, or write strategy: per-zone")


RULES: tuple[Rule, ...] = (
    networks_are_apart,
    subnets_are_in_the_vpc,
    subnets_are_apart,
    resolver_is_in_the_vpc,
    nats_are_in_their_public_subnets,
    public_addresses_are_public,
    zone_names_are_unique,
    addresses_are_unique,
    ssh_reaches_each_host,
    numbers_are_unique,
    interfaces_are_unique,
    detours_are_other_zones,
    probes_are_in_their_zones,
    firewalls_are_not_too_large,
    alerts_have_a_monitor,
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


def overlapping(
    networks: Sequence[Placed[IPv4Network]],
) -> Iterator[tuple[KeyPath, IPv4Network, KeyPath, IPv4Network]]:
    """Each network that overlaps one before it, with its place, and the first such one, with its own.

    Of two networks that overlap one holds the other. In order of address and size each comes behind those that hold it,
    so one walk there and one back are enough.
    """
    first = list(range(len(networks)))  # the first place of all that a network holds, or that hold it, itself included
    held = list(first)  # the first place of all that it holds
    around: list[int] = []  # the places of those that hold the present one, the largest first
    parents: list[tuple[int, int]] = []
    for place in sorted(first, key=lambda place: networks[place][1]):
        while around and not networks[place][1].subnet_of(networks[around[-1]][1]):
            around.pop()
        if around:
            first[place] = min(place, first[around[-1]])
            parents.append((place, around[-1]))
        around.append(place)
    for place, parent in reversed(parents):
        held[parent] = min(held[parent], held[place])
    for place, (path, network) in enumerate(networks):
        earliest = min(first[place], held[place])
        if earliest < place:
            yield path, network, *networks[earliest]


def _ssh_addresses(parts: Parts) -> Iterator[Placed[tuple[str, int]]]:
    """Where ssh looks for each host: host and port."""
    if parts.office is not None:
        yield ("office", "ssh", "host"), (parts.office.ssh.host.lower(), parts.office.ssh.port)
    for index, zone in parts.zones.items():
        nat = zone.nat
        path = ("ssh", "host") if nat.ssh.host else ("public_address",)
        yield ("zones", index, "nat", *path), ((nat.ssh.host or str(nat.public_address)).lower(), nat.ssh.port)


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
