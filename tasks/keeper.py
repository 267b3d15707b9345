"""The keeper, on every host: its unit, and what it puts back when another program has removed it."""

import json

from tasks import forwarding, monitor, paths
from tasks.views import daemon
from vpc_openvpn.remote.effects import Service
from vpc_openvpn.remote.files import File
from vpc_openvpn.site.plan import Connection, HostPlan, NatPlan


def site(plan: HostPlan, loader: str) -> File:
    """What this host is to have, as far as it can be lost while no file changes. `loader` shows the firewall."""
    found = {
        "loader": loader,
        "firewall": paths.FIREWALL_UNIT,
        "record": paths.record(paths.FIREWALL_UNIT),
        "trial": paths.TRIAL,
        "lock": paths.DEPLOY_LOCK,
        "state": paths.KEEPER_STATE,
        "settings_file": paths.SYSCTLS,
        "settings": forwarding.settings(forwarding.file(plan).text),
        "units": [unit for unit in monitor.units(plan) if unit not in (paths.FIREWALL_UNIT, paths.KEEPER_UNIT)],
        "writes_metrics": paths.MONITOR_UNIT not in monitor.units(plan),
        "interfaces": [_nat_end(plan)] if isinstance(plan, NatPlan) else [*map(_office_end, plan.connections)],
    }
    return File(paths.KEEPER_SITE, json.dumps(found, indent=2) + "\n")


def service(plan: HostPlan, loader: File) -> tuple[Service, File, File]:
    """Its unit, with all that it is started from; what it reads; the unit's file."""
    read = site(plan, loader.path)
    started, unit = daemon(paths.KEEPER_UNIT, "any", (*monitor.program(), read, loader), monitor=paths.MONITOR)
    return started, read, unit


def _nat_end(plan: NatPlan) -> dict[str, object]:
    """OpenVPN adds the office's networks when it starts, and not again."""
    tunnel = plan.tunnel
    name, own = tunnel.nat_interface, tunnel.nat_address
    return {
        "name": name,
        "unit": paths.SERVER_UNIT,
        "mtu": tunnel.mtu,
        "address": f"{own}/{tunnel.network.prefixlen}",
        "routes": {
            str(tunnel.network): f"{tunnel.network} dev {name} proto kernel scope link src {own}",
            **{str(lan): f"{lan} via {tunnel.office_address} dev {name}" for lan in plan.lans},
        },
    }


def _office_end(connection: Connection) -> dict[str, object]:
    """One connection for all zones has the address that its NAT hands out."""
    name = connection.interface
    found: dict[str, object] = {
        "name": name,
        "unit": paths.client_unit(connection.name),
        "mtu": connection.tunnels[0].mtu,
        "address": None,
        "routes": {},
    }
    if len(connection.tunnels) == 1:
        tunnel = connection.tunnel
        own = tunnel.office_address
        route = f"{tunnel.network} dev {name} proto kernel scope link src {own}"
        found |= {"address": f"{own}/{tunnel.network.prefixlen}", "routes": {str(tunnel.network): route}}
    return found
