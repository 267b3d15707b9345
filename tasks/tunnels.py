"""The tunnels: OpenVPN's configuration, and its own systemd units running from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyinfra import host, state

from tasks import forward_path, paths, seamless
from tasks.identity import Identity
from tasks.views import view
from templates import render
from vpc_openvpn.remote import operations
from vpc_openvpn.remote.effects import Files, Service, Services
from vpc_openvpn.remote.files import Directory, File
from vpc_openvpn.site.plan import OFFICE, SINGLE, ZONES, Connection, HostPlan, NatPlan, OfficePlan, Tunnel, nat_host

NOTICED = 1.2  # times the detection's time: then the office has noticed, and moved new connections
DROP_IN = "vpc-openvpn.conf"
BUFFERS = 1 << 20  # bytes of a tunnel's socket, each way


@dataclass(frozen=True, slots=True)
class End:
    """This host's end of one tunnel: an instance of OpenVPN's unit, and the files that it is started from."""

    unit: str
    configuration: tuple[File, ...]
    unit_files: tuple[File, File]  # its own file, and the drop-in that marks it as ours
    service: Service


def ends(plan: HostPlan, identity: Identity) -> list[End]:
    """This host's end of each of its tunnels; under `single`, the office's one end for them all."""
    if isinstance(plan, OfficePlan):
        return [_office_end(plan, connection, identity) for connection in plan.connections]
    return [_nat_end(plan, identity)]


def _office_end(plan: OfficePlan, connection: Connection, identity: Identity) -> End:
    text = render(
        "office/etc/openvpn/client/tunnel.conf.j2",
        connection=connection,
        certificate=paths.CERTIFICATE,
        private_key=paths.PRIVATE_KEY,
        keys={tunnel.zone: paths.tls_crypt(tunnel.zone) for tunnel in connection.tunnels},
        peer_fingerprints=[pin for tunnel in connection.tunnels for pin in identity.peers[tunnel.nat_host]],
        up_script=paths.TUNNEL_UP,
        buffers=BUFFERS,
    )
    configuration = (
        File(f"/etc/openvpn/client/{connection.name}.conf", text),
        view(paths.TUNNEL_UP, plan.role, mode="755", source_script=paths.SOURCE),
    )
    # New connections take a detour, and the tunnel carries what is under way: nothing, where no zone was reached by it.
    # That is so where a deploy has just restarted the NAT's end; TCP connections are waiting then.
    leave = (
        f"ways=$(ip -4 route show table {ZONES} dev {connection.interface});"
        f" {paths.MONITOR} leaving {connection.tunnel.number} $MAINPID;"
        f' [ -z "$ways" ] || sleep {seamless.UNDER_WAY}'
        if plan.health_checks
        else ""
    )
    unit = paths.client_unit(connection.name)
    return _end(plan, unit, configuration, connection.tunnels, identity, started="", leave=leave)


def _nat_end(plan: NatPlan, identity: Identity) -> End:
    text = render(
        "nat/etc/openvpn/server/office.conf.j2",
        plan=plan,
        certificate=paths.CERTIFICATE,
        private_key=paths.PRIVATE_KEY,
        tls_crypt=paths.tls_crypt(plan.zone),
        peer_fingerprints=identity.peers[OFFICE],
        client_config_dir=paths.CLIENTS,
        buffers=BUFFERS,
    )
    configuration = (
        File("/etc/openvpn/server/office.conf", text),
        # OpenVPN looks a client's file up by the name in its certificate.
        view(f"{paths.CLIENTS}/{OFFICE}", plan.role, plan=plan),
    )
    started = leave = ""
    if plan.strategy != SINGLE:
        birdc = f"/usr/sbin/birdc -s {paths.BIRD_SOCKET}"
        started = f"{birdc} enable bfd_office"
        # BFD is silent first, and the tunnel carries packets until the office has noticed, and what is under way then.
        leave = f"{birdc} disable bfd_office && sleep {plan.tunnel.detection * NOTICED / 1000 + seamless.UNDER_WAY:.2g}"
    return _end(plan, paths.SERVER_UNIT, configuration, plan.tunnels, identity, started=started, leave=leave)


def _end(
    plan: HostPlan,
    unit: str,
    configuration: tuple[File, ...],
    tunnels: Sequence[Tunnel],
    identity: Identity,
    *,
    started: str,
    leave: str,
) -> End:
    keys = (identity.tls_crypt[tunnel.zone] for tunnel in tunnels)
    read = (*configuration, identity.certificate, identity.private_key, *keys)
    record = paths.record(unit)
    file = File(
        f"{paths.UNITS}/{unit}",
        render("any/etc/systemd/system/openvpn.service.j2", kind="server" if isinstance(plan, NatPlan) else "client"),
    )
    drop_in = File(
        f"{paths.UNITS}/{unit}.d/{DROP_IN}",
        render(
            "any/etc/systemd/system/openvpn.conf.j2",
            inputs=[file.path for file in read],
            record=record,
            started=started,
            leave=leave,
            buffers=BUFFERS,
        ),
    )
    return End(unit, configuration, (file, drop_in), Service(unit, read, record, (file.path, drop_in.path)))


def configured(ends: Sequence[End]) -> Files:
    """What the units will be started from is on disk. The drop-in, which marks an instance as ours, comes first."""
    wanted: list[File | Directory] = [Directory(paths.CLIENTS), Directory(paths.LIB)]
    for end in ends:
        file, mark = end.unit_files
        wanted += [Directory(f"{paths.UNITS}/{end.unit}.d"), mark, file, *end.configuration]
    # What systemd knew of these units holds no more once their files have changed.
    return Files("Tunnels are configured", list(dict.fromkeys(wanted)), owned=[f"{paths.CLIENTS}/*"], disturbs=True)


def running(ends: Sequence[End]) -> Services:
    """Each tunnel is enabled and started; those that left the site are removed."""
    return Services(
        "Tunnels are running",
        wanted=[end.service for end in ends],
        marks=f"{paths.UNITS}/openvpn-*@*.service.d/{DROP_IN}",
        wanted_marks=[end.unit_files[1].path for end in ends],
        instance_files=["/etc/openvpn/client/{instance}.conf", f"{paths.UNITS}/{{unit}}", paths.record("{unit}")],
    )


def restart(plan: HostPlan, ends: Sequence[End], zones: Sequence[str]) -> None:
    """One zone of `zones` after the other, restart what runs something else than is on disk: each must carry packets
    again before the next is touched. With `--data seamless=yes` the zone's traffic leaves it first (`tasks.seamless`).
    """
    is_seamless = host.data.get(
        "seamless"
    )  # yes; no: none of it is left of a run that died; else nothing is known of it
    for zone in host.loop(zones):
        concerned = isinstance(plan, OfficePlan) or plan.zone == zone
        if concerned and is_seamless == "yes":
            units = seamless.units(zone)
            seamless.before(plan, zone, units)
            _restart_ends(plan, zone, {end.unit: end.service for end in ends}, last=zone == zones[-1])
            seamless.after(plan, zone)
        elif concerned:
            _restart_ends(plan, zone, {end.unit: end.service for end in ends}, last=zone == zones[-1])
            if is_seamless == "no":
                seamless.given_back(plan, zone)


def _awaited(plan: OfficePlan, zone: str) -> str:
    # On a busy host a restart may be silent for longer than a NAT that has died. Without a monitor nothing would
    # release its connections.
    return f"{paths.MONITOR} restarting {plan.connection_to(zone).tunnel.number} >/dev/null 2>&1 || true"


def _restart_ends(plan: HostPlan, zone: str, services: Mapping[str, Service], *, last: bool) -> None:
    """First the NAT's end, then the office's. The office runs an operation for both, so that no host runs ahead."""
    office = isinstance(plan, OfficePlan)
    both = state.is_host_in_limit(host.inventory.get_host(OFFICE))
    once, patient = (forward_path.crossing(plan, zone, patience) for patience in (0, forward_path.PATIENCE))
    if host.data.get("proof") == "no":  # the other end is not there, or is not what it should be
        once = "echo not asked"
    complaint = f"the tunnel of {zone} was restarted and carries no packets; no other is restarted"
    operations.beside(
        name=f"{zone}: its connections stay while its NAT's end is restarted",
        group=zone,
        units={nat_host(zone): paths.SERVER_UNIT},
        script=_awaited(plan, zone) if isinstance(plan, OfficePlan) and plan.health_checks else "",
    )
    operations.restarted(
        name=f"{zone}: the NAT's end runs what is on disk",
        group=zone,
        service=services.get(paths.SERVER_UNIT),
        crosses=once,
        answers="" if office or both else patient,
        complaint=complaint,
    )
    if isinstance(plan, OfficePlan):
        connection = plan.connection_to(zone)
        service = services[paths.client_unit(connection.name)]
        operations.restarted(
            name=f"{zone}: the office's end runs what is on disk",
            group=zone,
            # One connection for all zones has its turn when every NAT has had its own.
            service=service if last or len(connection.tunnels) == 1 else None,
            crosses=once,
            answers=patient,
            complaint=complaint,
        )
