"""What runs on a desk while a nat is rebuilt: `python probe.py ADDRESS`. Standard library only.

Every INTERVAL seconds it sends ADDRESS a ping that may make two hops only: past the office's router, to the nat of
whatever tunnel the office sends it into. That one answers that its time is over. For each such answer it prints a line:

    ANSWERED HOP    a moment by time.monotonic(), which all hosts of the lab share, and who answered

Each ping has an identifier of its own, hence is a new flow to the routers on the way: none is bound to a detour.
"""

import contextlib
import socket
import struct
import sys
import time
from itertools import count

INTERVAL = 0.05  # seconds
HOPS = 2
ECHO, TIME_EXCEEDED = 8, 11  # ICMP types


def main(address: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as pings:
        pings.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, HOPS)
        due = time.monotonic()
        for number in count():
            with contextlib.suppress(OSError):  # there may be no way there, for the moment
                pings.sendto(echo_request(number & 0xFFFF), (address, 0))
            due = max(due + INTERVAL, time.monotonic())
            while (left := due - time.monotonic()) > 0:
                pings.settimeout(left)
                try:
                    packet, (hop, _) = pings.recvfrom(1024)
                except TimeoutError:
                    break
                if is_time_exceeded(packet):
                    print(f"{time.monotonic():.3f} {hop}", flush=True)


def echo_request(identifier: int) -> bytes:
    """A ping without data (RFC 792)."""
    total = (ECHO << 8) + identifier
    checksum = ~(total + (total >> 16)) & 0xFFFF
    return struct.pack("!BBHHH", ECHO, 0, checksum, identifier, 0)


def is_time_exceeded(packet: bytes) -> bool:
    """Whether an IPv4 packet with an ICMP message says so."""
    header = (packet[0] & 0x0F) * 4
    return packet[header] == TIME_EXCEEDED


if __name__ == "__main__":
    main(sys.argv[1])
