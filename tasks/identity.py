"""The host's identity: its private key and certificate, and the tls-crypt key of each of its tunnels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pyinfra import host, logger
from pyinfra.api import HiddenValue

from tasks import paths
from vpc_openvpn.identities.store import Store
from vpc_openvpn.remote.effects import Files
from vpc_openvpn.remote.facts import State
from vpc_openvpn.remote.files import Directory, File
from vpc_openvpn.site.plan import OFFICE, HostPlan, OfficePlan


@dataclass(frozen=True, slots=True)
class Identity:
    """A host's, as files on it, and the fingerprints that it pins: `tls_crypt` by zone, `peers` by host. In a rotation
    a peer has two.
    """

    certificate: File
    private_key: File
    tls_crypt: Mapping[str, File]
    peers: Mapping[str, tuple[str, ...]]

    def __iter__(self) -> Iterator[File]:
        """All its files."""
        yield from (self.certificate, self.private_key, *self.tls_crypt.values())


def of(plan: HostPlan, store: Store) -> Identity:
    """The identity of a host, from the operator's store. Raises CredentialsError where something is missing there."""
    peers = [tunnel.nat_host for tunnel in plan.tunnels] if isinstance(plan, OfficePlan) else [OFFICE]
    return Identity(
        File(paths.CERTIFICATE, store.certificate(plan.host)),
        File(paths.PRIVATE_KEY, HiddenValue(store.private_key(plan.host)), mode="600"),
        {
            tunnel.zone: File(paths.tls_crypt(tunnel.zone), HiddenValue(store.tls_crypt(tunnel.zone)), mode="600")
            for tunnel in plan.tunnels
        },
        {peer: store.pins(peer) for peer in peers},
    )


def in_place(identity: Identity) -> Files:
    """The identity, in a directory of its own that only root enters; keys of tunnels that are gone are removed."""
    return Files(
        "Identity is in place",
        wanted=[Directory(paths.IDENTITY, mode="700"), *identity],
        owned=[f"{paths.IDENTITY}/*"],
    )


def others(plan: HostPlan, identity: Identity, now: State) -> Iterator[str]:
    """What the host got from an earlier deploy and would get otherwise now, a sentence each.

    age does not sign, so who can write to the operator's folder can put an identity of his own there.
    """

    def another(file: File) -> bool:
        return file.path in now.files and now.files[file.path].sha256 != file.sha256

    if another(identity.certificate):
        yield f"The identity of {plan.host} is another than the last deploy's"
    for zone, file in identity.tls_crypt.items():
        if another(file):
            yield f"The tls-crypt key of {zone}'s tunnel is another than the last deploy's"


def check(plan: HostPlan, identity: Identity, now: State) -> None:
    """Say before anything changes what is another than the last deploy's; after a rotation that is as it should be."""
    for sentence in others(plan, identity, now):
        text = f"{sentence}. Unless it was rotated, see who changed it: git log -p --stat (in the identities' folder)"
        host.log_styled(text, fg="yellow", bold=True, log_func=logger.warning)
