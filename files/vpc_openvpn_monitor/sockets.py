"""The sockets by which a tunnel's questions go out and their answers come in: packet sockets, bound to its interface.

So nothing of the router's routes and rules has a part in it, and nothing from elsewhere is heard.
"""

import ctypes
import secrets
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from vpc_openvpn_monitor import packets
from vpc_openvpn_monitor.machine import LIFE, LOOP, Question
from vpc_openvpn_monitor.site import Tunnel

_ETH_P_IP = 0x0800
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
_BUFFER = 2048  # bytes; answers are short
_READS = 64  # packets at once, so that a flood of them does not keep the monitor from asking


@dataclass(frozen=True, slots=True)
class Asked:
    """A question on its way."""

    question: Question
    at: float
    target: IPv4Address


class Line:
    """One tunnel's socket. It is opened again when the interface has gone and come back."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel
        self._socket: socket.socket | None = None

    @property
    def number(self) -> int:
        """Its tunnel's."""
        return self._tunnel.number

    def fileno(self) -> int | None:
        """Of the socket, for a selector; none while the interface is not there."""
        return None if self._socket is None else self._socket.fileno()

    def open(self) -> bool:
        """Is it there now? Opens it where it can."""
        if self._socket is None:
            self._socket = _bound(self._tunnel.interface)
        return self._socket is not None

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def send(self, packet: bytes) -> bool:
        """False where the interface is gone or down: then it is opened anew for the next."""
        if not self.open() or self._socket is None:
            return False
        try:
            self._socket.sendto(packet, (self._tunnel.interface, _ETH_P_IP))
        except OSError:
            self.close()
            return False
        return True

    def answers(self) -> list[packets.Answer]:
        """What has come in."""
        found = []
        for _ in range(_READS):
            try:
                packet = self._socket.recv(_BUFFER) if self._socket else b""
            except BlockingIOError:
                break
            except OSError:
                self.close()
                break
            if not packet:
                break
            if answer := packets.read(packet):
                found.append(answer)
        return found


def packet_for(question: Question, tunnel: Tunnel, target: IPv4Address, source: IPv4Address) -> tuple[bytes, bytes]:
    """A question's packet, and the token that its answer has."""
    token = secrets.token_bytes(packets.TOKEN_BYTES)
    port = 49152 + secrets.randbelow(16384)
    if question.kind == LOOP:
        return packets.loop(tunnel.own, token, port), token
    return packets.ping(tunnel.own if question.kind == LIFE else source, target, token, port), token


def attach(opened: socket.socket, program: packets.Filter) -> None:
    """Have the kernel pass only what the classic BPF program accepts. Raises OSError."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in program))
    opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(program), ctypes.addressof(code)))


def source_in(lans: tuple[IPv4Network, ...]) -> IPv4Address | None:
    """The router's address in the first of `lans` in which it has one: what a desk's packets look like."""
    for lan in lans:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((str(lan[1]), 9))  # sends nothing
            except OSError:
                continue
            address = IPv4Address(probe.getsockname()[0])
        if address in lan:
            return address
    return None


def _bound(interface: str) -> socket.socket | None:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
    try:
        # First the filter, then the protocol: so it never holds other packets.
        attach(opened, packets.accepts_answers())
        opened.bind((interface, _ETH_P_IP))
    except OSError:
        opened.close()
        return None
    return opened
