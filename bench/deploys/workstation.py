"""The operator's workstation: what is typed there, and how long it takes."""

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.deploys.contenders import Words
from bench.lab import ROOT, BenchError, Lab

STOPWATCH = Path(__file__).with_name("stopwatch.py")
IMPAIR = ROOT / "lab" / "impair.py"
FAR = 100  # milliseconds there and back
STARTING = 10.0  # seconds


@dataclass(frozen=True)
class Timed:
    """A command that succeeded: two moments by time.monotonic(), and what it printed."""

    began: float
    ended: float
    output: str

    @property
    def seconds(self) -> float:
        return self.ended - self.began


class Workstation:
    """The one of `lab`; `folder` is for notes."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._lab, self._moments = lab, folder / "moments"

    def run(self, words: Words) -> Timed:
        """Raises BenchError where it fails."""
        output = self._lab.must("run", "--", sys.executable, str(STOPWATCH), str(self._moments), *words)
        began, ended = map(float, self._moments.read_text(encoding="utf-8").split())
        return Timed(began, ended, output)

    @contextmanager
    def far_away(self, address: str) -> Iterator[float]:
        """For as long as the block lasts, all that it sends is late by FAR. The round trip to `address`, as seen."""
        command = ("exec", "operator", "--", sys.executable, str(IMPAIR), str(FAR), "0", "0", "lo")
        log = self._moments.with_name("impair")
        with log.open("w") as file, self._lab.start(*command, stdout=file) as process:
            try:
                deadline = time.monotonic() + STARTING
                while log.read_text(encoding="utf-8") != "impairing\n":
                    if time.monotonic() > deadline or process.poll() is not None:
                        raise BenchError("the operator's line could not be made longer")
                    time.sleep(0.05)
                round_trip = self._round_trip(address)
                if round_trip < FAR / 1000:
                    raise BenchError(f"a round trip should take {FAR} ms, and takes {round_trip * 1000:.1f}")
                yield round_trip
            finally:
                process.kill()

    def _round_trip(self, address: str) -> float:
        """Seconds."""
        said = self._lab.must("run", "--", "ping", "-q", "-n", "-c", "3", "-i", "0.2", address)
        match = re.search(r"= [\d.]+/([\d.]+)/", said)
        assert match, said
        return float(match[1]) / 1000
