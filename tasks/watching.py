"""What the site has others see: metrics, for those who look, and alerts, for those who are to be woken."""

from collections.abc import Sequence

from tasks import alerts, metrics
from vpc_openvpn.identities.store import Store
from vpc_openvpn.remote.effects import Daemons
from vpc_openvpn.remote.facts import State
from vpc_openvpn.site.plan import HostPlan


def packages(plan: HostPlan, exporter: Sequence[str]) -> Sequence[str]:
    """What the host must have for it: `exporter` where one runs."""
    return exporter if plan.exports else []


def running(plan: HostPlan, store: Store) -> list[Daemons]:
    """The units, and nothing of those that left the site."""
    return [metrics.exported(plan, store), alerts.sent(plan, store)]


def check(plan: HostPlan, now: State) -> None:
    """See that the host has what they need. Raises DeployError, before any host is changed."""
    metrics.check(plan, now)
    alerts.check(plan, now)
