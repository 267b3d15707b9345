"""The keeper at work: hears of changes in the kernel, looks at what the last deploy put there, puts back what is gone.

Runs on every host. It waits for netlink's word, and for the ends of the units' processes; kernel settings, of which
most changes are not announced, are read every POLL seconds. A look costs some 50 ms of CPU, so that two of them are at
least APART seconds apart, and no more than a twentieth of the time is spent on them, unless that would take over REST.
"""

import fcntl
import json
import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vpc_openvpn_monitor import bird, keep, kernel, outbox, units
from vpc_openvpn_monitor.keep import Interface, Link, Past, Repair, Setting, Unit
from vpc_openvpn_monitor.watchdog import Watchdog

SETTLES = 0.2  # seconds until a look after a change: one seldom comes alone
APART = 1.0  # seconds between two looks, at least
SHARE = 20  # times its own length that a look is followed by none …
REST = 2.0  # … but for so many seconds at most: on a busy machine, too, all is back within five
POLL = 2.0  # seconds between two readings of kernel settings
UNASKED = 30.0  # seconds between two looks without a change
METRICS = 15.0  # seconds between two writings of metrics
LONG = 600.0  # seconds of one deploy, after which it is said that nothing is put back meanwhile
_COMMAND = 30.0  # seconds that a command may take
_SYSCTLS = Path("/proc/sys")
_NETWORK = Path("/sys/class/net")
_ROUTING = (1, 5, 7, 8, 18)  # RTNLGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV4_RULE, _IPV4_NETCONF
_NETFILTER, _NFTABLES = 12, (7,)  # NETLINK_NETFILTER, NFNLGRP_NFTABLES


class Deployed:
    """What a deploy has written for the keeper. Raises OSError, ValueError and KeyError."""

    def __init__(self, path: Path) -> None:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        self.loader: str = found["loader"]
        self.firewall: str = found["firewall"]
        self.record = Path(found["record"])
        self.trial = Path(found["trial"])
        self.lock = Path(found["lock"])
        self.state = Path(found["state"])
        self.settings_file: str = found["settings_file"]
        self.settings: dict[str, str] = found["settings"]
        self.units: list[str] = found["units"]
        self.writes_metrics: bool = found["writes_metrics"]  # where no monitor does
        self.interfaces = [Interface(**each) for each in found["interfaces"]]


class Keeper:
    """Of one host."""

    def __init__(self, deployed: Deployed, say: Callable[[str], None] = print) -> None:
        self._deployed, self._say = deployed, say
        # What has left the site leaves nothing behind.
        kept = {"firewall", "settings", *(each.name for each in deployed.interfaces), *deployed.units}
        self._past = {what: each for what, each in _recall(deployed.state).items() if what in kept}
        self._look_at = 0.0
        self._not_before = 0.0
        self._poll_at = 0.0
        self._metrics_at = 0.0
        self._settings: dict[str, Setting] = {}
        self._missed: dict[str, int] = {}  # interfaces that were not there at the last look → the process without it
        self._processes: dict[int, int] = {}  # process → a descriptor that tells of its end
        self._deploying_since: float | None = None
        self._failed: dict[str, str] = {}  # what was complained of last, of each thing
        self._failing: dict[str, str] = {}  # repairs that failed when they were last tried
        self._written: object = None
        self._watchdog = Watchdog()
        self._running = True

    def run(self) -> None:
        """Until `stop`. Raises OSError where the kernel does not tell of its changes."""
        changes = [kernel.Changes(_ROUTING), kernel.Changes(_NFTABLES, _NETFILTER)]
        try:
            while self._running:
                self._watchdog.hears()
                self._wait(changes)
                self._poll()
                if time.monotonic() >= self._look_at:
                    self._look()
        finally:
            for each in changes:
                each.close()
            for descriptor in self._processes.values():
                os.close(descriptor)

    def stop(self) -> None:
        """End `run` within two seconds."""
        self._running = False

    def _wait(self, changes: list[kernel.Changes]) -> None:
        ends = {descriptor: process for process, descriptor in self._processes.items()}
        patience = max(0.0, min(self._look_at, self._poll_at) - time.monotonic())
        ready, _, _ = select.select([*(each.fileno() for each in changes), *ends], [], [], patience)
        for each in changes:
            if each.fileno() in ready and each.heard():
                self._soon(SETTLES)
        for descriptor in ends.keys() & set(ready):
            os.close(self._processes.pop(ends[descriptor]))
            self._soon(SETTLES)

    def _soon(self, seconds: float) -> None:
        """Look within so many seconds, or as soon as the last look allows."""
        self._look_at = min(self._look_at, max(time.monotonic() + seconds, self._not_before))

    def _poll(self) -> None:
        if time.monotonic() < self._poll_at:
            return
        self._poll_at = time.monotonic() + POLL
        found = _settings(self._deployed.settings)
        if found != self._settings:
            self._settings = found
            self._soon(0.0)
        if self._deployed.writes_metrics and time.monotonic() >= self._metrics_at:
            self._metrics()

    def _metrics(self) -> None:
        self._metrics_at = time.monotonic() + METRICS
        try:
            outbox.write_host()
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._complain("metrics", f"<4>cannot write metrics: {error!r}")
        else:
            self._failed.pop("metrics", None)

    def _complain(self, what: str, complaint: str) -> None:
        """Once, for as long as it stays the same."""
        if self._failed.get(what) != complaint:
            self._failed[what] = complaint
            self._say(complaint)

    # --- a look -------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        began = time.monotonic()
        self._look_at = began + UNASKED
        if self._deploying():
            self._wait_for_deploy(began)
            return
        self._deploying_since = None
        self._failed.pop("deploy", None)
        found = _units([self._deployed.firewall, *self._deployed.units])
        repairs = [*self._found(found)]
        self._failing.clear()
        for repair in repairs:
            self._put_back(repair)
            self._metrics_at = 0.0
        self._watch(found)
        self._remember()
        ended = time.monotonic()
        again = bool(repairs or self._missed)
        self._not_before = ended + (APART if again else max(APART, min(REST, (ended - began) * SHARE)))
        if again or any(unit.active != "active" for unit in found.values()):
            self._soon(APART)

    def _wait_for_deploy(self, now: float) -> None:
        self._soon(APART)
        self._deploying_since = self._deploying_since or now
        if now - self._deploying_since > LONG:
            who = f"a deploy, or another program, has held {self._deployed.lock} for {LONG / 60:g} min"
            self._complain("deploy", f"<4>{who}: nothing is put back meanwhile (lslocks)")

    def _found(self, states: Mapping[str, Unit]) -> Iterator[Repair]:
        deployed = self._deployed
        links = _links([each.name for each in deployed.interfaces])
        missed, self._missed = self._missed, {}
        for each in deployed.interfaces:
            if each.name not in links and states[each.unit].connected:
                self._missed[each.name] = states[each.unit].process
        found = [
            self._firewall(states[deployed.firewall]),
            self._judge_settings(),
            *(keep.unit(states[name]) for name in deployed.units),
            *(
                keep.interface(each, links.get(each.name), states[each.unit], missed.get(each.name, 0))
                for each in deployed.interfaces
            ),
        ]
        yield from filter(None, found)

    def _firewall(self, unit: Unit) -> Repair | None:
        with self._untried() as untried:
            if not untried:
                return None
            try:
                record = self._deployed.record.read_text(encoding="utf-8")
            except OSError:
                return keep.firewall(unit, "", "")
            _, loaded = units.recorded(record)
            return keep.firewall(unit, loaded, _run([self._deployed.loader, "show"]).stdout)

    @contextmanager
    def _untried(self) -> Iterator[bool]:
        """For as long as the block lasts, no change of the firewall begins to be tried; False if one is tried."""
        trial = self._deployed.trial
        trial.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (trial / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield not any((trial / name).exists() for name in ("routes.before", "kept"))

    def _judge_settings(self) -> Repair | None:
        self._settings = _settings(self._deployed.settings)
        return keep.settings(self._settings, self._deployed.settings_file)

    def _deploying(self) -> bool:
        """Whether a deploy has this host. Asked by a lock that others may share; a deploy waits longer than it lasts.

        (/proc/locks would tell without one, but not in a container: the process that took a deploy's lock has ended.)
        """
        try:
            with self._deployed.lock.open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    # --- what follows -------------------------------------------------------------------------------------------------

    def _put_back(self, repair: Repair) -> None:
        for command in repair.commands:
            self._watchdog.hears()
            done = _run(list(command))
            if done.returncode != 0:
                why = done.stderr.strip() or "it failed"
                self._failing[repair.what] = f"{' '.join(command)}: {why.splitlines()[0]}"
                self._complain(repair.what, f"<3>cannot put back {repair.what}: {' '.join(command)}: {why}")
                return
        self._failed.pop(repair.what, None)
        now = time.time()
        said, past = keep.sentence(repair, keep.noted(self._past.get(repair.what), repair, now), now)
        self._past[repair.what] = past
        if said:
            self._say(said)

    def _watch(self, states: Mapping[str, Unit]) -> None:
        """Hear of the end of each unit's main process."""
        running = {unit.process for unit in states.values() if unit.process}
        for process in self._processes.keys() - running:
            os.close(self._processes.pop(process))
        for process in running - self._processes.keys():
            try:
                self._processes[process] = os.pidfd_open(process)
            except OSError:  # it has ended since
                self._soon(APART)

    def _remember(self) -> None:
        now = time.time()
        wanted = {
            "version": 1,
            "repairs": keep.listed(self._past, self._failing, now),
            "past": {what: asdict(past) for what, past in self._past.items()},
        }
        if wanted == self._written:
            return
        try:
            bird.write(self._deployed.state, json.dumps(wanted) + "\n")
        except OSError as error:
            self._complain("state", f"<4>cannot write {self._deployed.state}: {error.strerror}")
            return
        self._failed.pop("state", None)
        self._written = wanted


def _recall(path: Path) -> dict[str, Past]:
    """What an earlier run has written; nothing where it cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {what: Past(**{**each, "recent": tuple(each["recent"])}) for what, each in dict(found["past"]).items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _settings(wanted: Mapping[str, str]) -> dict[str, Setting]:
    """Those that are there, by path below /proc/sys."""
    found = {}
    for pattern, value in wanted.items():
        for path in _SYSCTLS.glob(pattern):
            try:
                found[str(path.relative_to(_SYSCTLS))] = Setting(path.read_text(encoding="ascii").strip(), value)
            except OSError:
                continue  # of an interface that has gone since
    return found


def _links(names: list[str]) -> dict[str, Link]:
    """The interfaces of these that are there."""
    found: dict[str, Link] = {}
    if not names:
        return found
    addresses = json.loads(_run(["ip", "-json", "-4", "address", "show"]).stdout or "[]")
    routes = json.loads(_run(["ip", "-json", "-4", "route", "show", "table", "main"]).stdout or "[]")
    for name in names:
        try:
            flags = int((_NETWORK / name / "flags").read_text(encoding="ascii"), 16)
            mtu = int((_NETWORK / name / "mtu").read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
        found[name] = Link(
            mtu=mtu,
            up=bool(flags & 1),
            addresses={
                f"{each['local']}/{each['prefixlen']}"
                for link in addresses
                if link.get("ifname") == name
                for each in link["addr_info"]
            },
            destinations={each["dst"] for each in routes if each.get("dev") == name},
        )
    return found


def _units(names: list[str]) -> dict[str, Unit]:
    shown = units.shown(names, ["ActiveState", "UnitFileState", "MainPID", "StatusText", "Job"], _COMMAND)
    found = {
        name: Unit(
            name,
            each["ActiveState"],
            each["UnitFileState"],
            int(each["MainPID"]),
            each["StatusText"],
            busy=bool(each["Job"]),
        )
        for name, each in shown.items()
    }
    return {name: found.get(name, Unit(name)) for name in names}


def _run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_COMMAND, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))
