"""On a NAT, while its tunnel is given another identity: what hosts of the zone begin towards the office waits.

The office takes a detour meanwhile; what the zone itself sends has no other way than the tunnel that is about to stop.
The kernel hands such packets to a queue (iptables' NFQUEUE) and, when the tunnel carries packets again, forwards them
in their order. They stay in the kernel; their numbers alone come here.

While no process reads the queue the rule passes packets on (`--queue-bypass`), so that one which is left behind by a
process that was killed costs nothing; what waited then is lost. It ends by itself after `LONGEST` seconds.
"""

import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Sequence
from types import FrameType

QUEUE = 7900
CHAIN = "hold-vpc-openvpn"  # not `vpc-openvpn-…`: chains called so are the firewall's, which the keeper would put back
LONGEST = 30.0  # seconds; TCP gives up after minutes, a resolver after five seconds and two more tries
MOST = 65536  # packets that wait
ROOM = 1 << 25  # bytes for their numbers; each takes less than a kilobyte there
QUIET = 0.05  # seconds without another packet: the queue is empty
# The tunnel's device has room for 500 packets (txqueuelen), until OpenVPN has read them: more at once would be lost.
STEP, PAUSE = 50, 0.005  # packets that go on at once, and seconds until the next: 10,000 a second

# linux/netlink.h, linux/netfilter/nfnetlink.h, nfnetlink_queue.h
_NETFILTER, _SUBSYSTEM = 12, 3 << 8
_PACKET, _CONFIG, _BATCH = _SUBSYSTEM | 0, _SUBSYSTEM | 2, _SUBSYSTEM | 3
_REQUEST, _ACK, _ERROR = 1, 4, 2
_HEADER, _COMMAND, _PARAMETERS, _LENGTH, _VERDICT = 1, 1, 2, 3, 2
_BIND, _META, _ACCEPT = 1, 1, 1
SO_RCVBUFFORCE = 33


def message(kind: int, flags: int, attributes: Sequence[tuple[int, bytes]]) -> bytes:
    """A netlink message about the queue."""
    body = struct.pack("!BBH", socket.AF_UNSPEC, 0, QUEUE)
    for number, value in attributes:
        body += struct.pack("=HH", 4 + len(value), number) + value + b"\0" * (-len(value) % 4)
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body


def packets(data: bytes) -> list[int]:
    """The numbers of the packets that netlink messages tell of. Raises OSError for one that tells of a failure."""
    found = []
    while len(data) >= 16:
        length, kind, *_ = struct.unpack_from("=IHHII", data)
        if kind == _ERROR:
            code = struct.unpack_from("=i", data, 16)[0]
            if code:
                raise OSError(-code, os.strerror(-code))
        elif kind == _PACKET:
            found += _numbers(data[20:length])
        data = data[max(16, length + (-length % 4)) :]
    return found


def _numbers(attributes: bytes) -> list[int]:
    while len(attributes) >= 4:
        length, number = struct.unpack_from("=HH", attributes)
        if number & 0x3FFF == _HEADER:
            return [struct.unpack_from("!I", attributes, 4)[0]]
        attributes = attributes[max(4, length + (-length % 4)) :]
    return []


def steps(released: int, highest: int) -> list[int]:
    """The numbers up to which packets go on, one after the other."""
    return [*range(released + STEP, highest, STEP), highest] if highest > released else []


class Queue:
    """The kernel's queue, read by this process."""

    def __init__(self) -> None:
        """Raises OSError where the kernel has none, or another process reads it."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER)
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
        self._socket.bind((0, 0))
        self.highest, self.held = None, 0
        for attribute in (
            (_COMMAND, struct.pack("!BBH", _BIND, 0, socket.AF_INET)),
            (_PARAMETERS, struct.pack("!IB", 0, _META)),
            (_LENGTH, struct.pack("!I", MOST)),
        ):
            self._socket.send(message(_CONFIG, _REQUEST | _ACK, [attribute]))
            self.take(1.0)

    highest: int | None
    held: int
    _released = 0  # the kernel counts from 1

    def take(self, patience: float) -> bool:
        """Wait so many seconds for a message; whether one came."""
        if not select.select([self._socket], [], [], patience)[0]:
            return False
        try:
            numbers = packets(self._socket.recv(1 << 16))
        except OSError as error:
            if error.errno != 105:  # ENOBUFS: the numbers of some are lost, and a later one's stands for them
                raise
            return True
        if numbers:
            self.highest = numbers[-1]
            self.held += len(numbers)
        return True

    def release(self) -> None:
        """What waits goes on, in its order."""
        for number in steps(self._released, self.highest or 0):
            self._socket.send(message(_BATCH, _REQUEST, [(_VERDICT, struct.pack("!II", _ACCEPT, number))]))
            time.sleep(PAUSE)
            self._released = number


def rules(networks: Sequence[str], interface: str) -> tuple[list[list[str]], list[list[str]]]:
    """iptables' words that begin to hold what is for `networks` and not from the tunnel, and those that end it."""
    mangle = ["iptables", "-w", "-t", "mangle"]
    # Answers do not wait: the office's monitor would find that this NAT does not forward. They come back by the way of
    # their question, and no question comes through a tunnel that is about to stop.
    match = ["-m", "conntrack", "--ctdir", "ORIGINAL", "-j", "NFQUEUE", "--queue-num", str(QUEUE), "--queue-bypass"]
    wanted = [["-d", each, *match] for each in networks]
    jump = ["PREROUTING", "!", "-i", interface, "-j", CHAIN]
    begin = [[*mangle, "-N", CHAIN], *([*mangle, "-A", CHAIN, *each] for each in wanted), [*mangle, "-I", *jump]]
    end = [[*mangle, "-D", *jump], [*mangle, "-F", CHAIN], [*mangle, "-X", CHAIN]]
    return begin, end


class _EndedError(Exception):
    """The packets have waited long enough. No error, but for its name."""


def run(networks: Sequence[str], interface: str, longest: float = LONGEST) -> int:
    """Hold packets until SIGTERM, or for so many seconds; how many have waited. Tells systemd once it holds them.

    Raises OSError where it cannot.
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        raise _EndedError

    queue = Queue()
    undo(interface)
    signal.signal(signal.SIGTERM, end)
    try:
        try:
            _each(rules(networks, interface)[0])
            _ready()
            deadline = time.monotonic() + longest
            while (left := deadline - time.monotonic()) > 0:
                queue.take(left)
        except _EndedError:
            pass
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    finally:
        queue.release()
        undo(interface)
        while queue.take(QUIET):
            queue.release()
    return queue.held


def undo(interface: str) -> None:
    """What a process that was killed has left goes."""
    _each(rules([], interface)[1], patient=True)


def _each(commands: Sequence[Sequence[str]], *, patient: bool = False) -> None:
    for command in commands:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode and not patient:
            raise OSError(f"`{' '.join(command)}`: {done.stderr.strip()}")


def _ready() -> None:
    """sd_notify(3)"""
    name = os.environ.pop("NOTIFY_SOCKET", "")
    if name:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.sendto(b"READY=1", f"\0{name[1:]}" if name.startswith("@") else name)
