"""What a host knows as metrics, in Prometheus' text format: for a node exporter that reads files.

Pure: state → text. Samples have no timestamps: the file's own time says how old they are.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Address
from typing import Any

from vpc_openvpn_monitor.history import DETOUR, LOST, OWN, History
from vpc_openvpn_monitor.machine import State, Trust
from vpc_openvpn_monitor.site import Site, Tunnel

PREFIX = "vpcopenvpn_"
NAMES = {  # by name: its type, and what it says
    "build_info": ("gauge", "Which release of the cookbook was deployed last; always 1."),
    "deploy_timestamp_seconds": ("gauge", "When a deploy last came to its end on this host."),
    "identity_created_timestamp_seconds": ("gauge", "When a host's identity was created."),
    "repairs_total": ("counter", "How often what other programs removed was put back, since the last boot."),
    "repair_looping": (
        "gauge",
        "1 while a repair fails, or does not last: another program removes it again and again.",
    ),
    "zone_path": ("gauge", "1 for the way that packets to the zone take now: its own tunnel, a detour, or none."),
    "zone_detour_info": ("gauge", "The zone whose tunnel a detour takes; only while there is one."),
    "tunnel_info": ("gauge", "The tunnel's interface on this host, and its NAT; always 1."),
    "tunnel_bfd_up": ("gauge", "1 while BFD hears the tunnel's far end; 0 as well where BIRD does not answer."),
    "tunnel_nat_forwards": ("gauge", "0 from when the NAT was found not to forward until it is asked anew."),
    "tunnel_drained": ("gauge", "1 while an operator keeps new connections off the zone's NAT."),
    "tunnel_round_trip_seconds": ("gauge", "To the NAT's end of the tunnel and back; only while it answers."),
    "tunnel_state_changes_total": ("counter", "How often the way to the tunnel's zone changed to this one."),
    "tunnel_last_change_timestamp_seconds": ("gauge", "When it did last, or was first seen."),
    "alert_hook_runs_total": ("counter", "How often the alerts' command was run."),
    "alert_hook_failures_total": ("counter", "How often it failed or took too long."),
    "alert_heartbeat_failures_total": ("counter", "How often the heartbeat's URL could not be fetched."),
}
PATHS = {OWN: "own", DETOUR: "detour", LOST: "none"}

Sample = tuple[str, Mapping[str, str], float]
"""A metric's name in NAMES, its labels, its value."""


@dataclass(frozen=True, slots=True)
class Repair:
    """What others removed and a keeper put back: how often, and whether that does not last."""

    what: str
    count: int
    looping: bool
    last: float = 0.0
    gone: str = ""  # what was missing, on one line
    failing: str = ""  # why it cannot be put back now


@dataclass(frozen=True, slots=True)
class Hook:
    """What has become of the alerts so far."""

    runs: int = 0
    failures: int = 0
    heartbeat_failures: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """Changes of each zone's path, by zone and by what it changed to; `seen` is the time of the last one counted."""

    changes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    seen: Mapping[str, float] = field(default_factory=dict)


def counted(counts: Counts, past: History) -> Counts:
    """With what has happened since, of the zones that the history has. It forgets; a counter may not. What was first
    seen is no change.
    """
    changes = {zone: those for zone, those in counts.changes.items() if zone in past}
    seen = {zone: at for zone, at in counts.seen.items() if zone in past}
    for zone, those in past.items():
        since = seen.get(zone, those[0].at)
        new = [change for change in those if change.at > since]
        by_state = dict(changes.get(zone, {}))
        for change in new:
            by_state[change.path.state] = by_state.get(change.path.state, 0) + 1
        changes[zone], seen[zone] = by_state, those[-1].at
    return Counts(changes, seen)


def kept(counts: Counts) -> str:
    """As a file's text, for `recalled`."""
    return json.dumps(asdict(counts)) + "\n"


def recalled(text: str) -> Counts:
    """None counted, where the text is not what `kept` makes."""
    try:
        found = json.loads(text)
        return Counts(
            {zone: {to: int(count) for to, count in those.items()} for zone, those in found["changes"].items()},
            {zone: float(at) for zone, at in found["seen"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return Counts()


def repairs(text: str) -> list[Repair]:
    """What the keeper has written; none, where it is not as it writes it."""
    try:
        return [
            Repair(
                str(each["what"]),
                int(each["count"]),
                bool(each["looping"]),
                float(each["last"]),
                str(each["gone"]),
                str(each.get("failing") or ""),
            )
            for each in json.loads(text)["repairs"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def of_host(
    version: str, deployed: float | None, created: Mapping[str, float], done: Sequence[Repair] = ()
) -> list[Sample]:
    """What each host has: the release, when it was deployed (seconds since 1970), when the identities that it knows of
    were created, by host, and what was repaired. This is all that a NAT has.
    """
    samples: list[Sample] = [("build_info", {"version": version}, 1)]
    if deployed is not None:
        samples.append(("deploy_timestamp_seconds", {}, deployed))
    samples += [("identity_created_timestamp_seconds", {"host": host}, when) for host, when in created.items()]
    for each in done:
        samples.append(("repairs_total", {"what": each.what}, each.count))
        samples.append(("repair_looping", {"what": each.what}, each.looping or bool(each.failing)))
    return samples


def of_office(
    site: Site,
    state: State,
    past: History,
    counts: Counts,
    heard: Iterable[IPv4Address],
    round_trips: Mapping[int, float],
) -> list[Sample]:
    """What the office router's monitor knows. `heard`: the NATs' ends that BFD hears; `round_trips`: by tunnel."""
    up = set(heard)
    samples: list[Sample] = []
    for tunnel in site.tunnels:
        if tunnel.zone not in past:
            continue  # the kernel has yet to be asked
        samples += _of_zone(tunnel.zone, past, counts)
        samples += _of_tunnel(tunnel, state, tunnel.nat in up, round_trips.get(tunnel.number))
    return samples


def _of_zone(zone: str, past: History, counts: Counts) -> list[Sample]:
    last = past[zone][-1]
    path, of_zone = last.path, {"zone": zone}
    samples: list[Sample] = [
        ("zone_path", of_zone | {"path": name}, path.state == state) for state, name in PATHS.items()
    ]
    if path.state == DETOUR:
        samples.append(("zone_detour_info", of_zone | {"via": path.via}, 1))
    made = counts.changes.get(zone, {})
    samples += [
        ("tunnel_state_changes_total", of_zone | {"to": name}, made.get(state, 0)) for state, name in PATHS.items()
    ]
    samples.append(("tunnel_last_change_timestamp_seconds", of_zone, last.at))
    return samples


def _of_tunnel(tunnel: Tunnel, state: State, up: bool, round_trip: float | None) -> list[Sample]:
    known, of_zone = state.tunnels[tunnel.number], {"zone": tunnel.zone}
    samples: list[Sample] = [
        ("tunnel_info", of_zone | {"interface": tunnel.interface, "nat": f"nat-{tunnel.zone}"}, 1),
        ("tunnel_bfd_up", of_zone, up),
        ("tunnel_nat_forwards", of_zone, known.forwards.trust != Trust.BROKEN),
        ("tunnel_drained", of_zone, known.drained),
    ]
    if round_trip is not None and not known.silent:
        samples.append(("tunnel_round_trip_seconds", of_zone, round_trip))
    return samples


def of_alerts(hook: Hook) -> list[Sample]:
    """What has become of the alerts."""
    return [
        ("alert_hook_runs_total", {}, hook.runs),
        ("alert_hook_failures_total", {}, hook.failures),
        ("alert_heartbeat_failures_total", {}, hook.heartbeat_failures),
    ]


def text(samples: Iterable[Sample]) -> str:
    """The samples, grouped by metric, each with its HELP and TYPE."""
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample[0], []).append(sample)
    lines = []
    for name, (kind, says) in NAMES.items():
        if name in found:
            lines += [f"# HELP {PREFIX}{name} {says}", f"# TYPE {PREFIX}{name} {kind}"]
            lines += [f"{PREFIX}{name}{_labels(labels)} {_number(value)}" for _, labels, value in found[name]]
    return "".join(f"{line}\n" for line in lines)


def _labels(labels: Mapping[str, str]) -> str:
    written = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{written}}}" if written else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    return repr(float(value)) if value != int(value) else str(int(value))


@dataclass(frozen=True, slots=True)
class Config:
    """What a deploy has written about them: `file` is what an exporter reads, `memory` has what was counted, `deployed`
    is a file that each deploy leaves, `created` has the hosts' identities.
    """

    file: str
    memory: str
    deployed: str
    version: str
    created: Mapping[str, float]


def config(text: str) -> Config:
    """Raises ValueError, KeyError and TypeError for what no deploy has written."""
    found: dict[str, Any] = json.loads(text)
    return Config(found["file"], found["memory"], found["deployed"], found["version"], found["created"])
