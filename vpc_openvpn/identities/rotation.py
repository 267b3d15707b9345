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

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from vpc_openvpn.identities import age, files, init, material
from vpc_openvpn.identities.store import NEXT, OLD, Store
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
    for host in plans:
        if wanted <= set(parts(plans, [host])):
            return f"./vpc identities rotate {host}"
    return "./vpc identities rotate all"


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
    to = age.recipients(store.recipients_path)
    for part in todo:
        made = _next_tls_crypt(store, part, to) if part.zone else _next_host(store, plans[part.host], part, to)
        yield from made


def _next_tls_crypt(store: Store, part: Part, to: Sequence[age.Recipient]) -> Iterator[str]:
    path = part.key(store, NEXT)
    if not path.exists():
        files.create(path, age.encrypt(material.new_static_key(), to), init.SECRET)
        yield f"created {path}"


def _next_host(store: Store, plan: HostPlan, part: Part, to: Sequence[age.Recipient]) -> Iterator[str]:
    # The key comes first: its certificate can always be made from it, and is what peers go by.
    key, path = None, part.key(store, NEXT)
    if not path.exists():
        key = material.new_key()
        files.create(path, age.encrypt(material.key_to_pem(key), to), init.SECRET)
        yield f"created {path}"
    path = store.certificate_path(part.host, NEXT)
    if not path.exists():
        role = material.Role.SERVER if isinstance(plan, NatPlan) else material.Role.CLIENT
        certificate = material.certificate(key or store.key(part.host, NEXT), part.host, role)
        files.create(path, init.for_people(part.host, certificate), init.PUBLIC)
        yield f"created {path}"


def switch(store: Store, wanted: Iterable[Part]) -> Iterator[str]:
    """Each part that has its next identity gets it; the one that it had is the old one. Yields a line about each."""
    for part in wanted:
        now = stage(store, part)
        if now is Stage.PREPARED:
            _keep(part.key(store), part.key(store, OLD))
            if part.zone:
                _move(part.key(store, NEXT), part.key(store))
            else:
                _keep(store.certificate_path(part.host), store.certificate_path(part.host, OLD))
                _move(store.certificate_path(part.host, NEXT), store.certificate_path(part.host))
        if not part.zone and now in (Stage.PREPARED, Stage.SWITCHED) and part.key(store, NEXT).exists():
            _move(part.key(store, NEXT), part.key(store))
        if now is Stage.PREPARED:
            yield f"{part}: the next {'key' if part.zone else 'identity'} is in the place of the old one"


def retire(store: Store, wanted: Iterable[Part]) -> Iterator[str]:
    """Peers pin the old identity of the parts no more; its key stays until `finish`. Yields a line about each."""
    for part in wanted:
        if not part.zone and stage(store, part) is Stage.SWITCHED:
            _remove(store.certificate_path(part.host, OLD))
            yield f"{part}: its old certificate is pinned no more"


def finish(store: Store, wanted: Iterable[Part]) -> Iterator[str]:
    """The old keys, which no host has any more, are removed. Yields a line about each."""
    for part in wanted:
        if stage(store, part) is Stage.RETIRED:
            _remove(part.key(store, OLD))
            yield f"removed {part.key(store, OLD)}"


def discard(store: Store, wanted: Iterable[Part]) -> None:
    """What was prepared for the parts and is in no use goes, and what was old: each is settled with what it has."""
    for part in wanted:
        if stage(store, part) is Stage.SWITCHED:
            list(switch(store, [part]))  # one that was cut short
        for which in (NEXT, OLD):
            if certificate := part.certificate(store, which):
                _remove(certificate)
            _remove(part.key(store, which))


def _keep(path: Path, copy: Path) -> None:
    """The file under another name as well. One that is there is of the same step, cut short."""
    try:
        with suppress(FileExistsError):
            copy.hardlink_to(path)
        _flush(path.parent)
    except OSError as error:
        raise files.problem(error, path) from None


def _move(path: Path, place: Path) -> None:
    try:
        path.replace(place)
        _flush(path.parent)
    except OSError as error:
        raise files.problem(error, path) from None


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
        _flush(path.parent)
    except OSError as error:
        raise files.problem(error, path) from None


def _flush(folder: Path) -> None:
    """So that a power cut leaves the steps in their order."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
