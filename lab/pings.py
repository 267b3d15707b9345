"""A ping that has room for answers which have waited and come all at once: `python pings.py ADDRESS SECONDS`.

One every SECONDS. ping(8) itself loses some there: its socket holds 128 KB, and that is 170 short packets. Prints what
`ping -D` prints for each answer, until it is killed.
"""

import os
import socket
import struct
import sys
import threading
import time
from typing import NoReturn

ROOM = 1 << 24  # bytes for answers; each takes less than a kilobyte
SO_RCVBUFFORCE = 33  # asm-generic/socket.h
ICMP_FILTER, ECHO_REPLY = 1, 0  # linux/icmp.h
SOL_RAW = 255


def main(address: str, interval: float) -> NoReturn:
    """Ping `address` every `interval` seconds. Raises OSError where this process may not: it takes root."""
    line = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    line.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
    line.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("I", ~(1 << ECHO_REPLY) & 0xFFFFFFFF))
    line.connect((address, 0))
    number, mine = 0, os.getpid() & 0xFFFF
    threading.Thread(target=_hear, args=(line, address, mine), daemon=True).start()
    due = time.monotonic()
    while True:
        number += 1
        try:
            line.send(_request(mine, number))
        except OSError as error:
            print(f"icmp_seq={number} {error.strerror}", flush=True)
        due += interval
        time.sleep(max(0.0, due - time.monotonic()))


def _request(mine: int, number: int) -> bytes:
    rest = struct.pack("!HHd40x", mine, number & 0xFFFF, time.monotonic())
    total = 0x0800 + sum(struct.unpack(f"!{len(rest) // 2}H", rest))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!HH", 0x0800, ~(total + (total >> 16)) & 0xFFFF) + rest


def _hear(line: socket.socket, address: str, mine: int) -> None:
    while True:
        try:
            packet = line.recv(2048)
        except OSError:
            continue
        answer = packet[(packet[0] & 15) * 4 :]
        own, number, sent = struct.unpack_from("!HHd", answer, 4)
        if own == mine:
            told = f"[{time.time():.6f}] {len(answer)} bytes from {address}: icmp_seq={number} ttl={packet[8]}"
            print(f"{told} time={(time.monotonic() - sent) * 1000:.3f} ms", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
