"""Own iptables chains, guard routes and routing rules: what may pass, and by which table it is sent."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address
from pathlib import PurePosixPath

from tasks import keeper, neighbours, paths
from tasks.draining import ROTATION
from tasks.views import netfilter_sandbox, view
from templates import render
from vpc_openvpn.diagnosis.routes import inside
from vpc_openvpn.remote.commit_confirm import Trial
from vpc_openvpn.remote.effects import Loaded, Service
from vpc_openvpn.remote.files import Directory, File
from vpc_openvpn.site.plan import (
    AGAIN,
    ASIDE,
    EXPORTER_PORT,
    HOLD,
    LANS_RULE,
    MARK_MASK,
    NO_LAN_RULE,
    PIN,
    PROBE,
    ROUTER,
    WAIT,
    ZONES,
    HostPlan,
    NatPlan,
    OfficePlan,
)

# Marks our guard routes and routing rules in the kernel. Unassigned in iproute2's rt_protos.
ROUTE_PROTOCOL = 86
ROUTE_PROTOCOLS = (str(ROUTE_PROTOCOL), "vpc-openvpn")  # as `ip` calls it, without and with our names
# Until 0.1.0 these had the unit started with them, which kept firewalld from starting at boot.
EARLIER_WANTS = ("nftables.service", "netfilter-persistent.service")
# So long after its question went there an answer may come by a detour: what a resolver waits for (resolv.conf(5)).
DETOUR_ANSWERS = 5  # seconds
DETOUR_MASK = "255.255.255.240"  # no subnet of a VPC is smaller than a /28
# What hosts of each zone may begin, and the tunnel's end itself. With more than 1 GB of memory the kernel's table has
# 65,536 entries (else one for 128 KB: nf_conntrack_init_start in net/netfilter/nf_conntrack_core.c), and most entries
# last for half a minute.
BEGUN = {"a_second": 200, "burst": 1000, "at_a_time": 4096}
END_BEGUN = {"a_second": 20, "burst": 100, "at_a_time": 256}
UNDO_AFTER = 45  # seconds: a new ssh connection takes two; one that is locked out gives up after ten


@dataclass(frozen=True, slots=True)
class Firewall:
    """What a host loads (`rules`, `rules6`: of IPv6, `routes`), what loads it, and the units that do so: at boot, and
    after another firewall's start.

    `names` are for people: of the routing tables, and of the protocol that marks rules and routes as ours.
    """

    rules: File
    rules6: File
    routes: File
    loader: File
    unit: File
    again: File
    names: tuple[File, ...]


def firewall(plan: HostPlan) -> Firewall:
    """A host's, from its plan."""
    names = [view(paths.PROTOCOL_NAME, "any", route_protocol=ROUTE_PROTOCOL)]
    if plan.tables:
        names.append(view(paths.TABLE_NAMES, plan.role, plan=plan))
    return Firewall(
        rules=view(
            paths.FIREWALL_RULES,
            plan.role,
            plan=plan,
            mark_mask=MARK_MASK,
            exporter_port=EXPORTER_PORT,
            detour_answers=DETOUR_ANSWERS,
            detour_mask=DETOUR_MASK,
            begun={"vpc-openvpn-begun": BEGUN, "vpc-openvpn-end-begun": END_BEGUN},
        ),
        rules6=view(paths.FIREWALL_RULES6, plan.role, plan=plan),
        routes=view(
            paths.GUARD_ROUTES,
            plan.role,
            plan=plan,
            zones=ZONES,
            router=ROUTER,
            lans_rule=LANS_RULE,
            no_lan_rule=NO_LAN_RULE,
            route_protocol=ROUTE_PROTOCOL,
        ),
        loader=view(
            paths.FIREWALL_LOADER,
            "any",
            mode="755",
            rules=paths.FIREWALL_RULES,
            rules6=paths.FIREWALL_RULES6,
            routes=paths.GUARD_ROUTES,
            loader=paths.FIREWALL_LOADER,
            unit=f"{paths.UNITS}/{paths.FIREWALL_UNIT}",
            record=paths.record(paths.FIREWALL_UNIT),
            names=[paths.TABLE_NAMES, paths.PROTOCOL_NAME],
            closed=render(f"{plan.role}/closed.rules.j2", plan=plan),
            closed6=render(f"{plan.role}{paths.FIREWALL_RULES6}.j2", plan=plan),
            tables={"probe": PROBE, "hold": HOLD, "wait": WAIT, "pin": PIN, "router": ROUTER, "zones": ZONES},
            route_protocol=ROUTE_PROTOCOL,
            rotation=ROTATION,
            drained=paths.DRAINED,
            of_rotations=(AGAIN, ASIDE),
            trial=paths.TRIAL,
            undo_unit=paths.UNDO_UNIT,
            undo_after=UNDO_AFTER,
            undo_sandbox=netfilter_sandbox(),
        ),
        unit=view(f"{paths.UNITS}/{paths.FIREWALL_UNIT}", "any", loader=paths.FIREWALL_LOADER, again=paths.AGAIN_UNIT),
        again=view(f"{paths.UNITS}/{paths.AGAIN_UNIT}", "any", loader=paths.FIREWALL_LOADER),
        names=tuple(names),
    )


def trial(built: Firewall, plan: HostPlan) -> Trial:
    """The same rules, routes and loader, in a place that a reboot empties."""
    loader = f"{paths.TRIAL}/firewall"
    run = f"/bin/sh {loader}"  # /run is mounted noexec wherever Debian's initramfs mounts it
    return Trial(
        files=(
            Directory(paths.RUN),
            Directory(paths.TRIAL, mode="700"),
            File(f"{paths.TRIAL}/firewall.rules", built.rules.text),
            File(f"{paths.TRIAL}/firewall6.rules", built.rules6.text),
            File(f"{paths.TRIAL}/routes", built.routes.text),
            File(loader, built.loader.text),
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


def loaded(plan: HostPlan) -> Loaded:
    """The chains and routes are loaded, now and at every boot, before forwarding is on, and stay loaded."""
    built = firewall(plan)
    inputs = (built.rules, built.rules6, built.routes, built.loader, built.unit)
    keeping, kept, keeper_unit = keeper.service(plan, built.loader)
    folders = [*dict.fromkeys(str(PurePosixPath(file.path).parent) for file in built.names)]
    return Loaded(
        name="Firewall and guard routes are loaded",
        service=Service(paths.FIREWALL_UNIT, inputs, paths.record(paths.FIREWALL_UNIT)),
        keeper=keeping,
        again=Service(paths.AGAIN_UNIT, (), ""),
        wanted=[
            *map(Directory, (paths.HOME, paths.LIB, paths.IPROUTE, *folders)),
            *(*built.names, *inputs, kept, keeper_unit, built.again),
        ],
        gone=[f"{paths.UNITS}/{program}.wants/{paths.FIREWALL_UNIT}" for program in EARLIER_WANTS],
        show=f"{paths.FIREWALL_LOADER} show",
        trial=trial(built, plan),
        readers=neighbours.readers(plan),
        unread=paths.UNREAD,
        facts=facts(plan),
        objection=partial(objection, plan),
    )


# taken INTERFACE…: those that are there and that no OpenVPN of ours has made: another program's, or one that stays when
# its program ends.
_TAKEN = r"""taken() {
    units=$(systemctl show --value --property MainPID 'openvpn-client@vpc*.service' openvpn-server@office.service);
    for each in "$@"; do
        [ -e "/sys/class/net/$each" ] || continue;
        for pid in $units; do
            grep -qs "^iff:[[:space:]]*$each\$" "/proc/$pid/fdinfo/"* || continue;
            [ $(($(cat "/sys/class/net/$each/tun_flags") & 0x800)) != 0 ] || continue 2;
        done;
        echo "taken $each";
    done;
}"""


# As OpenVPN writes it every ten seconds, of a tunnel that is up.
_OFFICE = (
    f"! systemctl is-active --quiet {paths.SERVER_UNIT} || "
    "sed -n 's/^CLIENT_LIST,office,\\([0-9.]*\\):.*/office \\1/p' /run/openvpn-server/status-office.log 2>/dev/null"
)


def facts(plan: HostPlan) -> str:
    """A shell command that prints what `objection` judges: the host's own routes as JSON, interfaces that are taken,
    and on a NAT where its tunnel comes from.
    """
    taken = re.sub(r"\s+", " ", _TAKEN)
    office = f"; {_OFFICE}" if isinstance(plan, NatPlan) else ""
    return f"ip -json -4 route show table main; {taken}; taken {' '.join(plan.interfaces)}{office}"


def objection(plan: HostPlan, said: str) -> str:
    """Why nothing may be loaded on the host; empty if it may. `said`: what `facts` prints."""
    lines = said.splitlines()
    taken = [line.removeprefix("taken ") for line in lines if line.startswith("taken ")]
    office = [line.removeprefix("office ") for line in lines if line.startswith("office ")]
    routes = "".join(line for line in lines if not line.startswith(("taken ", "office ")))
    return "\n".join(filter(None, [*map(partial(_taken, plan), taken), _kept_out(plan, office), cut_off(plan, routes)]))


def _kept_out(plan: HostPlan, seen: Sequence[str]) -> str:
    """Whether the office, whose tunnel is up, would be admitted no more: its packets belong to no connection that is
    tracked, so they are judged one by one.
    """
    if not isinstance(plan, NatPlan) or not plan.office_addresses or not seen:
        return ""
    if {IPv4Address(each) for each in seen} & {*plan.office_addresses}:
        return ""
    stated = ", ".join(map(str, plan.office_addresses))
    return (
        f"the office's packets come from {', '.join(seen)}, and office.public_address in site.yml is {stated}: this NAT"
        f" would admit no other, and its tunnel would be cut. Write public_address: {seen[0]}, both in a list, or"
        " `dynamic`"
    )


def _taken(plan: HostPlan, interface: str) -> str:
    mend = (
        "give the zone's tunnel another name in site.yml, tunnel: {interface: NAME}, or remove it:"
        if isinstance(plan, OfficePlan)
        else "remove it, with the program that made it:"
    )
    return f"{interface} is another program's interface, and a tunnel's name: {mend} ip link del {interface}"


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
