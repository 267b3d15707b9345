"""Probes in twelve directions at once, seen from outside the lab."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from bench.lab import Lab
from bench.outages.losses import Probe
from bench.outages.probe import LATE
from bench.outages.situations import (
    APP_ADDRESSES,
    DESK_ADDRESS,
    DIRECTIONS,
    TO_DESK,
    TO_INTERNET,
    TO_ZONE,
    WEB_ADDRESS,
    ZONES,
)

PROBE = str(Path(__file__).with_name("probe.py"))
QUIET = 0.5  # seconds without a loss, after which all is well
FRESH = 0.3  # seconds; the fate of a probe that is answered is known sooner


class Probes:
    """Runs the probe on every host that is concerned, as long as the `with` block lasts."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._log: dict[str, list[Probe]] = {direction: [] for direction in DIRECTIONS}
        self._processes: list[subprocess.Popen[str]] = []
        self._readers: list[threading.Thread] = []

    def __enter__(self) -> Self:
        for host, targets in _targets().items():
            words = ("exec", host, "--", sys.executable, PROBE, *targets)
            process = self._lab.start(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self._processes.append(process)
            assert process.stdout
            reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
            reader.start()
            self._readers.append(reader)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process, reader in zip(self._processes, self._readers, strict=True):
            process.kill()
            process.wait()
            reader.join()
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            direction, sent, answered = line.split()
            self._log[direction].append(Probe(float(sent), answered != "-"))

    def renew(self) -> None:
        """New flows from now on, so that no router remembers them; what came before is forgotten."""
        for process in self._processes:
            assert process.stdin
            process.stdin.write("new flows\n")
            process.stdin.flush()
        for log in self._log.values():
            log.clear()

    def between(self, start: float, end: float) -> dict[str, list[Probe]]:
        """The probes that were sent then, by direction, as far as their fate is known."""
        return {
            direction: [probe for probe in log.copy() if start <= probe.sent <= end]
            for direction, log in self._log.items()
        }

    def restless(self, directions: Iterable[str], since: float) -> list[str]:
        """Those of `directions` that are not quiet, or were so before `since` only."""
        now = time.monotonic()
        return [direction for direction in directions if not is_quiet(self._log[direction].copy(), since, now)]


def is_quiet(log: list[Probe], since: float, now: float) -> bool:
    """Whether all the probes of the last QUIET seconds were answered, and they were all sent after `since`."""
    # A lost probe holds back for LATE seconds what is known of those after it, so the last is not a fresh one then.
    assert LATE > FRESH
    if not log or log[-1].sent < now - FRESH:
        return False
    start = log[-1].sent - QUIET
    return start >= since and all(probe.answered for probe in reversed(log) if probe.sent >= start)


def _targets() -> dict[str, list[str]]:
    """What each host probes; it answers all."""
    apps = {
        f"app-{zone}": [f"{TO_DESK.format(zone)}={DESK_ADDRESS}", f"{TO_INTERNET.format(zone)}={WEB_ADDRESS}"]
        for zone in ZONES
    }
    return {"desk": [f"{TO_ZONE.format(zone)}={APP_ADDRESSES[zone]}" for zone in ZONES], "web": [], **apps}
