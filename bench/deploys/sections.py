"""Bring the lab up, and let the contenders do what each section is about, in turns. Needs root."""

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.deploys import contenders
from bench.deploys.contenders import CONNECTING, Contender, Words
from bench.deploys.hosts import Hosts
from bench.deploys.material import KNOWN_HOSTS, collect
from bench.deploys.results import (
    ANSIBLE,
    COMMANDS,
    CONNECT,
    COOKBOOK,
    FAR_AWAY,
    FAR_REBUILD,
    FAR_UNCHANGED,
    FIRST,
    FLOOR,
    GROWTH_FIRST,
    GROWTH_UNCHANGED,
    REBUILD,
    STAGES,
    UNCHANGED,
    Results,
)
from bench.deploys.workstation import Timed, Workstation
from bench.lab import BenchError, Lab

INSTANCE = os.environ.get("DEPLOYS_LAB", "benchdeploys")
ZONES = 4

PROBE = Path(__file__).with_name("probe.py")
HOMECOMING = 90.0  # seconds that traffic gets, after a rebuild, to come home
POLL = 0.1  # seconds

Repetitions = Mapping[str, Mapping[str, int]]  # by measure and contender
Progress = Callable[[str, str, float], None]


@dataclass(frozen=True)
class Extent:
    """How often each is measured, and the numbers of zones that a site grows to."""

    repetitions: Repetitions
    growth: Sequence[int]

    def repeated(self, number: int) -> "Extent":
        """The same, with so many repetitions of everything."""
        return replace(
            self, repetitions={measure: dict.fromkeys(each, number) for measure, each in self.repetitions.items()}
        )


# Fewer of what takes minutes.
FULL = Extent(
    {
        REBUILD: {COOKBOOK: 5, FLOOR: 5, ANSIBLE: 3},
        UNCHANGED: {COOKBOOK: 5, FLOOR: 5, ANSIBLE: 2},
        COMMANDS: {COOKBOOK: 1, FLOOR: 1, ANSIBLE: 1},
        FIRST: {COOKBOOK: 3, FLOOR: 3, ANSIBLE: 2},
        FAR_UNCHANGED: {COOKBOOK: 3, FLOOR: 3, ANSIBLE: 1},
        FAR_REBUILD: {COOKBOOK: 2, FLOOR: 2, ANSIBLE: 1},
        GROWTH_UNCHANGED: {COOKBOOK: 3},
    },
    growth=(1, 4, 8, 16),
)
# Without what takes Ansible minutes.
QUICK = Extent(
    {
        **FULL.repetitions,
        COMMANDS: {COOKBOOK: 1, FLOOR: 1},
        FIRST: {COOKBOOK: 1, FLOOR: 1},
        FAR_UNCHANGED: {COOKBOOK: 1},
        FAR_REBUILD: {},
    },
    growth=(1, 4),
).repeated(1)


def run(sections: Sequence[str], extent: Extent, progress: Progress) -> Results:
    """All of it; `progress` hears of each figure. Raises BenchError, and leaves no lab behind."""
    measures: dict[str, dict[str, list[float]]] = {}

    def record(measure: str, what: str, figure: float) -> None:
        measures.setdefault(measure, {}).setdefault(what, []).append(round(figure, 3))
        progress(measure, what, figure)

    environment: dict[str, Any] = {}
    contenders.install_ansible()
    with tempfile.TemporaryDirectory() as folder:  # only its owner may enter
        # The largest lab first: if other labs leave no room for it, that is known at once.
        for zones in sorted(extent.growth, reverse=True) if GROWTH in sections else ():
            with Lab(INSTANCE) as lab:
                lab.must("up", "--zones", str(zones))
                _grow(Workstation(lab, Path(folder)), str(zones), extent.repetitions, record)
                environment = lab.made_with()
        if chosen := [section for section in sections if section != GROWTH]:
            with Lab(INSTANCE) as lab:
                lab.must("up", "--zones", str(ZONES))
                course = Course(lab, Path(folder), extent.repetitions, record)
                environment = lab.made_with()
                for section in chosen:
                    SECTIONS[section](course)
    environment |= {"pyinfra": version("pyinfra"), "ansible": contenders.ansible_version()}
    return Results(environment, asdict(extent), measures)


class Course:
    """The lab, in which the site is deployed, and the contenders."""

    def __init__(self, lab: Lab, folder: Path, repetitions: Repetitions, record: Progress) -> None:
        self._lab, self._folder, self._repetitions, self._record = lab, folder, repetitions, record
        self._hosts = Hosts(lab)
        self._workstation = Workstation(lab, folder)
        cookbook = contenders.cookbook()
        self._contenders = (cookbook, contenders.floor(self._hosts, folder), contenders.ansible(folder))
        self._hosts.prepare(self._hosts.names)
        self._first_of_all = self._run(cookbook.deploy).seconds
        collect(lab, self._hosts, folder)
        self._hosts.trusted()
        self._manifests = self._hosts.manifests()

    def rebuild(self, measure: str = REBUILD) -> None:
        """One zone's nat is blank."""
        for number, contender in self._turns(measure):
            zone = list(self._hosts.nats)[number % ZONES]
            seconds, run = self._rebuilt(contender, zone)
            self._record(measure, contender.name, seconds)
            if contender.name == COOKBOOK and measure == REBUILD:
                for stage, took in stages(run.output).items():
                    self._record(STAGES, stage, took)
            self._hosts.come_to(self._manifests, contender.name)

    def unchanged(self, measure: str = UNCHANGED) -> None:
        """There is nothing to change."""
        with self._hosts.nothing_starts():
            for _, contender in self._turns(measure):
                if contender.name == COOKBOOK:
                    self._record(measure, CONNECT, self._run(CONNECTING).seconds)
                self._record(measure, contender.name, self._run(contender.deploy).seconds)

    def commands(self) -> None:
        """How many commands such a run takes on each host."""
        with self._hosts.counting(), self._hosts.nothing_starts():
            for _, contender in self._turns(COMMANDS):
                before = self._hosts.commands()
                self._run(contender.deploy)
                for had, has in zip(before, self._hosts.commands(), strict=True):
                    self._record(COMMANDS, contender.name, has - had)

    def first(self) -> None:
        """All hosts are blank. The cookbook's first turn was at the very beginning."""
        self._record(FIRST, COOKBOOK, self._first_of_all)
        for number, contender in self._turns(FIRST):
            if number == 0 and contender.name == COOKBOOK:
                continue
            self._blank(self._hosts.names)
            self._record(FIRST, contender.name, self._run(contender.deploy).seconds)
            self._hosts.come_to(self._manifests, contender.name)

    def far(self) -> None:
        """As `unchanged` and `rebuild`, by an operator who is far away."""
        _, office = self._hosts.logins["office"]
        with self._workstation.far_away(office) as round_trip:
            self._record(FAR_AWAY, "office", round_trip)
            self.unchanged(FAR_UNCHANGED)
            self.rebuild(FAR_REBUILD)

    def _turns(self, measure: str) -> Iterator[tuple[int, Contender]]:
        """Side by side: each has its turn before one has its second, and none is always the first."""
        repetitions = self._repetitions[measure]
        for number in range(max(repetitions.values(), default=0)):
            first = number % len(self._contenders)
            for contender in self._contenders[first:] + self._contenders[:first]:
                if number < repetitions.get(contender.name, 0):
                    yield number, contender

    def _run(self, words: Words) -> Timed:
        for connection in contenders.control_paths(self._folder).glob("*"):
            connection.unlink()  # as if it were typed later than a minute after the last
        return self._workstation.run(words)

    def _blank(self, hosts: Sequence[str]) -> None:
        self._hosts.blank(hosts)
        (self._folder / KNOWN_HOSTS).unlink(missing_ok=True)

    def _rebuilt(self, contender: Contender, zone: str) -> tuple[float, Timed]:
        """Seconds from when the blank host answers ssh until what a desk sends to the zone crosses its own tunnel."""
        nat = self._hosts.nats[zone]
        self._hosts.trusted()
        address = self._hosts.tunnel_address(zone)
        self._blank([nat])
        self._lab.must("kill", nat)
        [key] = [host["ssh_host_key"] for host in json.loads(self._lab.must("list", "--json")) if host["name"] == nat]
        log = self._folder / "hops"
        command = ("exec", "desk", "--", sys.executable, str(PROBE), self._hosts.probe_address(zone))
        with log.open("w") as file, self._lab.start(*command, stdout=file) as probe:
            try:
                self._lab.must("start", nat)  # it ends when ssh answers
                run = self._run(contender.rebuild(nat, key))
                while (home := homecoming(log.read_text(encoding="utf-8"), address, run.began)) is None:
                    if time.monotonic() > run.ended + HOMECOMING or probe.poll() is not None:
                        raise BenchError(f"{contender.name}: nothing crosses {zone}'s own tunnel")
                    time.sleep(POLL)
            finally:
                probe.kill()
        return home - run.began, run


GROWTH = "growth"
SECTIONS: Mapping[str, Callable[[Course], None]] = {
    "rebuild": Course.rebuild,
    "unchanged": Course.unchanged,
    "commands": Course.commands,
    "first": Course.first,
    "far": Course.far,
}


def _grow(workstation: Workstation, zones: str, repetitions: Repetitions, record: Progress) -> None:
    """A site with so many zones, deployed for the first time and again."""
    deploy = contenders.cookbook().deploy
    record(GROWTH_FIRST, zones, workstation.run(deploy).seconds)
    for _ in range(repetitions[GROWTH_UNCHANGED][COOKBOOK]):
        record(GROWTH_UNCHANGED, zones, workstation.run(deploy).seconds)


def homecoming(hops: str, address: str, since: float) -> float | None:
    """When, after `since`, the probe's first answer came from `address`; None if none did."""
    for line in hops.splitlines(keepends=True):
        moment, _, hop = line.partition(" ")
        if hop == f"{address}\n" and float(moment) > since:
            return float(moment)
    return None


def stages(output: str) -> dict[str, float]:
    """The seconds of each stage, as a rebuild prints them in the end."""
    return {name: float(seconds) for name, seconds in re.findall(r"^    (\w.*?) +(\d+\.\d) s$", output, re.MULTILINE)}
