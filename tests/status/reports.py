"""Hosts' reports for tests: the example site's, as its hosts give them when all is well, and with something else."""

from collections.abc import Mapping
from typing import Any

from tests.rendered.cases import plans
from vpc_openvpn.status import model
from vpc_openvpn.status.model import Answer, Refusal, Status

NOW = 1_000_000.0
PLANS = plans("example")
A, B = "us-east-1a", "us-east-1b"
DEAD = Answer(None, "no answer from 198.51.100.12 port 22", Refusal.SILENT)
BLANK = Answer(None, "nothing of this site is there yet", Refusal.UNDEPLOYED)
REPLACED = Answer(None, "its ssh host key is another than before: ED25519 SHA256:x", Refusal.KEY)


# What the office router's own iptables-save and nft say.
IPTABLES = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
TUNNELS = {
    A: {"interface": "tun-1", "own": "10.200.1.2", "nat": "10.200.1.1", "hosts": ["10.0.1.3", "10.0.21.3"]},
    B: {"interface": "tun-2", "own": "10.200.2.2", "nat": "10.200.2.1", "hosts": ["10.0.2.3", "10.0.22.3"]},
}
DESKS = [{"network": "192.168.50.0/24", "desk": "192.168.50.254", "interface": "lan"}]


def zone(name: str, **changes: Any) -> dict[str, Any]:
    """A zone, as the office router reports it."""
    usual = {"state": "own", "via": name, "why": None, "since": NOW - 3600, "changes_today": 0}
    return {**usual, "drained_since": None, "round_trip": 0.0123, **changes}


def away(name: str, via: str, why: str, since: float = NOW - 1140, **changes: Any) -> dict[str, Any]:
    """One on a detour."""
    return zone(name, state="detour", via=via, why=why, since=since, round_trip=None, **changes)


def host(name: str, **changes: Any) -> dict[str, Any]:
    """What a host reports of itself."""
    return {
        "name": name,
        "now": NOW,
        "outdated": [],
        "stopped": [],
        "deploy": {"by": "anna@desk", "at": NOW - 7200, "release": 2, "changed": NOW - 7200},
        "repairs": [],
        "identity": {"since": NOW - 86400},
        "disk": {"free": 5 << 30, "size": 8 << 30},
        "conntrack": {"count": 12, "max": 65536},
        "forwards": True,
        "hears_office": None if name == "office" else True,
        "monitor": {"running": True} if name == "office" else None,
        "desks": DESKS if name == "office" else None,
        "tunnels": TUNNELS if name == "office" else {},
        "filters": {"iptables": IPTABLES, "legacy": "", "nft": ""} if name == "office" else None,
        **changes,
    }


def answers(zones: Mapping[str, Any] | None = None, **hosts: Answer | Mapping[str, Any]) -> dict[str, Answer]:
    """Each host's answer. `zones`: those that differ; `hosts`: by name with `_` for `-`, an answer or what differs."""
    told = {name: zone(name) for name in (A, B)} | dict(zones or {})
    found = {}
    for name in PLANS:
        given = hosts.get(name.replace("-", "_"), {})
        report = {"version": 1, "zones": told if name == "office" else {}}
        found[name] = given if isinstance(given, Answer) else Answer({**report, "host": host(name, **given)})
    return found


def status(zones: Mapping[str, Any] | None = None, **hosts: Answer | Mapping[str, Any]) -> Status:
    """The example site's, from such answers."""
    return model.status(PLANS, answers(zones, **hosts), NOW)
