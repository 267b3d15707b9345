"""A zone drained by hand, or given back. The office router keeps it; nothing else of the site does."""

import difflib

from pyinfra import host, state
from pyinfra.api.exceptions import DeployError

from tasks import paths
from vpc_openvpn.remote import operations
from vpc_openvpn.remote.facts import Probe, ask
from vpc_openvpn.site.plan import OFFICE, HostPlan, OfficePlan


def switch(plan: HostPlan, zone: object, *, back: bool) -> None:
    """Have the office send new connections to `zone` by a detour or, with `back`, through its own NAT again.

    Raises `DeployError`, before any host is changed, for a zone that is not there or has no detour that works, and
    where `--limit` leaves the office router out.
    """
    if not isinstance(plan, OfficePlan):
        if not state.is_host_in_limit(host.inventory.get_host(OFFICE)):
            raise DeployError("a zone is drained on the office router. Write: --limit office. Nothing was done.")
        return
    name = _checked(plan, zone)
    if not back and (complaint := without_detour(plan, name, ask(Probe(f"{paths.DETOUR} show")))):
        raise DeployError(complaint)
    operations.switched(
        name=f"{name} is {'given back to its own NAT' if back else 'drained: new connections take a detour'}",
        path=paths.drained(name),
        present=not back,
        command=f"{paths.DETOUR} {'give-back' if back else 'drain'} {name}",
    )


def without_detour(plan: OfficePlan, zone: str, shown: str) -> str:
    """Why new connections to `zone` would stay with its own NAT, from what `detour show` has `shown`; empty if not."""
    found = dict(line.split(": ", 1) for line in shown.splitlines() if ": " in line)
    detours = [tunnel.zone for check in plan.health_checks if check.tunnel.zone == zone for tunnel in check.others]
    if any(found.get(detour) == "trusted" for detour in detours):
        return ""
    advice = (
        f"{detour}: ./vpc {'undrain' if found.get(detour, '').startswith('drained') else 'rebuild'} {detour}"
        for detour in detours
    )
    state_of = "; ".join(f"{detour}: {found.get(detour, 'not deployed')}" for detour in detours)
    return (
        f"{zone} has no detour that works now ({state_of}): new connections would go through its own NAT all the same."
        f" Nothing was done. To have one again, type for {', or for '.join(advice)}"
    )


def _checked(plan: OfficePlan, zone: object) -> str:
    names = [tunnel.zone for tunnel in plan.tunnels]
    listed = ", ".join(names)
    if zone is None:
        raise DeployError(f"which zone? Write: --data zone={names[0]} (the zones are {listed})")
    if zone not in names:
        near = difflib.get_close_matches(str(zone), names, n=1)
        raise DeployError(f"there is no zone {zone}: {f'did you mean {near[0]}?' if near else f'there are {listed}'}")
    if not any(check.others for check in plan.health_checks if check.tunnel.zone == zone):
        raise DeployError(
            f"{zone} has no detour (strategy, or `detour`, in the site file): draining it would cut it off"
        )
    return str(zone)
