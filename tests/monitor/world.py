"""A world for the machine: NATs that live and forward or not, cuts between zones, probes; packets in simulated time."""

import heapq
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

from vpc_openvpn_monitor.machine import (
    LIFE,
    LOOP,
    Action,
    Answered,
    Ask,
    Event,
    Question,
    State,
    Tick,
    Unanswered,
    Verdict,
    Way,
    Zone,
    begin,
    best,
    step,
    verdict,
    wake,
)

TRIP = 0.02  # seconds of a round trip


@dataclass
class World:
    """What is so, beside what the machine believes. Everything works at first."""

    zones: tuple[Zone, ...]
    loss: float = 0.0  # of packets, there or back
    seed: int = 0
    dead: set[int] = field(default_factory=set)  # tunnels
    idle: set[int] = field(default_factory=set)  # tunnels whose NAT does not forward
    cut: set[Way] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)  # zones whose probe does not answer

    def __post_init__(self) -> None:
        self.now = 0.0
        self.state: State = begin(self.zones, self.now)
        self.verdicts: list[tuple[float, Verdict]] = []
        self.asked: list[tuple[float, Question]] = []
        self._chance = random.Random(self.seed)
        self._queue: list[tuple[float, int, Event]] = []
        self._order = count()

    def works(self, way: Way) -> bool:
        return way.tunnel not in self.dead | self.idle and way not in self.cut

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while True:
            due, following = wake(self.state), self._queue[0][0] if self._queue else until
            at = max(self.now, min(due, following))
            if at >= until:
                self.now = until
                return
            self.now = at
            self.take(heapq.heappop(self._queue)[2] if self._queue and following <= due else Tick())

    def take(self, event: Event) -> None:
        """One step, and what it asks."""
        self.state, actions = step(self.state, event, self.now)
        for action in actions:
            self._do(action)

    def until(self, holds: Callable[[], bool], seconds: float) -> float:
        """Seconds until something holds; AssertionError if it does not in time."""
        began = self.now
        while not holds():
            assert self.now < began + seconds, f"not within {seconds} s"
            self.run(0.01)
        return self.now - began

    def avoided(self, way: Way) -> bool:
        return way in verdict(self.state).avoided

    def dead_ways(self) -> frozenset[Way]:
        return verdict(self.state).dead

    def best(self, number: int) -> Way:
        return best(self.state, next(zone for zone in self.zones if zone.number == number))

    def changes(self) -> Iterator[Verdict]:
        yield from (said for _, said in self.verdicts)

    def _do(self, action: Action) -> None:
        match action:
            case Verdict():
                self.verdicts.append((self.now, action))
            case Ask(question, within):
                self.asked.append((self.now, question))
                if self._answers(question) and self._chance.random() >= self.loss:
                    self._later(TRIP, Answered(question, self.now))
                elif question.kind != LIFE:
                    self._later(within, Unanswered(question, self.now))

    def _answers(self, question: Question) -> bool:
        if question.kind == LIFE:
            return question.tunnel not in self.dead
        if question.kind == LOOP:
            return question.tunnel not in self.dead | self.idle
        return question.zone not in self.gone and self.works(Way(question.zone, question.tunnel))

    def _later(self, seconds: float, event: Event) -> None:
        heapq.heappush(self._queue, (self.now + seconds, next(self._order), event))


def site(zones: int = 3, *, probed: bool = False) -> World:
    """Zones 1, 2, …, each with all others as detours."""
    numbers = range(1, zones + 1)
    return World(tuple(Zone(each, probed, tuple(other for other in numbers if other != each)) for each in numbers))
