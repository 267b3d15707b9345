"""What of the last deploy a host's kernel and systemd no longer have, and what puts it back.

Pure: what is so has been read by others, and times are given, in seconds since 1970.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

LOOP = 3  # repairs of one thing …
WITHIN = 600.0  # … in so many seconds are a loop: another program removes it again and again
LOUD_AGAIN = 60.0  # seconds between two log lines about a loop
SHOWN = 5  # lines of what was gone that are logged


@dataclass(frozen=True, slots=True)
class Interface:
    """A tunnel's, once OpenVPN has made it: its MTU in bytes, its address with the prefix length (none if it depends on
    the NAT), and the routes through it as `ip route replace` takes them, by destination.
    """

    name: str
    unit: str
    mtu: int
    address: str | None
    routes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Link:
    """As it is: its MTU, its IPv4 addresses with prefix lengths, and where its routes in table main lead."""

    mtu: int
    up: bool
    addresses: Collection[str]
    destinations: Collection[str]


@dataclass(frozen=True, slots=True)
class Setting:
    """One of the kernel's, as it is and as it should be."""

    value: str
    wanted: str


@dataclass(frozen=True, slots=True)
class Unit:
    """As systemd has it. `process` is its main one's number, 0 if there is none; `says`: what that says of itself."""

    name: str
    active: str = ""  # active, activating, failed, …
    enabled: str = ""  # enabled, disabled, masked, …
    process: int = 0
    says: str = ""
    busy: bool = False  # systemd is about to start or to stop it

    @property
    def connected(self) -> bool:
        """Of OpenVPN: whether the process that runs has had a connection, and so has made its interface."""
        return self.active == "active" and self.says.startswith("Initialization Sequence Completed")


@dataclass(frozen=True, slots=True)
class Repair:
    """What is put back: `what` names it in logs, metrics and `status`; `gone`, in words, of which the first line is the
    least that is said; `commands` are tried in order.
    """

    what: str
    gone: str
    commands: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Past:
    """The repairs of one thing. `recent`: when, within the last WITHIN seconds; `said`: when a loop was last logged."""

    count: int
    first: float
    last: float
    gone: str
    recent: tuple[float, ...] = ()
    said: float = 0.0

    def looping(self, now: float) -> bool:
        return sum(at > now - WITHIN for at in self.recent) >= LOOP


# --- what is gone ---------------------------------------------------------------------------------------------------


def firewall(unit: Unit, loaded: str, shown: str) -> Repair | None:
    """`loaded`: what the kernel held of ours when the unit had loaded it; `shown`: what it holds now. Both as lines."""
    # Not a reload: a unit that cannot be started closes the host, one that cannot be reloaded does nothing.
    load = (("systemctl", "restart", unit.name),)
    had, has = loaded.splitlines(), shown.splitlines()
    gone = [f"gone: {line}" for line in _less(had, has)] + [f"added: {line}" for line in _less(has, had)]
    if loaded and not gone and had != has:
        gone = ["our rules are in another order"]
    if gone:
        return Repair("firewall", "\n".join(gone), load)
    if unit.active in ("inactive", "failed") and unit.enabled != "masked" and not unit.busy:
        return Repair("firewall", f"{unit.name} is {unit.active}", load)
    return None


def settings(found: Mapping[str, Setting], file: str) -> Repair | None:
    """`found`: kernel settings by path below /proc/sys; `file` has them as they should be."""
    wrong = [f"{path} = {each.value}, not {each.wanted}" for path, each in found.items() if each.value != each.wanted]
    return Repair("settings", "\n".join(wrong), (("/usr/lib/systemd/systemd-sysctl", file),)) if wrong else None


def interface(wanted: Interface, link: Link | None, unit: Unit, missed: int) -> Repair | None:
    """`link` is None where it is not there; `missed`: the process of `unit` that was without it at the last look, too.

    OpenVPN makes it at its first connection, and anew, within a second, where a later one gives it another address.
    """
    if unit.active != "active":
        return None
    if link is None:
        if not unit.connected or missed != unit.process:
            return None
        return Repair(wanted.name, f"interface {wanted.name} is not there", (("systemctl", "restart", unit.name),))
    gone: list[str] = []
    commands: list[tuple[str, ...]] = []
    if not link.up:
        gone.append(f"interface {wanted.name} is down")
        commands.append(("ip", "link", "set", wanted.name, "up"))
    if link.mtu != wanted.mtu:
        gone.append(f"MTU {wanted.mtu} of {wanted.name}, which is {link.mtu}")
        commands.append(("ip", "link", "set", wanted.name, "mtu", str(wanted.mtu)))
    if wanted.address and wanted.address not in link.addresses:
        gone.append(f"address {wanted.address} of {wanted.name}")
        commands.append(("ip", "address", "replace", wanted.address, "dev", wanted.name))
    for other in sorted(set(link.addresses) - {wanted.address}) if wanted.address else ():
        gone.append(f"added: address {other} of {wanted.name}")
        commands.append(("ip", "address", "del", other, "dev", wanted.name))
    for destination, route in wanted.routes.items():
        if not link.up or destination not in link.destinations:
            if link.up:
                gone.append(f"route to {destination} through {wanted.name}")
            commands.append(("ip", "route", "replace", *route.split()))
    return Repair(wanted.name, "\n".join(gone), tuple(commands)) if gone else None


def unit(found: Unit) -> Repair | None:
    """One that is enabled runs; systemd itself starts again what has died, and at a boot one after the other."""
    if found.active not in ("inactive", "failed") or found.enabled != "enabled" or found.busy:
        return None
    return Repair(found.name, f"{found.name} is {found.active}", (("systemctl", "start", found.name),))


def _less(lines: Iterable[str], others: Iterable[str]) -> list[str]:
    left = list(others)
    less = []
    for line in lines:
        if line in left:
            left.remove(line)
        else:
            less.append(line)
    return less


# --- what was put back ----------------------------------------------------------------------------------------------


def noted(past: Past | None, repair: Repair, now: float) -> Past:
    """With one more repair."""
    gone = repair.gone.splitlines()[0]
    if past is None:
        return Past(1, now, now, gone, (now,))
    recent = (*(at for at in past.recent if at > now - WITHIN), now)[-LOOP:]
    return replace(past, count=past.count + 1, last=now, gone=gone, recent=recent)


def sentence(repair: Repair, past: Past, now: float) -> tuple[str, Past]:
    """What is logged of a repair just made, with a priority as in sd-daemon(3); empty if it has been said enough."""
    lines = repair.gone.splitlines()
    more = f"\n  … and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    gone = "".join(f"\n  {line}" for line in lines[:SHOWN]) + more
    if not past.looping(now):
        return f"<5>put back: {repair.what}, which another program has changed:{gone}", past
    if now - past.said < LOUD_AGAIN:
        return "", past
    loud = (
        f"<3>put back again, {past.count} times since {repair.what} was first changed. Another program changes it again"
        f" and again: find it (journalctl --since -10min), and configure it not to:{gone}"
    )
    return loud, replace(past, said=now)


def listed(repairs: Mapping[str, Past], failing: Mapping[str, str], now: float) -> Sequence[Mapping[str, object]]:
    """For those who show them. `failing`: what could not be put back when it was last tried, and why."""
    none = Past(0, now, now, "")
    return [
        {
            "what": what,
            "count": past.count,
            "first": past.first,
            "last": past.last,
            "looping": past.looping(now),
            "gone": past.gone,
            "failing": failing.get(what),
        }
        for what, past in {**dict.fromkeys(failing, none), **repairs}.items()
    ]
