"""From probes to gaps, from gaps to losses; and a run's results, as they are kept. Pure but for `load` and `save`."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

from bench import document


class Probe(NamedTuple):
    """When it was sent, in seconds, and whether it was answered in time."""

    sent: float
    answered: bool


class Gap(NamedTuple):
    """Lost probes in a row: from when the first was sent until the next answered one was; None: none was any more."""

    start: float
    end: float | None


@dataclass(frozen=True)
class Repetition:
    """One outage. Moments are seconds after the fault; `repaired` is None where it needed no repair.

    `gaps` are those of the directions that lost something; `never` names the directions in which nothing passed
    right before the fault, either.
    """

    repaired: float | None
    ended: float
    never: tuple[str, ...]
    gaps: Mapping[str, tuple[Gap, ...]]


class Kind(IntEnum):
    """How a direction fared; the higher, the worse."""

    SECONDS = 0  # it recovered by itself, or lost nothing
    UNTIL_REPAIRED = 1
    FOR_GOOD = 2  # not even the repair helped
    NEVER = 3  # it did not work before


@dataclass(frozen=True, order=True)
class Loss:
    """What one direction lost in one outage. `seconds`: in all; of UNTIL_REPAIRED, those after the repair."""

    kind: Kind
    seconds: float = 0.0

    def __str__(self) -> str:
        """As in the table."""
        if self.kind in (Kind.NEVER, Kind.FOR_GOOD):
            return "never works" if self.kind == Kind.NEVER else "for good"
        digits = 0 if self.seconds >= 10 or self.seconds == 0 else 1 if self.seconds >= 1 else 2
        amount = f"{self.seconds:.{digits}f}"
        return f"until repaired + {amount}" if self.kind == Kind.UNTIL_REPAIRED else amount


Table = Mapping[str, Mapping[str, tuple[Repetition, ...]]]


@dataclass(frozen=True)
class Results:
    """A run that came to its end: repetitions by strategy and situation, and what it was run on and with."""

    environment: Mapping[str, Any]
    settings: Mapping[str, Any]
    outages: Table


def gaps(probes: Iterable[Probe]) -> tuple[Gap, ...]:
    """The gaps in `probes`, which are in the order in which they were sent.

    A gap is at most one interval longer than the outage was, or shorter.
    """
    found: list[Gap] = []
    start: float | None = None
    for probe in probes:
        if not probe.answered and start is None:
            start = probe.sent
        elif probe.answered and start is not None:
            found.append(Gap(start, probe.sent))
            start = None
    return (*found, Gap(start, None)) if start is not None else tuple(found)


def loss(repetition: Repetition, direction: str) -> Loss:
    """What `direction` lost in `repetition`."""
    if direction in repetition.never:
        return Loss(Kind.NEVER)
    found = repetition.gaps.get(direction, ())
    ended = [(start, end) for start, end in found if end is not None]
    if len(ended) < len(found):
        return Loss(Kind.FOR_GOOD)
    repaired = repetition.repaired
    if repaired is not None and any(start <= repaired < end for start, end in ended):
        return Loss(Kind.UNTIL_REPAIRED, sum(max(0.0, end - max(start, repaired)) for start, end in ended))
    return Loss(Kind.SECONDS, sum(end - start for start, end in ended))


def save(results: Results, path: Path) -> None:
    """Complete under its name, or not at all."""
    document.save(asdict(results), path)


def load(path: Path) -> Results:
    """What `save` wrote."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    outages = {
        strategy: {name: tuple(_repetition(each) for each in repetitions) for name, repetitions in situations.items()}
        for strategy, situations in kept["outages"].items()
    }
    return Results(kept["environment"], kept["settings"], outages)


def _repetition(kept: dict[str, Any]) -> Repetition:
    found = {direction: tuple(Gap(*gap) for gap in gaps) for direction, gaps in kept["gaps"].items()}
    return Repetition(kept["repaired"], kept["ended"], tuple(kept["never"]), found)
