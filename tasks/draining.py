"""A zone drained by hand, or given back. The office router keeps it; nothing else of the site does."""

import difflib

from pyinfra.api.exceptions import DeployError

from remote import operations
from tasks import paths
from topology.plan import HostPlan, OfficePlan


def switch(plan: HostPlan, zone: object, *, back: object) -> None:
    """Have the office send new connections to `zone` by a detour or, with `back`, through its own NAT again.

    Raises `DeployError`, before any host is changed, for a zone that is not there or has no detour.
    """
    if not isinstance(plan, OfficePlan):
        return
    name = _checked(plan, zone)
    if not isinstance(back, bool):
        raise DeployError(f"back={back} is neither true nor false. Write: --data back=true")
    operations.switched(
        name=f"{name} is {'reached through its own NAT again' if back else 'drained: what is new takes a detour'}",
        path=paths.drained(name),
        present=not back,
        command=f"{paths.DETOUR} {'give-back' if back else 'drain'} {name}",
    )


def _checked(plan: OfficePlan, zone: object) -> str:
    names = [tunnel.zone for tunnel in plan.tunnels]
    listed = ", ".join(names)
    if zone is None:
        raise DeployError(f"which zone? Write: --data zone={names[0]} (the zones are {listed})")
    if zone not in names:
        near = difflib.get_close_matches(str(zone), names, n=1)
        raise DeployError(f"there is no zone {zone}: {f'did you mean {near[0]}?' if near else f'there are {listed}'}")
    if not any(watch.others for watch in plan.watches if watch.tunnel.zone == zone):
        raise DeployError(
            f"{zone} has no detour (strategy, or `detour`, in the site file): draining it would cut it off"
        )
    return str(zone)
