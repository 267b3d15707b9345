"""The tunnels: OpenVPN's configuration, and its own systemd units running from it."""

from dataclasses import dataclass

from credentials.store import Store
from remote import operations
from remote.files import Directory, File
from remote.operations import Service
from tasks import identity, paths
from templates import render
from topology.plan import OFFICE, HostPlan, NatPlan, OfficePlan, Tunnel

OFFICE_PREFIX = "vpc-"  # the office's router may have OpenVPN clients of its own
DROP_IN = "vpc-openvpn.conf"


@dataclass(frozen=True, slots=True)
class End:
    """This host's end of one tunnel: an instance of OpenVPN's unit, and the files that it is started from."""

    unit: str
    configuration: tuple[File, ...]
    drop_in: File
    service: Service


def ends(plan: HostPlan, store: Store) -> list[End]:
    """This host's end of each of its tunnels."""
    return [_end(plan, tunnel, store) for tunnel in plan.tunnels]


def _end(plan: HostPlan, tunnel: Tunnel, store: Store) -> End:
    if isinstance(plan, OfficePlan):
        unit = f"openvpn-client@{OFFICE_PREFIX}{tunnel.zone}.service"
        configuration = _office_configuration(tunnel, store)
    else:
        unit = "openvpn-server@office.service"
        configuration = _nat_configuration(plan, store)
    keys = {paths.CERTIFICATE, paths.PRIVATE_KEY, paths.tls_crypt(tunnel.zone)}
    read = (*configuration, *(file for file in identity.files(plan, store) if file.path in keys))
    record = paths.record(unit)
    drop_in = File(
        f"{paths.UNITS}/{unit}.d/{DROP_IN}",
        render("any/etc/systemd/system/openvpn.conf.j2", inputs=[file.path for file in read], record=record),
    )
    return End(unit, configuration, drop_in, Service(unit, read, record, drop_in.path))


def _office_configuration(tunnel: Tunnel, store: Store) -> tuple[File, ...]:
    text = render(
        "office/etc/openvpn/client/tunnel.conf.j2",
        tunnel=tunnel,
        certificate=paths.CERTIFICATE,
        private_key=paths.PRIVATE_KEY,
        tls_crypt=paths.tls_crypt(tunnel.zone),
        peer_fingerprint=store.fingerprint(tunnel.nat_host),
    )
    return (File(f"/etc/openvpn/client/{OFFICE_PREFIX}{tunnel.zone}.conf", text),)


def _nat_configuration(plan: NatPlan, store: Store) -> tuple[File, ...]:
    text = render(
        "nat/etc/openvpn/server/office.conf.j2",
        plan=plan,
        certificate=paths.CERTIFICATE,
        private_key=paths.PRIVATE_KEY,
        tls_crypt=paths.tls_crypt(plan.zone),
        peer_fingerprint=store.fingerprint(OFFICE),
        client_config_dir=paths.CLIENTS,
    )
    return (
        File("/etc/openvpn/server/office.conf", text),
        # OpenVPN looks a client's file up by the name in its certificate.
        File(f"{paths.CLIENTS}/{OFFICE}", render("nat/etc/vpc-openvpn/clients/office.j2", plan=plan)),
    )


def configure(plan: HostPlan, store: Store) -> None:
    """Write what the units will be started from. The drop-in, which marks the instance as ours, comes first."""
    wanted: list[File | Directory] = [Directory(paths.CLIENTS)]
    for end in ends(plan, store):
        wanted += [Directory(f"{paths.UNITS}/{end.unit}.d"), end.drop_in, *end.configuration]
    operations.files(name="Tunnels are configured", wanted=wanted, owned=[f"{paths.CLIENTS}/*"])


def run(plan: HostPlan, store: Store) -> None:
    """Enable and start each tunnel, restart those that run something else, remove those that left the site."""
    all_ends = ends(plan, store)
    operations.services(
        name="Tunnels are running",
        wanted=[end.service for end in all_ends],
        marks=f"{paths.UNITS}/openvpn-*@*.service.d/{DROP_IN}",
        wanted_marks=[end.drop_in.path for end in all_ends],
        instance_files=["/etc/openvpn/client/{instance}.conf", paths.record("{unit}")],
    )
