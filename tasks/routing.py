"""BIRD, BFD and the watch: each zone by its own tunnel while that works, by a detour while it does not."""

from tasks import paths
from tasks.views import view
from vpc_openvpn.remote.effects import Daemons, Service
from vpc_openvpn.remote.files import Directory, File
from vpc_openvpn.site.plan import BFD_MULTIPLIER, DOUBTED, ROUTER, SINGLE, ZONES, HostPlan, OfficePlan

# Everything that a host may have of this, so that what it should not have is seen.
UNITS = {
    paths.BIRD_UNIT: [paths.record(paths.BIRD_UNIT), paths.SOURCE_FILE],
    paths.WATCH_UNIT: [paths.record(paths.WATCH_UNIT), paths.SEEN, paths.PATHS_FILE, paths.DRAINED],
}
OWNED = (
    *(f"{paths.UNITS}/{unit}" for unit in UNITS),
    *(paths.BIRD_CONFIGURATION, paths.SOURCE, paths.DETOUR, paths.WATCH, paths.WATCHES),
)


def services(plan: HostPlan) -> list[tuple[Service, tuple[File, ...]]]:
    """Our own units on this host, each with the files that belong to it; the unit's own is the last."""
    if isinstance(plan, OfficePlan):
        return [_bird(plan), _watch(plan)] if plan.health_checks else [_bird(plan)]
    return [] if plan.strategy == SINGLE else [_bird(plan)]


def _bird(plan: HostPlan) -> tuple[Service, tuple[File, ...]]:
    record = paths.record(paths.BIRD_UNIT)
    scripts = [source(plan)] if isinstance(plan, OfficePlan) else []
    prepare = [script.path for script in scripts]
    if isinstance(plan, OfficePlan) and plan.health_checks:
        prepare.append(f"{paths.DETOUR} settle")
    configuration = view(
        paths.BIRD_CONFIGURATION,
        plan.role,
        plan=plan,
        zones=ZONES,
        multiplier=BFD_MULTIPLIER,
        doubted=DOUBTED,
        detour_script=paths.DETOUR,
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


def source(plan: OfficePlan) -> File:
    """What finds the address that the router's own packets to the VPC have."""
    return view(paths.SOURCE, plan.role, mode="755", plan=plan, source_file=paths.SOURCE_FILE, socket=paths.BIRD_SOCKET)


def _watch(plan: OfficePlan) -> tuple[Service, tuple[File, ...]]:
    record = paths.record(paths.WATCH_UNIT)
    detour = view(
        paths.DETOUR,
        plan.role,
        mode="755",
        watches=paths.WATCHES,
        drained=paths.DRAINED,
        seen=paths.SEEN,
        paths_file=paths.PATHS_FILE,
        socket=paths.BIRD_SOCKET,
    )
    script = view(
        paths.WATCH,
        plan.role,
        mode="755",
        detour_script=paths.DETOUR,
        watches=paths.WATCHES,
        seen=paths.SEEN,
        **PATIENCE,
    )
    watches = view(paths.WATCHES, plan.role, plan=plan)
    inputs = (detour, script, watches)
    unit = view(
        f"{paths.UNITS}/{paths.WATCH_UNIT}",
        plan.role,
        inputs=[file.path for file in inputs],
        record=record,
        watch_script=paths.WATCH,
    )
    return Service(paths.WATCH_UNIT, inputs, record), (*inputs, unit)


# How long the watch waits before it believes anything. docs/decisions/0008-detours.md has the reasons.
PATIENCE = {
    "hold_beat": "0.3",  # seconds between two pings of the NAT …
    "hold_count": 7,  # … of which so many go unanswered before connections are released
    "health_beat": "0.5",  # seconds between two questions whether the NAT forwards
    "proving_beat": "0.1",  # the same, until one that is back has answered `first_answers` times
    "answer_within": "0.7",  # seconds
    "most_silence": 3,  # questions without an answer before a NAT is said not to forward
    "first_answers": 3,  # answers in a row before traffic returns to it the first time
    "most_answers": 48,  # and after it has failed again and again
    "calm_answers": 240,  # after so many its failures are forgotten
}


def running(plan: HostPlan) -> Daemons:
    """BIRD and the watch run from what is on disk, before a tunnel is touched; zones that are drained are named."""
    own = services(plan)
    drained = {paths.drained(tunnel.zone): tunnel.zone for tunnel in plan.tunnels} if len(own) > 1 else {}
    # The detours' files first: BIRD's unit runs one of them.
    files = [file for _, those in reversed(own) for file in those]
    return Daemons(
        name="Zones are reached by their best way",
        services=[service for service, _ in own],
        wanted=[Directory(paths.HOME), Directory(paths.LIB), *files],
        owned=OWNED,
        units=UNITS,
        notices={
            path: f"{zone} is drained: new connections avoid its NAT while a detour works. To give it back:"
            f" ./vpc undrain {zone}"
            for path, zone in drained.items()
        },
    )
