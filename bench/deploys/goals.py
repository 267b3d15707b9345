"""What the measures must be. Pure."""

from collections.abc import Iterator
from typing import NamedTuple

from bench.deploys.results import (
    ANSIBLE,
    COMMANDS,
    CONNECT,
    COOKBOOK,
    FAR_REBUILD,
    FAR_UNCHANGED,
    FLOOR,
    GROWTH_UNCHANGED,
    REBUILD,
    UNCHANGED,
    Results,
)

FEWEST, MOST = "1", "16"  # zones


class Verdict(NamedTuple):
    """One goal, its limit and the figure measured, in words, and whether it is met."""

    goal: str
    limit: str
    measured: str
    met: bool


def verdicts(results: Results) -> list[Verdict]:
    """In order of importance; of what was measured only."""
    return list(_verdicts(results))


def missed(results: Results) -> list[str]:
    """A line for each goal that is not met."""
    return [f"{each.goal}: {each.measured}; wanted: {each.limit}" for each in verdicts(results) if not each.met]


def _verdicts(results: Results) -> Iterator[Verdict]:
    cookbook, floor, ansible = (results.median(REBUILD, each) for each in (COOKBOOK, FLOOR, ANSIBLE))
    if cookbook and floor:
        yield _at_most("rebuild, as a multiple of the floor", cookbook / floor, 2, " ×")
    if cookbook and ansible:
        yield _at_least("rebuild, times faster than Ansible", ansible / cookbook, 4, " ×")
    connect, cookbook, ansible = (results.median(UNCHANGED, each) for each in (CONNECT, COOKBOOK, ANSIBLE))
    if cookbook and connect:
        yield _at_most(
            "nothing to change, as a multiple of pyinfra's own start and connections", cookbook / connect, 1.3, " ×"
        )
    if cookbook and ansible:
        yield _at_least("nothing to change, times faster than Ansible", ansible / cookbook, 8, " ×")
    if commands := results.figures(COMMANDS, COOKBOOK):
        most = max(commands)
        yield Verdict("nothing to change, remote commands on any host", "≤ 4", f"{most:g}", most <= 4)
    for measure, goal in ((FAR_UNCHANGED, "nothing to change"), (FAR_REBUILD, "rebuild")):
        cookbook, floor = results.median(measure, COOKBOOK), results.median(measure, FLOOR)
        if cookbook and floor:
            yield _at_most(f"{goal} from far away, as a multiple of the floor", cookbook / floor, 2, " ×")
    few, many = (results.median(GROWTH_UNCHANGED, each) for each in (FEWEST, MOST))
    if few and many:
        yield _at_most(f"nothing to change, {MOST} zones as a multiple of {FEWEST}", many / few, 3, " ×")


def _at_most(goal: str, figure: float, limit: float, unit: str) -> Verdict:
    return Verdict(goal, f"≤ {limit:g}{unit}", f"{figure:.2f}{unit}", figure <= limit)


def _at_least(goal: str, figure: float, limit: float, unit: str) -> Verdict:
    return Verdict(goal, f"≥ {limit:g}{unit}", f"{figure:.2f}{unit}", figure >= limit)
