"""The program that looks after a host, on every host; on the office router its unit, the monitor."""

import json
from functools import cache
from pathlib import Path

from tasks import paths
from tasks.views import daemon
from vpc_openvpn.remote.effects import Files, Service
from vpc_openvpn.remote.files import Directory, File
from vpc_openvpn.site.load import ROOT
from vpc_openvpn.site.plan import SINGLE, ZONES, HostPlan, OfficePlan, Tunnel

PROGRAM = "vpc_openvpn_monitor"
FILES = ROOT / "files"  # they land on hosts as they are
FOLDER = f"{paths.LIB}/{PROGRAM}"


@cache
def program() -> tuple[File, ...]:
    """The same for every site and host."""
    modules = (File(f"{FOLDER}/{path.name}", _text(path)) for path in sorted((FILES / PROGRAM).glob("*.py")))
    return (*modules, File(paths.MONITOR, _text(FILES / "vpc-openvpn-monitor"), mode="755"))


def site(plan: HostPlan) -> File:
    """What the program knows of its host and, on the office router, of the tunnels."""
    found = {
        "host": plan.host,
        "role": plan.role,
        "strategy": plan.strategy,
        "lans": [str(lan) for lan in plan.lans],
        "table": ZONES,
        "units": units(plan),
        "tunnels": [_tunnel(plan, tunnel) for tunnel in plan.tunnels] if isinstance(plan, OfficePlan) else [],
        "places": {
            "paths": paths.PATHS_FILE,
            "drained": paths.DRAINED,
            "memory": paths.MEMORY,
            "control": paths.MONITOR_SOCKET,
            "bird": paths.BIRD_SOCKET,
        },
    }
    return File(paths.MONITOR_SITE, json.dumps(found, indent=2) + "\n")


def units(plan: HostPlan) -> list[str]:
    """Those of ours that run on the host; each leaves a record of what it was started from."""
    found = [paths.FIREWALL_UNIT, paths.KEEPER_UNIT, *([paths.EXPORTER_UNIT] if plan.exports else [])]
    if isinstance(plan, OfficePlan):
        found += [paths.ALERTS_UNIT] if plan.alerts else []
        found += [paths.BIRD_UNIT, *([paths.MONITOR_UNIT] if plan.health_checks else [])]
        return found + [paths.client_unit(connection.name) for connection in plan.connections]
    return [*found, *([] if plan.strategy == SINGLE else [paths.BIRD_UNIT]), paths.SERVER_UNIT]


def _tunnel(plan: OfficePlan, tunnel: Tunnel) -> dict[str, object]:
    probe = plan.probes.get(tunnel.zone)
    detours = [other.number for check in plan.health_checks if check.tunnel == tunnel for other in check.others]
    return {
        "number": tunnel.number,
        "zone": tunnel.zone,
        "interface": plan.connection_to(tunnel.zone).interface,
        "subnets": [str(subnet) for subnet in tunnel.subnets],
        "nat": str(tunnel.nat_address),
        "own": str(tunnel.office_address),
        "probe": str(probe) if probe else None,
        "detours": detours,
    }


def installed(plan: HostPlan) -> Files:
    """The program is on the host, with what it reads, before a unit is started from it."""
    return Files(
        "The program vpc-openvpn-monitor is in place",
        wanted=[*map(Directory, (paths.HOME, paths.LIB, FOLDER)), *program(), site(plan)],
        owned=[f"{FOLDER}/*"],
    )


def service(plan: OfficePlan) -> tuple[Service, File]:
    """Its unit, with all that it is started from, and the unit's file."""
    return daemon(paths.MONITOR_UNIT, plan.role, (*program(), site(plan)), monitor=paths.MONITOR)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
