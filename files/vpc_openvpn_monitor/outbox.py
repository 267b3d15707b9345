"""What the monitor writes for other programs, below /run, where the site has asked for it: metrics, and its state for
the alerts. A deploy that changes what is asked for need not restart the monitor.
"""

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from vpc_openvpn_monitor import bird, metrics, report
from vpc_openvpn_monitor.history import History
from vpc_openvpn_monitor.machine import State
from vpc_openvpn_monitor.site import Site

METRICS = Path("/etc/vpc-openvpn/metrics.json")
ALERTS = Path("/etc/vpc-openvpn/alerts.json")
KEEPER = Path("/run/vpc-openvpn/keeper.state")


class Outbox:
    """Of one office router. It says so, once, where it cannot write."""

    def __init__(
        self,
        site: Site,
        say: Callable[[str], None],
        *,
        metrics_file: Path = METRICS,
        alerts_file: Path = ALERTS,
        keeper_file: Path = KEEPER,
    ) -> None:
        self._site, self._say = site, say
        self._metrics_file, self._alerts_file, self._keeper_file = metrics_file, alerts_file, keeper_file
        self._written: set[Path] = set()
        self._complained = ""

    def write(self, state: State, past: History, round_trips: Mapping[int, float], now: float) -> None:
        """All that is asked for; what is asked for no more is removed. `now`: seconds since 1970."""
        written, complaints = set[Path](), list[str]()
        hook = None
        try:
            alerts = _read(self._alerts_file)
            if places := json.loads(alerts)["places"] if alerts else {}:
                hook = places["memory"]
                state_for_alerts = report.as_json(self._site, state, past, round_trips, now) + "\n"
                written |= _write({Path(places["state"]): state_for_alerts})
        except (OSError, ValueError, KeyError, TypeError) as error:
            complaints.append(f"cannot write the state for alerts: {error!r}")
        try:
            if asked := _read(self._metrics_file):
                written |= _write(self._metrics(metrics.config(asked), hook, state, past, round_trips))
        except (OSError, ValueError, KeyError, TypeError) as error:
            complaints.append(f"cannot write metrics: {error!r}")
        self._written |= written
        try:
            while not complaints and (left := self._written - written):
                _remove(path := left.pop())
                self._written.remove(path)
        except OSError as error:
            complaints.append(f"cannot remove what is asked for no more: {error!r}")
        complaint = "; ".join(complaints)
        if complaint and complaint != self._complained:
            self._say(complaint)
        self._complained = complaint

    def _metrics(
        self, asked: metrics.Config, hook: str | None, state: State, past: History, round_trips: Mapping[int, float]
    ) -> dict[Path, str]:
        counts = metrics.counted(metrics.recalled(_read(Path(asked.memory))), past)
        heard = bird.hears(self._site.bird) or set()
        samples = host_samples(asked, _read(self._keeper_file))
        samples += metrics.of_office(self._site, state, past, counts, heard, round_trips)
        if hook:
            samples += metrics.of_alerts(_hook(_read(Path(hook))))
        return {Path(asked.memory): metrics.kept(counts), Path(asked.file): metrics.text(samples)}


def host_samples(asked: metrics.Config, keeper: str) -> list[metrics.Sample]:
    """What each host has; `keeper` is the text of the keeper's state."""
    return metrics.of_host(asked.version, _written(Path(asked.deployed)), asked.created, metrics.repairs(keeper))


def write_host(metrics_file: Path = METRICS, keeper_file: Path = KEEPER) -> None:
    """A NAT's metrics, where its site has them; none where it has them no more. Raises OSError, and ValueError,
    KeyError and TypeError for what no deploy has written.
    """
    if asked := _read(metrics_file):
        found = metrics.config(asked)
        path = Path(found.file)
        path.parent.mkdir(exist_ok=True)
        bird.write(path, metrics.text(host_samples(found, _read(keeper_file))))


def _write(wanted: Mapping[Path, str]) -> set[Path]:
    for path, text in wanted.items():
        path.parent.mkdir(exist_ok=True)
        bird.write(path, text)
    return set(wanted)


def _hook(text: str) -> metrics.Hook:
    try:
        found = json.loads(text)
        return metrics.Hook(found["runs"], found["failures"], found["heartbeat_failures"])
    except (ValueError, KeyError, TypeError):
        return metrics.Hook()


def _written(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None


def _read(path: Path) -> str:
    """Empty where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # others' files are in it
        path.parent.rmdir()
