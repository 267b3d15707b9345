"""What the kernel says, by netlink: that something has changed, and the routes of a table.

Messages and numbers: linux/netlink.h, linux/rtnetlink.h.
"""

import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

_SOL_NETLINK = 270
_ADD_MEMBERSHIP, _STRICT_CHECK = 1, 12
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ROUTE = struct.Struct("=BBBBBBBBI")  # family, lengths, tos, table, protocol, scope, type, flags
_DONE, _ERROR = 3, 2
_REQUEST_DUMP = 0x301
NEW_ROUTE, _GET_ROUTE = 24, 26
_DESTINATION, _SOURCE, _ARRIVES, _INTERFACE, _TABLE = 1, 2, 3, 4, 15  # attributes of a route
_REQUEST = 1
_UNICAST, _LOCAL = 1, 2  # types of routes
_FIB_MATCH = 0x2000  # a flag: the route itself is asked for, not what follows from it for one address
_TIMEOUT = 1.0  # seconds; the kernel answers within milliseconds
ROUTES, RULES, SETTINGS = 7, 8, 18  # the groups RTNLGRP_IPV4_ROUTE, _IPV4_RULE, _IPV4_NETCONF


@dataclass(frozen=True, slots=True)
class Route:
    """`interface` is empty for a route through none, such as `unreachable`."""

    network: IPv4Network
    table: int
    interface: str


class Changes:
    """Hears of changes in the kernel: those of the multicast `groups` of one netlink `family`. Raises OSError."""

    def __init__(self, groups: Iterable[int], family: int = socket.NETLINK_ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, family)
        self._socket.bind((0, 0))
        for group in groups:
            self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def heard(self) -> bool:
        """Whether anything has changed since the last call, which takes it off the socket."""
        found = False
        while True:
            try:
                found = bool(self._socket.recv(65536)) or found
            except BlockingIOError:
                return found
            except OSError:  # more than the socket holds: something has changed
                return True


def routes(table: int) -> list[Route]:
    """The IPv4 routes of a table, less multipath next hops. Raises OSError where the kernel does not answer."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asking:
        asking.settimeout(_TIMEOUT)
        asking.setsockopt(_SOL_NETLINK, _STRICT_CHECK, 1)
        asked = _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0) + struct.pack("=HHI", 8, _TABLE, table)
        asking.send(_HEADER.pack(_HEADER.size + len(asked), _GET_ROUTE, _REQUEST_DUMP, 1, 0) + asked)
        return [route for message in _answers(asking) if (route := parse(message)) and route.table == table]


def way(destination: IPv4Address, source: IPv4Address | None = None, arrives: str = "") -> str:
    """The interface through which the kernel sends a packet, by all of its rules: one that arrives on the interface
    `arrives` from `source`, or one of its own. `lo` for an address of its own; empty where it sends it nowhere.
    """
    attributes = struct.pack("=HH", 8, _DESTINATION) + destination.packed
    if source and arrives:
        try:
            number = socket.if_nametoindex(arrives)
        except OSError:
            return ""
        attributes += struct.pack("=HH", 8, _SOURCE) + source.packed + struct.pack("=HHI", 8, _ARRIVES, number)
    interface, _ = _get(_ROUTE.pack(socket.AF_INET, 32, 32 if source else 0, 0, 0, 0, 0, 0, 0) + attributes)
    return interface


def home(address: IPv4Address) -> str:
    """The interface behind which an address is, by a route of its own: `lo` for the host's own; empty where only a
    default route, or one half of one, leads there.
    """
    attributes = struct.pack("=HH", 8, _DESTINATION) + address.packed
    interface, bits = _get(_ROUTE.pack(socket.AF_INET, 32, 0, 0, 0, 0, 0, 0, _FIB_MATCH) + attributes)
    return interface if bits > 1 else ""


def _get(asked: bytes) -> tuple[str, int]:
    """The interface of the route that the kernel answers with, and the length of its prefix; none: it sends nothing."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asking:
        asking.settimeout(_TIMEOUT)
        asking.send(_HEADER.pack(_HEADER.size + len(asked), _GET_ROUTE, _REQUEST, 1, 0) + asked)
        for kind, body in messages(asking.recv(1 << 16)):
            if kind == NEW_ROUTE and len(body) >= _ROUTE.size:
                _, bits, *_, sort, _ = _ROUTE.unpack_from(body)
                if sort in (_UNICAST, _LOCAL):
                    return _name(dict(_attributes(body[_ROUTE.size :])).get(_INTERFACE)), bits
    return "", 0  # an error: no such route, one that refuses, or an interface that does not forward


def _answers(asking: socket.socket) -> Iterator[bytes]:
    """The bodies of the messages that answer a request, to the last."""
    while True:
        data = asking.recv(1 << 16)
        for kind, body in messages(data):
            if kind == _DONE:
                return
            if kind == _ERROR:
                code = -struct.unpack_from("=i", body)[0]
                if code == 2:  # ENOENT: there is no such table yet
                    return
                raise OSError(code, "netlink")
            yield body


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and body of each message in what one `recv` gave."""
    while len(data) >= _HEADER.size:
        length, kind, _, _, _ = _HEADER.unpack_from(data)
        if not _HEADER.size <= length <= len(data):
            return
        yield kind, data[_HEADER.size : length]
        data = data[(length + 3) & ~3 :]


def parse(body: bytes) -> Route | None:
    """A message's route; None for what is no IPv4 route."""
    if len(body) < _ROUTE.size or body[0] != socket.AF_INET:
        return None
    _, bits, _, _, table, *_ = _ROUTE.unpack_from(body)
    attributes = dict(_attributes(body[_ROUTE.size :]))
    if _TABLE in attributes:
        (table,) = struct.unpack("=I", attributes[_TABLE])
    network = IPv4Network((attributes.get(_DESTINATION, bytes(4)), bits))
    return Route(network, table, _name(attributes.get(_INTERFACE)))


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if not 4 <= length <= len(data):
            return
        yield kind & 0x3FFF, data[4:length]
        data = data[(length + 3) & ~3 :]


def _name(index: bytes | None) -> str:
    try:
        return socket.if_indextoname(struct.unpack("=I", index)[0]) if index else ""
    except OSError:  # gone since
        return ""
