"""The internet as it is: late, uneven, and losing packets. `python impair.py DELAY JITTER LOSS`, on `internet`.

Every packet between the office's line and the VPC's waits DELAY milliseconds and up to JITTER more, or is lost (LOSS
percent); each direction for itself, and none overtakes another. Prints a line `impairing` when it begins. The kernel
here has no netem, so packets pass through this process, by a TUN device; when it ends they take their usual way.
"""

import fcntl
import os
import random
import select
import struct
import subprocess
import sys
import time
from collections import deque

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # <linux/if_tun.h>
INTERFACE, TABLE = "impair", 990
LINES = {"to-office": 90, "to-vpc": 91}  # the internet's ends of both lines, with a routing rule's priority for each
VPCS_SIDE = b"\xc6\x33\x64"  # 198.51.100.0/24 …
FIRST_NAT = 21  # … from this address on, is behind the VPC's line


def main(delay: float, jitter: float, loss: float) -> None:
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", INTERFACE.encode(), IFF_TUN | IFF_NO_PI))
    _ip(f"link set {INTERFACE} up", f"route replace default dev {INTERFACE} table {TABLE}")
    rules = subprocess.run(["ip", "rule"], check=True, capture_output=True, text=True).stdout
    for line, priority in LINES.items():
        if f"{priority}:" not in rules.split():  # an earlier one left it: harmless while the table is empty
            _ip(f"rule add priority {priority} iif {line} lookup {TABLE}")
    print("impairing", flush=True)
    _pass_on(tun, delay / 1000, jitter / 1000, loss / 100)


def _pass_on(tun: int, delay: float, jitter: float, loss: float) -> None:
    waiting: dict[bool, deque[tuple[float, bytes]]] = {True: deque(), False: deque()}
    while True:
        due = min((queue[0][0] for queue in waiting.values() if queue), default=None)
        patience = None if due is None else max(0.0, due - time.monotonic())
        if select.select([tun], [], [], patience)[0]:
            packet = os.read(tun, 65536)
            if random.random() >= loss:
                queue = waiting[packet[16:19] == VPCS_SIDE and packet[19] >= FIRST_NAT]
                latest = queue[-1][0] if queue else 0.0
                queue.append((max(latest, time.monotonic() + delay + random.uniform(0, jitter)), packet))
        now = time.monotonic()
        for queue in waiting.values():
            while queue and queue[0][0] <= now:
                os.write(tun, queue.popleft()[1])


def _ip(*commands: str) -> None:
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True)


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
