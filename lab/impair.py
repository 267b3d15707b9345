"""The internet as it is: late, uneven, and losing packets. `python impair.py DELAY JITTER LOSS [LINE…]`.

Every packet that comes in by one of the LINEs, network interfaces of the host where this runs, waits DELAY milliseconds
and up to JITTER more, or is lost (LOSS percent); each direction for itself, and none overtakes another. On `internet`
these are the office's line and the VPC's, unless others are given. `lo` stands for what the host itself sends.

Prints a line `impairing` when it begins. The kernel here has no netem, so packets pass through this process, by a TUN
device; when it ends they take their usual way.
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
from collections.abc import Sequence
from pathlib import Path

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # <linux/if_tun.h>
INTERFACE, TABLE, PRIORITY = "impair", 990, 90
LINES = ("to-office", "to-vpc")  # the internet's ends of both
VPCS_SIDE = b"\xc6\x33\x64"  # 198.51.100.0/24 …
FIRST_NAT = 21  # … from this address on, is behind the VPC's line


def main(delay: float, jitter: float, loss: float, lines: Sequence[str]) -> None:
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", INTERFACE.encode(), IFF_TUN | IFF_NO_PI))
    _ip(f"link set {INTERFACE} up", f"route replace default dev {INTERFACE} table {TABLE}")
    # What the host itself sent comes back to it by the device, with its own address, and is to be passed on.
    _set("conf/all/rp_filter", 0)
    _set(f"conf/{INTERFACE}/accept_local", 1)
    _set("ip_forward", 1)
    rules = subprocess.run(["ip", "rule"], check=True, capture_output=True, text=True).stdout
    for priority, line in enumerate(lines, PRIORITY):
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


def _set(setting: str, value: int) -> None:
    Path("/proc/sys/net/ipv4", setting).write_text(f"{value}\n")


def _ip(*commands: str) -> None:
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True)


if __name__ == "__main__":
    _delay, _jitter, _loss = map(float, sys.argv[1:4])
    main(_delay, _jitter, _loss, sys.argv[4:] or LINES)
