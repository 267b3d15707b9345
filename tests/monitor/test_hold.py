"""What is said to the kernel's queue, and what it says. That packets wait and go on, scenarios see."""

import errno
import struct

import pytest
from vpc_openvpn_monitor import hold


def told(number: int) -> bytes:
    """As the kernel tells of a packet: other attributes stand beside the one that has its number."""
    attributes = (
        struct.pack("=HHI", 8, 9, 0) + struct.pack("=HH", 11, 1) + struct.pack("!IHB", number, 0x0800, 0) + b"\0"
    )
    body = b"\2\0" + struct.pack("!H", hold.QUEUE) + attributes
    return struct.pack("=IHHII", 16 + len(body), 3 << 8, 0, 0, 0) + body


def acknowledged(code: int) -> bytes:
    return struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -code)


def test_packets_are_known_by_their_numbers() -> None:
    assert hold.packets(told(1) + told(2) + acknowledged(0) + told(70_000)) == [1, 2, 70_000]
    assert hold.packets(b"") == hold.packets(told(1)[:10]) == []


def test_a_refusal_of_the_kernels_is_an_error() -> None:
    with pytest.raises(OSError) as raised:
        hold.packets(acknowledged(errno.EPERM))
    assert raised.value.errno == errno.EPERM


def test_a_message_is_as_long_as_it_says_and_is_for_our_queue() -> None:
    text = hold.message(hold._BATCH, 1, [(2, b"12345"), (3, b"1234")])
    length, kind, flags, _, _ = struct.unpack_from("=IHHII", text)
    assert (length, kind, flags) == (len(text), 3 << 8 | 3, 1)
    assert text[16:20] == b"\0\0" + struct.pack("!H", hold.QUEUE)
    assert text[20:] == struct.pack("=HH", 9, 2) + b"12345\0\0\0" + struct.pack("=HH", 8, 3) + b"1234"


@pytest.mark.parametrize(
    ("released", "highest", "steps"),
    [(0, 0, []), (0, 1, [1]), (0, 50, [50]), (0, 51, [50, 51]), (70, 70, []), (70, 200, [120, 170, 200])],
)
def test_they_go_on_in_steps_that_a_tunnels_device_has_room_for(released: int, highest: int, steps: list[int]) -> None:
    assert hold.steps(released, highest) == steps
    assert hold.STEP < 500


def test_rules_hold_what_begins_towards_the_office_and_pass_it_on_where_no_process_reads() -> None:
    begin, end = hold.rules(["192.168.50.0/24", "192.168.60.0/24"], "tun-office")
    queued = [" ".join(words) for words in begin if "NFQUEUE" in words]
    assert len(queued) == 2
    assert all("--ctdir ORIGINAL" in each and "--queue-bypass" in each for each in queued)
    # What begins is all undone, and the jump to the chain comes last and goes first.
    assert begin[-1][4:] == ["-I", *end[0][5:]] and end[0][4] == "-D" and "! -i tun-office" in " ".join(end[0])
    # The keeper takes chains of this name for the firewall's.
    assert not hold.CHAIN.startswith("vpc-openvpn-")
