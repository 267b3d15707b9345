"""Questions and answers as packets, and the kernel's filter, which this kernel runs."""

import ctypes
import socket
import struct
from ipaddress import IPv4Address

import pytest
from vpc_openvpn_monitor import packets, sockets

OWN, NAT, DESK = IPv4Address("10.200.1.2"), IPv4Address("10.200.1.1"), IPv4Address("192.168.50.10")
TOKEN = bytes(range(16))


def reply(packet: bytes) -> bytes:
    """What a host answers to an echo request."""
    return packet[:12] + packet[16:20] + packet[12:16] + b"\0" + packet[21:]


def test_a_ping_is_whole() -> None:
    packet = packets.ping(OWN, NAT, TOKEN, 0xBEEF)
    assert packets.checksum(packet[:20]) == packets.checksum(packet[20:]) == 0
    assert (packet[0], packet[9], packet[20]) == (0x45, 1, 8)
    assert struct.unpack("!H", packet[2:4]) == (len(packet),)
    assert struct.unpack("!H", packet[24:26]) == (0xBEEF,)
    assert packets.read(packet) is None
    assert packets.read(reply(packet)) == packets.Answer(NAT, TOKEN, loop=False)


def test_what_loops_is_its_own_answer() -> None:
    packet = packets.loop(OWN, TOKEN, 50000)
    assert packet[12:16] == packet[16:20] == OWN.packed
    assert struct.unpack("!HH", packet[20:24]) == (50000, 3785)
    assert packets.read(packet) == packets.Answer(OWN, TOKEN, loop=True)


@pytest.mark.attack
@pytest.mark.parametrize("length", [0, 1, 19, 20, 27, 43])
def test_what_is_cut_short_answers_nothing(length: int) -> None:
    assert packets.read(packets.loop(OWN, TOKEN, 50000)[:length]) is None


@pytest.mark.attack
def test_the_kernel_passes_answers_alone() -> None:
    question = packets.ping(OWN, NAT, TOKEN, 1)
    looped = packets.loop(OWN, TOKEN, 50000)
    fragment = looped[:6] + b"\x00\x10" + looped[8:]
    other_port = looped[:22] + b"\x00\x35" + looped[24:]
    transfer = b"\x45\x00" + looped[2:9] + b"\x06" + looped[10:]
    options = b"\x46" + looped[1:20] + bytes(4) + looped[20:]
    wanted, unwanted = [reply(question), looped, options], [question, fragment, other_port, transfer]
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with here, there:
        sockets.attach(there, packets.accepts_answers())
        there.setblocking(False)
        for packet in (*unwanted, *wanted):
            # A filter that takes nothing of a datagram has it refused, on this kind of socket.
            try:
                here.send(packet)
            except PermissionError:
                assert packet in unwanted
        assert [there.recv(100) for _ in wanted] == wanted
        with pytest.raises(BlockingIOError):
            there.recv(100)


def test_an_instruction_is_as_the_kernel_has_it() -> None:
    class Instruction(ctypes.Structure):
        _fields_ = [("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32)]

    assert ctypes.sizeof(Instruction) == struct.calcsize("HBBI")
