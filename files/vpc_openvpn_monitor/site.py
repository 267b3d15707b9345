"""What a deploy has written for the program: its host and, on the office router, the tunnels. JSON, read at start."""

import json
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from vpc_openvpn_monitor import machine

OFFICE, NAT = "office", "nat"
SINGLE = "single"


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A tunnel, of the zone that it belongs to. `number` is both's; `nat` and `own` are its ends inside."""

    number: int
    zone: str
    interface: str
    subnets: tuple[IPv4Network, ...]  # of the zone
    nat: IPv4Address
    own: IPv4Address
    probe: IPv4Address | None
    detours: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Site:
    """All of it, with the places on this host. `units` are those of ours that run here."""

    host: str
    role: str  # OFFICE or NAT
    strategy: str
    units: tuple[str, ...]
    lans: tuple[IPv4Network, ...]
    tunnels: tuple[Tunnel, ...]  # none on a NAT; under SINGLE they have one interface
    table: int  # the kernel's, of the ways to the zones
    paths: Path  # for BIRD
    drained: Path  # a folder: a file for each zone that an operator has drained
    memory: Path
    control: Path
    bird: Path  # BIRD's control socket

    def zones(self) -> tuple[machine.Zone, ...]:
        return tuple(machine.Zone(each.number, each.probe is not None, each.detours) for each in self.tunnels)

    def tunnel(self, number: int) -> Tunnel:
        return next(each for each in self.tunnels if each.number == number)

    def behind(self, interface: str) -> Tunnel | None:
        return next((each for each in self.tunnels if each.interface == interface), None)

    def named(self, zone: str) -> Tunnel | None:
        return next((each for each in self.tunnels if each.zone == zone), None)


def read(path: Path) -> Site:
    """Raises OSError, or ValueError and KeyError for what no deploy has written."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return Site(
        host=found["host"],
        role=found["role"],
        strategy=found["strategy"],
        units=tuple(found["units"]),
        lans=tuple(IPv4Network(each) for each in found["lans"]),
        tunnels=tuple(_tunnel(each) for each in found["tunnels"]),
        table=found["table"],
        **{name: Path(found["places"][name]) for name in ("paths", "drained", "memory", "control", "bird")},
    )


def _tunnel(found: dict[str, Any]) -> Tunnel:
    return Tunnel(
        number=found["number"],
        zone=found["zone"],
        interface=found["interface"],
        subnets=tuple(IPv4Network(each) for each in found["subnets"]),
        nat=IPv4Address(found["nat"]),
        own=IPv4Address(found["own"]),
        probe=IPv4Address(found["probe"]) if found["probe"] else None,
        detours=tuple(found["detours"]),
    )
