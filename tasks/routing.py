"""BIRD, BFD and the monitor: each zone by its own tunnel while that works, by a detour while it does not."""

from tasks import monitor, paths
from tasks.views import view
from vpc_openvpn.remote.effects import Daemons, Service
from vpc_openvpn.remote.files import Directory, File
from vpc_openvpn.site.plan import AVOIDED, BFD_MULTIPLIER, ROUTER, SINGLE, ZONES, HostPlan, OfficePlan

# Everything that a host may have of this, so that what it should not have is seen.
UNITS = {
    paths.BIRD_UNIT: [paths.record(paths.BIRD_UNIT), paths.SOURCE_FILE],
    paths.MONITOR_UNIT: [paths.record(paths.MONITOR_UNIT), paths.MEMORY, paths.PATHS_FILE, paths.DRAINED],
    paths.EARLIER_WATCH_UNIT: [paths.record(paths.EARLIER_WATCH_UNIT), paths.EARLIER_SEEN],
}
OWNED = (
    *(f"{paths.UNITS}/{unit}" for unit in UNITS),
    *(paths.BIRD_CONFIGURATION, paths.SOURCE),
    *paths.EARLIER_WATCH,
)


def services(plan: HostPlan) -> list[tuple[Service, tuple[File, ...]]]:
    """Our own units on this host, each with the files that belong to it; the unit's own is the last."""
    if isinstance(plan, OfficePlan):
        return [_bird(plan), _monitor(plan)] if plan.health_checks else [_bird(plan)]
    return [] if plan.strategy == SINGLE else [_bird(plan)]


def _bird(plan: HostPlan) -> tuple[Service, tuple[File, ...]]:
    record = paths.record(paths.BIRD_UNIT)
    scripts = [source(plan)] if isinstance(plan, OfficePlan) else []
    prepare = [script.path for script in scripts]
    if isinstance(plan, OfficePlan) and plan.health_checks:
        prepare.append(f"{paths.MONITOR} settle")
    configuration = view(
        paths.BIRD_CONFIGURATION,
        plan.role,
        plan=plan,
        zones=ZONES,
        multiplier=BFD_MULTIPLIER,
        avoided=AVOIDED,
        monitor=paths.MONITOR,
        paths_file=paths.PATHS_FILE,
        router=ROUTER,
        source_script=paths.SOURCE,
        source_file=paths.SOURCE_FILE,
    )
    unit = view(
        f"{paths.UNITS}/{paths.BIRD_UNIT}",
        "any",
        configuration=paths.BIRD_CONFIGURATION,
        socket=paths.BIRD_SOCKET,
        record=record,
        prepare=prepare,
    )
    return Service(paths.BIRD_UNIT, (configuration,), record, reload=True), (*scripts, configuration, unit)


def _monitor(plan: OfficePlan) -> tuple[Service, tuple[File, ...]]:
    service, unit = monitor.service(plan)
    return service, (unit,)


def source(plan: OfficePlan) -> File:
    """What finds the address that the router's own packets to the VPC have."""
    return view(paths.SOURCE, plan.role, mode="755", plan=plan, source_file=paths.SOURCE_FILE, socket=paths.BIRD_SOCKET)


def running(plan: HostPlan) -> Daemons:
    """BIRD and the monitor run from what is on disk, before a tunnel is touched; zones that are drained are named."""
    own = services(plan)
    drained = {paths.drained(tunnel.zone): tunnel.zone for tunnel in plan.tunnels} if len(own) > 1 else {}
    return Daemons(
        name="Zones are reached by their best way",
        services=[service for service, _ in own],
        wanted=[Directory(paths.HOME), Directory(paths.LIB), *(file for _, files in own for file in files)],
        owned=OWNED,
        units=UNITS,
        notices={
            path: f"{zone} is drained: new connections avoid its NAT while a detour works. To give it back:"
            f" ./vpc undrain {zone}"
            for path, zone in drained.items()
        },
    )
