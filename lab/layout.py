"""Names and addresses of everything in the lab, computed from the number of zones. Pure: no I/O.

This is the one place that states an address. A zone has a number, 1 to 16; `us-east-1a` is number 1.

    office LAN 192.168.50.0/24    office .1, desk .10, operator .20
    internet                      office 198.51.100.10, NATs 198.51.100.(20+n), web 198.51.100.200
    VPC 10.0.0.0/16               zone n: public 10.0.n.0/24, nat at .10; private 10.0.(20+n).0/24, app at .10
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Literal

MAX_ZONES = 16
REGION = "us-east-1"

OFFICE_LAN = IPv4Network("192.168.50.0/24")
OFFICE_ADDRESS = IPv4Address("192.168.50.1")
OFFICE_PUBLIC = IPv4Interface("198.51.100.10/29")
OFFICE_PROVIDER = IPv4Interface("198.51.100.9/29")

WEB = IPv4Interface("198.51.100.200/28")
WEB_PROVIDER = IPv4Interface("198.51.100.193/28")
REPOSITORY_URL = f"http://{WEB.ip}/debian"

VPC = IPv4Network("10.0.0.0/16")
VPC_IPV6 = IPv6Network("2001:db8:a00::/48")
# The wire between the VPC's internet gateway and the internet: shared address space (RFC 6598).
TRANSIT_VPC = IPv4Interface("100.64.0.2/30")
TRANSIT_INTERNET = IPv4Interface("100.64.0.1/30")

MTU = 1500

Kind = Literal["office", "nat", "app", "desk", "operator", "web", "router", "switch"]
REAL_KINDS: frozenset[Kind] = frozenset({"office", "nat"})
FABRIC_KINDS: frozenset[Kind] = frozenset({"router", "switch"})


def sixth(address: IPv4Interface) -> IPv6Interface:
    """The IPv6 address that goes with an IPv4 one: each network has a /64 of the documentation's prefix."""
    network = address.network.network_address.packed.hex()
    return IPv6Interface(f"2001:db8:{network[:4]}:{network[4:]}::{address.ip.packed[3]:x}/64")


@dataclass(frozen=True)
class Cable:
    """A host's network interface, and where it is plugged in: a bridge in `fabric`'s namespace."""

    interface: str
    address: IPv4Interface
    fabric: str
    bridge: str
    port: str

    @property
    def mac(self) -> str:
        """Follows from the address, so that a replaced host is known to its neighbours at once."""
        return "02:00:" + ":".join(f"{octet:02x}" for octet in self.address.ip.packed)


@dataclass(frozen=True)
class Host:
    """A member of the lab.

    Real ones boot Debian; the others are a network namespace with the machine's own file system.
    """

    name: str
    kind: Kind
    zone: str | None = None
    cables: tuple[Cable, ...] = ()
    gateway: IPv4Address | None = None
    # Addresses that the internet maps to this host and that it does not see itself.
    mapped: tuple[IPv4Address, ...] = ()
    # Configures its interfaces itself, by netplan and systemd-networkd. What the others have, the lab gives them.
    networkd: bool = False
    ipv6: bool = False  # has a global IPv6 address on each interface, too
    # A virtual machine with a kernel of its own, where other real hosts are containers.
    machine: bool = False

    @property
    def hostname(self) -> str:
        """What the host calls itself: EC2 names instances by their private address."""
        return f"ip-{str(self.cables[0].address.ip).replace('.', '-')}" if self.kind == "nat" else self.name

    @property
    def real(self) -> bool:
        """Has a disk, an init and an ssh server of its own."""
        return self.kind in REAL_KINDS

    @property
    def ipv6_gateway(self) -> IPv6Address | None:
        """The way out by IPv6, of a host that has it."""
        for cable in self.cables:
            if self.ipv6 and self.gateway in cable.address.network:
                return sixth(IPv4Interface(f"{self.gateway}/{cable.address.network.prefixlen}")).ip
        return None

    @property
    def fabric(self) -> bool:
        """Is one of the networks themselves, which cannot be switched off."""
        return self.kind in FABRIC_KINDS

    @property
    def addresses(self) -> tuple[IPv4Address, ...]:
        return tuple(cable.address.ip for cable in self.cables) + self.mapped


@dataclass(frozen=True)
class Zone:
    """An availability zone of the lab."""

    number: int

    @property
    def name(self) -> str:
        return f"{REGION}{chr(ord('a') + self.number - 1)}"

    @property
    def public(self) -> IPv4Network:
        return IPv4Network(f"10.0.{self.number}.0/24")

    @property
    def private(self) -> IPv4Network:
        return IPv4Network(f"10.0.{20 + self.number}.0/24")

    @property
    def nat_address(self) -> IPv4Address:
        return self.public[10]

    @property
    def nat_public_address(self) -> IPv4Address:
        return IPv4Address(f"198.51.100.{20 + self.number}")

    @property
    def app_address(self) -> IPv4Address:
        return self.private[10]

    @property
    def bridges(self) -> str:
        """What the names of the zone's bridges in the VPC's router begin with."""
        return f"zone{self.number}-"

    @property
    def public_bridge(self) -> str:
        return f"{self.bridges}public"

    @property
    def private_bridge(self) -> str:
        return f"{self.bridges}private"

    def nat(self) -> Host:
        address = IPv4Interface(f"{self.nat_address}/{self.public.prefixlen}")
        cable = Cable("eth0", address, "vpc", self.public_bridge, f"nat{self.number}")
        mapped = (self.nat_public_address,)
        return Host(f"nat-{self.name}", "nat", self.name, (cable,), self.public[1], mapped, networkd=True)

    def app(self) -> Host:
        address = IPv4Interface(f"{self.app_address}/{self.private.prefixlen}")
        cable = Cable("eth0", address, "vpc", self.private_bridge, f"app{self.number}")
        return Host(f"app-{self.name}", "app", self.name, (cable,), self.private[1])


@dataclass(frozen=True)
class Layout:
    """Everything in a lab with so many zones, whose office router is configured by systemd-networkd or by the lab,
    whose office router and NATs have IPv6 as well, and are containers or virtual machines.
    """

    zone_count: int
    office_networkd: bool = False
    ipv6: bool = False
    machines: bool = False

    @cached_property
    def zones(self) -> tuple[Zone, ...]:
        return tuple(Zone(number) for number in range(1, self.zone_count + 1))

    @cached_property
    def hosts(self) -> dict[str, Host]:
        """By name, in the order in which `list` shows them."""
        everyone = [_desk(), _operator(), _office(self.office_networkd)]
        everyone += [zone.nat() for zone in self.zones]
        everyone += [zone.app() for zone in self.zones]
        everyone += [_web(), Host("lan", "switch"), Host("internet", "router"), Host("vpc", "router")]
        return {
            host.name: replace(host, ipv6=self.ipv6 and host.real, machine=self.machines and host.real)
            for host in everyone
        }

    @property
    def real_hosts(self) -> tuple[Host, ...]:
        return tuple(host for host in self.hosts.values() if host.real)

    @property
    def fabrics(self) -> tuple[Host, ...]:
        return tuple(host for host in self.hosts.values() if host.fabric)

    def zone(self, name: str) -> Zone:
        """Raises KeyError."""
        return {zone.name: zone for zone in self.zones}[name]


def _lan_cable(interface: str, host_number: int, port: str) -> Cable:
    address = IPv4Interface(f"{OFFICE_LAN[host_number]}/{OFFICE_LAN.prefixlen}")
    return Cable(interface, address, "lan", "lan", port)


def _desk() -> Host:
    return Host("desk", "desk", cables=(_lan_cable("eth0", 10, "desk"),), gateway=OFFICE_ADDRESS)


def _operator() -> Host:
    return Host("operator", "operator", cables=(_lan_cable("eth0", 20, "operator"),), gateway=OFFICE_ADDRESS)


def _office(networkd: bool) -> Host:
    cables = (_lan_cable("lan", 1, "office"), Cable("wan", OFFICE_PUBLIC, "internet", "to-office", "office"))
    return Host("office", "office", cables=cables, gateway=OFFICE_PROVIDER.ip, networkd=networkd)


def _web() -> Host:
    cable = Cable("eth0", WEB, "internet", "to-web", "web")
    return Host("web", "web", cables=(cable,), gateway=WEB_PROVIDER.ip)
