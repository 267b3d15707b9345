"""Alerts: the unit that runs the operator's command for what happens, and fetches the heartbeat."""

import json
from collections.abc import Iterator
from shlex import quote

from pyinfra.api import HiddenValue
from pyinfra.api.exceptions import DeployError

from tasks import metrics, monitor, paths
from tasks.views import daemon
from vpc_openvpn.identities.store import Store
from vpc_openvpn.remote.effects import Daemons, Service
from vpc_openvpn.remote.facts import HostState, State
from vpc_openvpn.remote.files import Directory, File
from vpc_openvpn.site.model import Alerts
from vpc_openvpn.site.plan import HostPlan, OfficePlan

OWNED = (paths.ALERTS_CONFIG, paths.HEARTBEAT, f"{paths.UNITS}/{paths.ALERTS_UNIT}")
UNITS = {
    paths.ALERTS_UNIT: [
        paths.record(paths.ALERTS_UNIT),
        paths.MONITOR_STATE,
        paths.ALERTS_RUN,
        paths.ALERTS_PRIVATE,
    ]
}
# Stands for the user that systemd will make, who owns no file, either: 65534 is the one of Debian that owns none.
AS_NO_OWNER = "setpriv --reuid 65534 --regid 65534 --clear-groups"


def configuration(plan: OfficePlan, alerts: Alerts, store: Store) -> File:
    """What the program reads; the heartbeat's URL is not in it."""
    found = {
        "site": " ".join(map(str, plan.lans)),
        "command": alerts.command or "",
        "after": alerts.after,
        "days": alerts.identities,
        "created": metrics.created(plan, store),
        "places": {"state": paths.MONITOR_STATE, "keeper": paths.KEEPER_STATE, "memory": paths.ALERTS_MEMORY},
    }
    return File(paths.ALERTS_CONFIG, json.dumps(found, indent=2) + "\n")


def service(plan: OfficePlan, alerts: Alerts, store: Store) -> tuple[Service, tuple[File, ...]]:
    """Its unit with all that it is started from, and the files that are this site's; the unit's own is the last."""
    own = [configuration(plan, alerts, store)]
    if alerts.heartbeat:
        own.append(File(paths.HEARTBEAT, HiddenValue(f"{alerts.heartbeat}\n"), mode="600"))
    started, unit = daemon(
        paths.ALERTS_UNIT,
        plan.role,
        (*monitor.program(), *own),
        monitor=paths.MONITOR,
        runtime=paths.ALERTS_RUN.rpartition("/")[2],
        user=alerts.user,
        heartbeat=paths.HEARTBEAT if alerts.heartbeat else None,
        secrets=paths.ALERTS_SECRETS,
    )
    return started, (*own, unit)


def files(plan: HostPlan, store: Store) -> Iterator[File]:
    """All that the host has of this."""
    if isinstance(plan, OfficePlan) and plan.alerts:
        yield from service(plan, plan.alerts, store)[1]


def sent(plan: HostPlan, store: Store) -> Daemons:
    """What happens is passed on where the site says how."""
    own = [service(plan, plan.alerts, store)[0]] if isinstance(plan, OfficePlan) and plan.alerts else []
    return Daemons(
        name="Alerts are sent" if own else "Alerts are as the site says",
        services=own,
        wanted=[*([Directory(paths.HOME)] if own else []), *files(plan, store)],
        owned=OWNED,
        units=UNITS,
        notices={},
        beside=HostState(show=[asked] if (asked := question(plan)) else []),
    )


def question(plan: HostPlan) -> str:
    """A shell command that prints a word for what `objection` knows of; empty where there is nothing to ask."""
    if not (isinstance(plan, OfficePlan) and plan.alerts and plan.alerts.command):
        return ""
    user, command = plan.alerts.user, quote(plan.alerts.command)
    there = f"id {quote(user)} >/dev/null 2>&1" if user else "true"
    runs = f"runuser -u {quote(user)} --" if user else AS_NO_OWNER
    return (
        f"if ! {there}; then echo user; elif [ ! -f {command} ]; then echo file;"
        f" elif ! {runs} test -x {command}; then echo mode; fi"
    )


def check(plan: HostPlan, now: State) -> None:
    """See that the operator's command, which deploys do not bring, is a program on the router that its user may run.

    Raises DeployError.
    """
    if isinstance(plan, OfficePlan) and plan.alerts:
        said = now.shown.get(question(plan), "").strip()
        if reason := objection(plan.alerts, plan.host, said):
            raise DeployError(f"{reason}\nNo host was changed.")


def objection(alerts: Alerts, host: str, said: str) -> str:
    """Why the command cannot be run, from what the check prints; empty if it can."""
    mends = {
        "user": f"alerts.user: there is no user {alerts.user} on {host}. Make it (adduser --system {alerts.user}), or"
        " leave the line out: then systemd makes one",
        "file": f"alerts.command: there is no file {alerts.command} on {host}. Deploys do not bring it: copy it there"
        f" (examples are in examples/alerts/), and type: chmod 755 {alerts.command}",
        "mode": f"alerts.command: {alerts.user or 'a user without rights'} may not run {alerts.command} on {host}."
        f" Type: chmod 755 {alerts.command}; the folders above it must be open, too, which those of /root are not",
    }
    return mends.get(said, "")
