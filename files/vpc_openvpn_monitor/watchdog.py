"""systemd's watchdog: a process that hangs is killed, and started anew. sd_notify(3) has the message."""

import os
import socket
import time

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")  # this process's alone
_OFTEN = 1.0  # seconds between two messages, at least


class Watchdog:
    """Hears that this process goes on; there is none where systemd does not ask."""

    def __init__(self) -> None:
        name = os.environ.pop("NOTIFY_SOCKET", "")  # systemd would not listen to a command that this process runs
        self._address = f"\0{name[1:]}" if name.startswith("@") else name
        self._next = 0.0

    def hears(self) -> None:
        """Call it more often than the unit's WatchdogSec."""
        now = time.monotonic()
        if not self._address or now < self._next:
            return
        self._next = now + _OFTEN
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as told:
            try:
                told.sendto(b"WATCHDOG=1", self._address)
            except OSError:  # systemd is busy, or starts itself anew: the next message is soon enough
                return
