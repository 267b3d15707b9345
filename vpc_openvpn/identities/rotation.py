"""Another identity in place of a host's own, in stages. The files alone tell the stage, so that a rotation which was
cut short at any instant goes on from there:

    stage      files                            peers pin     the host has
    settled    HOST.crt  HOST.key.age           its own       its own
    prepared   … and HOST.next.crt/.key.age     own, next     its own
    switched   … and HOST.old.crt/.key.age      own, old      its own: what was the next one
    retired    … and HOST.old.key.age           its own       its own

A tunnel's tls-crypt key (`tunnel-ZONE.key.age`) goes along: OpenVPN takes one at a time, so it has no stage with two.

What is written is written under a name of its own first, and an old key is removed by `finish` alone: no instant leaves
a host without an identity, or without a pin at its peers. What takes effect at once is one rename, of the certificate.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from vpc_openvpn.identities import files, init, material, writing
from vpc_openvpn.identities.errors import CredentialsError
from vpc_openvpn.identities.lock import Lock
from vpc_openvpn.identities.recipients import Recipient
from vpc_openvpn.identities.store import NEXT, OLD, Store
from vpc_openvpn.identities.writing import Draft, Move
from vpc_openvpn.site.plan import HostPlan, NatPlan


class Stage(IntEnum):
    """How far a rotation has come, in its order."""

    SETTLED = 0
    PREPARED = 1
    SWITCHED = 2
    RETIRED = 3


@dataclass(frozen=True, slots=True)
class Part:
    """A host's key and certificate or, where `zone` is given, the tls-crypt key of the zone's tunnel."""

    host: str = ""
    zone: str = ""

    def key(self, store: Store, which: str = "") -> Path:
        return store.tls_crypt_path(self.zone, which) if self.zone else store.key_path(self.host, which)

    def certificate(self, store: Store, which: str = "") -> Path | None:
        """None for a tunnel, which has none."""
        return None if self.zone else store.certificate_path(self.host, which)

    def __str__(self) -> str:
        return f"tunnel of {self.zone}" if self.zone else self.host


def parts(plans: Mapping[str, HostPlan], hosts: Iterable[str]) -> list[Part]:
    """What is changed with the identities of `hosts`: theirs, and the tls-crypt keys of their tunnels."""
    named = [plans[host] for host in hosts]
    zones = dict.fromkeys(tunnel.zone for plan in named for tunnel in plan.tunnels)
    return [*(Part(host=plan.host) for plan in named), *(Part(zone=zone) for zone in zones)]


def stage(store: Store, part: Part) -> Stage:
    """How far the rotation of this part has come."""
    here = [which for which in (NEXT, OLD) if part.key(store, which).exists()]
    if part.zone:
        return Stage.PREPARED if NEXT in here else Stage.RETIRED if here else Stage.SETTLED
    if store.certificate_path(part.host, NEXT).exists() or here == [NEXT]:
        return Stage.PREPARED
    if store.certificate_path(part.host, OLD).exists() or NEXT in here:
        return Stage.SWITCHED
    return Stage.RETIRED if here else Stage.SETTLED


def under_way(store: Store, plans: Mapping[str, HostPlan]) -> list[Part]:
    """The parts of the site whose rotation has begun and is not finished."""
    return [part for part in parts(plans, plans) if stage(store, part) is not Stage.SETTLED]


def line(plans: Mapping[str, HostPlan], begun: Iterable[Part]) -> str:
    """What to type to go on with the rotation of the parts `begun`."""
    wanted = set(begun)
    for host in sorted(plans, key=lambda host: not isinstance(plans[host], NatPlan)):  # the office has every tunnel
        if wanted <= set(parts(plans, [host])):
            return f"./vpc identities rotate {host}"
    return "./vpc identities rotate all"


def check(store: Store) -> None:
    """Raise CredentialsError where the folder is not as its lock says, or takes no file: for the sake of what is done
    before `prepare`, and cannot be taken back.
    """
    with writing.begun(store) as lock:
        _recipients(store, lock)
        files.try_out(store.folder)


def _recipients(store: Store, lock: Lock) -> list[Recipient]:
    """To whom a new identity is encrypted: to no recipient to whom nothing else is."""
    to = store.recipients()
    if lock.recipients and (new := [each for each in to if each.key not in lock.recipients]):
        raise CredentialsError(
            f"{', '.join(map(str, new))}: in {store.recipients_path}, and no secret is encrypted to that yet. A new"
            " identity would be the first that is.\nDo you know that key? git log -p recipients.txt; then type:"
            " ./vpc identities reencrypt"
        )
    return to


def prepare(store: Store, plans: Mapping[str, HostPlan], wanted: Iterable[Part]) -> Iterator[str]:
    """Make the next identity of each part that lacks one, beside the one that it has; yield a line about each file.

    Raises CredentialsError: before anything is written where a part has no identity yet, or one that cannot be read.
    """
    todo = [part for part in wanted if stage(store, part) <= Stage.PREPARED]
    for part in todo:
        if part.zone:
            store.tls_crypt(part.zone)
        else:
            store.private_key(part.host)
    with writing.begun(store) as lock:
        to = _recipients(store, lock)
        drafts = [
            draft
            for part in todo
            for draft in (
                _next_tls_crypt(store, lock, part, to) if part.zone else _next_host(store, plans[part.host], part, to)
            )
        ]
        for draft in writing.write(store, lock if lock.files else lock.naming(to), None, drafts):
            yield f"created {draft.path}"


def _next_tls_crypt(store: Store, lock: Lock, part: Part, to: Sequence[Recipient]) -> Iterator[Draft]:
    # One that is ours is in the lock before it is written. Another may be an attacker's: age does not sign.
    path = part.key(store, NEXT)
    if not path.exists() or path.name not in lock.files:
        yield writing.secret(path, material.new_static_key(), to, new=not path.exists())


def _next_host(store: Store, plan: HostPlan, part: Part, to: Sequence[Recipient]) -> Iterator[Draft]:
    path, certificate_path = part.key(store, NEXT), store.certificate_path(part.host, NEXT)
    if not certificate_path.exists():
        # The key comes first. One without a certificate is pinned nowhere, and may be an attacker's: age does not sign.
        key = material.new_key()
        yield writing.secret(path, material.key_to_pem(key), to, new=not path.exists())
        role = material.Role.SERVER if isinstance(plan, NatPlan) else material.Role.CLIENT
        certificate = material.certificate(key, part.host, role)
        yield writing.certificate(certificate_path, init.for_people(part.host, certificate), certificate, new=True)


def switch(store: Store, wanted: Iterable[Part]) -> Iterator[str]:
    """Each part that has its next identity gets it; the one that it had is the old one. Yields a line about each."""
    moves: list[Move] = []
    lines = []
    for part in wanted:
        if stage(store, part) is Stage.PREPARED:
            lines.append(f"{part}: the next {'key' if part.zone else 'identity'} is in the place of the old one")
        moves += _switched(store, part)
    writing.rearrange(store, moves)
    yield from lines


def _switched(store: Store, part: Part) -> Iterator[Move]:
    """What is left to be done, in the order in which it has to be done."""
    now = stage(store, part)
    key, following, old = (part.key(store, which) for which in ("", NEXT, OLD))
    if now is Stage.PREPARED:
        yield Move(key, old, keep=True)
        if not part.zone:
            yield Move(store.certificate_path(part.host), store.certificate_path(part.host, OLD), keep=True)
            yield Move(store.certificate_path(part.host, NEXT), store.certificate_path(part.host))
    if now is Stage.PREPARED or (now is Stage.SWITCHED and following.exists()):
        yield Move(following, key)


def retire(store: Store, wanted: Iterable[Part]) -> Iterator[str]:
    """Peers pin the old identity of the parts no more; its key stays until `finish`. Yields a line about each."""
    done = [part for part in wanted if not part.zone and stage(store, part) is Stage.SWITCHED]
    writing.rearrange(store, [Move(store.certificate_path(part.host, OLD)) for part in done])
    yield from (f"{part}: its old certificate is pinned no more" for part in done)


def finish(store: Store, wanted: Iterable[Part]) -> Iterator[str]:
    """The old keys, which no host has any more, are removed. Yields a line about each."""
    done = [part.key(store, OLD) for part in wanted if stage(store, part) is Stage.RETIRED]
    writing.rearrange(store, map(Move, done))
    yield from (f"removed {path}" for path in done)


def discard(store: Store, wanted: Iterable[Part]) -> None:
    """What was prepared for the parts and is in no use goes, and what was old: each is settled with what it has."""
    parts = [*wanted]
    list(switch(store, [part for part in parts if stage(store, part) is Stage.SWITCHED]))  # one that was cut short
    left = [
        path
        for part in parts
        for which in (OLD, NEXT)  # in this order: without the next one an old one would look like a switch cut short
        for path in (part.certificate(store, which), part.key(store, which))
        if path and path.exists()
    ]
    writing.rearrange(store, map(Move, left))
