"""Which way each zone is reached where no monitor says it: by the kernel's routes and, under `single`, by asking."""

import fcntl
import secrets
import select
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from ipaddress import IPv4Address
from typing import Any

from vpc_openvpn_monitor import bird, desks, drains, history, packets, report, sockets
from vpc_openvpn_monitor.desks import Misled
from vpc_openvpn_monitor.history import DETOUR, LOST, OWN, History, Path
from vpc_openvpn_monitor.kernel import Route
from vpc_openvpn_monitor.site import Site, Tunnel

UNKNOWN = "unknown"
NOT_RUNNING, NOT_ANSWERING = "the monitor does not run", "the monitor does not answer"
NO_ROUTE = "BIRD has no route to it"
UNCONNECTED, SILENT = "the connection is not up", "the connection is silent"
_TRIES, _PATIENCE = 2, 0.4  # questions, and seconds for the answers to each
_JOURNAL = 1.0  # seconds for the journal's answer
_GET_ADDRESS = 0x8915  # SIOCGIFADDR, linux/sockios.h

Ask = Callable[[Tunnel, Iterable[IPv4Address]], Mapping[IPv4Address, float]]


def by_kernel(
    site: Site, routes: Sequence[Route], past: History, why: str, misled: Misled = desks.misled
) -> dict[str, Any]:
    """Each zone by the kernel's routes: where they lead, not whether packets arrive. `past`: what a monitor has seen;
    `why`: no monitor says more.
    """
    heard = bird.hears(site.bird)
    found = {tunnel.zone: _by_kernel(site, tunnel, routes, past, why, heard, misled) for tunnel in site.tunnels}
    now = time.time()
    return {zone: {**each, "changes_today": history.of_a_day(past, zone, now)} for zone, each in found.items()}


def _by_kernel(
    site: Site,
    tunnel: Tunnel,
    routes: Sequence[Route],
    past: History,
    why: str,
    heard: Collection[IPv4Address] | None,
    misled: Misled,
) -> dict[str, Any]:
    over = report.taken_by(site, tunnel, routes)
    state = LOST if over is None else OWN if over is tunnel else DETOUR
    reasons = []
    if over and (elsewhere := misled(site.lans, over.interface, tunnel.subnets)):
        over, state = None, LOST
        reasons.append(elsewhere)
    elif state != OWN:
        if drains.since(site, tunnel.zone) is not None:
            reasons.append("drained")
        if heard is None:
            reasons.append(report.NO_BIRD)
        elif tunnel.nat not in heard:
            reasons.append(report.NOT_HEARD)
    taken = Path(state, over.zone if over else "", "; ".join([*reasons, why]))
    where = {OWN: "by its own tunnel", DETOUR: f"by a detour over {taken.via}", LOST: "lost"}[state]
    last = past[tunnel.zone][-1] if past.get(tunnel.zone) else None
    same = last is not None and (last.path.state, last.path.via) == (taken.state, taken.via)
    since = last.at if last and same else None
    return _zone(site, tunnel, taken, f"{where}, by the kernel's routes: {taken.why}", since, None)


def single(
    site: Site, routes: Sequence[Route], ask: Ask, there: IPv4Address | None, misled: Misled = desks.misled
) -> dict[str, Any]:
    """Each zone by the one connection: to the NAT whose tunnel has the address `there`, the interface's. That NAT and
    the zones' probes are asked, with packets through the connection.
    """
    connected = next((tunnel for tunnel in site.tunnels if tunnel.own == there), None)
    probes = [tunnel.probe for tunnel in site.tunnels if tunnel.probe]
    answers = ask(connected, [connected.nat, *probes]) if connected else {}
    lives = connected is not None and connected.nat in answers
    since = _connected_since(site) if lives else None
    found = {}
    for tunnel in site.tunnels:
        routed = any((each.network, each.interface) == (tunnel.subnets[0], tunnel.interface) for each in routes)
        taken = _through(tunnel, connected, answers) if routed else Path(LOST, "", NO_ROUTE)
        if taken.state == OWN and (elsewhere := misled(site.lans, tunnel.interface, tunnel.subnets)):
            taken = Path(LOST, "", elsewhere)
        says = f"by the one connection, to {taken.via}'s NAT" if taken.state == OWN else f"{taken.state}: {taken.why}"
        trip = answers.get(connected.nat) if connected else None
        found[tunnel.zone] = _zone(site, tunnel, taken, says, since, trip)
    return found


def _through(tunnel: Tunnel, connected: Tunnel | None, answers: Mapping[IPv4Address, float]) -> Path:
    if connected is None:
        return Path(LOST, "", UNCONNECTED)
    if connected.nat not in answers:
        return Path(LOST, connected.zone, SILENT)
    if tunnel.probe and tunnel.probe not in answers:
        return Path(UNKNOWN, connected.zone, f"its probe does not answer through {connected.zone}'s NAT")
    return Path(OWN, connected.zone)


def _zone(
    site: Site, tunnel: Tunnel, taken: Path, says: str, since: float | None, round_trip: float | None
) -> dict[str, Any]:
    """As `report` has it. How often the way has changed is not known."""
    return {
        "state": taken.state,
        "via": taken.via or None,
        "why": taken.why or None,
        "since": since,
        "says": says,
        "changes_today": 0,
        "drained_since": drains.since(site, tunnel.zone),
        "round_trip": round_trip,
        "ways": [],
    }


def address(interface: str) -> IPv4Address | None:
    """An interface's first IPv4 address; None where it has none, or is not there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            found = fcntl.ioctl(asking, _GET_ADDRESS, struct.pack("256s", interface.encode()[:15]))
        except OSError:
            return None
    return IPv4Address(found[20:24])


def asking(site: Site) -> Ask:
    """What sends echo requests through a tunnel and times the answers, in seconds. The NAT's end is asked from the
    office's, what is behind it as a desk asks.
    """

    def ask(tunnel: Tunnel, targets: Iterable[IPv4Address]) -> Mapping[IPv4Address, float]:
        line, found, missing = sockets.Line(tunnel), dict[IPv4Address, float](), list(targets)
        source = sockets.source_in(site.lans) or tunnel.own
        for _ in range(_TRIES):
            questions = {target: tunnel.own if target == tunnel.nat else source for target in missing}
            found |= _answers(line, questions)
            missing = [target for target in missing if target not in found]
            if not missing:
                break
        line.close()
        return found

    return ask


def _answers(line: sockets.Line, questions: Mapping[IPv4Address, IPv4Address]) -> dict[IPv4Address, float]:
    """Of the targets, each with the address that asks, those that answer; within how many seconds."""
    found, pending, began = dict[IPv4Address, float](), dict[bytes, IPv4Address](), time.monotonic()
    for target, source in questions.items():
        token = secrets.token_bytes(packets.TOKEN_BYTES)
        if line.send(packets.ping(source, target, token, 49152 + secrets.randbelow(16384))):
            pending[token] = target
    while pending and (patience := began + _PATIENCE - time.monotonic()) > 0:
        descriptor = line.fileno()
        if descriptor is None or not select.select([descriptor], [], [], patience)[0]:
            break
        for answer in line.answers():
            if not answer.loop and pending.get(answer.token) == answer.source:
                found[pending.pop(answer.token)] = time.monotonic() - began
    return found


def _connected_since(site: Site) -> float | None:
    """When OpenVPN last said that it is connected, in seconds since 1970, as far as the journal reaches back."""
    unit = next((unit for unit in site.units if unit.startswith("openvpn-client@")), "")
    said = ["--grep", "Initialization Sequence Completed", "--lines", "1", "--output", "short-unix"]
    try:
        command = ["journalctl", "--quiet", "--unit", unit, *said]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_JOURNAL, check=False)
        return float(done.stdout.split()[0])
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError):
        return None
