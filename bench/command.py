"""What the benchmarks' commands have in common: how they show that time passes, and how they end."""

import signal
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from bench.lab import BenchError

T = TypeVar("T")


def measured(name: str, run: Callable[[], T]) -> T:
    """What `run` returns. Ends the process where the benchmark `name` fails (1), or is interrupted (130)."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the labs go down as after Ctrl-C
    try:
        return run()
    except BenchError as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"{name}: interrupted; nothing of this run is kept", file=sys.stderr)
        sys.exit(130)


def since(started: float) -> str:
    """How long it is since `started`, a moment by time.monotonic(): ` 4:05`."""
    minutes, seconds = divmod(int(time.monotonic() - started), 60)
    return f"{minutes:2}:{seconds:02}"
