"""The host's identity: its private key and certificate, and the tls-crypt key of each of its tunnels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pyinfra import host, logger, state
from pyinfra.api import HiddenValue
from pyinfra.api.exceptions import DeployError

from tasks import paths, pins
from tasks.pins import Pins
from vpc_openvpn.identities.store import Store
from vpc_openvpn.remote.effects import Files
from vpc_openvpn.remote.facts import State
from vpc_openvpn.remote.files import Directory, File
from vpc_openvpn.site.plan import OFFICE, HostPlan, OfficePlan

NEW_PINS = "new_pins"  # =no, as --data takes it
_LOOK = "Unless it was rotated, see who changed it: git log -p --stat (in the identities' folder)"


@dataclass(frozen=True, slots=True)
class Identity:
    """A host's, as files on it, and the fingerprints that it pins: `tls_crypt` by zone, `peers` by host. In a rotation
    a peer has two. `own`: the host's name, and the fingerprint that its peers pin.
    """

    own: tuple[str, str]
    certificate: File
    private_key: File
    tls_crypt: Mapping[str, File]
    peers: Mapping[str, tuple[str, ...]]

    @property
    def trusted(self) -> Mapping[str, tuple[str, ...]]:
        """The fingerprints that are good here, the host's own as well, by host."""
        host, fingerprint = self.own
        return {host: (fingerprint,), **self.peers}

    def __iter__(self) -> Iterator[File]:
        """All its files."""
        yield from (self.certificate, self.private_key, *self.tls_crypt.values())


def of(plan: HostPlan, store: Store) -> Identity:
    """The identity of a host, from the operator's store. Raises CredentialsError where something is missing there."""
    peers = [tunnel.nat_host for tunnel in plan.tunnels] if isinstance(plan, OfficePlan) else [OFFICE]
    return Identity(
        (plan.host, store.fingerprint(plan.host)),
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
    yield from pins.others(plan.host, identity.trusted, _known(now))
    for zone, file in identity.tls_crypt.items():
        if another(file):
            yield f"The tls-crypt key of {zone}'s tunnel is another than the last deploy's"


def check(plan: HostPlan, identity: Identity, now: State) -> None:
    """Say before anything changes what is another than the last deploy's; after a rotation that is as it should be.

    Raises DeployError, before any host is changed: with -y, where an identity is one that was replaced; and with
    `--data new_pins=no`, where the host would pin another of a peer, whatever it is.
    """
    for sentence in others(plan, identity, now):
        _say(f"{sentence}. {_LOOK}")
    changed = [*pins.others(plan.host, identity.trusted, _known(now))]
    if changed and host.data.get(NEW_PINS) == "no":
        raise DeployError(
            f"{'. '.join(changed)}. {_LOOK}. A rebuild changes no pin. If it should be so, see it by ./vpc plan --limit"
            f" {plan.host}, and type: ./vpc deploy --limit {plan.host}; then the rebuild again. No host was changed."
        )
    meant = str(host.data.get(pins.TAKE_BACK) or "")
    for sentence in pins.taken_back(plan.host, identity.trusted, _known(now), meant):
        if not state.should_check_for_changes():
            raise DeployError(f"{sentence}. No host was changed.")
        _say(sentence)


def _known(now: State) -> Pins:
    return pins.parse(now.records.get(paths.PINS, ""))


def _say(text: str) -> None:
    host.log_styled(text, fg="yellow", bold=True, log_func=logger.warning)
