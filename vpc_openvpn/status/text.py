"""The status in words: one sentence about all of it, then each zone, then each host. Pure."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo

from vpc_openvpn.site.plan import SINGLE
from vpc_openvpn.status.model import DETOUR, LOST, OWN, UNKNOWN, Host, Repair, Status, Zone

NAMES = 4  # of zones or hosts that the first sentence names, of one kind
NO_MONITOR = "no monitor answers on the office router, so a NAT that lives and does not forward is not seen"


def sentence(status: Status, zone: tzinfo | None = None) -> str:
    """How things stand, and since when. `zone`: the time zone of its times, the operator's if it is not given."""
    parts = [*_zones(status, zone), *_ailing(status, zone)]
    return "; ".join(parts)


def lines(status: Status, zone: tzinfo | None = None) -> Iterator[str]:
    """All of it, for a terminal."""
    yield f"{capital(sentence(status, zone))}."
    yield ""
    width = max(len(each) for each in (*(zone.zone for zone in status.zones), *(host.host for host in status.hosts)))
    ways = {each.zone: way(each, status.strategy) for each in status.zones}
    longest = max(map(len, ways.values()))
    for each in status.zones:
        since = f"since {moment(each.since, status.at, zone)}" if each.since is not None else ""
        row = f"{each.zone:{width}}  {ways[each.zone]:{longest}}  {since:30}  {trip(each.round_trip)}"
        yield row.rstrip()
        if each.state != UNKNOWN or not _alike(status.zones):  # if so, the sentence has said it
            yield from (f"{'':{width}}  {note}" for note in notes(each, status, zone))
    yield ""
    for host in status.hosts:
        first, *more = facts(host, status.at, zone)
        yield f"{host.host:{width}}  {first}"
        yield from (f"{'':{width}}  {fact}" for fact in more)


def way(zone: Zone, strategy: str) -> str:
    """The way that a zone's packets take."""
    match zone.state:
        case "own" if strategy == SINGLE:
            return f"the one connection, to {zone.via}'s NAT"
        case "own":
            return "its own tunnel"
        case "detour":
            return f"a detour over {zone.via}"
        case state:
            return state


def notes(zone: Zone, status: Status, where: tzinfo | None = None) -> Iterator[str]:
    """What else is to be known of a zone, in order of weight."""
    if why := _reason(zone, status):
        yield f"why: {why}"
    if zone.drained_since is not None:
        yield f"drained since {moment(zone.drained_since, status.at, where)}"
    if zone.lost_meanwhile:
        yield f"meanwhile: {zone.lost_meanwhile}"
    if zone.changes_today > 2:
        yield f"its way has changed {zone.changes_today} times within a day"
    if zone.type:
        yield f"type: {zone.type}"


def facts(host: Host, now: float, where: tzinfo | None = None) -> Iterator[str]:
    """What is to be known of a host: what is wrong with it first."""
    yield host.why or _runs(host)
    if host.monitor == {"running": False} and not host.stopped:
        yield "its monitor does not answer; type there: systemctl restart vpc-openvpn-monitor"
    if host.hears_office is False and not host.stopped:
        yield "its BFD does not hear the office"
    if host.forwards is False:
        yield "its kernel does not forward (net.ipv4.ip_forward is 0)"
    for name in host.closed_interfaces:
        yield f"nothing that comes in by {name} is forwarded; type there: sysctl -w net.ipv4.conf.{name}.forwarding=1"
    if host.filters_read is False:
        yield "the rules of its firewalls cannot be read, so what they drop is not seen"
    for repair in host.repairs:
        yield _repaired(repair, now, where)
    if host.clock is not None:
        yield f"its clock is {duration(abs(host.clock))} {'ahead of' if host.clock > 0 else 'behind'} this machine's"
    if numbers := ", ".join(_numbers(host, now, where)):
        yield numbers
    if host.type:
        yield f"type: {host.type}"


def moment(at: float, now: float, zone: tzinfo | None = None) -> str:
    """`02:41 (19 min)`; with the date where that is another day."""
    return f"{clock(at, now, zone)} ({duration(now - at)})"


def clock(at: float, now: float, zone: tzinfo | None = None) -> str:
    """A time of day, with the date where that is another day than now."""
    then, today = (_at(each, zone) for each in (at, now))
    return f"{then:%H:%M}" if then.date() == today.date() else f"{then:%Y-%m-%d %H:%M}"


def duration(seconds: float) -> str:
    """In the unit that a person would take: `19 s`, `19 min`, `3 h 5 min`, `2 d 3 h`."""
    whole = max(0, int(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if not minutes:
        return f"{whole} s"
    if not hours:
        return f"{minutes} min"
    if not days:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{days} d {hours % 24} h" if hours % 24 else f"{days} d"


def trip(seconds: float | None) -> str:
    """A round trip in milliseconds; empty where there is none."""
    return "" if seconds is None else f"{seconds * 1000:.{1 if seconds < 0.1 else 0}f} ms"


def capital(text: str) -> str:
    """The text as a sentence begins; a name of a zone or host stays as it is."""
    first, _, _ = text.partition(" ")
    return text if "-" in first else text[:1].upper() + text[1:]


def _at(seconds: float, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(seconds, zone)


# --- the sentence -----------------------------------------------------------------------------------------------


def _zones(status: Status, where: tzinfo | None) -> Iterator[str]:
    """What is so of the zones: those that go their own way, and the others by what they have in common."""
    own = [zone for zone in status.zones if zone.state == OWN]
    whole = len(status.zones)
    if own or not _alike(status.zones):
        last = max((zone.since for zone in own if zone.since is not None), default=None)
        since = f" since {moment(last, status.at, where)}" if last is not None and len(own) == whole else ""
        yield f"{_count(own, whole)} {_how(own, status.strategy)}{since}"
    groups: dict[tuple[str, str | None, str], list[Zone]] = {}
    for zone in status.zones:
        if zone.state != OWN:
            groups.setdefault((zone.state, zone.via, _reason(zone, status)), []).append(zone)
    for (state, via, why), zones in groups.items():
        first = min((zone.since for zone in zones if zone.since is not None), default=None)
        since = f" since {moment(first, status.at, where)}" if first is not None else ""
        name = _every(whole) if len(zones) == whole > 1 else _names(zones)
        if state == UNKNOWN:
            yield f"it is unknown how {name} {'are' if len(zones) > 1 else 'is'} reached: {why or 'no reason is given'}"
            continue
        path = f"by a detour over {via}" if state == DETOUR else LOST
        yield f"{name} {path}{since}{f': {_plural(why) if len(zones) > 1 else why}' if why else ''}"
    for zone in own:
        if zone.drained_since is not None:
            since = moment(zone.drained_since, status.at, where)
            yield f"{zone.zone} is drained since {since}, and has no detour that works"


def _reason(zone: Zone, status: Status) -> str:
    """Why a zone is as it is, without a monitor's silence, which the sentence says once, for all zones."""
    unwatched = status.office.monitor == {"running": False}
    why = zone.why or ""
    return re.sub(r"(^|; )the monitor does not (run|answer)$", "", why) if unwatched else why


def _alike(zones: Sequence[Zone]) -> bool:
    return len({(zone.state, zone.via, zone.why) for zone in zones}) == 1


def _count(own: Sequence[Zone], whole: int) -> str:
    if whole == 1 and own:
        return own[0].zone
    if len(own) == whole:
        return _every(whole)
    return f"{len(own) or 'none'} of {whole} zones"


def _every(zones: int) -> str:
    return "both zones" if zones == 2 else f"all {zones} zones"


def _how(own: Sequence[Zone], strategy: str) -> str:
    if strategy == SINGLE:
        return f"by the one connection, to {own[0].via}'s NAT" if own else "by the one connection"
    return "by its own tunnel" if len(own) == 1 else "by their own tunnels"


def _plural(why: str) -> str:
    return why.replace("its NAT is", "their NATs are").replace("its NAT does", "their NATs do")


def _names(zones: Sequence[Zone]) -> str:
    names = [zone.zone for zone in zones]
    if len(names) > NAMES:
        names = [*names[: NAMES - 1], f"{len(names) - NAMES + 1} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _ailing(status: Status, where: tzinfo | None) -> Iterator[str]:
    """What is wrong with hosts, but for what the zones have said."""
    reasons = " ".join(zone.why or "" for zone in status.zones)
    if status.office.monitor == {"running": False}:
        yield NO_MONITOR
    for host in status.hosts:
        stopped = [unit for unit in host.stopped if "monitor" not in unit]
        if stopped:
            yield f"{host.host}: {' and '.join(stopped[:2])}{' …' if stopped[2:] else ''} {_do(stopped)} not run"
        for repair in host.repairs:
            if repair.failing:
                yield f"{host.host}: {repair.what} is gone, and cannot be put back"
            elif repair.looping:
                yield f"{host.host}: another program removes {repair.what} again and again ({repair.count} times)"
        if host.why and host is not status.office and host.host not in reasons:
            healthy = next((zone for zone in status.zones if zone.zone == host.zone and zone.state == OWN), None)
            if healthy:
                yield f"{host.host} {'cannot be asked' if not host.reachable else 'gives no report'}"


def _do(units: Sequence[str]) -> str:
    return "does" if len(units) == 1 else "do"


# --- a host -----------------------------------------------------------------------------------------------------


def _runs(host: Host) -> str:
    said = []
    if host.stopped:
        said.append(f"{', '.join(host.stopped)} {_do(host.stopped)} not run")
    if host.outdated:
        verb = "runs" if len(host.outdated) == 1 else "run"
        said.append(f"{', '.join(host.outdated)} {verb} from older files than are on the disk: a restart is pending")
    return "; ".join(said) or "runs what is on its disk"


def _repaired(repair: Repair, now: float, where: tzinfo | None) -> str:
    if repair.failing:
        return f"{repair.what} is gone, and cannot be put back: {repair.failing}"
    times = "once" if repair.count == 1 else f"{repair.count} times"
    last = f", last at {moment(repair.last, now, where)}" if repair.last is not None else ""
    again = "; another program removes it again and again" if repair.looping else ""
    return f"{repair.what} put back {times}{last}{f': {repair.gone}' if repair.gone else ''}{again}"


def _numbers(host: Host, now: float, where: tzinfo | None) -> Iterator[str]:
    if host.deploy:
        release = "" if host.deploy["release"] is None else f"release {host.deploy['release']} "
        yield f"{release}by {host.deploy['by']}, {clock(host.deploy['at'], now, where)}"
        changed = host.deploy["changed"]
        if changed is not None and changed - host.deploy["at"] > 60:
            since = clock(changed, now, where)
            yield f"files written since, {since}: by hand, or by a deploy that did not come to its end"
    if host.identity:
        yield f"identity {duration(now - host.identity['since'])} old"
    if host.disk and host.disk["size"]:
        yield f"disk {100 * host.disk['free'] // host.disk['size']} % free"
    if host.conntrack and host.conntrack["max"]:
        yield f"{host.conntrack['count']} of {host.conntrack['max']} connections"
