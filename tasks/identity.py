"""The host's identity: its private key and certificate, and the tls-crypt key of each of its tunnels."""

from pyinfra.api import HiddenValue

from tasks import paths
from vpc_openvpn.identities.store import Store
from vpc_openvpn.remote import operations
from vpc_openvpn.remote.files import Directory, File
from vpc_openvpn.site.plan import HostPlan


def files(plan: HostPlan, store: Store) -> tuple[File, ...]:
    """Certificate, private key, and a tls-crypt key per tunnel."""
    return (
        File(paths.CERTIFICATE, store.certificate(plan.host)),
        File(paths.PRIVATE_KEY, HiddenValue(store.private_key(plan.host)), mode="600"),
        *(
            File(paths.tls_crypt(tunnel.zone), HiddenValue(store.tls_crypt(tunnel.zone)), mode="600")
            for tunnel in plan.tunnels
        ),
    )


def install(plan: HostPlan, store: Store, record: File) -> None:
    """Put the identity in place, in a directory that only root enters, and beside it the `record` of whose host it is;
    remove the keys of tunnels that are gone.
    """
    operations.files(
        name="Identity is in place",
        wanted=[Directory(paths.HOME), record, Directory(paths.IDENTITY, mode="700"), *files(plan, store)],
        owned=[f"{paths.IDENTITY}/*"],
    )
