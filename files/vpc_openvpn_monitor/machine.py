"""Which ways to the zones work, decided from answers and silences: `step(state, event, now) → (state, actions)`.

Pure: no clock, no socket, no file, nothing random. `now` is in seconds of a clock that never goes back. A *way* leads
to a zone through a tunnel: the zone's own, or that of a detour.

Three questions are asked, all the time:

- LIFE, of a tunnel's NAT: does it answer a ping? While it does, TCP connections that began on the tunnel stay there.
- LOOP, of a tunnel's NAT: does it forward? A packet to the office's own end of the tunnel, sent into the tunnel, comes
  back if the NAT forwards it (BFD's echo function: RFC 5880, 6.4). No other host takes part; no kernel limits its rate.
- REACH, of a way: does the zone's probe answer a desk's ping? Only for zones that have a probe; of a zone's ways those
  are asked that are in use or better, and all of them while one is silent: if the probe answers by none, it is the
  probe that is gone.

What follows from that stands in `Verdict`. BFD is faster, and moves new connections by itself; but it only hears that a
process on the NAT answers.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple, TypeAlias

LIFE, LOOP, REACH = "life", "loop", "reach"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How long the monitor waits before it believes anything. Seconds, or counts of answers and silences in a row.

    docs/decisions/0008-detours.md has the reasons.
    """

    life_interval: float = 0.3  # between two pings of a NAT …
    life_fall: int = 7  # … of which so many are unanswered before its connections are released: 2.1 s
    interval: float = 0.5  # between two of the other questions
    answer_within: float = 0.7  # or the question counts as unanswered
    fall: int = 5  # unanswered questions before a NAT is said not to forward: 0.5 + 4 × 0.5 + 0.7 = 3.2 s at most
    proving_interval: float = 0.1  # between the first questions to one that is back: its zone waits for the answers
    rise: int = 3  # answers before traffic returns the first time; each return doubles it …
    most_rise: int = 48  # … up to this
    calm: int = 240  # answers after which earlier failures are forgotten: two minutes
    leaving: float = 10.0  # until a tunnel that was about to stop, and is still there, may prove itself
    restart: float = 10.0  # for which a tunnel that is restarted may be silent, and its connections are kept


class Question(NamedTuple):
    """One of the three, of a tunnel or of a way: numbers of the tunnel and, for REACH, of the zone."""

    kind: str
    tunnel: int
    zone: int = 0


class Way(NamedTuple):
    """To a zone through a tunnel, each by its number; they are the same for the zone's own tunnel."""

    zone: int
    tunnel: int


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone, whether it has a probe, and its ways, the best first: its own tunnel's, then detours."""

    number: int
    probed: bool
    detours: tuple[int, ...]

    @property
    def ways(self) -> tuple[Way, ...]:
        return tuple(Way(self.number, tunnel) for tunnel in (self.number, *self.detours))


class Trust(Enum):
    """In a gate. TRUSTED: traffic may use it. BROKEN: it does not answer. PROVING: it answers again, or may be about to
    stop, and traffic uses it only as the last resort until it has answered often enough.
    """

    TRUSTED = "trusted"
    PROVING = "proving"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Gate:
    """Rise and fall, as keepalived's health checks have them, of the answers of one tunnel or way to one question."""

    trust: Trust = Trust.TRUSTED
    since: float = 0.0  # answers to questions asked before this say nothing
    answers: int = 0  # in a row
    silences: int = 0  # in a row
    silent_since: float = 0.0  # when the first of them was asked
    heard: float = -1.0  # when the last question that was answered had been asked
    wanted: int = 0  # answers that the next return takes; 0: the first, `rise`
    orderly: bool = False  # doubted because its unit was stopped, as by a deploy: its return is none from a failure


@dataclass(frozen=True, slots=True)
class Tunnel:
    """What is known of a tunnel. `unanswered`: pings in a row. `leaving`: it is about to stop, and answers to questions
    that are asked before this say nothing; 0: it is not. `patient`: until then, its silence is that of a restart.
    """

    unanswered: int = 0
    life_heard: float = -1.0  # when the last ping that was answered had been asked
    silent: bool = False
    forwards: Gate = Gate()
    drained: bool = False
    leaving: float = 0.0
    patient: float = 0.0


@dataclass(frozen=True, slots=True)
class State:
    """All that the monitor knows. `due`: when each question is asked next."""

    zones: tuple[Zone, ...]
    thresholds: Thresholds
    tunnels: Mapping[int, Tunnel]
    ways: Mapping[Way, Gate]  # of probed zones
    due: Mapping[Question, float]


@dataclass(frozen=True, slots=True)
class Memory:
    """What outlives the monitor's process: silent tunnels; of each gate, its trust and the answers that it wants."""

    silent: frozenset[int] = frozenset()
    tunnels: Mapping[int, tuple[Trust, int]] = field(default_factory=dict)
    ways: Mapping[Way, tuple[Trust, int]] = field(default_factory=dict)


NOTHING, DEFAULTS = Memory(), Thresholds()


# --- events ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: ask what is due."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A question that was asked at `asked` has its answer."""

    question: Question
    asked: float


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A question that was asked at `asked` has none, and waited for long enough. Not said of LIFE."""

    question: Question
    asked: float


@dataclass(frozen=True, slots=True)
class Leaving:
    """A tunnel's unit is about to stop it. Meanwhile it carries what is under way."""

    tunnel: int


@dataclass(frozen=True, slots=True)
class Gone:
    """The process of a tunnel that was about to stop has ended. (Its interface may go and come back before.)"""

    tunnel: int


@dataclass(frozen=True, slots=True)
class Restarting:
    """A deploy restarts the other end of a tunnel, which is silent meanwhile."""

    tunnel: int


@dataclass(frozen=True, slots=True)
class Drained:
    """The tunnels that operators have drained are these."""

    tunnels: frozenset[int]


Event: TypeAlias = Tick | Answered | Unanswered | Leaving | Gone | Restarting | Drained


# --- actions --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ask:
    """Send a question. Without an answer `within` seconds, LOOP and REACH are `Unanswered`."""

    question: Question
    within: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What BIRD is to do, by way. `avoided`: used only where no better way is there. `dead`, which are avoided as well:
    used only where there is no other at all, and nothing is held there. `leaving`: tunnels which are about to stop; of
    what has begun there TCP alone stays.
    """

    avoided: frozenset[Way]
    dead: frozenset[Way]
    leaving: frozenset[int] = frozenset()


Action: TypeAlias = Ask | Verdict


# --- the machine ----------------------------------------------------------------------------------------------------


def begin(zones: Iterable[Zone], now: float, memory: Memory = NOTHING, thresholds: Thresholds = DEFAULTS) -> State:
    """Before the first question: every tunnel is trusted, but for what `memory` has of an earlier run."""
    zones = tuple(zones)
    ways = {way: _recalled(memory.ways.get(way), now) for zone in zones if zone.probed for way in zone.ways}
    tunnels = {
        zone.number: Tunnel(
            silent=zone.number in memory.silent,
            forwards=_recalled(memory.tunnels.get(zone.number), now),
        )
        for zone in zones
    }
    questions = [Question(kind, zone.number) for zone in zones for kind in (LIFE, LOOP)]
    questions += [Question(REACH, way.tunnel, way.zone) for way in ways]
    return State(zones, thresholds, tunnels, ways, dict.fromkeys(questions, now))


def memory(state: State) -> Memory:
    """What a later run has to know."""
    return Memory(
        silent=frozenset(number for number, tunnel in state.tunnels.items() if tunnel.silent),
        tunnels={number: (tunnel.forwards.trust, tunnel.forwards.wanted) for number, tunnel in state.tunnels.items()},
        ways={way: (gate.trust, gate.wanted) for way, gate in state.ways.items()},
    )


def step(state: State, event: Event, now: float) -> tuple[State, list[Action]]:
    """What follows from one event: the next state, and what is to be done. A verdict comes when it has changed."""
    actions: list[Action] = []
    match event:
        case Tick():
            after, actions = _ask(state, now)
        case Answered(question, at):
            after = _answered(state, question, at, now)
        case Unanswered(question, at):
            after = _unanswered(state, question, at, now)
        case Leaving(tunnel):
            gate = state.tunnels[tunnel].forwards
            orderly = gate.orderly or gate.trust == Trust.TRUSTED
            after = _with_tunnel(
                state,
                tunnel,
                forwards=replace(_doubt(gate, now), orderly=orderly),
                leaving=now + state.thresholds.leaving,
                patient=now + state.thresholds.restart,
            )
        case Gone(tunnel):
            after = _with_tunnel(state, tunnel, leaving=0.0)
        case Restarting(tunnel):
            after = _with_tunnel(state, tunnel, patient=now + state.thresholds.restart)
        case Drained(drained):
            tunnels = {number: replace(each, drained=number in drained) for number, each in state.tunnels.items()}
            after = replace(state, tunnels=tunnels)
    if _opinions(after) == _opinions(state) or (said := verdict(after)) == verdict(state):
        return after, actions
    return after, [*actions, said]


def wake(state: State) -> float:
    """When the next question is due."""
    return min(state.due.values())


def verdict(state: State) -> Verdict:
    """What BIRD is to do."""
    ways = [way for zone in state.zones for way in zone.ways]
    return Verdict(
        avoided=frozenset(way for way in ways if not _good(state, way)),
        dead=frozenset(way for way in ways if dead(state, way)),
        leaving=frozenset(number for number, tunnel in state.tunnels.items() if tunnel.leaving),
    )


def best(state: State, zone: Zone) -> Way:
    """The way that new connections to a zone take, as far as the monitor knows; BFD may have another."""
    return min(zone.ways, key=lambda way: (dead(state, way), not _good(state, way)))  # of several such, the first


def why(state: State, way: Way) -> str:
    """In a word, why a way is avoided; empty if it is not."""
    tunnel, gate = state.tunnels[way.tunnel], state.ways.get(way, Gate())
    reasons = {
        "silent": tunnel.silent,
        "does not forward": tunnel.forwards.trust == Trust.BROKEN,
        "does not reach the zone": gate.trust == Trust.BROKEN,
        "drained": tunnel.drained,
        "has yet to prove itself": Trust.PROVING in (tunnel.forwards.trust, gate.trust),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _opinions(state: State) -> list[object]:
    """All that a verdict depends on. Cheaper than two verdicts, at every packet."""
    gates = [gate.trust for gate in state.ways.values()]
    tunnels = state.tunnels.values()
    return [*gates, *((each.silent, each.drained, each.leaving, each.forwards.trust) for each in tunnels)]


def _good(state: State, way: Way) -> bool:
    tunnel = state.tunnels[way.tunnel]
    gates = tunnel.forwards, state.ways.get(way, Gate())
    return not tunnel.silent and not tunnel.drained and all(gate.trust == Trust.TRUSTED for gate in gates)


def dead(state: State, way: Way) -> bool:
    """Is nothing worth holding there any more?"""
    tunnel = state.tunnels[way.tunnel]
    return tunnel.silent or Trust.BROKEN in (tunnel.forwards.trust, state.ways.get(way, Gate()).trust)


# --- asking ---------------------------------------------------------------------------------------------------------


def _ask(state: State, now: float) -> tuple[State, list[Action]]:
    for number, tunnel in state.tunnels.items():
        if 0 < tunnel.leaving <= now:
            state = _with_tunnel(state, number, leaving=0.0)
    due = dict(state.due)
    actions: list[Action] = []
    for question, at in state.due.items():
        if at > now:
            continue
        due[question] = now + _interval(state, question)
        if question.kind == REACH and not _asked_about(state, Way(question.zone, question.tunnel)):
            continue
        actions.append(Ask(question, state.thresholds.answer_within))
        if question.kind == LIFE:
            state = _no_answer_yet(state, question.tunnel, now)
    return replace(state, due=due), actions


def _interval(state: State, question: Question) -> float:
    limits = state.thresholds
    if question.kind == LIFE:
        return limits.life_interval
    gate = _gate(state, question)
    proving = gate.trust == Trust.PROVING and gate.answers < limits.rise
    return limits.proving_interval if proving and not state.tunnels[question.tunnel].silent else limits.interval


def _asked_about(state: State, way: Way) -> bool:
    """Is the zone's probe asked by this way? By those in use or better; by all, while one that counts is silent."""
    zone = next(each for each in state.zones if each.number == way.zone)
    ways = zone.ways
    used = ways[: ways.index(best(state, zone)) + 1]
    return way in used or any(state.ways[each].silences for each in used)


# --- answers and silences -------------------------------------------------------------------------------------------


def _answered(state: State, question: Question, asked: float, now: float) -> State:
    if question.kind == LIFE:
        return _alive(state, question.tunnel, asked, now)
    gate = _gate(state, question)
    since = max(gate.since, state.tunnels[question.tunnel].leaving) if question.kind == LOOP else gate.since
    return _with_gate(state, question, _rise(gate, asked, since, now, state.thresholds))


def _unanswered(state: State, question: Question, asked: float, now: float) -> State:
    gate = _gate(state, question)
    if asked <= gate.since:
        return state
    tunnel = state.tunnels[question.tunnel]
    unheard = tunnel.silent or tunnel.life_heard < asked
    if unheard and (question.kind == LOOP or now < tunnel.patient):
        # Of a NAT that does not even answer a ping, LIFE tells.
        return _with_gate(state, question, replace(gate, answers=0))
    first = asked if not gate.silences else gate.silent_since
    gate = replace(gate, answers=0, silences=gate.silences + 1, silent_since=first)
    if gate.silences >= state.thresholds.fall:
        if question.kind == LOOP or _heard_elsewhere(state, question, max(first, now - _memory_of(state.thresholds))):
            since = now if gate.trust != Trust.BROKEN else gate.since
            gate = replace(gate, trust=Trust.BROKEN, since=since, orderly=False)
        elif gate.trust != Trust.TRUSTED and not tunnel.silent:
            # The probe answers by no way: then what its NAT says of itself counts alone.
            gate = replace(gate, trust=Trust.TRUSTED, since=now)
    return _with_gate(state, question, gate)


def _memory_of(limits: Thresholds) -> float:
    """Seconds in which a question was asked `fall` times and had its time to be answered."""
    return limits.fall * limits.interval + limits.answer_within


def _heard_elsewhere(state: State, question: Question, since: float) -> bool:
    others = (gate for way, gate in state.ways.items() if way.zone == question.zone and way.tunnel != question.tunnel)
    return any(gate.heard >= since for gate in others)


def _rise(gate: Gate, asked: float, since: float, now: float, limits: Thresholds) -> Gate:
    gate = replace(gate, silences=0, heard=max(gate.heard, asked))
    if asked < since:
        return gate
    gate = replace(gate, answers=gate.answers + 1)
    wanted = gate.wanted or limits.rise
    if gate.trust == Trust.BROKEN:
        return replace(gate, trust=Trust.PROVING, since=now, answers=1)
    if gate.trust == Trust.PROVING and gate.answers >= wanted:
        following = gate.wanted if gate.orderly else min(wanted * 2, limits.most_rise)
        return replace(gate, trust=Trust.TRUSTED, since=now, answers=0, wanted=following, orderly=False)
    if gate.trust == Trust.TRUSTED and gate.answers >= limits.calm:
        return replace(gate, wanted=0)
    return gate


def _doubt(gate: Gate, now: float) -> Gate:
    """It has to prove itself; what it has answered before proves nothing."""
    trust = Trust.BROKEN if gate.trust == Trust.BROKEN else Trust.PROVING
    return replace(gate, trust=trust, since=now, answers=0, silences=0)


def _alive(state: State, number: int, asked: float, now: float) -> State:
    tunnel = state.tunnels[number]
    return _with_tunnel(
        state,
        number,
        unanswered=0,
        life_heard=max(tunnel.life_heard, asked),
        silent=False,
        forwards=_doubt(tunnel.forwards, now) if tunnel.silent else tunnel.forwards,
    )


def _no_answer_yet(state: State, number: int, now: float) -> State:
    """A ping is sent: the ones before it that have no answer count."""
    tunnel = state.tunnels[number]
    silent = tunnel.silent or (tunnel.unanswered >= state.thresholds.life_fall and now >= tunnel.patient)
    forwards = _doubt(tunnel.forwards, now) if silent and not tunnel.silent else tunnel.forwards
    return _with_tunnel(state, number, unanswered=tunnel.unanswered + 1, silent=silent, forwards=forwards)


def _recalled(found: tuple[Trust, int] | None, now: float) -> Gate:
    trust, wanted = found or (Trust.TRUSTED, 0)
    return Gate(trust, since=now, wanted=wanted)


def _gate(state: State, question: Question) -> Gate:
    if question.kind == LOOP:
        return state.tunnels[question.tunnel].forwards
    return state.ways[Way(question.zone, question.tunnel)]


def _with_gate(state: State, question: Question, gate: Gate) -> State:
    if question.kind == LOOP:
        return _with_tunnel(state, question.tunnel, forwards=gate)
    return replace(state, ways={**state.ways, Way(question.zone, question.tunnel): gate})


def _with_tunnel(state: State, number: int, **changes: object) -> State:
    tunnel = replace(state.tunnels[number], **changes)  # type: ignore[arg-type]
    return replace(state, tunnels={**state.tunnels, number: tunnel})
