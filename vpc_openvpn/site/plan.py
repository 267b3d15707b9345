"""What each host must be: a site → one plan per host, with every derived value computed once, here.

Plans are frozen and hold nothing but values. Adding or removing a zone changes no other tunnel; the office's plan gains
or loses that one tunnel, and another zone's plan only what it may carry as that zone's detour.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import ClassVar, TypeAlias

from vpc_openvpn.site.model import NAT_INTERFACE, SINGLE_INTERFACE, Alerts, NatSsh, OfficeSsh, Service, Site, Zone

TUNNEL_PREFIX = 29  # OpenVPN's server mode refuses a /30
ADDRESSES_PER_NUMBER = 256
SINGLE = "single"
PRIMARY_PREFERENCE, DETOUR_PREFERENCE = 300, 250  # BIRD's: the higher wins; the first detour has 250, the next 249, …
AVOIDED = 100  # less for a way that is drained or not trusted: it is the last resort; again for one that is dead
BFD_MULTIPLIER = 5  # of BFD's packets that must all be lost
# The office router's routing tables, in the order in which the kernel asks them. A table's number is its rule's
# priority, too; a tunnel's own number is added.
PROBE, HOLD, WAIT, PIN = 6700, 7000, 7300, 7600
AGAIN, ASIDE = 7580, 7590  # rules of a rotation, after those of `wait` and before those of `pin`
ROUTER, ZONES = 7899, 7900  # for what the router itself sends, and for all other packets to the VPC
LANS_RULE, NO_LAN_RULE = 32764, 32765  # the last ones before the main table's, behind those of the router's owner
MARK_MASK = "0xff000000"
EXPORTER_PORT = 9100  # Prometheus' list of default port allocations: node exporter
OFFICE = "office"  # the office router's name in the inventory, and in its certificate


@dataclass(frozen=True, slots=True)
class Ssh:
    """How the operator reaches a host. Paths are absolute for a site that was loaded from a file."""

    host: str
    user: str
    port: int
    key: Path | None  # None: ssh's agent and default keys
    known_hosts: Path


@dataclass(frozen=True, slots=True)
class Table:
    """One of the office router's routing tables: its number, which is its rule's priority too, and its name for `ip`.

    Its routes lead through one tunnel, or drop packets (`blackhole`). They go when BFD does not hear the tunnel
    (`bfd`), or when the health checks give it up (`released`).
    """

    id: int
    name: str
    blackhole: bool = False
    bfd: bool = False
    released: bool = False


@dataclass(frozen=True, slots=True)
class Tables:
    """The office router's routing tables for one tunnel, as their rules come.

    `probe`: health checks of its far end, through the tunnel in each of its states. `hold`: TCP connections that began
    on the tunnel, also while BFD does not hear it. `wait`: the same, dropped while it restarts. They are two tables
    because between a route that goes and another that comes in its place a packet would slip through. `pin`: all
    connections that began on it.
    """

    probe: Table
    hold: Table
    wait: Table
    pin: Table

    def __iter__(self) -> Iterator[Table]:
        yield from (self.probe, self.hold, self.wait, self.pin)


@dataclass(frozen=True, slots=True)
class Tunnel:
    """One OpenVPN connection, office ↔ one nat. Both ends' plans hold the same one. `mtu` in bytes."""

    zone: str
    number: int
    network: IPv4Network
    nat_address: IPv4Address
    office_address: IPv4Address
    office_interface: str
    nat_interface: str
    nat_host: str
    remote: IPv4Address  # the nat's public address, to which the office connects
    port: int
    mtu: int
    detection: int  # milliseconds of silence after which it is dead
    subnets: tuple[IPv4Network, ...]  # the zone's public and private ones

    @property
    def beyond(self) -> IPv4Address:
        """An address that the nat would forward to, for packets that end at the nat.

        No host has it, not even the nat: the first four addresses of each subnet are AWS's ("Subnet CIDR blocks").
        """
        return self.subnets[-1][3]

    @property
    def bfd_interval(self) -> int:
        """Milliseconds between two of BFD's packets. A tunnel of which BFD_MULTIPLIER in a row are lost is dead."""
        return self.detection // BFD_MULTIPLIER

    @property
    def mark(self) -> str:
        """Of connections that began on it: value and mask, as iptables and ip take them."""
        return f"{self.number << 24:#x}/{MARK_MASK}"

    @property
    def tables(self) -> Tables:
        """The office router's routing tables for it."""
        return Tables(
            Table(PROBE + self.number, f"probe-{self.zone}"),
            Table(HOLD + self.number, f"hold-{self.zone}", released=True),
            Table(WAIT + self.number, f"wait-{self.zone}", blackhole=True, released=True),
            Table(PIN + self.number, f"pin-{self.zone}", bfd=True, released=True),
        )


@dataclass(frozen=True, slots=True)
class Route:
    """A subnet as reached through one connection; of several such routes the highest `preference` wins."""

    subnet: IPv4Network
    preference: int


@dataclass(frozen=True, slots=True)
class Connection:
    """One OpenVPN client on the office router: to one nat or, under `single`, to one of them at a time.

    `subnets` are those that may be reached through it; hosts in `primary` may also begin connections to the office.
    """

    name: str  # of OpenVPN's instance
    interface: str
    tunnels: tuple[Tunnel, ...]
    primary: tuple[IPv4Network, ...]
    routes: tuple[Route, ...]

    @property
    def tunnel(self) -> Tunnel:
        """Its one tunnel; not under `single`."""
        [tunnel] = self.tunnels
        return tunnel

    @property
    def subnets(self) -> tuple[IPv4Network, ...]:
        return tuple(route.subnet for route in self.routes)


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """How the office router checks that a zone's nat forwards: it asks `target` through the zone's tunnel and, while
    no answer comes, through the `others`, the tunnels of the zone's detours.
    """

    tunnel: Tunnel
    target: IPv4Address
    answers: bool  # `target` answers pings itself; if not, the nat is asked about a packet that it would forward there
    others: tuple[Tunnel, ...]


@dataclass(frozen=True, slots=True)
class OfficePlan:
    """All that the office router must be. Tunnels are in the order of the site file."""

    role: ClassVar[str] = "office"

    host: str
    ssh: Ssh
    strategy: str
    lans: tuple[IPv4Network, ...]
    services: tuple[Service, ...]  # that the VPC's hosts may ask of this one
    vpc: tuple[IPv4Network, ...]
    operators: tuple[IPv4Network, ...]
    tunnels: tuple[Tunnel, ...]
    connections: tuple[Connection, ...]
    health_checks: tuple[HealthCheck, ...]  # none under `single`
    probes: Mapping[str, IPv4Address]  # by zone, of those that have one
    metrics: str  # on, files or off
    alerts: Alerts | None

    def connection_to(self, zone: str) -> Connection:
        """The one that leads, or under `single` may lead, to the zone's own nat."""
        [connection] = [each for each in self.connections if zone in [tunnel.zone for tunnel in each.tunnels]]
        return connection

    @property
    def tables(self) -> tuple[Table, ...]:
        """All routing tables of ours on this host."""
        of_tunnels = [table for check in self.health_checks for table in check.tunnel.tables]
        return (*sorted(of_tunnels, key=lambda table: table.id), Table(ROUTER, "vpc-router"), Table(ZONES, "vpc-zones"))

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The tunnels' on this host."""
        return tuple(connection.interface for connection in self.connections)

    @property
    def exports(self) -> bool:
        """Whether an exporter of ours runs on the host."""
        return self.metrics == "on"

    @property
    def groups(self) -> tuple[str, ...]:
        """The inventory's groups that the host is in."""
        return (self.role,)


@dataclass(frozen=True, slots=True)
class NatPlan:
    """All that one zone's nat must be."""

    role: ClassVar[str] = "nat"

    host: str
    zone: str
    ssh: Ssh
    strategy: str
    private_address: IPv4Address
    public_address: IPv4Address
    private_subnets: tuple[IPv4Network, ...]
    subnets: tuple[IPv4Network, ...]  # public and private
    transit: tuple[IPv4Network, ...]  # other zones' subnets that the office may reach through this nat
    lans: tuple[IPv4Network, ...]
    vpc: tuple[IPv4Network, ...]
    operators: tuple[IPv4Network, ...]
    office_addresses: tuple[IPv4Address, ...]  # public ones, one for each internet line; none: dynamic
    tunnel: Tunnel
    metrics: str  # on, files or off

    tables: ClassVar[tuple[Table, ...]] = ()  # the way to the office stands in the main table

    @property
    def tunnels(self) -> tuple[Tunnel, ...]:
        """Its one tunnel, for what does the same with every tunnel of a host."""
        return (self.tunnel,)

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The tunnels' on this host."""
        return (self.tunnel.nat_interface,)

    @property
    def exports(self) -> bool:
        """Whether an exporter of ours runs on the host."""
        return self.metrics == "on"

    @property
    def groups(self) -> tuple[str, ...]:
        """The inventory's groups that the host is in."""
        return (self.role, self.zone)


HostPlan: TypeAlias = OfficePlan | NatPlan


def plan(site: Site) -> dict[str, HostPlan]:
    """Every host's plan by the host's name: the office first, then the nats in the order of the site file."""
    tunnels = {zone.name: _tunnel(site, zone) for zone in site.zones}
    plans: list[OfficePlan | NatPlan] = [_office_plan(site, tunnels)]
    plans += (_nat_plan(site, zone, tunnels) for zone in site.zones)
    return {each.host: each for each in plans}


def nat_host(zone: str) -> str:
    """The name of a zone's nat in the inventory."""
    return f"nat-{zone}"


def _detours(site: Site, zone: Zone) -> tuple[str, ...]:
    """The zones by which `zone` is reached while its own nat is dead, best first."""
    if site.strategy == SINGLE or site.detour == "off":
        return ()
    if zone.detour is not None:
        return zone.detour
    return tuple(each.name for each in site.zones if each.name != zone.name)


def _transit(site: Site, name: str) -> tuple[Zone, ...]:
    """The other zones that may be reached through the nat of the zone `name`."""
    if site.strategy == SINGLE:
        return tuple(zone for zone in site.zones if zone.name != name)
    return tuple(zone for zone in site.zones if name in _detours(site, zone))


def _office_plan(site: Site, tunnels: Mapping[str, Tunnel]) -> OfficePlan:
    single = site.strategy == SINGLE
    return OfficePlan(
        host=OFFICE,
        ssh=_ssh(site, site.office.ssh, site.office.ssh.host),
        strategy=site.strategy,
        lans=site.office.lans,
        services=tuple(dict.fromkeys(site.office.services)),
        vpc=site.vpc.network,
        operators=site.operators,
        tunnels=tuple(tunnels.values()),
        connections=(_single(tunnels),) if single else tuple(_connection(site, zone, tunnels) for zone in site.zones),
        probes={zone.name: zone.probe for zone in site.zones if zone.probe},
        health_checks=() if single else tuple(_health_check(site, zone, tunnels) for zone in site.zones),
        metrics=site.metrics,
        alerts=_alerts(site),
    )


def _alerts(site: Site) -> Alerts | None:
    """With the site's own age of an identity that is due, where `alerts` has none."""
    limit = site.identities.max_age_days
    if site.alerts is None or limit is None or "identities" in site.alerts.model_fields_set:
        return site.alerts
    return site.alerts.model_copy(update={"identities": limit})


def _single(tunnels: Mapping[str, Tunnel]) -> Connection:
    subnets = tuple(subnet for tunnel in tunnels.values() for subnet in tunnel.subnets)
    routes = tuple(Route(subnet, PRIMARY_PREFERENCE) for subnet in subnets)
    return Connection("vpc", SINGLE_INTERFACE, tuple(tunnels.values()), subnets, routes)


def _connection(site: Site, zone: Zone, tunnels: Mapping[str, Tunnel]) -> Connection:
    tunnel = tunnels[zone.name]
    routes = [Route(subnet, PRIMARY_PREFERENCE) for subnet in tunnel.subnets]
    for other in _transit(site, zone.name):
        preference = DETOUR_PREFERENCE - _detours(site, other).index(zone.name)
        routes += (Route(subnet, preference) for subnet in tunnels[other.name].subnets)
    return Connection(f"vpc-{zone.name}", tunnel.office_interface, (tunnel,), tunnel.subnets, tuple(routes))


def _health_check(site: Site, zone: Zone, tunnels: Mapping[str, Tunnel]) -> HealthCheck:
    tunnel = tunnels[zone.name]
    others = tuple(tunnels[name] for name in _detours(site, zone))
    return HealthCheck(tunnel, zone.probe or tunnel.beyond, answers=zone.probe is not None, others=others)


def _nat_plan(site: Site, zone: Zone, tunnels: Mapping[str, Tunnel]) -> NatPlan:
    nat, tunnel = zone.nat, tunnels[zone.name]
    return NatPlan(
        host=tunnel.nat_host,
        zone=zone.name,
        ssh=_ssh(site, nat.ssh, nat.ssh.host or str(nat.public_address)),
        strategy=site.strategy,
        private_address=nat.private_address,
        public_address=nat.public_address,
        private_subnets=zone.subnets.private,
        subnets=tunnel.subnets,
        transit=tuple(sorted(subnet for other in _transit(site, zone.name) for subnet in tunnels[other.name].subnets)),
        lans=site.office.lans,
        vpc=site.vpc.network,
        operators=site.operators,
        office_addresses=site.office.public_address,
        tunnel=tunnel,
        metrics=site.metrics,
    )


def _tunnel(site: Site, zone: Zone) -> Tunnel:
    first = site.tunnels.network.network_address + zone.number * ADDRESSES_PER_NUMBER
    network = IPv4Network((first, TUNNEL_PREFIX))
    return Tunnel(
        zone=zone.name,
        number=zone.number,
        network=network,
        nat_address=network[1],  # OpenVPN's server takes the first
        office_address=network[2],
        office_interface=zone.interface,
        nat_interface=NAT_INTERFACE,
        nat_host=nat_host(zone.name),
        remote=zone.nat.public_address,
        port=zone.tunnel.port,
        mtu=site.tunnels.mtu,
        detection=site.tunnels.detection,
        subnets=zone.subnets.public + zone.subnets.private,
    )


def _ssh(site: Site, ssh: OfficeSsh | NatSsh, host: str) -> Ssh:
    return Ssh(host, ssh.user, ssh.port, ssh.key or site.ssh.key, site.ssh.known_hosts)
