"""The alerts at work: what happens on the router, as others have written it; the operator's command; the heartbeat.

A process of its own: a command that hangs costs the monitor nothing. It runs as a user of its own, and so does the
command. The heartbeat's URL comes from a file that systemd passes on; it is in no argument and no line of the log.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vpc_openvpn_monitor import alerts, bird, metrics
from vpc_openvpn_monitor.heartbeat import Heartbeat
from vpc_openvpn_monitor.history import LOST
from vpc_openvpn_monitor.watchdog import VARIABLES, Watchdog

BEAT = 0.5  # seconds between two looks
LONGEST = 30.0  # seconds that the command may take
FRESH = 30.0  # seconds: what is older is no sign of the monitor's, which writes every ten
HEARTBEAT = 60.0  # seconds between two
CREDENTIALS = "CREDENTIALS_DIRECTORY"  # systemd.exec(5): where the files of LoadCredential= are
_OWN = (CREDENTIALS, *VARIABLES)  # of the environment: not for the command
URL = "heartbeat"


@dataclass(frozen=True, slots=True)
class Config:
    """What a deploy has written. `command` is empty where there is only a heartbeat; `after` in seconds; `days`: an
    identity that is older is due.
    """

    site: str
    command: str
    after: float
    days: int
    created: Mapping[str, float]
    state: Path
    keeper: Path
    memory: Path


def read(path: Path) -> Config:
    """Raises OSError, or ValueError and KeyError for what no deploy has written."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    places = {name: Path(found["places"][name]) for name in ("state", "keeper", "memory")}
    return Config(found["site"], found["command"], found["after"], found["days"], found["created"], **places)


class Hooks:
    """Until `stop`."""

    def __init__(self, config: Config, say: Callable[[str], None]) -> None:
        self._config, self._say = config, say
        self._memory = alerts.recalled(_read(config.memory), time.monotonic())
        self._started: tuple[subprocess.Popen[bytes], float] | None = None
        self._kept = ""
        self._url = _url()
        self._beat_at = 0.0
        self._beating: Heartbeat | None = None
        self._running = True

    def run(self) -> None:
        """Look, run the command for what is due, fetch the heartbeat; again and again. Raises OSError where what it has
        said cannot be remembered: it would be said again.
        """
        watchdog = Watchdog()
        try:
            while self._running:
                watchdog.hears()
                now = time.monotonic()
                found, age = self._state()
                self._look(found, age, now)
                self._command(now)
                self._heart(found, age, now)
                self._keep()
                time.sleep(BEAT)
        finally:
            if self._started:
                _kill(self._started[0])
            if self._beating:
                self._beating.end()

    def stop(self) -> None:
        """End `run` within a second."""
        self._running = False

    def _state(self) -> tuple[Mapping[str, Any] | None, float]:
        """What the monitor has written last, and how many seconds ago; None where there is nothing."""
        try:
            age = time.time() - self._config.state.stat().st_mtime
            return json.loads(self._config.state.read_text(encoding="utf-8")), age
        except (OSError, ValueError):
            return None, time.monotonic() - self._memory.began

    def _look(self, found: Mapping[str, Any] | None, age: float, now: float) -> None:
        if not self._config.command:
            return
        seen = alerts.monitor(age)
        unknown = []
        if found is None or age > FRESH:
            unknown.append("zone")
        else:
            seen |= alerts.zones(found, self._config.after)
        seen |= alerts.repairs(metrics.repairs(_read(self._config.keeper)))
        seen |= alerts.identities(self._config.created, self._config.days, time.time())
        self._memory = alerts.step(self._memory, seen, unknown, now, self._config.site)

    def _command(self, now: float) -> None:
        if self._started:
            running, since = self._started
            status = running.poll()
            if status is None and now - since < LONGEST:
                return
            if status is None:
                _kill(running)
            self._started = None
            self._ended(status, now)
        first = alerts.due(self._memory, now)
        if first and self._running:
            try:
                self._started = _start(self._config.command, first.facts), now
            except OSError as error:
                self._say(f"{self._config.command} cannot be run: {error.strerror}")
                self._memory = alerts.taken(self._memory, now, succeeded=False)

    def _ended(self, status: int | None, now: float) -> None:
        facts = self._memory.waiting[0].facts
        self._memory = alerts.taken(self._memory, now, succeeded=status == 0)
        text = facts[f"{alerts.PREFIX}TEXT"]
        if status == 0:
            self._say(f"said: {text}")
        else:
            became = f"took more than {LONGEST:.0f} s" if status is None else f"failed with status {status}"
            again = self._memory.waiting[:1] and self._memory.waiting[0].facts == facts
            self._say(f"{self._config.command} {became}; {'tried again' if again else 'given up'}: {text}")

    def _heart(self, found: Mapping[str, Any] | None, age: float, now: float) -> None:
        """Silence must mean that something is wrong: so only while the monitor works and a zone is reached."""
        if self._beating and self._beating.ended():
            self._not_heard(self._beating.failure())
            self._beating = None
        if not self._url or self._beating or now < self._beat_at or found is None or age > FRESH:
            return
        if all(zone["state"] == LOST for zone in found["zones"].values()):
            return
        self._beat_at = now + HEARTBEAT
        try:
            self._beating = Heartbeat(self._url)
        except OSError as error:
            self._not_heard(error.strerror or "it cannot be fetched")

    def _not_heard(self, why: str) -> None:
        if why:
            self._memory = replace(self._memory, heartbeat_failures=self._memory.heartbeat_failures + 1)
            self._say(f"the heartbeat was not heard: {why}")

    def _keep(self) -> None:
        text = alerts.kept(self._memory)
        if text != self._kept:
            bird.write(self._config.memory, text)
            self._kept = text


def _start(command: str, facts: Mapping[str, str]) -> subprocess.Popen[bytes]:
    inherited = {name: value for name, value in os.environ.items() if name not in _OWN}
    return subprocess.Popen([command], env={**inherited, **facts}, stdin=subprocess.DEVNULL, start_new_session=True)


def _kill(running: subprocess.Popen[bytes]) -> None:
    """With all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()


def _url() -> str:
    folder = os.environ.get(CREDENTIALS)
    return _read(Path(folder, URL)).strip() if folder else ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
