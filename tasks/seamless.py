"""What a rotation without a lost packet does around the restart of a zone's tunnel.

Before anything stops, new connections of the office go by a detour (the zone is drained); then what the zone's hosts
begin towards the office, which has no other way, waits on the NAT (`vpc-openvpn-monitor hold`); then connections of the
office that began on the tunnel leave it, TCP aside, which waits and sends again. What is under way arrives meanwhile.
When the tunnel carries packets both ways, all come back in the other order.
"""

from functools import partial
from shlex import quote

from tasks import draining, paths
from tasks.firewall import ROUTE_PROTOCOL
from tasks.views import netfilter_sandbox
from vpc_openvpn.remote import operations
from vpc_openvpn.site.plan import AGAIN, ASIDE, OFFICE, ZONES, HostPlan, NatPlan, OfficePlan, Tunnel, nat_host

HOLD_UNIT = "vpc-openvpn-hold.service"
UNDER_WAY = 0.5  # seconds: then what is on its way through a tunnel is answered, from another continent too
TRUSTED = 90  # seconds until a NAT whose tunnel was restarted has proved itself


def before(plan: HostPlan, zone: str, units: dict[str, str]) -> None:
    """The zone's traffic leaves its tunnel, on the office router and its NAT, if one of `units` is to be restarted."""
    office = isinstance(plan, OfficePlan)
    operations.beside(
        name=f"{zone}: new connections take a detour",
        group=zone,
        units=units,
        script=_drained(zone) if office else "",
        question=f"{paths.MONITOR} show --json" if office else "",
        objection=partial(_no_detour, plan, zone) if isinstance(plan, OfficePlan) else None,
    )
    operations.beside(
        name=f"{zone}: what its hosts send to the office waits",
        group=zone,
        units=units,
        script=_held(plan) if isinstance(plan, NatPlan) else "",
    )
    operations.beside(
        name=f"{zone}: connections that began on its tunnel leave it",
        group=zone,
        units=units,
        script=_left(plan.connection_to(zone).tunnel) if isinstance(plan, OfficePlan) else "",
    )


def after(plan: HostPlan, zone: str) -> None:
    """The zone's traffic comes back to its tunnel, which carries packets, as far as `before` has moved it: in this run
    or in one that died.
    """
    tunnel = plan.connection_to(zone).tunnel if isinstance(plan, OfficePlan) else None
    operations.beside(
        name=f"{zone}: connections that began on its tunnel go by it again",
        group=zone,
        units=None,
        script=_back(tunnel) if tunnel else "",
    )
    operations.beside(
        name=f"{zone}: what its hosts send goes on",
        group=zone,
        units=None,
        script=f"systemctl stop {HOLD_UNIT} 2>/dev/null || true" if isinstance(plan, NatPlan) else "",
        always=True,
    )
    given_back(plan, zone)


def given_back(plan: HostPlan, zone: str) -> None:
    """A drain that a rotation has begun ends, and so does what it has laid around the tunnel."""
    office = isinstance(plan, OfficePlan) and plan.health_checks
    operations.beside(
        name=f"{zone}: new connections go by its own tunnel",
        group=zone,
        units=None,
        script=_home(plan.connection_to(zone).tunnel) if office and isinstance(plan, OfficePlan) else "",
    )


def _no_detour(plan: OfficePlan, zone: str, shown: str) -> str:
    why = draining.without_detour(plan, zone, shown)
    return f"its tunnel is not restarted: {why}" if why else ""


# Each script prints what is wrong, and nothing if nothing is; its last command's status does not count.


def _drained(zone: str) -> str:
    # BIRD takes another way within milliseconds; the packets on the old one have arrived by then.
    return f"{paths.MONITOR} drain {quote(zone)} --for {draining.ROTATION} 2>&1 && sleep 0.2"


def _held(plan: NatPlan) -> str:
    hold = f"{paths.MONITOR} hold {plan.tunnel.nat_interface} {' '.join(map(str, plan.lans))}"
    undo = f"{paths.MONITOR} unhold {plan.tunnel.nat_interface}"
    properties = [f"ExecStopPost={undo}", *netfilter_sandbox()]
    return (
        # One of a run that died goes on: to end it would send what waits into a tunnel that is down.
        f"systemctl is-active --quiet {HOLD_UNIT} && exit\n"
        f"systemctl reset-failed {HOLD_UNIT} 2>/dev/null\n"
        f"systemd-run --quiet --collect --unit={HOLD_UNIT} --service-type=notify"
        f" {' '.join(f'--property={quote(each)}' for each in properties)}"
        # What has passed before is answered, before the office sends the answers elsewhere.
        f" {hold} 2>&1 && sleep {UNDER_WAY} && exit\n"
        f"journalctl --unit {HOLD_UNIT} --lines 3 --no-pager --output cat\n"
        f"echo 'Packets cannot wait on this NAT, so a rotation loses some: leave --seamless out'"
    )


def _left(tunnel: Tunnel) -> str:
    # Asked before the tunnel's own table. While the zone is drained for a rotation, and be it one that died, keeper and
    # deploys leave it; after that they remove it, because it bears the mark of our rules.
    ways = f"fwmark {tunnel.mark} lookup {ZONES} protocol {ROUTE_PROTOCOL}"
    return f"{_removed(ASIDE)}; ip -4 rule add priority {ASIDE} {ways} 2>&1 && sleep {UNDER_WAY}"


def _back(tunnel: Tunnel) -> str:
    # BFD and the monitor come to know a moment later that the tunnel carries packets. Until then answers to what has
    # waited would take the detour, and be dropped there: its NAT knows nothing of their questions.
    ways = f"fwmark {tunnel.mark} lookup {tunnel.tables.probe.id} protocol {ROUTE_PROTOCOL}"
    return f"""\
[ "$(ip -4 rule show priority {ASIDE})" ] || exit 0
end=$(( $(date +%s) + {TRUSTED} ))
until [ "$(ip -4 route show table {quote(tunnel.tables.probe.name)} 2>/dev/null)" ]; do
    [ $(date +%s) -lt $end ] || {{ echo "BIRD has no route into it: {paths.MONITOR} show, on the router"; exit 0; }}
    sleep 0.1
done
{_removed(AGAIN)}; ip -4 rule add priority {AGAIN} {ways} 2>&1 && {_removed(ASIDE)}
"""


def _home(tunnel: Tunnel) -> str:
    file, table = quote(paths.drained(tunnel.zone)), quote(tunnel.tables.pin.name)
    return f"""\
# An operator who drains the zone meanwhile keeps it so.
laid=$(ip -4 rule show priority {AGAIN}; ip -4 rule show priority {ASIDE})
[ "$(cat {file} 2>/dev/null)" = {draining.ROTATION} ] && ours=yes || ours=
[ "$ours$laid" ] || exit 0
end=$(( $(date +%s) + {TRUSTED} ))
if [ "$ours" ]; then
    {paths.MONITOR} give-back {quote(tunnel.zone)} --for {draining.ROTATION} 2>&1
    until [ -e {file} ] || {paths.MONITOR} show | grep -qx {quote(f"{tunnel.zone}: by its own tunnel")}; do
        [ $(date +%s) -lt $end ] || {{ {paths.MONITOR} show | grep {quote(f"^{tunnel.zone}:")}; exit 0; }}
        sleep 0.2
    done
fi
until [ $(ip -4 route show table {table} 2>/dev/null | wc -l) -ge {len(tunnel.subnets)} ]; do
    [ $(date +%s) -lt $end ] || {{ echo "BFD hears nothing through it: {paths.MONITOR} show, on the router"; exit 0; }}
    sleep 0.2
done
{_removed(AGAIN)}; {_removed(ASIDE)}
"""


def _removed(rule: int) -> str:
    return f"ip -4 rule del priority {rule} 2>/dev/null"


def units(zone: str) -> dict[str, str]:
    """The two units of a zone's tunnel, by host. Under `single` there are others, and no detour."""
    return {OFFICE: paths.client_unit(f"vpc-{zone}"), nat_host(zone): paths.SERVER_UNIT}
