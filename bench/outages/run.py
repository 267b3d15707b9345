"""Bring the lab up, deploy each strategy, and put it through each situation, again and again. Needs root."""

import os
import shlex
import time
from collections.abc import Callable, Iterable, Sequence

from bench.lab import BenchError, Lab
from bench.outages import probe
from bench.outages.expected import EXPECTED
from bench.outages.losses import Kind, Probe, Repetition, Results, gaps
from bench.outages.probes import Probes
from bench.outages.situations import (
    CUT,
    CUT_SECONDS,
    DIRECTIONS,
    HIT,
    NEVER,
    QUICK_CUT_SECONDS,
    SINGLE,
    SINGLE_INTERFACE,
    SINGLE_UNIT,
    SITUATIONS,
    STRATEGIES,
    TO_DESK,
    UNPROBED,
    ZONES,
    Situation,
)

INSTANCE = os.environ.get("OUTAGES_LAB", "outages")

BEFORE = 0.5  # seconds before the fault that are looked at, too
AT_LEAST, QUICK_AT_LEAST = 4.0, 2.0  # seconds after a fault, however little it seems to do
SETTLING = 60.0  # seconds that everything gets to come back
LINGER = 0.5  # seconds after that, in which the return may still lose something
CONNECTING = 15.0  # seconds that the tunnel of `single` gets to come up somewhere, before it is begun again
POLL = 0.1  # seconds


Progress = Callable[[str, str, int, Repetition], None]


def run(
    strategies: Iterable[str],
    situations: Sequence[str],
    repetitions: int,
    quick: bool,
    progress: Progress = lambda *_: None,
) -> Results:
    """All of it; `progress` hears of each repetition. Raises BenchError, and leaves no lab behind."""
    with Lab(INSTANCE) as lab:
        lab.must("up", "--zones", str(len(ZONES)))
        with Probes(lab) as probes:
            outages = {}
            for strategy in strategies:
                _deploy(lab, strategy)
                course = Course(lab, probes, strategy, quick)
                outages[strategy] = {
                    name: tuple(course.repetition(name, number, progress) for number in range(1, repetitions + 1))
                    for name in situations
                }
        settings = {
            "quick": quick,
            "repetitions": repetitions,
            "cut": _cut(quick),
            "interval": probe.INTERVAL,
            "late": probe.LATE,
        }
        return Results(lab.made_with(), settings, outages)


class Course:
    """One strategy, which is deployed, and the probes."""

    def __init__(self, lab: Lab, probes: Probes, strategy: str, quick: bool) -> None:
        self._lab = lab
        self._probes, self._strategy, self._quick = probes, strategy, quick
        # What works before a fault; and what comes back after it without anybody's help: `single` stays where it went.
        self._working = [each for each in DIRECTIONS if each not in NEVER[strategy]]
        to_desk = {TO_DESK.format(zone) for zone in ZONES} if strategy == SINGLE else set()
        self._returning = [each for each in DIRECTIONS if each not in to_desk]

    def repetition(self, name: str, number: int, progress: Progress) -> Repetition:
        """Break, watch, mend, watch. Nothing of an earlier outage is left when it begins."""
        situation = SITUATIONS[name]
        self._make_ready()
        fault = begun = time.monotonic()
        if situation.ends_with_the_host:
            self._lab.run(*shlex.split(situation.fault))
            begun = time.monotonic()
        else:
            self._do(situation.fault)
        repaired = None
        self._watch(begun, self._seconds(name, situation), self._awaited(name))
        if situation.repair:
            repaired = time.monotonic()
            self._do(situation.repair)
        self._settle(fault if repaired is None else repaired, self._returning)
        time.sleep(LINGER)
        ended = time.monotonic()
        result = self._result(fault, repaired, ended)
        self._do(situation.restore)
        progress(self._strategy, name, number, result)
        return result

    def _seconds(self, name: str, situation: Situation) -> float:
        if name == CUT:
            return _cut(self._quick)
        if not situation.repair:
            return self._at_least
        return max(self._at_least, situation.patience[self._strategy != SINGLE])

    def _awaited(self, name: str) -> list[str]:
        """Whom to give the time to recover by themselves; in a quick run only those who are expected to."""
        # The cut lasts as long as it is said to.
        expected = EXPECTED[self._strategy].get(name, {}) if self._quick and name != CUT else {}
        return [way for way in self._returning if way not in expected or expected[way].least.kind == Kind.SECONDS]

    @property
    def _at_least(self) -> float:
        return QUICK_AT_LEAST if self._quick else AT_LEAST

    def _make_ready(self) -> None:
        # The office's public address may change. A `heal` took back what was admitted before.
        self._lab.admits_anybody(f"nat-{zone}" for zone in ZONES)
        if self._strategy == SINGLE:
            self._end_in(HIT)
        else:
            # It forgets how many outages it has seen; each makes it more careful to trust a nat again.
            forget = "rm -f /run/vpc-openvpn/monitor.memory; systemctl kill -s KILL vpc-openvpn-monitor"
            self._lab.must("exec", "office", "--", "sh", "-c", forget)
        self._probes.renew()
        self._settle(time.monotonic(), self._working)
        if self._strategy == SINGLE and self._active_zone() != HIT:
            raise BenchError(f"the tunnel should end in {HIT}, and is in {self._active_zone()}")

    def _end_in(self, zone: str) -> None:
        """Have the tunnel of `single` end in `zone`, the first that its client asks."""
        deadline = time.monotonic() + SETTLING
        while (active := self._active_zone()) != zone:
            if time.monotonic() > deadline:
                raise BenchError(f"the tunnel should end in {zone}, and is in {active}")
            # Asked again, if it ended elsewhere: after a reboot, nothing has waited for that nat's OpenVPN.
            self._lab.must("exec", "office", "--", "systemctl", "restart", SINGLE_UNIT)
            self._await_tunnel(min(deadline, time.monotonic() + CONNECTING))

    def _await_tunnel(self, deadline: float) -> None:
        while self._active_zone() is None and time.monotonic() < deadline:
            time.sleep(POLL)

    def _active_zone(self) -> str | None:
        """Where the tunnel of `single` ends: zone N's tunnel network is 10.200.N.0/29."""
        answer = self._lab.run("exec", "office", "--", "ip", "-4", "-o", "address", "show", "dev", SINGLE_INTERFACE)
        for number, zone in enumerate(ZONES, 1):
            if f" 10.200.{number}." in answer.stdout:
                return zone
        return None

    def _watch(self, since: float, seconds: float, awaited: list[str]) -> None:
        """Until `awaited` have come back or `seconds` are over, but not less than a few."""
        while (now := time.monotonic()) < since + seconds:
            if now >= since + self._at_least and not self._probes.restless(awaited, since):
                return
            time.sleep(POLL)

    def _settle(self, since: float, directions: list[str]) -> None:
        """Until `directions` are quiet and every tunnel is trusted."""
        deadline = time.monotonic() + SETTLING
        while (restless := self._probes.restless(directions, since)) or self._doubts():
            if time.monotonic() > deadline:
                raise BenchError(f"{self._strategy}: not everything came back: {restless or self._doubts()}")
            time.sleep(POLL)

    def _doubts(self) -> str:
        if self._strategy == SINGLE:
            return ""
        answer = self._lab.run("exec", "office", "--", "/usr/local/lib/vpc-openvpn/vpc-openvpn-monitor", "show")
        all_trusted = answer.returncode == 0 and answer.stdout.count(": by its own tunnel\n") == len(ZONES)
        return "" if all_trusted else answer.stdout or answer.stderr

    def _do(self, step: str) -> None:
        if step:
            self._lab.must(*shlex.split(step))

    def _result(self, fault: float, repaired: float | None, ended: float) -> Repetition:
        sent = {
            direction: [Probe(round(probe.sent - fault, 3), probe.answered) for probe in probes]
            for direction, probes in self._probes.between(fault - BEFORE, ended).items()
        }
        never = [way for way, probes in sent.items() if not any(each.answered for each in probes if each.sent < 0)]
        found = {way: gaps(probes) for way, probes in sent.items()}
        return Repetition(
            repaired=None if repaired is None else round(repaired - fault, 3),
            ended=round(ended - fault, 3),
            never=tuple(never),
            gaps={way: each for way, each in found.items() if each},
        )


def _cut(quick: bool) -> float:
    return QUICK_CUT_SECONDS if quick else CUT_SECONDS


def _deploy(lab: Lab, strategy: str) -> None:
    site = {**lab.site(), **STRATEGIES[strategy]}
    site["office"]["public_address"] = "dynamic"
    if strategy in UNPROBED:
        for zone in site["zones"]:
            zone.pop("probe", None)
    lab.deploy(site)
