"""A zone drained by hand, or given back. The office router keeps it; nothing else of the site does."""

import difflib
import json
from typing import Any

from pyinfra import host, state
from pyinfra.api.exceptions import DeployError

from tasks import paths
from tasks.site import plans
from vpc_openvpn.remote import operations
from vpc_openvpn.remote.effects import remind
from vpc_openvpn.remote.facts import Probe, ask
from vpc_openvpn.site.plan import OFFICE, HostPlan, NatPlan, OfficePlan, nat_host

DEAD = ("silent", "does not forward")  # why a tunnel is avoided whose NAT serves its zone no more
UNDEPLOYED = "not deployed"
ROTATION = "rotation"  # what a drain is for that no operator has asked for, and that its rotation gives back
UNPROVED = "has yet to prove itself"  # it did not work for a while


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
    if not back:
        shown = ask(Probe(f"{paths.MONITOR} show --json"))
        if complaint := without_detour(plan, name, shown):
            raise DeployError(complaint)
        remind(beforehand(plan, name, shown))
    operations.switched(
        name=f"{name} is {'given back to its own NAT' if back else 'drained: new connections take a detour'}",
        path=paths.drained(name),
        present=not back,
        passing=f"{ROTATION}\n",
        command=f"{paths.MONITOR} {'give-back' if back else 'drain'} {name}",
    )


def without_detour(plan: OfficePlan, zone: str, shown: str) -> str:
    """Why new connections to `zone` would stay with its own NAT, from what the monitor has `shown`; empty if not."""
    if (_report(shown).get("host") or {}).get("monitor") == {"running": False}:
        return (
            "the monitor on the office router does not answer: it is unknown which detour works. Nothing was done. To"
            " have it run, type: ./vpc deploy --limit office"
        )
    avoided, detours = _avoided(zone, shown), _detours(plan, zone)
    if any(avoided.get(detour, "unknown") is None for detour in detours):
        return ""
    state_of = {detour: str(avoided.get(detour, UNDEPLOYED)) for detour in detours}
    advice = (f"{each}: {_advice(each, why)}" for each, why in state_of.items())
    listed = "; ".join(f"{each}: {why}" for each, why in state_of.items())
    return (
        f"{zone} has no detour that works now ({listed}): new connections would go through its own NAT all the same."
        f" Nothing was done. To have one again, type for {', or for '.join(advice)}"
    )


def _advice(zone: str, why: str) -> str:
    """How a detour over a zone's NAT comes to work again."""
    if why == "drained":
        return f"./vpc undrain {zone}"
    if why == "silent":
        return f"./vpc rebuild {zone}"
    if why == UNPROVED:
        return "the same again in a minute"
    if why == UNDEPLOYED:
        return "./vpc deploy"
    return f"./vpc deploy --limit {nat_host(zone)}"  # which names what is between


def beforehand(plan: OfficePlan, zone: str, shown: str) -> str:
    """What a drain of `zone` will do, from what the monitor has `shown`, where a detour works."""
    avoided = _avoided(zone, shown)
    # BIRD takes the first in the site's order.
    over = next(detour for detour in _detours(plan, zone) if avoided.get(detour, "unknown") is None)
    said = f"new connections to {zone} will go over {over}'s tunnel"
    private = next(each for each in plans().values() if isinstance(each, NatPlan) and each.zone == zone).private_subnets
    if not private or avoided.get(zone) in DEAD:
        return f"{said}."
    keep = "keeps its" if len(private) == 1 else "keep their"
    return f"{said}; {', '.join(map(str, private))} {keep} internet through {zone}'s own NAT."


def _report(shown: str) -> dict[str, Any]:
    """What `show --json` prints; of a router without the program nothing is known."""
    found: dict[str, Any] = json.loads(shown) if shown.strip() else {"zones": {}}
    return found


def _avoided(zone: str, shown: str) -> dict[str, str | None]:
    """By tunnel, why it is avoided for the zone; None if it is not."""
    return {way["tunnel"]: way["avoided"] for way in _report(shown)["zones"].get(zone, {}).get("ways", [])}


def _detours(plan: OfficePlan, zone: str) -> list[str]:
    """The zones whose tunnels may carry the zone, best first."""
    return [tunnel.zone for check in plan.health_checks if check.tunnel.zone == zone for tunnel in check.others]


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
