"""What is compared: four contenders in four ways, and what the sweep tries. Data only."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

COOKBOOK, BARE, STRIPPED, CLEAR = "cookbook", "bare", "stripped", "clear"
CONTENDERS: Mapping[str, str] = {
    COOKBOOK: "the cookbook",
    BARE: "bare OpenVPN",
    STRIPPED: "bare OpenVPN, NATs that do not masquerade",
    CLEAR: "no tunnel",
}
GOAL = 0.95  # the least that the cookbook may carry, as a part of what BARE does

Direction = Literal["give", "take"]  # as the desk sees it


@dataclass(frozen=True)
class Way:
    """Who sends to whom: all of `zones`, counted from the first, at once."""

    title: str
    direction: Direction
    zones: int


ZONES = 4
WAYS: Mapping[str, Way] = {
    "desk→zone": Way("desk → zone a", "give", 1),
    "zone→desk": Way("zone a → desk", "take", 1),
    "desk→zones": Way("desk → 4 zones", "give", ZONES),
    "zones→desk": Way("4 zones → desk", "take", ZONES),
}
SWEPT = tuple(name for name, way in WAYS.items() if way.zones == 1)


@dataclass(frozen=True)
class Options:
    """What can be said to OpenVPN that may make it faster. Sizes in bytes; 0: nothing is said, its default holds."""

    cipher: str = "AES-256-GCM"
    tun_mtu: int = 1440
    mssfix: int = 0
    buffers: int = 0  # the UDP socket's, for sending and for receiving
    queue: int = 0  # packets that wait for OpenVPN to read them
    fast_io: bool = False
    p2p: bool = False  # both ends equal; otherwise a server with one client


AS_COOKBOOK = Options(buffers=1 << 20, fast_io=True)
# The fastest that the sweep has found, whose figures are in docs/performance.md: the cookbook's, but for its buffers,
# which are for longer ways than the lab's (docs/decisions/0009-throughput.md).
BEST = replace(AS_COOKBOOK, buffers=0)
# What one change makes of the cookbook's options.
SWEEP: Mapping[str, Options] = {
    "as the cookbook: AES-256-GCM, tun-mtu 1440, sndbuf and rcvbuf 1M, fast-io": AS_COOKBOOK,
    "without fast-io": replace(AS_COOKBOOK, fast_io=False),
    "sndbuf, rcvbuf: the system’s": replace(AS_COOKBOOK, buffers=0),
    "sndbuf, rcvbuf 512K": replace(AS_COOKBOOK, buffers=512 << 10),
    "sndbuf, rcvbuf 2M": replace(AS_COOKBOOK, buffers=2 << 20),
    "AES-128-GCM": replace(AS_COOKBOOK, cipher="AES-128-GCM"),
    "CHACHA20-POLY1305": replace(AS_COOKBOOK, cipher="CHACHA20-POLY1305"),
    "tun-mtu 1420": replace(AS_COOKBOOK, tun_mtu=1420),
    "tun-mtu 1500, mssfix 1492": replace(AS_COOKBOOK, tun_mtu=1500, mssfix=1492),
    "txqueuelen 1000": replace(AS_COOKBOOK, queue=1000),
    "point-to-point": replace(AS_COOKBOOK, p2p=True),
}
