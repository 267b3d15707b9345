"""What runs on a host while an outage is measured: `python probe.py NAME=ADDRESS…`. Standard library only.

It answers probes on UDP port 7000, and sends one to each ADDRESS every INTERVAL seconds. To the routers on the way, the
probes to one address are one and the same flow, until a line on standard input asks for new flows. For each probe it
prints a line, in the order in which they were sent:

    NAME SENT ANSWERED    two moments by time.monotonic(), which all hosts of the lab share; `-` for one that is lost
"""

import contextlib
import os
import selectors
import socket
import struct
import sys
import time
from collections import deque
from typing import NoReturn

PORT = 7000
INTERVAL = 0.02  # seconds
LATE = 1.0  # seconds; a person has given up on an answer that comes later, so it is lost
_STAMP = struct.Struct("!d")


class Flow:
    """The probes to one address, and which of them are still open."""

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address = name, address
        self.open: deque[float] = deque()
        self.answered: dict[float, float] = {}
        self.socket = self._new_socket()

    def _new_socket(self) -> socket.socket:
        new = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        new.setblocking(False)
        new.connect((self.address, PORT))
        return new

    def renew(self) -> None:
        """From another port, hence a new flow. What is open stays so and is lost."""
        self.socket.close()
        self.socket = self._new_socket()

    def send(self, now: float) -> None:
        self.open.append(now)
        for _ in range(2):  # the first may but report the ICMP error that an earlier probe met
            with contextlib.suppress(OSError):
                self.socket.send(_STAMP.pack(now))
                return

    def receive(self, now: float) -> None:
        with contextlib.suppress(OSError):
            while True:
                [sent] = _STAMP.unpack(self.socket.recv(_STAMP.size))
                if self.open and sent >= self.open[0]:
                    self.answered[sent] = now

    def settled(self, now: float) -> str:
        """Lines for the probes whose fate is known."""
        lines = []
        while self.open and (self.open[0] in self.answered or now - self.open[0] > LATE):
            sent = self.open.popleft()
            answered = self.answered.pop(sent, None)
            lines.append(f"{self.name} {sent:.4f} {'-' if answered is None else f'{answered:.4f}'}\n")
        if lines:
            self.answered = (
                {sent: at for sent, at in self.answered.items() if sent >= self.open[0]} if self.open else {}
            )
        return "".join(lines)


def main(targets: list[str]) -> NoReturn:
    echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    echo.setblocking(False)
    echo.bind(("", PORT))
    flows = [Flow(*target.split("=", 1)) for target in targets]
    selector = selectors.DefaultSelector()
    selector.register(echo, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    for flow in flows:
        selector.register(flow.socket, selectors.EVENT_READ, flow)
    due = time.monotonic()
    while True:
        for key, _ in selector.select(max(0, due - time.monotonic())):
            if key.fileobj is echo:
                _answer(echo)
            elif key.fileobj is sys.stdin:
                if not os.read(0, 100):
                    sys.exit()  # the caller has exited
                for flow in flows:
                    selector.unregister(flow.socket)
                    flow.renew()
                    selector.register(flow.socket, selectors.EVENT_READ, flow)
                break  # what else was ready may have been closed
            else:
                key.data.receive(time.monotonic())
        now = time.monotonic()
        if now >= due:
            for flow in flows:
                flow.send(now)
            due = max(due + INTERVAL, now)  # after a stall it does not catch up
            sys.stdout.write("".join(flow.settled(now) for flow in flows))
            sys.stdout.flush()


def _answer(echo: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            echo.sendto(*echo.recvfrom(_STAMP.size))


if __name__ == "__main__":
    main(sys.argv[1:])
