"""Bring the labs up and measure, turn by turn: one contender after the other, in a new order each round. Needs root."""

import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from bench.lab import BenchError, Lab
from bench.throughput import stream
from bench.throughput.bare import OFFICE, BareHosts, Tunnel, everywhere
from bench.throughput.figures import Results, Turn
from bench.throughput.matrix import BEST, CLEAR, CONTENDERS, COOKBOOK, STRIPPED, SWEEP, SWEPT, WAYS, ZONES, Way

INSTANCE = os.environ.get("THROUGHPUT_LAB", "throughput")
BARE_INSTANCE = f"{INSTANCE}b"

STREAM = str(Path(stream.__file__))
PORT = 7100
LOOK = 2.0  # seconds, for what the machine does besides

Progress = Callable[[str, str, Turn], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Pace:
    """Seconds of a turn: those before what counts, and those that count."""

    warm_up: float
    seconds: float


FULL, SWEEPING, QUICK = Pace(1.0, 4.0), Pace(0.5, 2.0), Pace(0.5, 1.0)


def compare(repetitions: int, pace: Pace, progress: Progress) -> Results:
    """Each contender in each way; `progress` hears of each turn. Raises BenchError, and leaves no lab behind."""
    with _lab(INSTANCE) as lab, _lab(BARE_INSTANCE) as blank:
        lab.deploy(lab.site())
        bare = _bare(blank)
        bare.start(BEST, bare.tunnels)
        with Meter(lab, bare.tunnels, pace) as deployed, Meter(blank, bare.tunnels, pace) as undeployed:
            environment = lab.made_with() | {"busy": _busy()}
            turns: dict[str, dict[str, list[Turn]]] = {each: {way: [] for way in WAYS} for each in CONTENDERS}
            for number in range(repetitions):
                for name, way in WAYS.items():
                    for contender in rotated(list(CONTENDERS), number):
                        if contender == STRIPPED:
                            bare.strip()
                        meter = deployed if contender == COOKBOOK else undeployed
                        turn = meter.measure(way, public=contender == CLEAR)
                        if contender == STRIPPED:
                            bare.masquerade(PORT)
                        turns[contender][name].append(turn)
                        progress(contender, name, turn)
        return _results(environment, pace, repetitions, turns)


def sweep(rounds: int, pace: Pace, progress: Progress) -> Results:
    """Each of the sweep's options through one tunnel, on bare hosts; otherwise as `compare`."""
    with _lab(BARE_INSTANCE) as blank:
        bare = _bare(blank)
        tunnels = bare.tunnels[:1]
        with Meter(blank, bare.tunnels, pace) as meter:
            environment = blank.made_with() | {"busy": _busy()}
            turns: dict[str, dict[str, list[Turn]]] = {each: {way: [] for way in SWEPT} for each in SWEEP}
            for number in range(rounds):
                for name in shuffled(list(SWEEP), number):
                    bare.start(SWEEP[name], tunnels)
                    for way in SWEPT:
                        turn = meter.measure(WAYS[way])
                        turns[name][way].append(turn)
                        progress(name, way, turn)
                    bare.stop(tunnels)
        return _results(environment, pace, rounds, turns)


def shuffled(items: Sequence[T], number: int) -> list[T]:
    """The same in another order for each number: what disturbs neighbours never disturbs the same ones again."""
    return random.Random(number).sample(items, len(items))


def rotated(items: Sequence[T], by: int) -> list[T]:
    """The same, beginning with another one."""
    by %= len(items)
    return [*items[by:], *items[:by]]


class Meter:
    """Gives and takes between a lab's desk and its application hosts, as long as the `with` block lasts."""

    def __init__(self, lab: Lab, tunnels: Sequence[Tunnel], pace: Pace) -> None:
        self._lab, self._tunnels, self._pace = lab, tunnels, pace
        self._servers: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        for tunnel in self._tunnels:
            self._servers.append(
                self._lab.start("exec", tunnel.app_host, "--", sys.executable, STREAM, "serve", f"{PORT}")
            )
        for tunnel in self._tunnels:
            self._lab.must("exec", tunnel.app_host, "--", sys.executable, STREAM, "await", f"{PORT}")
        self._lost = self._losses()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.kill()
            server.wait()

    def measure(self, way: Way, *, public: bool = False) -> Turn:
        """One turn; to the NATs' public addresses, beside the tunnels, if `public`."""
        addresses = [each.public_address if public else each.app for each in self._tunnels[: way.zones]]
        words = (way.direction, f"{self._pace.warm_up}", f"{self._pace.seconds}", f"{PORT}", *addresses)
        sample: stream.Sample = json.loads(
            self._lab.must("exec", "desk", "--", sys.executable, STREAM, "measure", *words)
        )
        if not sample["bytes"]:
            raise BenchError(f"nothing crossed: {way.title}")
        before, self._lost = self._lost, self._losses()
        return Turn(**sample, lost=self._lost - before)

    def _losses(self) -> int:
        """Datagrams that the hosts had no place for, since they were booted."""
        hosts = [OFFICE, *(tunnel.nat for tunnel in self._tunnels)]
        return sum(map(_buffer_errors, everywhere(self._lab, dict.fromkeys(hosts, "cat /proc/net/snmp")).values()))


def _buffer_errors(snmp: str) -> int:
    names, values = re.findall("^Udp: (.*)$", snmp, re.MULTILINE)
    return int(dict(zip(names.split(), values.split(), strict=True))["RcvbufErrors"])


def _busy() -> float:
    """How many CPUs of the machine are at work while nothing is measured."""
    began, cpu = time.monotonic(), stream.cpu_seconds()
    time.sleep(LOOK)
    return round((stream.cpu_seconds() - cpu) / (time.monotonic() - began), 2)


@contextmanager
def _lab(name: str) -> Iterator[Lab]:
    with Lab(name) as lab:
        lab.must("up", "--zones", f"{ZONES}")
        yield lab


def _bare(lab: Lab) -> BareHosts:
    bare = BareHosts(lab)
    bare.prepare()
    bare.masquerade(PORT)
    return bare


def _results(
    environment: Mapping[str, Any],
    pace: Pace,
    repetitions: int,
    turns: Mapping[str, Mapping[str, list[Turn]]],
) -> Results:
    settings = {"repetitions": repetitions, **asdict(pace), "options": asdict(BEST)}
    kept = {name: {way: tuple(each) for way, each in ways.items()} for name, ways in turns.items()}
    return Results(environment, settings, kept)
