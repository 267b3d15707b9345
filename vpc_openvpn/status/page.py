"""The status as one HTML file that needs no other: a picture of the site, then each zone and each host. Pure.

It loads nothing and runs nothing, and says so to the browser; whatever hosts say in it is escaped. What a colour says,
a line's pattern and words say too.
"""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from hashlib import sha256

from jinja2 import Environment, PackageLoader, StrictUndefined

from vpc_openvpn.site.plan import SINGLE
from vpc_openvpn.status import text
from vpc_openvpn.status.claims import readable
from vpc_openvpn.status.model import DETOUR, LOST, OWN, Host, Status, Zone

ROW, WIDTH = 56, 360  # units of the picture: a zone's height, and all of its width; a phone shows about one a pixel
LONG, LONGER = 18, 24  # characters of a zone's name that fit in large letters, and in small ones
WORDS = 25  # characters of what is said below it; all of it stands below the picture
LANES = 4  # for the ways between NATs and zones, side by side

_ENVIRONMENT = Environment(
    loader=PackageLoader("vpc_openvpn.status", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True)
class Row:
    """A zone in the picture, with its NAT. `tunnel` and `home` are the classes of the lines from the office to the NAT
    and from there to the zone; empty for none.
    """

    zone: str
    y: int
    state: str
    words: str
    tunnel: str
    home: str
    nat: str

    @property
    def size(self) -> str:
        return "long" if len(self.zone) > LONG else ""

    @property
    def squeezed(self) -> bool:
        return len(self.zone) > LONGER

    @property
    def cross(self) -> str:
        return f"M82 {self.y - 5}l10 10m0 -10l-10 10"


@dataclass(frozen=True, slots=True)
class Way:
    """A zone's packets, that go through another zone's NAT: from the office along that one's tunnel."""

    zone: str
    state: str
    path: str
    arrow: str


@dataclass(frozen=True, slots=True)
class Picture:
    """The site: the office at the left, its zones below each other at the right."""

    rows: tuple[Row, ...]
    ways: tuple[Way, ...]
    width: int = WIDTH

    @property
    def height(self) -> int:
        return ROW * len(self.rows)


def html(status: Status, zone: tzinfo | None = None) -> str:
    """The page. `zone`: the time zone of its times, the operator's if it is not given."""
    style = _style()
    picture = draw(status)
    return _ENVIRONMENT.get_template("page.html.j2").render(
        style=style,
        style_hash=f"sha256-{b64encode(sha256(style.encode()).digest()).decode()}",
        verdict=status.verdict,
        says=text.capital(text.sentence(status, zone)),
        machine_time=datetime.fromtimestamp(status.at, UTC).isoformat(timespec="seconds"),
        time=f"{datetime.fromtimestamp(status.at, zone).astimezone(zone):%Y-%m-%d %H:%M:%S %Z}",
        picture=picture,
        legend=[*_legend(picture)],
        zones=[_zone(each, status, zone) for each in status.zones],
        hosts=[_host(each, status, zone) for each in status.hosts],
    )


def draw(status: Status) -> Picture:
    """The picture of a status."""
    rows = tuple(_row(index, zone, status) for index, zone in enumerate(status.zones))
    heights = {row.zone: row.y for row in rows}
    elsewhere = [zone for zone in status.zones if zone.state in (OWN, DETOUR) and zone.via not in (None, zone.zone)]
    ways = (
        _way(index, zone, heights[zone.zone], heights[zone.via])
        for index, zone in enumerate(elsewhere)
        if zone.via in heights
    )
    return Picture(rows, tuple(ways))


def _row(index: int, zone: Zone, status: Status) -> Row:
    nat = next(host for host in status.hosts if host.zone == zone.zone)
    home = zone.state == OWN and zone.via == zone.zone
    carries = any(each.via == zone.zone and each.state in (OWN, DETOUR) for each in status.zones)
    if status.strategy == SINGLE:
        tunnel = OWN if carries else "reserve"
    elif home or carries:
        tunnel = OWN
    elif zone.drained_since is not None and zone.state == DETOUR:
        tunnel = "drained"
    else:
        tunnel = LOST if zone.state in (LOST, DETOUR) else zone.state
    return Row(
        zone.zone,
        ROW * index + ROW // 2,
        zone.state,
        readable(_words(zone, status), WORDS),
        tunnel,
        OWN if home else "",
        "dead" if tunnel == LOST and not nat.reachable else "",
    )


def _words(zone: Zone, status: Status) -> str:
    if zone.state == OWN and status.strategy == SINGLE:
        return f"by {zone.via}'s NAT"
    words = {OWN: "own tunnel", DETOUR: f"detour over {zone.via}"}.get(zone.state, zone.state)
    return f"{words}, {trip}" if (trip := text.trip(zone.round_trip)) else words


def _way(index: int, zone: Zone, target: int, through: int) -> Way:
    lane = 156 + 8 * (index % LANES)
    beside = through + 5 + 3 * (index % 2)  # the tunnel that it shares
    into = target + (8 if through > target else -8)
    path = f"M60 {beside}H{lane}V{into}H186"
    return Way(zone.zone, zone.state, path, f"M184 {into - 4}l8 4l-8 4z")


def _legend(picture: Picture) -> Iterator[tuple[str, str]]:
    there = {row.tunnel for row in picture.rows} | {way.state for way in picture.ways}
    words = {
        OWN: "in use",
        DETOUR: "a detour",
        "drained": "drained: not for new connections",
        LOST: "carries nothing (×)",
        "unknown": "unknown",
        "reserve": "in reserve",
    }
    yield from ((state, said) for state, said in words.items() if state in there)


def _zone(zone: Zone, status: Status, where: tzinfo | None) -> dict[str, object]:
    return {
        "name": zone.zone,
        "state": zone.state,
        "way": text.capital(text.way(zone, status.strategy)),
        "since": text.moment(zone.since, status.at, where) if zone.since is not None else "",
        "trip": text.trip(zone.round_trip),
        "notes": [*text.notes(zone, status, where)],
    }


def _host(host: Host, status: Status, where: tzinfo | None) -> dict[str, object]:
    facts: Sequence[str] = [*text.facts(host, status.at, where)]
    broken = any(repair.broken for repair in host.repairs)
    return {"name": host.host, "well": not (host.why or host.type or broken), "facts": facts}


def _style() -> str:
    loader = _ENVIRONMENT.loader
    assert loader is not None
    return loader.get_source(_ENVIRONMENT, "page.css")[0]
