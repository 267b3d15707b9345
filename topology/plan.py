"""What each host must be: a site → one plan per host, with every derived value computed once, here.

Plans are frozen and hold nothing but values. Adding or removing a zone changes no other zone's plan and no
other tunnel; the office's plan gains or loses that one tunnel.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import ClassVar, TypeAlias

from topology.model import NAT_INTERFACE, NatSsh, OfficeSsh, Site, Zone

TUNNEL_PREFIX = 29  # OpenVPN's server mode refuses a /30
ADDRESSES_PER_NUMBER = 256
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
    subnets: tuple[IPv4Network, ...]  # the zone's public and private ones


@dataclass(frozen=True, slots=True)
class OfficePlan:
    """All that the office router must be. Tunnels are in the order of the site file."""

    role: ClassVar[str] = "office"

    host: str
    ssh: Ssh
    lans: tuple[IPv4Network, ...]
    vpc: IPv4Network
    operators: tuple[IPv4Network, ...]
    tunnels: tuple[Tunnel, ...]

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
    private_address: IPv4Address
    public_address: IPv4Address
    private_subnets: tuple[IPv4Network, ...]
    subnets: tuple[IPv4Network, ...]  # public and private
    lans: tuple[IPv4Network, ...]
    vpc: IPv4Network
    operators: tuple[IPv4Network, ...]
    office_address: IPv4Address | None  # None: dynamic
    tunnel: Tunnel

    @property
    def tunnels(self) -> tuple[Tunnel, ...]:
        """Its one tunnel, for what does the same with every tunnel of a host."""
        return (self.tunnel,)

    @property
    def groups(self) -> tuple[str, ...]:
        """The inventory's groups that the host is in."""
        return (self.role, self.zone)


HostPlan: TypeAlias = OfficePlan | NatPlan


def plan(site: Site) -> dict[str, HostPlan]:
    """Every host's plan by the host's name: the office first, then the nats in the order of the site file."""
    tunnels = tuple(_tunnel(site, zone) for zone in site.zones)
    plans: list[OfficePlan | NatPlan] = [_office_plan(site, tunnels)]
    plans += (_nat_plan(site, zone, tunnel) for zone, tunnel in zip(site.zones, tunnels, strict=True))
    return {each.host: each for each in plans}


def nat_host(zone: str) -> str:
    """The name of a zone's nat in the inventory."""
    return f"nat-{zone}"


def _office_plan(site: Site, tunnels: tuple[Tunnel, ...]) -> OfficePlan:
    return OfficePlan(
        host=OFFICE,
        ssh=_ssh(site, site.office.ssh, site.office.ssh.host),
        lans=site.office.lans,
        vpc=site.vpc.network,
        operators=site.operators,
        tunnels=tunnels,
    )


def _nat_plan(site: Site, zone: Zone, tunnel: Tunnel) -> NatPlan:
    nat = zone.nat
    return NatPlan(
        host=tunnel.nat_host,
        zone=zone.name,
        ssh=_ssh(site, nat.ssh, nat.ssh.host or str(nat.public_address)),
        private_address=nat.private_address,
        public_address=nat.public_address,
        private_subnets=zone.subnets.private,
        subnets=tunnel.subnets,
        lans=site.office.lans,
        vpc=site.vpc.network,
        operators=site.operators,
        office_address=site.office.public_address,
        tunnel=tunnel,
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
        subnets=zone.subnets.public + zone.subnets.private,
    )


def _ssh(site: Site, ssh: OfficeSsh | NatSsh, host: str) -> Ssh:
    return Ssh(host, ssh.user, ssh.port, ssh.key or site.ssh.key, site.ssh.known_hosts)
