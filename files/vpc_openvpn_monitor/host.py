"""A host's report on itself: what runs there and from which files, repairs, its last deploy, room that is left.

Gathered when it is asked for, as root. A part that cannot be read is None, and keeps no other out of the report.
"""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vpc_openvpn_monitor import bird, desks, units
from vpc_openvpn_monitor.site import NAT, OFFICE, Site, Tunnel

RUN, HOME = "run/vpc-openvpn", "etc/vpc-openvpn"
SETTINGS = "proc/sys/net/ipv4"
DEPLOYED = "var/lib/vpc-openvpn/deployed"
REPAIRS = f"{RUN}/keeper.state"  # the keeper's
MONITOR_UNIT = "vpc-openvpn-monitor.service"
_ENOUGH = 1 << 20  # bytes of a file
_PATIENCE = 2.0  # seconds for systemd's answer; it takes some milliseconds
_RUNS = {"active", "reloading"}


def report(site: Site, *, monitor: bool, root: Path = units.ROOT) -> dict[str, Any]:
    """All of it, as JSON has it. `monitor`: the monitor has answered."""
    states = active(site.units)
    running = [unit for unit in site.units if states.get(unit) in _RUNS]
    return {
        "name": site.host,
        "role": site.role,
        "now": time.time(),
        "units": list(site.units),
        "outdated": [unit for unit in running if outdated(unit, root)],
        "stopped": [unit for unit in site.units if states and unit not in running],
        "deploy": deploy(root),
        "repairs": repairs(root),
        "identity": _since(root / HOME / "identity/host.crt"),
        "disk": disk(root),
        "conntrack": conntrack(root),
        "forwards": _number(root / SETTINGS / "ip_forward") == 1,
        "closed_interfaces": closed(site, root),
        "hears_office": _hears(site) if site.role == NAT else None,
        "monitor": {"running": monitor} if MONITOR_UNIT in site.units else None,
        "desks": crossing(site) if site.role == OFFICE else None,
        "tunnels": {tunnel.zone: _ends(tunnel) for tunnel in site.tunnels},
    }


def closed(site: Site, root: Path = units.ROOT) -> list[str]:
    """Interfaces by which the site's packets come, and which forward nothing by a setting of their own."""
    names = {tunnel.interface for tunnel in site.tunnels} | {each["interface"] for each in crossing(site)}
    if site.role == NAT:
        names = {path.name for path in (root / SETTINGS / "conf").glob("*")} - {"all", "default", "lo"}
    return sorted(name for name in names if _number(root / SETTINGS / "conf" / name / "forwarding") == 0)


def _ends(tunnel: Tunnel) -> dict[str, Any]:
    """A tunnel, and an address of each subnet behind it that no host has: the first four are AWS's."""
    hosts = [str(subnet[3]) for subnet in tunnel.subnets]
    return {"interface": tunnel.interface, "own": str(tunnel.own), "nat": str(tunnel.nat), "hosts": hosts}


def crossing(site: Site) -> list[dict[str, str]]:
    """For each of the office's networks an address that a desk may have, and the interface that leads there."""
    found = [(lan, *desks.desk(lan)) for lan in site.lans]
    return [{"network": str(lan), "desk": str(desk), "interface": inside} for lan, desk, inside in found if inside]


def active(names: Sequence[str]) -> dict[str, str]:
    """Each unit's state as systemd has it (`active`, `failed`, …); empty where it does not answer."""
    return {name: found["ActiveState"] for name, found in units.shown(names, ["ActiveState"], _PATIENCE).items()}


def outdated(unit: str, root: Path = units.ROOT) -> bool:
    """Whether a unit that runs was started from other files than are on the disk, by the record that it left."""
    sums, _ = units.recorded(_text(root / RUN / f"{unit}.record"))
    return not sums or not units.on_disk(sums, root)


def deploy(root: Path = units.ROOT) -> dict[str, Any] | None:
    """The last one that came to its end: whose, when, and of which release; `changed`: when one last wrote a file."""
    release, _, by = _text(root / DEPLOYED).strip().partition(" ")
    since = _since(root / DEPLOYED)
    if since is None or not by:
        return None
    folders = (root / HOME, root / HOME / "identity", root / "usr/local/lib/vpc-openvpn", root / "etc/openvpn")
    files = (path for folder in folders if folder.is_dir() for path in folder.iterdir())
    times = [found["since"] for path in files if not path.is_dir() and (found := _since(path))]
    number = int(release) if release.isdecimal() else None
    return {"by": by, "at": since["since"], "release": number, "changed": max(times, default=None)}


def repairs(root: Path = units.ROOT) -> list[Any]:
    """What the keeper has put back since the boot."""
    try:
        found = json.loads(_text(root / REPAIRS))["repairs"]
    except (ValueError, KeyError, TypeError):
        return []
    return found if isinstance(found, list) else []


def disk(root: Path = units.ROOT) -> dict[str, int] | None:
    """Of the root file system, in bytes: what a user may still write, and its size."""
    try:
        found = os.statvfs(root)
    except OSError:
        return None
    return {"free": found.f_bavail * found.f_frsize, "size": found.f_blocks * found.f_frsize}


def conntrack(root: Path = units.ROOT) -> dict[str, int] | None:
    """How many connections the kernel tracks, and how many it may; None where it tracks none."""
    folder = root / "proc/sys/net/netfilter"
    count, most = _number(folder / "nf_conntrack_count"), _number(folder / "nf_conntrack_max")
    return None if count is None or most is None else {"count": count, "max": most}


def _hears(site: Site) -> bool | None:
    """Does a NAT's BFD hear the office? None where no BIRD of ours answers, as under `single`."""
    heard = bird.hears(site.bird)
    return None if heard is None else bool(heard)


def _since(path: Path) -> dict[str, float] | None:
    try:
        return {"since": path.stat().st_mtime}
    except OSError:
        return None


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_ENOUGH).decode("utf-8", "replace")
    except OSError:
        return ""
