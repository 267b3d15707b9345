"""Which news an operator's command hears of, and when: not every restart is news.

Pure. Times are a steady clock's, in seconds, but for those that are shown, which are seconds since 1970. A subject (a
zone, a repair, an identity, the monitor) is in one state at a time; when it has been in another than the one said last
for long enough, that is an event. It waits in a queue until the command has taken it or has failed too often.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from vpc_openvpn_monitor.history import DETOUR, LOST, OWN
from vpc_openvpn_monitor.metrics import Repair

PREFIX = "VPC_OPENVPN_"
FACTS = ("EVENT", "ZONE", "STATE", "WAY", "SINCE", "WHY", "WHAT", "SITE", "TEXT")  # in its environment; each is set
SILENT = 60.0  # seconds without a sign of the monitor's
SOON = 5.0  # seconds until a zone is said to be lost: less than this may be a start
GRACE = 60.0  # seconds after a boot in which nothing is said: tunnels come up
TRIES = (0.0, 10.0, 60.0)  # seconds before the command is tried, and tried again
MOST = 100  # events that wait
DAY = 86400.0
LONGEST = 500  # characters of a fact

# What is not worth a word, and what the command hears of each state: kind → state → event.
NORMAL = {"zone": OWN, "repair": "lasts", "identity": "young", "monitor": "well"}
EVENTS = {
    "zone": {OWN: "back", DETOUR: "detour", LOST: "lost"},
    "repair": {"lasts": "repair-over", "loops": "repair-loop", "fails": "repair-failed"},
    "identity": {"due": "identity-due"},
    "monitor": {"well": "monitor-back", "silent": "monitor-silent"},
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What is so about a subject: its state, how long that must last to be said, and the facts for the command."""

    state: str
    patience: float
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Subject:
    """What was said of it last, since when it has been otherwise (None while it is as said), and what it is now, since
    when.
    """

    said: str
    otherwise: float | None = None
    state: str = ""
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event's facts, how often the command has failed to take it, and when it is tried next."""

    facts: Mapping[str, str]
    failed: int
    due: float


@dataclass(frozen=True, slots=True)
class Memory:
    """What outlives a restart, but no reboot."""

    began: float
    subjects: Mapping[str, Subject] = field(default_factory=dict)
    waiting: tuple[Waiting, ...] = ()
    runs: int = 0
    failures: int = 0
    heartbeat_failures: int = 0


def zones(found: Mapping[str, Any], after: float) -> dict[str, Seen]:
    """Of what the monitor has written: each zone's way. `after`: seconds until a detour, or the way back, is said."""
    return {f"zone {zone}": _zone(zone, each, after) for zone, each in found["zones"].items()}


def _zone(zone: str, found: Mapping[str, Any], after: float) -> Seen:
    state = found["state"]
    facts = {
        "ZONE": zone,
        "STATE": state,
        "WAY": found["via"] or "",
        "SINCE": str(int(found["since"])),
        "WHY": found["why"] or "",
        "TEXT": f"{zone}: {found['says']}{' again' if state == OWN and not found['why'] else ''}",
    }
    return Seen(state, min(SOON, after) if state == LOST else after, facts)


def repairs(done: Iterable[Repair]) -> dict[str, Seen]:
    """Of what the keeper has written: which repairs do not last."""
    return {f"repair {each.what}": _repair(each) for each in done}


def _repair(each: Repair) -> Seen:
    if each.failing:
        state, why, text = "fails", each.failing, f"is gone, and cannot be put back ({each.failing})"
    elif each.looping:
        state, why = "loops", each.gone
        text = f"another program removes it again and again ({each.count} times; missing: {each.gone})"
    else:
        state, why, text = "lasts", "", "is left alone again"
    facts = {
        "STATE": state,
        "WHAT": each.what,
        "SINCE": str(int(each.last)),
        "WHY": why,
        "TEXT": f"{each.what}: {text}",
    }
    return Seen(state, SOON if each.failing else 0.0, facts)


def identities(created: Mapping[str, float], days: int, now: float) -> dict[str, Seen]:
    """Which hosts' identities are older than `days`; `created` and `now` in seconds since 1970."""
    return {f"identity {host}": _identity(host, when, days, now) for host, when in created.items()}


def _identity(host: str, when: float, days: int, now: float) -> Seen:
    age = int((now - when) // DAY)
    text = f"{host}: its identity is {age} days old, more than {days}"
    facts = {"STATE": "due", "WHAT": host, "SINCE": str(int(when)), "TEXT": text}
    return Seen("due" if age > days else "young", 0.0, facts)


def monitor(silent_for: float) -> dict[str, Seen]:
    """Whether the monitor works: `silent_for` is how old its last sign is, in seconds."""
    silent = silent_for > SILENT
    text = f"the monitor has been silent for {silent_for:.0f} s: no detour is found" if silent else "it works again"
    facts = {"STATE": "silent" if silent else "well", "TEXT": f"vpc-openvpn-monitor: {text}"}
    return {"monitor": Seen(facts["STATE"], 0.0, facts)}


def step(memory: Memory, seen: Mapping[str, Seen], unknown: Sequence[str], now: float, site: str) -> Memory:
    """With the events that are due, in the queue. Subjects that are gone are forgotten, but for those of the kinds
    `unknown`, which nothing is known of now.
    """
    subjects = {name: each for name, each in memory.subjects.items() if _kind(name) in unknown}
    waiting = list(memory.waiting)
    for name, each in seen.items():
        kind = _kind(name)
        subject = memory.subjects.get(name, Subject(NORMAL[kind]))
        if subject.said == each.state:
            subjects[name] = Subject(each.state)
            continue
        otherwise = now if subject.otherwise is None else subject.otherwise
        since = subject.since if subject.state == each.state else now
        # As lost for a moment on the way from one detour to the next: not as was said for long, nor so for long.
        soon = now - otherwise < each.patience or now - since < min(SOON, each.patience)
        if soon or now - memory.began < GRACE:
            subjects[name] = Subject(subject.said, otherwise, each.state, since)
            continue
        subjects[name] = Subject(each.state)
        if event := EVENTS[kind].get(each.state):
            waiting.append(Waiting(_facts(event, each.facts, site), 0, now + TRIES[0]))
    return replace(memory, subjects=subjects, waiting=tuple(waiting[-MOST:]))


def due(memory: Memory, now: float) -> Waiting | None:
    """The event that the command is to take now: one after the other, so that they come in order."""
    first = memory.waiting[0] if memory.waiting else None
    return first if first and first.due <= now else None


def taken(memory: Memory, now: float, *, succeeded: bool) -> Memory:
    """After the command has run for the first that waits. One that has failed too often is dropped."""
    first, *others = memory.waiting
    memory = replace(memory, runs=memory.runs + 1, failures=memory.failures + (not succeeded))
    failed = first.failed + 1
    if succeeded or failed == len(TRIES):
        return replace(memory, waiting=tuple(others))
    return replace(memory, waiting=(Waiting(first.facts, failed, now + TRIES[failed]), *others))


def kept(memory: Memory) -> str:
    """As a file's text, for `recalled`."""
    return json.dumps(asdict(memory)) + "\n"


def recalled(text: str, now: float) -> Memory:
    """A new one, that begins `now`, where the text is not what `kept` makes."""
    try:
        found = json.loads(text)
        return Memory(
            float(found["began"]),
            {name: Subject(**each) for name, each in found["subjects"].items()},
            tuple(Waiting(**each) for each in found["waiting"]),
            found["runs"],
            found["failures"],
            found["heartbeat_failures"],
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return Memory(now)


def _kind(name: str) -> str:
    return name.partition(" ")[0]


def _facts(event: str, facts: Mapping[str, str], site: str) -> dict[str, str]:
    """All of FACTS, printable and short: some hold what another program has written."""
    all_of_them = {**facts, "EVENT": event, "SITE": site}
    return {PREFIX + name: _clean(all_of_them.get(name, "")) for name in FACTS}


def _clean(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)[:LONGEST]
