"""The monitor's questions as IPv4 packets, and their answers. Pure.

Each question carries 16 bytes that cannot be guessed, so only what has seen it can answer it.
"""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TypeAlias

TOKEN_BYTES = 16
ECHO_REPLY, ECHO_REQUEST = 0, 8  # ICMP types, RFC 792
LOOP_PORT = 3785  # BFD's echo function, RFC 5881, 4
TIME_TO_LIVE = 64
_IPV4_HEADER = struct.Struct("!BBHHHBBH4s4s")
_ICMP_HEADER = struct.Struct("!BBHHH")
_UDP_HEADER = struct.Struct("!HHHH")
_ICMP, _UDP = 1, 17

Filter: TypeAlias = tuple[tuple[int, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A packet that answers a question: whose it is, and what it carries."""

    source: IPv4Address
    token: bytes
    loop: bool


def ping(source: IPv4Address, target: IPv4Address, token: bytes, identifier: int) -> bytes:
    """An echo request. `identifier`, of 16 bits, makes it a flow of its own for the firewalls on its way."""
    unsummed = _ICMP_HEADER.pack(ECHO_REQUEST, 0, 0, identifier, 1) + token
    return _ipv4(_ICMP, source, target, _ICMP_HEADER.pack(ECHO_REQUEST, 0, checksum(unsummed), identifier, 1) + token)


def loop(own: IPv4Address, token: bytes, port: int) -> bytes:
    """From and to the office's end of a tunnel: a NAT that forwards sends it back. `port` as `identifier`."""
    # No checksum, which UDP over IPv4 may leave out: the token tells what is whole.
    return _ipv4(_UDP, own, own, _UDP_HEADER.pack(port, LOOP_PORT, _UDP_HEADER.size + len(token), 0) + token)


def read(packet: bytes) -> Answer | None:
    """What came in through a tunnel, if it may be an answer."""
    if len(packet) < _IPV4_HEADER.size or packet[0] >> 4 != 4:
        return None
    length = (packet[0] & 15) * 4
    source, protocol, rest = IPv4Address(packet[12:16]), packet[9], packet[length:]
    if protocol == _ICMP and len(rest) >= _ICMP_HEADER.size + TOKEN_BYTES and rest[0] == ECHO_REPLY:
        return Answer(source, rest[8 : 8 + TOKEN_BYTES], loop=False)
    if protocol == _UDP and len(rest) >= _UDP_HEADER.size + TOKEN_BYTES and rest[2:4] == LOOP_PORT.to_bytes(2):
        return Answer(source, rest[8 : 8 + TOKEN_BYTES], loop=True)
    return None


def accepts_answers() -> Filter:
    """A classic BPF program for a packet socket: echo replies and what loops, so that the tunnel's other packets cost
    nothing. Instructions as (code, jump if true, jump if false, value); linux/filter.h.
    """
    load_byte, load_half, load_half_indexed = 0x30, 0x28, 0x48
    load_byte_indexed, header_length, jump_equal, jump_set, give = 0x50, 0xB1, 0x15, 0x45, 0x06
    return (
        (load_half, 0, 0, 6),  # a fragment that is not the first has no header
        (jump_set, 8, 0, 0x1FFF),
        (header_length, 0, 0, 0),
        (load_byte, 0, 0, 9),
        (jump_equal, 0, 2, _ICMP),
        (load_byte_indexed, 0, 0, 0),
        (jump_equal, 4, 3, ECHO_REPLY),
        (jump_equal, 0, 2, _UDP),
        (load_half_indexed, 0, 0, 2),
        (jump_equal, 1, 0, LOOP_PORT),
        (give, 0, 0, 0),
        (give, 0, 0, 0xFFFF),
    )


def checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _ipv4(protocol: int, source: IPv4Address, target: IPv4Address, payload: bytes) -> bytes:
    def header(summed: int) -> bytes:
        length = _IPV4_HEADER.size + len(payload)
        # 0x4000: never in pieces.
        return _IPV4_HEADER.pack(
            0x45, 0, length, 0, 0x4000, TIME_TO_LIVE, protocol, summed, source.packed, target.packed
        )

    return header(checksum(header(0))) + payload
