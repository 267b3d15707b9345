"""Hosts' answers → the status of the site, as one document. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any

from vpc_openvpn.site.plan import OFFICE, SINGLE, HostPlan, NatPlan, OfficePlan
from vpc_openvpn.status.claims import CLOCK, Claims
from vpc_openvpn.status.firewalls import Firewalls

VERSION = 1
OWN, DETOUR, LOST, UNKNOWN = "own", "detour", "lost", "unknown"  # a zone's states
DEGRADED = "degraded"  # a verdict beside OWN, LOST and UNKNOWN
NOTHING = "desks reach nothing of it"
FIREWALL_UNIT = "vpc-openvpn-firewall.service"  # tasks/paths.py
# What the reasons of the monitor and of the kernel contain: files/vpc_openvpn_monitor/, report and unwatched.
SILENT, IDLE, UNPROVED, DRAINED = ("silent", "hears nothing"), "does not forward", "has yet to prove itself", "drained"


class Refusal(Enum):
    """Why a host gives no report."""

    SILENT = "silent"  # nothing answers at its address
    KEY = "key"  # its ssh host key is another than before, or revoked
    UNKNOWN_KEY = "unknown key"  # this machine has none to compare with
    UNDEPLOYED = "undeployed"
    OLDER = "older"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host answered: a `report`, JSON of any shape, or why there is none."""

    report: Any
    why: str = ""
    refusal: Refusal = Refusal.OTHER

    @property
    def reached(self) -> bool:
        """The host itself has answered, with a report or without one."""
        return self.report is not None or self.refusal in (Refusal.UNDEPLOYED, Refusal.OLDER)


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone, and which way its packets take now. Times in seconds since 1970, the round trip in seconds.

    `via` is the zone whose tunnel or, under `single`, whose NAT they go through. `lost_meanwhile`: what does not work
    as long as that is so. `type`: the line that mends it.
    """

    zone: str
    state: str
    via: str | None = None
    why: str | None = None
    since: float | None = None
    changes_today: int = 0
    drained_since: float | None = None
    round_trip: float | None = None
    lost_meanwhile: str | None = None
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Repair:
    """What a host's keeper has put back after another program had removed it."""

    what: str
    count: int
    first: float | None
    last: float | None
    looping: bool
    gone: str
    failing: str | None  # why it cannot be put back now

    @property
    def broken(self) -> bool:
        """It cannot be put back, or does not last."""
        return self.looping or bool(self.failing)


@dataclass(frozen=True, slots=True)
class Host:
    """A host. `reachable`: it answers ssh. Where it gives no report, `why` says why. `type`: the line that mends what
    is wrong with it.
    """

    host: str
    role: str
    zone: str | None
    reachable: bool
    why: str | None = None
    type: str | None = None
    outdated: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    deploy: dict[str, Any] | None = None
    repairs: tuple[Repair, ...] = ()
    identity: dict[str, float] | None = None
    disk: dict[str, int] | None = None
    conntrack: dict[str, int] | None = None
    monitor: dict[str, bool] | None = None
    forwards: bool | None = None
    closed_interfaces: tuple[str, ...] = ()  # that forward nothing by a setting of their own
    filters_read: bool | None = None  # of the office router: whether all rules of its firewalls could be judged
    hears_office: bool | None = None
    clock: float | None = None  # seconds by which it is ahead of the operator's, where that is more than `CLOCK`


@dataclass(frozen=True, slots=True)
class Status:
    """The site at a moment, `at` by the operator's clock."""

    at: float
    strategy: str
    verdict: str
    zones: tuple[Zone, ...]
    hosts: tuple[Host, ...]

    @property
    def office(self) -> Host:
        return next(host for host in self.hosts if host.role == OfficePlan.role)

    def document(self, says: str) -> dict[str, Any]:
        """As JSON has it: docs/status.md. `says`: the sentence about all of it."""
        found = asdict(self)
        return {"version": VERSION, "at": found.pop("at"), "verdict": found.pop("verdict"), "says": says, **found}


def status(plans: Mapping[str, HostPlan], answers: Mapping[str, Answer], at: float) -> Status:
    """The site's status, from each host's answer."""
    office = next(plan for plan in plans.values() if isinstance(plan, OfficePlan))
    nats = [plan for plan in plans.values() if isinstance(plan, NatPlan)]
    fresh = not any(answer.report is not None or answer.refusal == Refusal.OLDER for answer in answers.values())
    hosts = {name: _host(plan, answers[name], at, fresh=fresh) for name, plan in plans.items()}
    claims = Claims(answers[office.host].report)
    shift, said = claims.inside("host").shift(at), claims.inside("zones")
    found = [_zone(nat.zone, answers[office.host], said.inside(nat.zone), at, shift) for nat in nats]
    firewalls = Firewalls(claims.inside("host"))
    if claims.inside("host").inside("filters"):  # an older release does not tell of them
        hosts[office.host] = replace(hosts[office.host], filters_read=firewalls.read)
    found = [_let_through(zone, firewalls) for zone in found]
    if office.strategy == SINGLE:
        zones = [_of_single(zone) for zone in found]
    else:
        ends = [(zone, nat, hosts[nat.host], answers[nat.host]) for zone, nat in zip(found, nats, strict=True)]
        # Of one silent NAT it is the NAT that is dead; of all of them it may be the office's own line.
        alone = len(ends) == 1 or not all(_silent(zone) and not answer.reached for zone, _, _, answer in ends)
        zones = [_explained(*end, alone=alone) for end in ends]
    return Status(at, office.strategy, verdict(zones, hosts.values()), tuple(zones), tuple(hosts.values()))


def verdict(zones: Iterable[Zone], hosts: Iterable[Host]) -> str:
    """On all of it: the worst of what is so."""
    zones, hosts = list(zones), list(hosts)
    states = {zone.state for zone in zones}
    for state in (LOST, UNKNOWN):
        if state in states:
            return state
    drained = any(zone.drained_since is not None for zone in zones)
    ailing = any(
        host.stopped
        or host.forwards is False
        or host.closed_interfaces
        or host.monitor == {"running": False}
        or any(repair.broken for repair in host.repairs)
        for host in hosts
    )
    return DEGRADED if DETOUR in states or drained or ailing else OWN


def exit_status(verdict: str) -> int:
    """Of the command: 0 every zone by its own tunnel; 2 degraded; 1 a zone is lost, or that is unknown."""
    return {OWN: 0, DEGRADED: 2}.get(verdict, 1)


# --- zones ----------------------------------------------------------------------------------------------------


def _zone(name: str, office: Answer, said: Claims, at: float, shift: float) -> Zone:
    """What the office router says of a zone; UNKNOWN, with the reason, where it says nothing."""
    if office.report is None:
        why, line = {
            Refusal.UNDEPLOYED: ("the office router is not deployed yet", "./vpc deploy"),
            Refusal.OLDER: (f"the office router: {office.why}", f"./vpc deploy --limit {OFFICE}"),
        }.get(office.refusal, (f"the office router gives no report: {office.why}", None))
        return Zone(name, UNKNOWN, why=why, type=line)
    state = said.text("state")
    if state not in (OWN, DETOUR, LOST, UNKNOWN):
        return Zone(name, UNKNOWN, why="the office router has not been deployed with this zone", type="./vpc deploy")
    since, drained = said.time("since", shift), said.time("drained_since", shift)
    if Claims(office.report).inside("host").flag("forwards") is False:
        why = "the office router does not forward: its net.ipv4.ip_forward is 0"
        return Zone(name, LOST, why=why, lost_meanwhile=NOTHING, type=f"./vpc deploy --limit {OFFICE}")
    return Zone(
        name,
        state,
        via=said.text("via"),
        why=said.text("why"),
        since=None if since is None else min(since, at),
        changes_today=said.count("changes_today") or 0,
        drained_since=None if drained is None else min(drained, at),
        round_trip=said.number("round_trip", 3600),
    )


def _let_through(zone: Zone, firewalls: Firewalls) -> Zone:
    """LOST where a firewall on the office router keeps desks' packets from it; and where one drops what its NAT says of
    being alive, that is why.
    """
    mend = f"./vpc deploy --limit {OFFICE}"  # which says what to type there
    if zone.state in (OWN, DETOUR) and (why := firewalls.block(zone.zone, zone.via)):
        return replace(zone, state=LOST, why=why, since=None, lost_meanwhile=NOTHING, type=mend)
    if zone.state != OWN and _silent(zone) and (why := firewalls.deafen(zone.zone)):
        return replace(zone, why=why, lost_meanwhile=NOTHING if zone.state == LOST else None, type=mend)
    return zone


def _explained(zone: Zone, plan: NatPlan, nat: Host, answer: Answer, *, alone: bool) -> Zone:
    """With what is lost meanwhile, and with the line to type. `alone`: other zones are better off."""
    if zone.state == UNKNOWN or zone.type:
        return zone
    lost = []
    if zone.state == LOST:
        lost.append(NOTHING)
    dead = _silent(zone) and not (answer.reached and answer.refusal != Refusal.UNDEPLOYED)
    closed = FIREWALL_UNIT in nat.stopped or any(repair.what == "firewall" and repair.failing for repair in nat.repairs)
    if dead or closed or nat.forwards is False or _idle(zone):
        subnets = ", ".join(map(str, plan.private_subnets))
        if zone.state == DETOUR:
            lost.append("its hosts begin no connection to the office")
        if subnets:
            unless = "" if alone else ", unless it is the office's own line that is down"
            # What forwards by its own word and not by ours is kept from it by a rule, likely for these as well.
            have = "likely have" if _idle(zone) and nat.forwards else "have"
            lost.append(f"its private subnets ({subnets}) {have} no internet{unless}")
    return replace(zone, lost_meanwhile="; ".join(lost) or None, type=_line(zone, nat, answer))


def _line(zone: Zone, nat: Host, answer: Answer) -> str | None:
    """What to type so that the zone's packets take its own tunnel again."""
    mend_nat, mend_office = f"./vpc deploy --limit {nat.host}", f"./vpc deploy --limit {OFFICE}"
    replaced = answer.refusal != Refusal.OLDER and answer.report is None  # or dead
    if nat.forwards is False:
        return mend_nat
    if _silent(zone) or _idle(zone):
        if answer.refusal == Refusal.UNKNOWN_KEY:
            return f"./vpc trust {nat.host}"
        if replaced:
            return f"./vpc rebuild {zone.zone}"
        # One that runs as it should has something between it and the office: a deploy there names the causes.
        return mend_nat if _idle(zone) or nat.stopped or nat.outdated else mend_office
    if zone.drained_since is not None:
        return f"./vpc undrain {zone.zone}"
    if zone.state == OWN or UNPROVED in (zone.why or ""):
        return None
    return mend_office


def _of_single(zone: Zone) -> Zone:
    """The same, where one connection serves all zones: it tries each NAT in turn by itself."""
    if zone.type or zone.state == OWN:
        return zone
    if zone.state == LOST:
        return replace(zone, lost_meanwhile=NOTHING, type=f"./vpc deploy --limit {OFFICE}")
    return replace(zone, type="./vpc deploy")


def _silent(zone: Zone) -> bool:
    return any(each in (zone.why or "") for each in SILENT)


def _idle(zone: Zone) -> bool:
    return IDLE in (zone.why or "")


# --- hosts ----------------------------------------------------------------------------------------------------


def _host(plan: HostPlan, answer: Answer, at: float, *, fresh: bool) -> Host:
    """`fresh`: no host of the site has been deployed yet."""
    zone = plan.zone if isinstance(plan, NatPlan) else None
    found = Host(plan.host, plan.role, zone, answer.reached, why=answer.why or None)
    deploy, rebuild = f"./vpc deploy --limit {plan.host}", f"./vpc rebuild {zone or plan.host}"
    if answer.report is None:
        lines = {
            Refusal.OLDER: deploy,
            Refusal.KEY: rebuild,
            Refusal.UNKNOWN_KEY: "./vpc trust" if fresh else f"./vpc trust {plan.host}",
            Refusal.UNDEPLOYED: "./vpc deploy" if fresh else rebuild,
        }
        return replace(found, type=lines.get(answer.refusal))
    said = Claims(answer.report).inside("host")
    if not said:
        return replace(found, why="an older release is there, which tells nothing of the host", type=deploy)
    shift, ahead = said.shift(at), said.ahead(at)
    found = replace(
        found,
        outdated=said.words("outdated"),
        stopped=said.words("stopped"),
        deploy=_deploy(said.inside("deploy"), shift),
        repairs=tuple(_repair(Claims(each), shift) for each in said.elements("repairs") if isinstance(each, dict)),
        identity=_since(said.inside("identity"), shift),
        disk=said.inside("disk").counts("free", "size"),
        conntrack=said.inside("conntrack").counts("count", "max"),
        monitor=_flag(said.inside("monitor"), "running"),
        forwards=said.flag("forwards"),
        closed_interfaces=said.words("closed_interfaces"),
        hears_office=said.flag("hears_office"),
        clock=ahead if ahead is not None and abs(ahead) > CLOCK else None,
    )
    return replace(found, type=deploy if found.outdated or found.stopped or found.forwards is False else None)


def _deploy(said: Claims, shift: float) -> dict[str, Any] | None:
    by, at = said.text("by"), said.time("at", shift)
    if by is None or at is None:
        return None
    return {"by": by, "at": at, "release": said.count("release"), "changed": said.time("changed", shift)}


def _repair(said: Claims, shift: float) -> Repair:
    return Repair(
        said.word("what") or "?",
        said.count("count") or 0,
        said.time("first", shift),
        said.time("last", shift),
        said.flag("looping") or False,
        said.text("gone") or "",
        said.text("failing"),
    )


def _since(said: Claims, shift: float) -> dict[str, float] | None:
    since = said.time("since", shift)
    return None if since is None else {"since": since}


def _flag(said: Claims, key: str) -> dict[str, bool] | None:
    value = said.flag(key)
    return None if value is None else {key: value}
