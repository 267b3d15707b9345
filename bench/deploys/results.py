"""What was measured, and how it is kept. Pure, but for `save` and `load`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench import document

COOKBOOK, FLOOR, ANSIBLE = "cookbook", "floor", "Ansible"
CONTENDERS = (COOKBOOK, FLOOR, ANSIBLE)
CONNECT = "connect"  # pyinfra's own start-up and connections

# Names of measures. Each has a list of figures by contender, or by what else is compared.
REBUILD, STAGES = "rebuild", "rebuild stages"
UNCHANGED = "unchanged"
COMMANDS = "commands"
FIRST = "first"
GROWTH_FIRST, GROWTH_UNCHANGED = "growth, first", "growth, unchanged"
FAR_REBUILD, FAR_UNCHANGED, FAR_AWAY = "far, rebuild", "far, unchanged", "far, round trip"

Figures = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Results:
    """`measures` are seconds (commands: counts), by measure and by who or what was measured, in order of time."""

    environment: Mapping[str, Any]
    settings: Mapping[str, Any]
    measures: Mapping[str, Figures]

    def figures(self, measure: str, what: str) -> Sequence[float]:
        """Empty where it was not measured."""
        return self.measures.get(measure, {}).get(what, ())

    def median(self, measure: str, what: str) -> float | None:
        """None where it was not measured."""
        figures = self.figures(measure, what)
        return median(figures) if figures else None


def save(results: Results, path: Path) -> None:
    """As JSON; complete under its name, or not at all."""
    document.save(asdict(results), path)


def load(path: Path) -> Results:
    """What `save` wrote."""
    return Results(**json.loads(path.read_text(encoding="utf-8")))
