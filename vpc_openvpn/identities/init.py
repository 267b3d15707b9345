"""What `./vpc identities init` does to the store: it adds what is missing.

It never overwrites, and a second run writes nothing. A key that is gone though a certificate or recipients.lock has it
is refused before anything is written: the host's peers trust it, so it is not replaced behind the operator's back. A
key is written before its certificate, which can always be made from it; so a run that was cut short is completed by
the next.
"""

import getpass
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from shlex import quote

from cryptography import x509

from vpc_openvpn.identities import age, files, material, people, recipients, writing
from vpc_openvpn.identities.errors import CredentialsError
from vpc_openvpn.identities.lock import Lock
from vpc_openvpn.identities.recipients import Recipient
from vpc_openvpn.identities.store import Store
from vpc_openvpn.identities.writing import Draft
from vpc_openvpn.site.plan import HostPlan, NatPlan


def init(store: Store, plans: Mapping[str, HostPlan], *, ours: bool = False) -> Iterator[str]:
    """Add what the hosts of `plans` lack, and yield a line about each thing done. Raises CredentialsError; where it is
    another site's folder, unless the operator says that it is `ours`.
    """
    store.claim(plans, ours=ours)
    _refuse_lost_keys(store, plans)
    files.make_directory(store.folder)
    with writing.begun(store, plans=plans) as lock:
        locked = os.path.lexists(store.lock_path)
        if not os.path.lexists(store.recipients_path):
            yield from _begin(store)
        to = store.recipients()
        _refuse_strange_keys(store, lock, plans)
        drafts = [draft for host, plan in plans.items() for draft in _drafts(store, host, plan, to)]
        yield from people.news(store, lock, to)
        old = store.secret_paths()
        for draft in writing.write(store, lock if lock.files else lock.naming(to), None, drafts):
            yield f"created {draft.path}"
        if any(draft.seal.to for draft in drafts) and not old:
            yield people.encrypted_to(to)
        if locked and lock.site != store.site:
            yield f"noted the addresses of this site's NATs in {store.lock_path}"
        if not locked:
            yield f"created {store.lock_path}"
            if old:
                yield "It does not have the secrets that were there. Type: ./vpc identities reencrypt"


def _drafts(store: Store, host: str, plan: HostPlan, to: Sequence[Recipient]) -> Iterator[Draft]:
    if isinstance(plan, NatPlan):
        yield from _tunnel(store, plan.zone, to)
        yield from _host(store, host, material.Role.SERVER, to)
    else:
        yield from _host(store, host, material.Role.CLIENT, to)


def _refuse_lost_keys(store: Store, plans: Mapping[str, HostPlan]) -> None:
    lost = [h for h in plans if store.certificate_path(h).exists() and not store.key_path(h).exists()]
    if lost:
        raise CredentialsError(
            "\n".join(
                f"{store.key_path(host)} is missing; peers trust its {store.certificate_path(host)}.\n"
                f"Restore it: git restore {quote(str(store.key_path(host)))}\n"
                f"If it is lost for good, give {host} a new identity: rm {quote(str(store.certificate_path(host)))} && "
                f"{writing.ACCEPT} && ./vpc identities init; then deploy to every host."
                for host in lost
            )
        )


def _refuse_strange_keys(store: Store, lock: Lock, plans: Mapping[str, HostPlan]) -> None:
    """A key that we wrote is in the lock before it is written; age does not sign, so another may be an attacker's."""
    new = [plan for host, plan in plans.items() if not store.certificate_path(host).exists()]
    keys = [store.key_path(plan.host) for plan in new]
    keys += [store.tls_crypt_path(plan.zone) for plan in new if isinstance(plan, NatPlan)]
    for path in [path for path in keys if lock.files and path.exists() and path.name not in lock.files]:
        raise CredentialsError(
            f"{path} is not in recipients.lock, so another may have put it there, and know what it holds.\n"
            f"Look: git log --stat -- {quote(str(path))}; then remove it; or, if it is yours: {writing.ACCEPT}"
        )


def _begin(store: Store) -> Iterator[str]:
    """Write recipients.txt: the operator alone, whose age identity is made if there is none."""
    if store.secret_paths():
        raise CredentialsError(
            f"{store.recipients_path} is missing, but there are secrets, encrypted to the keys that it listed.\n"
            f"Restore it: git restore {quote(str(store.recipients_path))}\n"
            "Or write it: the public keys of all who shall read them, one per line; then: ./vpc identities reencrypt"
        )
    if age.have_identity():
        identity = age.identity()
        if not identity.public:
            raise CredentialsError(
                f"{identity.origin} does not say its public key. Write it to {store.recipients_path}, a line age1…, "
                "and type: ./vpc identities init"
            )
    else:
        identity = age.create_identity()
        yield f"created {identity.origin}, your age identity"
        yield "Back it up: without it nothing here can be read."
    text = (
        "# The private key to any of these public keys decrypts the secrets in this folder.\n"
        "# A person joins: ./vpc identities recipients add LINE; leaves: ./vpc identities recipients remove NAME\n"
        "# Removing one takes nothing back: who could read a secret may have kept it.\n"
    )
    keys = [key for key in identity.public if key.startswith("age1")] or identity.public
    lines = [recipients.named(key, _operator()).line for key in keys]
    files.create(store.recipients_path, text + "".join(f"{line}\n" for line in lines), writing.PUBLIC)
    yield f"created {store.recipients_path}"


def _operator() -> str:
    """Who is at it, for people: the user's name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return ""


def _host(store: Store, host: str, role: material.Role, to: Sequence[Recipient]) -> Iterator[Draft]:
    key, key_path, certificate_path = None, store.key_path(host), store.certificate_path(host)
    if not os.path.lexists(key_path):
        key = material.new_key()
        yield writing.secret(key_path, material.key_to_pem(key), to, new=True)
    if os.path.lexists(certificate_path):
        store.certificate(host)  # a damaged one is found now rather than by the deploy
    else:
        certificate = material.certificate(key or store.key(host), host, role)
        yield writing.certificate(certificate_path, for_people(host, certificate), certificate, new=True)


def _tunnel(store: Store, zone: str, to: Sequence[Recipient]) -> Iterator[Draft]:
    path = store.tls_crypt_path(zone)
    if not os.path.lexists(path):
        yield writing.secret(path, material.new_static_key(), to, new=True)


def for_people(host: str, certificate: x509.Certificate) -> str:
    """A certificate file: what a reviewer looks at, and the PEM below it. `Store` checks that they agree."""
    return (
        f"Host:        {host}\n"
        f"Fingerprint: {material.fingerprint(certificate)}\n"
        f"Created:     {datetime.now(UTC):%Y-%m-%d}\n"
        "The host's peers trust exactly this fingerprint (SHA-256). Public: may be committed to git.\n"
        "\n"
        f"{material.certificate_to_pem(certificate)}"
    )
