"""What the command line does to the store: `init` adds what is missing, `reencrypt` follows recipients.txt.

`init` never overwrites, and a second run writes nothing. A certificate whose key is gone is refused before
anything is written: the host's peers pin it, so it is not replaced behind the operator's back. A key is
written before its certificate, which can always be made from it; so a run that was cut short is completed by
the next.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from cryptography import x509

from vpc_openvpn.identities import age, files, material
from vpc_openvpn.identities.errors import CredentialsError
from vpc_openvpn.identities.recipients import Recipient
from vpc_openvpn.identities.store import Store
from vpc_openvpn.site.plan import HostPlan, NatPlan

# A secret file is ciphertext, for which git keeps no mode: this is the second lock, not the first.
SECRET, PUBLIC = 0o600, 0o644


def init(store: Store, plans: Mapping[str, HostPlan]) -> Iterator[str]:
    """Add what the hosts of `plans` lack, and yield a line about each thing done. Raises CredentialsError."""
    _refuse_lost_keys(store, plans)
    files.make_directory(store.folder)
    if not store.recipients_path.exists():
        yield from _begin(store)
    to = store.recipients()
    for host, plan in plans.items():
        if isinstance(plan, NatPlan):
            yield from _add_tunnel(store, plan.zone, to)
            yield from _add_host(store, host, material.Role.SERVER, to)
        else:
            yield from _add_host(store, host, material.Role.CLIENT, to)


def reencrypt(store: Store) -> Iterator[str]:
    """Encrypt every secret anew, to those whom recipients.txt names now; yield a line about each."""
    to = store.recipients()
    # All are read before one is written: a secret that cannot be read leaves the folder as it was.
    for path in store.unlock():
        files.replace(path, store.encrypted(path, to), SECRET)
        yield f"encrypted {path} for {len(to)}"


def _refuse_lost_keys(store: Store, plans: Mapping[str, HostPlan]) -> None:
    lost = [h for h in plans if store.certificate_path(h).exists() and not store.key_path(h).exists()]
    if lost:
        raise CredentialsError(
            "\n".join(
                f"{store.key_path(host)} is missing; peers trust its {store.certificate_path(host)}.\n"
                f"Restore it: git restore {store.key_path(host)}\n"
                f"If it is lost for good, give {host} a new identity: remove {store.certificate_path(host)}, "
                "run this again, and deploy to every host."
                for host in lost
            )
        )


def _begin(store: Store) -> Iterator[str]:
    """Write recipients.txt: the operator alone, whose age identity is made if there is none."""
    if store.secret_paths():
        raise CredentialsError(
            f"{store.recipients_path} is missing, but there are secrets, encrypted to the keys that it listed.\n"
            f"Restore it: git restore {store.recipients_path}\n"
            "Or write it: the age public keys of all who shall read them, one per line."
        )
    if age.have_identity():
        identity = age.identity()
    else:
        identity = age.create_identity()
        yield f"created {identity.origin}, your age identity"
        yield "Back it up: without it nothing here can be read."
    text = (
        "# The secret key to any of these age public keys decrypts the secrets in this folder.\n"
        "# After adding one: ./vpc identities reencrypt\n"
        "# Removing one takes nothing back: who could read a secret may have kept it.\n"
    )
    files.create(store.recipients_path, text + "".join(f"{key}\n" for key in identity.public), PUBLIC)
    yield f"created {store.recipients_path}"


def _add_host(store: Store, host: str, role: material.Role, to: Sequence[Recipient]) -> Iterator[str]:
    key, key_path, certificate_path = None, store.key_path(host), store.certificate_path(host)
    if not key_path.exists():
        key = material.new_key()
        files.create(key_path, age.encrypt(material.key_to_pem(key), to), SECRET)
        yield f"created {key_path}"
    if certificate_path.exists():
        store.certificate(host)  # a damaged one is found now rather than by the deploy
    else:
        certificate = material.certificate(key or store.key(host), host, role)
        files.create(certificate_path, _for_people(host, certificate), PUBLIC)
        yield f"created {certificate_path}"


def _add_tunnel(store: Store, zone: str, to: Sequence[Recipient]) -> Iterator[str]:
    path = store.tls_crypt_path(zone)
    if not path.exists():
        files.create(path, age.encrypt(material.new_static_key(), to), SECRET)
        yield f"created {path}"


def _for_people(host: str, certificate: x509.Certificate) -> str:
    """A certificate file: what a reviewer looks at, and the PEM below it. `Store` checks that they agree."""
    return (
        f"Host:        {host}\n"
        f"Fingerprint: {material.fingerprint(certificate)}\n"
        f"Created:     {datetime.now(UTC):%Y-%m-%d}\n"
        "The host's peers trust exactly this fingerprint (SHA-256). Public: may be committed to git.\n"
        "\n"
        f"{material.certificate_to_pem(certificate)}"
    )
