"""Metrics for Prometheus: what the monitor writes, and Debian's node exporter, in an instance of our own."""

import json
from collections.abc import Iterator

from pyinfra.api.exceptions import DeployError

from tasks import paths
from tasks.views import daemon, view
from vpc_openvpn.identities.store import Store
from vpc_openvpn.remote.effects import Daemons, Service
from vpc_openvpn.remote.facts import HostState, State, UnitState
from vpc_openvpn.remote.files import Directory, File
from vpc_openvpn.site.plan import EXPORTER_PORT, HostPlan, NatPlan, OfficePlan
from vpc_openvpn.version import version

OTHERS_UNIT = "prometheus-node-exporter.service"  # Debian's own
OWNED = (paths.METRICS_CONFIG, paths.EXPORTER, f"{paths.UNITS}/{paths.EXPORTER_UNIT}")
UNITS = {paths.EXPORTER_UNIT: [paths.record(paths.EXPORTER_UNIT), paths.METRICS, paths.METRICS_MEMORY]}


def configuration(plan: HostPlan, store: Store, release: str) -> File:
    """What the monitor, or a NAT's keeper, must know to write them."""
    found = {
        "file": paths.METRICS_FILE,
        "memory": paths.METRICS_MEMORY,
        "deployed": paths.DEPLOYED,
        "version": release,
        "created": created(plan, store),
    }
    return File(paths.METRICS_CONFIG, json.dumps(found, indent=2) + "\n")


def created(plan: HostPlan, store: Store) -> dict[str, int]:
    """When the identities that the host knows of were created, in seconds since 1970: a NAT's own; on the office router
    all of them.
    """
    nats = [tunnel.nat_host for tunnel in plan.tunnels] if isinstance(plan, OfficePlan) else []
    return {name: when for name in (plan.host, *nats) if (when := store.created(name)) is not None}


def exporter(plan: HostPlan) -> tuple[Service, tuple[File, File]]:
    """Its unit, and the files that are ours; the unit's own is the last."""
    script = view(
        paths.EXPORTER,
        "any",
        mode="755",
        networks=[plan.private_address] if isinstance(plan, NatPlan) else plan.lans,
        port=EXPORTER_PORT,
        metrics=paths.METRICS,
        # ENA's counters of what its instance's size does not allow.
        ethtool=isinstance(plan, NatPlan),
    )
    started, unit = daemon(paths.EXPORTER_UNIT, "any", [script], script=script.path, metrics=paths.METRICS)
    return started, (script, unit)


def files(plan: HostPlan, store: Store, release: str) -> Iterator[File]:
    """All that the host has of this, by the release that deploys it."""
    if plan.metrics != "off":
        yield configuration(plan, store, release)
    if plan.exports:
        yield from exporter(plan)[1]


def exported(plan: HostPlan, store: Store) -> Daemons:
    """The exporter runs where the site has it, at an address that only the office's networks reach."""
    own = [exporter(plan)[0]] if plan.exports else []
    wanted = list(files(plan, store, version()))
    return Daemons(
        name="Metrics are exported" if own else "Metrics are as the site says",
        services=own,
        wanted=[*map(Directory, (paths.HOME, paths.LIB) if wanted else ()), *wanted],
        owned=OWNED,
        # With `files` the monitor's are another exporter's to read.
        units=UNITS if plan.metrics != "files" else {paths.EXPORTER_UNIT: [paths.record(paths.EXPORTER_UNIT)]},
        notices={},
        beside=HostState(units=[OTHERS_UNIT], records=[paths.TO_IDLE]) if plan.exports else HostState(),
    )


def check(plan: HostPlan, now: State) -> None:
    """See that no node exporter of the host's own has the port: it is wanted there. Raises DeployError."""
    interrupted = OTHERS_UNIT in now.records.get(paths.TO_IDLE, "")  # an installation: it will be stopped
    if plan.exports and now.units.get(OTHERS_UNIT, UnitState()).active and not interrupted:
        raise DeployError(
            f"{OTHERS_UNIT} runs on {plan.host} already. Keep it, and have it read ours: write metrics: files in the"
            f" site file, and add --collector.textfile.directory={paths.METRICS} to its arguments (ARGS in"
            f" /etc/default/{OTHERS_UNIT.removesuffix('.service')}). Or, if nothing needs it, type on that host:"
            f" systemctl disable --now {OTHERS_UNIT}\nNo host was changed."
        )
