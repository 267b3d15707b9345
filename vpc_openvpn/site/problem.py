"""One error in a site file, and the report in which they are shown together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

KeyPath = tuple[str | int, ...]
"""Where something stands in the site file: `("zones", 1, "nat")` is shown as `zones[1].nat`."""

LONGEST_VALUE = 60
SECRET = ("alerts", "heartbeat")  # who knows the URL can keep it quiet


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at one place: `why` follows on from the value, `instead` says what to write."""

    path: KeyPath
    value: str
    why: str
    instead: str = ""


def dotted(path: KeyPath) -> str:
    """A key path as users see it, such as `zones[1].nat.private_address`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{shown(step)}" for step in path)
    return "".join(steps).removeprefix(".")


def shown(value: object) -> str:
    """A value as it may stand on one line of a report; empty for a list or a mapping, which would not fit."""
    if value is None or isinstance(value, (list, tuple, dict)):
        return ""
    text = str(value)
    if "PRIVATE KEY" in text:
        return "(a private key, not shown)"
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def report(source: str, problems: Iterable[Problem], lines: Mapping[KeyPath, int]) -> str:
    """All problems of the file `source` in the order of its lines; `lines` is where each key path stands."""
    ordered = sorted(dict.fromkeys(problems), key=lambda problem: line_of(problem.path, lines))
    count = f"{len(ordered)} error" + ("s" if len(ordered) != 1 else "")
    return "\n".join([f"{source}: {count}", *(_entry(problem, lines) for problem in ordered)])


def line_of(path: KeyPath, lines: Mapping[KeyPath, int]) -> int:
    """The line of a key path or, for a key that is missing, of what should hold it; 0 for the file itself."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 0)


def _entry(problem: Problem, lines: Mapping[KeyPath, int]) -> str:
    line = line_of(problem.path, lines)
    place = ", ".join(filter(None, [f"line {line}" if line else "", dotted(problem.path)]))
    value = "(not shown)" if problem.path == SECRET and problem.value else problem.value
    head = ": ".join(filter(None, [place, value]))
    details = [*problem.why.splitlines(), *problem.instead.splitlines()]
    if not head:  # an error of the file as a whole has no place to name
        head, *details = details
    return "\n".join([f"  {head}", *(f"    {detail}" for detail in details)])
