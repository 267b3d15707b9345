"""Which way each zone's packets took since when, as the kernel had it: what has happened, for those who look later.

Pure: times are given, in seconds since 1970.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

OWN, DETOUR, LOST = "own", "detour", "lost"
DAY = 24 * 3600.0
MOST = 200  # changes that are remembered of a zone


@dataclass(frozen=True, slots=True)
class Path:
    """A zone's: `state` is OWN, DETOUR or LOST; `via` is the zone whose tunnel its packets take, empty where they
    have no route; `why` is not by its own, in words.
    """

    state: str
    via: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """A path, and when it began."""

    at: float
    path: Path


History = Mapping[str, tuple[Change, ...]]  # by zone, the newest last


def noted(history: History, zone: str, path: Path, now: float) -> History:
    """With the path that the zone's packets take now. A new reason for the same path is no change of it."""
    changes = history.get(zone, ())
    last = changes[-1] if changes else None
    if last and (last.path.state, last.path.via) == (path.state, path.via):
        if last.path == path:
            return history
        return {**history, zone: (*changes[:-1], replace(last, path=path))}
    return {**history, zone: (*changes, Change(now, path))[-MOST:]}


def of_the_site(history: History, named: Callable[[str], object]) -> History:
    """Without zones that have left, and without what they carried of others' packets; `named` says who is there."""
    return {
        zone: tuple(change for change in changes if not change.path.via or named(change.path.via))
        for zone, changes in history.items()
        if named(zone)
    }


def of_a_day(history: History, zone: str, now: float) -> int:
    """How often the zone's way has changed within the last day. What was first seen of it is no change."""
    return sum(change.at > now - DAY for change in history.get(zone, ())[1:])
