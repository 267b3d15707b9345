"""What the monitor says: of a zone in words, of all of them as JSON."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from vpc_openvpn_monitor import drains, history, machine
from vpc_openvpn_monitor.history import DETOUR, LOST, OWN, History, Path
from vpc_openvpn_monitor.kernel import Route
from vpc_openvpn_monitor.machine import State, Way
from vpc_openvpn_monitor.site import Site, Tunnel

VERSION = 1  # of the JSON
NOT_HEARD, NO_BIRD = "BFD hears nothing of its NAT", "BIRD does not answer"
UNEXPLAINED = "BIRD has no way through its own tunnel"  # if neither the monitor nor BFD has a reason


def taken_by(site: Site, tunnel: Tunnel, routes: Iterable[Route]) -> Tunnel | None:
    """The tunnel that a zone's packets take by the kernel's routes; None where they have no way."""
    return next((site.behind(route.interface) for route in routes if route.network == tunnel.subnets[0]), None)


def path(site: Site, state: State, tunnel: Tunnel, routes: Iterable[Route]) -> Path:
    """The way that a zone's packets take by the kernel's routes, whether they arrive by all that the monitor knows, and
    why it is not the zone's own (UNEXPLAINED where the monitor holds that for sound).
    """
    taken = taken_by(site, tunnel, routes)
    own = Way(tunnel.number, tunnel.number)
    reason = machine.why(state, own)
    if taken is None:
        return Path(LOST, "", _of(reason) if reason else UNEXPLAINED)
    used = Way(tunnel.number, taken.number)
    found = LOST if machine.dead(state, used) else OWN if used == own else DETOUR
    if not reason:
        return Path(found, taken.zone, "" if found == OWN else UNEXPLAINED)
    return Path(found, taken.zone, _of(reason))


def words(tunnel: Tunnel, taken: Path) -> str:
    """A zone's path as a sentence: "by a detour over us-east-1b: its NAT is silent"."""
    match taken.state, taken.why:
        case "own", "":
            return "by its own tunnel"
        case "own", why:
            return f"by its own tunnel as the last resort: {why}"
        case "detour", why:
            return f"by a detour over {taken.via}: {why}"
        case _, why:
            through = f", sent by {taken.via}'s NAT" if taken.via not in ("", tunnel.zone) else ""
            return f"lost{through}: {why}"


def lines(found: Mapping[str, Any]) -> str:
    """A report: a line for each zone; on a host that knows none, for each unit that is not as it should be."""
    own = found["host"]
    said = [f"{zone}: {each['says']}" for zone, each in found["zones"].items()]
    if not said:
        said = [f"{unit} does not run" for unit in own["stopped"]]
        said += [f"{unit} runs from older files than are on the disk" for unit in own["outdated"]]
    return "\n".join(said or [f"{own['name']}: each unit runs, from the files on the disk"])


def as_json(site: Site, state: State, past: History, round_trips: Mapping[int, float], now: float) -> str:
    """All that is known, for `status`. `now`: seconds since 1970."""
    return json.dumps(
        {
            "version": VERSION,
            "zones": {tunnel.zone: _zone(site, state, tunnel, past, round_trips, now) for tunnel in site.tunnels},
        }
    )


def _zone(
    site: Site, state: State, tunnel: Tunnel, past: History, round_trips: Mapping[int, float], now: float
) -> dict[str, Any]:
    zone = next(each for each in state.zones if each.number == tunnel.number)
    silent = state.tunnels[tunnel.number].silent
    last = past[tunnel.zone][-1]
    return {
        "state": last.path.state,
        "via": last.path.via or None,
        "why": last.path.why or None,
        "since": last.at,
        "says": words(tunnel, last.path),
        "changes_today": history.of_a_day(past, tunnel.zone, now),
        "drained_since": drains.since(site, tunnel.zone),
        "round_trip": None if silent else round_trips.get(tunnel.number),
        "ways": [
            {"tunnel": site.tunnel(each.tunnel).zone, "avoided": machine.why(state, each) or None} for each in zone.ways
        ],
    }


def _of(reason: str) -> str:
    return reason if reason == "drained" else f"its NAT {'is silent' if reason == 'silent' else reason}"
