"""From turns to medians, ratios and verdicts; and a run's results, as they are kept. Pure but for `load` and `save`."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from bench import document
from bench.throughput.matrix import COOKBOOK, GOAL


@dataclass(frozen=True)
class Turn:
    """What crossed in some seconds, and at what cost."""

    bytes: int
    seconds: float
    cpu: float  # seconds, of all hosts together
    lost: int  # datagrams that came to a host and found no place in a receive buffer

    @property
    def rate(self) -> float:
        """Megabits per second, of what TCP carries."""
        return self.bytes * 8 / self.seconds / 1e6

    @property
    def cost(self) -> float:
        """CPU seconds per gigabyte."""
        return self.cpu / (self.bytes / 1e9)


Turns = tuple[Turn, ...]


@dataclass(frozen=True)
class Results:
    """A run that came to its end: turns by contender and way, and what it was run on and with."""

    environment: Mapping[str, Any]
    settings: Mapping[str, Any]
    turns: Mapping[str, Mapping[str, Turns]]

    @property
    def ways(self) -> list[str]:
        return list(next(iter(self.turns.values())))


class Spread(NamedTuple):
    """Of the same figure in several turns."""

    median: float
    least: float
    most: float


def rates(turns: Turns) -> Spread:
    """Megabits per second."""
    return _spread([turn.rate for turn in turns])


def costs(turns: Turns) -> Spread:
    """CPU seconds per gigabyte."""
    return _spread([turn.cost for turn in turns])


def _spread(figures: list[float]) -> Spread:
    return Spread(median(figures), min(figures), max(figures))


def ratio(results: Results, way: str, to: str, of: str = COOKBOOK) -> float:
    """The median rate of one contender, as a part of that of another."""
    return rates(results.turns[of][way]).median / rates(results.turns[to][way]).median


def missed(results: Results, against: str) -> Iterator[str]:
    """The ways in which the cookbook carries less than GOAL says."""
    return (way for way in results.ways if ratio(results, way, against) < GOAL)


def save(results: Results, path: Path) -> None:
    """Complete under its name, or not at all."""
    document.save(asdict(results), path)


def load(path: Path) -> Results:
    """What `save` wrote."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    turns = {
        contender: {way: tuple(Turn(**turn) for turn in turns) for way, turns in ways.items()}
        for contender, ways in kept["turns"].items()
    }
    return Results(kept["environment"], kept["settings"], turns)
