"""Own iptables chains, guard routes and routing rules: what may pass, and by which table it is sent."""

from functools import partial

from tasks import neighbours, paths
from templates import render
from vpc_openvpn.diagnosis.routes import inside
from vpc_openvpn.remote import operations
from vpc_openvpn.remote.commit_confirm import Trial
from vpc_openvpn.remote.files import Directory, File
from vpc_openvpn.remote.operations import Service
from vpc_openvpn.site.plan import (
    LANS_RULE,
    MARK_MASK,
    NO_LAN_RULE,
    ROUTER_RULE,
    ROUTER_TABLE,
    ZONES_RULE,
    ZONES_TABLE,
    HostPlan,
    OfficePlan,
)

# Marks our guard routes in the kernel's table. Unassigned in iproute2's rt_protos.
ROUTE_PROTOCOL = 86
KEEPER_BEAT = 3  # seconds between two looks at the kernel; one costs 30 ms of CPU
UNDO_AFTER = 45  # seconds: a new ssh connection takes two; one that is locked out gives up after ten


def files(plan: HostPlan) -> tuple[File, ...]:
    """The rules, the routes, their loader, and the units that run it at boot and then hold what it has loaded."""
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
                router_table=ROUTER_TABLE,
                router_rule=ROUTER_RULE,
                lans_rule=LANS_RULE,
                no_lan_rule=NO_LAN_RULE,
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
                unit_name=paths.FIREWALL_UNIT,
                record=record,
                beat=KEEPER_BEAT,
                route_protocol=ROUTE_PROTOCOL,
                trial=paths.TRIAL,
                undo_unit=paths.UNDO_UNIT,
                undo_after=UNDO_AFTER,
            ),
            mode="755",
        ),
        File(
            unit,
            render("any/etc/systemd/system/vpc-openvpn-firewall.service.j2", loader=paths.FIREWALL_LOADER),
        ),
        File(
            f"{paths.UNITS}/{paths.KEEPER_UNIT}",
            render(
                "any/etc/systemd/system/vpc-openvpn-keeper.service.j2",
                loader=paths.FIREWALL_LOADER,
                record=paths.record(paths.KEEPER_UNIT),
            ),
        ),
    )


def trial(plan: HostPlan) -> Trial:
    """The same rules, routes and loader, in a place that a reboot empties."""
    rules, routes, loader, *_ = files(plan)
    own_loader = f"{paths.TRIAL}/firewall"
    run = f"/bin/sh {own_loader}"  # /run is mounted noexec wherever Debian's initramfs mounts it
    return Trial(
        files=(
            Directory(paths.RUN),
            Directory(paths.TRIAL, mode="700"),
            File(f"{paths.TRIAL}/firewall.rules", rules.text),
            File(f"{paths.TRIAL}/routes", routes.text),
            File(own_loader, loader.text),
        ),
        begin=f"{run} try",
        keep=f"{run} keep",
        pending=f"{paths.TRIAL}/routes.before",
        seconds=UNDO_AFTER,
        advice=(
            "Is your address among `operators` in the site file, and outside of the networks that the site gives to"
            f" others ({', '.join(map(str, (*plan.vpc, *plan.lans)))})?"
        ),
    )


def load(plan: HostPlan) -> None:
    """Load the chains and routes now and at every boot, before forwarding is on, and have them stay loaded."""
    *wanted, keeper = files(plan)
    loader = next(file for file in wanted if file.path == paths.FIREWALL_LOADER)
    operations.loaded(
        name="Firewall and guard routes are loaded",
        service=Service(paths.FIREWALL_UNIT, tuple(wanted), paths.record(paths.FIREWALL_UNIT)),
        keeper=Service(paths.KEEPER_UNIT, (loader,), paths.record(paths.KEEPER_UNIT)),
        wanted=[Directory(paths.HOME), Directory(paths.LIB), *wanted, keeper],
        show=f"{paths.FIREWALL_LOADER} show",
        trial=trial(plan),
        readers=neighbours.readers(plan),
        unread=paths.UNREAD,
        routes="ip -json -4 route show table main",
        objection=partial(cut_off, plan),
    )


def cut_off(plan: HostPlan, routes: str) -> str:
    """Which of the host's own routes (of `ip -json route`) the site's networks would take packets from; or nothing."""
    networks = [tunnel.network for tunnel in plan.tunnels]
    if isinstance(plan, OfficePlan):
        networks += plan.vpc
        addresses = [tunnel.office_address for tunnel in plan.tunnels]
    else:
        networks += plan.lans
        addresses = [plan.tunnel.nat_address]
    return "\n".join(
        f"{route.interface} leads to {route.network}, a part of {whole}, which is the site's: what is behind"
        f" {route.interface} would be cut off. Give it other addresses (Docker: default-address-pools in"
        f" /etc/docker/daemon.json) or, if nothing needs it, type: ip route del {route.network} dev {route.interface}"
        for route, whole in inside(routes, networks, plan.interfaces, addresses)
    )
