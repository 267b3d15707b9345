"""Own iptables chains, guard routes and routing rules: what may pass, and by which table it is sent."""

from remote import operations
from remote.files import Directory, File
from remote.operations import Service
from tasks import paths
from templates import render
from topology.plan import MARK_MASK, ZONES_RULE, ZONES_TABLE, HostPlan

# Marks our guard routes in the kernel's table. Unassigned in iproute2's rt_protos.
ROUTE_PROTOCOL = 86


def files(plan: HostPlan) -> tuple[File, ...]:
    """The rules, the routes, their loader, and the unit that runs it at boot."""
    record = paths.record(paths.FIREWALL_UNIT)
    unit = f"{paths.UNITS}/{paths.FIREWALL_UNIT}"
    return (
        File(
            paths.FIREWALL_RULES,
            render(f"{plan.role}/etc/vpc-openvpn/firewall.rules.j2", plan=plan, mark_mask=MARK_MASK),
        ),
        File(
            paths.GUARD_ROUTES,
            render(
                f"{plan.role}/etc/vpc-openvpn/routes.j2",
                plan=plan,
                zones_table=ZONES_TABLE,
                zones_rule=ZONES_RULE,
                route_protocol=ROUTE_PROTOCOL,
            ),
        ),
        File(
            paths.FIREWALL_LOADER,
            render(
                "any/usr/local/lib/vpc-openvpn/firewall.j2",
                rules=paths.FIREWALL_RULES,
                routes=paths.GUARD_ROUTES,
                loader=paths.FIREWALL_LOADER,
                unit=unit,
                record=record,
                route_protocol=ROUTE_PROTOCOL,
            ),
            mode="755",
        ),
        File(
            unit,
            render("any/etc/systemd/system/vpc-openvpn-firewall.service.j2", loader=paths.FIREWALL_LOADER),
        ),
    )


def load(plan: HostPlan) -> None:
    """Load the chains and routes now and at every boot, before forwarding is on."""
    wanted = files(plan)
    operations.loaded(
        name="Firewall and guard routes are loaded",
        service=Service(paths.FIREWALL_UNIT, inputs=wanted, record=paths.record(paths.FIREWALL_UNIT)),
        wanted=[Directory(paths.HOME), Directory(paths.LIB), *wanted],
        show=f"{paths.FIREWALL_LOADER} show",
    )
