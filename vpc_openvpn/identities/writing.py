"""Writing to the store: a draft of every file is in memory, and in recipients.lock, before the first is written.

    with writing.begun(store, accept=False) as lock:       # this run alone; the folder is as the lock says
        drafts = [writing.secret(path, text, to), writing.certificate(path, text)]
        for draft in writing.write(store, lock, to, drafts):
            ...                                            # it is on the disk

A process that was killed at any instant leaves each file old or new, and a lock that knows both.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

from cryptography import x509

from vpc_openvpn.identities import age, files, material
from vpc_openvpn.identities import lock as locks
from vpc_openvpn.identities.errors import CredentialsError
from vpc_openvpn.identities.lock import Lock, Seal
from vpc_openvpn.identities.recipients import Recipient
from vpc_openvpn.identities.store import NEXT, OLD, Store, sum_of
from vpc_openvpn.site.plan import HostPlan

# A secret file is ciphertext, for which git keeps no mode: this is the second lock, not the first.
SECRET, PUBLIC = 0o600, 0o644

OURS = ("recipients.*", "*.crt", "*.age")

ACCEPT = "./vpc identities reencrypt --accept"


@dataclass(frozen=True)
class Draft:
    """A file to be: a secret's text is encrypted already. One that is `new` overwrites nothing."""

    path: Path
    text: str
    seal: Seal
    new: bool


def secret(path: Path, text: str, to: Sequence[Recipient], *, new: bool) -> Draft:
    """`text` encrypted to `to`, for the file `path`."""
    try:
        return encrypted(path, age.encrypt(text, to), to, new=new)
    except CredentialsError as error:
        reason = str(error)
    del text
    raise CredentialsError(reason)  # anew: the traceback of the first passes through what holds the text


def encrypted(path: Path, text: str, to: Sequence[Recipient], *, new: bool) -> Draft:
    """`text`, which is encrypted to `to`, for the file `path`."""
    return Draft(path, text, Seal(sum_of(text.encode()), tuple(each.key for each in to)), new)


def certificate(path: Path, text: str, cert: x509.Certificate, *, new: bool) -> Draft:
    """A certificate's file: `text` has the lines for people, and the PEM of `cert`."""
    return Draft(path, text, Seal(material.fingerprint(cert)), new)


@contextmanager
def begun(store: Store, *, accept: bool = False, plans: Mapping[str, HostPlan] | None = None) -> Iterator[Lock]:
    """While the block runs no other process of ours writes to the store; yields what recipients.lock says.

    Raises CredentialsError where the files are not those of the lock, unless `accept`: then they are unknown to it.
    With `plans`, which is for `init`, files that are gone may be those that no host of these needs, and certificates
    whose key is there.
    """
    files.check_directory(store.folder)
    if not store.folder.exists():
        raise CredentialsError(f"{store.folder} does not exist.\nType: ./vpc identities init")
    with files.exclusive(store.folder, *OURS):
        yield _accepted(store) if accept else _agreed(store, plans)


def write(store: Store, lock: Lock, to: Sequence[Recipient] | None, drafts: Sequence[Draft]) -> Iterator[Draft]:
    """Write the files, and yield each once it is there. Raises CredentialsError.

    `to` are the recipients that every secret is encrypted to after that; None where others are left as they are.
    """
    planned = lock.planning({draft.path.name: draft.seal for draft in drafts})
    if drafts:
        _save(store, planned)
    for draft in drafts:
        mode = SECRET if draft.seal.to else PUBLIC
        (files.create if draft.new else files.replace)(draft.path, draft.text, mode)
        yield draft
    sums = store.sums()
    old = {name: Seal(sum_) for name, sum_ in sums.items() if name.endswith(".crt") and name not in planned.files}
    planned = planned.planning(old)  # those that were there before there was a lock
    _save(store, (planned if to is None else planned.naming(to)).settled(sums))


@dataclass(frozen=True)
class Move:
    """A file of the folder that is to be `place`, which it replaces; with `keep` it stays where it is as well, and
    replaces nothing. Without a `place` it is removed.
    """

    path: Path
    place: Path | None = None
    keep: bool = False


def rearrange(store: Store, moves: Iterable[Move]) -> None:
    """Move files, one after the other. Raises CredentialsError."""
    moves = [*moves]
    if not moves:
        return
    with begun(store) as lock:
        seals = {name: entry.now for name, entry in lock.files.items()}
        for each in moves:
            seal = seals.get(each.path.name) if each.keep else seals.pop(each.path.name, None)
            if each.place and not (each.keep and each.place.name in seals):
                seals[each.place.name] = seal
        concerned = {path.name for each in moves for path in (each.path, each.place) if path}
        planned = lock.moving({name: seals.get(name) for name in concerned})
        _save(store, planned)
        for each in moves:
            if each.place is None:
                files.remove(each.path)
            elif each.keep:
                files.keep(each.path, each.place)
            else:
                files.move(each.path, each.place)
        _save(store, planned.settled(store.sums()))


def disagreements(store: Store, lock: Lock) -> list[str]:
    """Where the files are not those of the lock, by name."""
    sums = store.sums()
    found = exchanged(store, lock, sums)
    for name in lock.lost(sums):
        path = store.folder / name
        more = ": `./vpc identities init` makes it from its key" if path in _made_again(store, lock, sums) else ""
        found.append(f"{path} is missing, and recipients.lock has it{more}.")
    return found


def exchanged(store: Store, lock: Lock, sums: Mapping[str, str]) -> list[str]:
    """Files that are here, and others than those of the lock; `sums` has what they are."""
    found = list[str]()
    for name in lock.others(sums):
        entry, path = lock.files[name], store.folder / name
        if path.suffix == ".crt" and entry.now:
            found.append(
                f"The identity of {path.stem} is another than recipients.lock has: "
                f"{sums[name]}, and it was {entry.now.sum}."
            )
        else:
            found.append(f"{path} is another file than recipients.lock has.")
    # It begins with every certificate, and peers pin what is here. It has each key of a rotation before that is there:
    # another may be an attacker's, because age does not sign. (A host's only key may be older than the lock.)
    if lock.files:
        for name in sorted({*sums} - {*lock.files}):
            if name.endswith(".crt"):
                found.append(f"{store.folder / name} is not in recipients.lock: {sums[name]}.")
            elif name.endswith((f".{NEXT}.key.age", f".{OLD}.key.age")):
                found.append(f"{store.folder / name} is not in recipients.lock; who wrote it may know what it holds.")
    return found


def what_to_type(store: Store) -> str:
    """How to go on where files and lock disagree."""
    return (
        "A backup was restored, a file was lost, or another than `./vpc identities` wrote it. "
        f"Look: git log --stat -- {quote(str(store.folder))}\n"
        f"Restore it: git restore {quote(str(store.folder))}\n"
        f"If the files are as they should be: {ACCEPT}"
    )


def _agreed(store: Store, plans: Mapping[str, HostPlan] | None) -> Lock:
    lock = store.lock()
    if plans is not None:
        needed = {path.name for path in store.needed(plans)}
        sums = store.sums()
        made = {path.name for path in _made_again(store, lock, sums)}
        lock = lock.without([name for name in lock.lost(sums) if name not in needed or name in made])
    if wrong := disagreements(store, lock):
        raise CredentialsError("\n".join([*wrong, what_to_type(store)]))
    return lock


def _made_again(store: Store, lock: Lock, sums: Mapping[str, str]) -> set[Path]:
    """Certificates that are gone, and whose key is there."""
    gone = [store.folder / name for name in lock.lost(sums) if name.endswith(".crt") and name.count(".") == 1]
    return {path for path in gone if store.key_path(path.stem).name in sums}


def _accepted(store: Store) -> Lock:
    try:
        return store.lock().accepting(store.sums())
    except CredentialsError:
        files.read(store.lock_path)  # what is no file is not replaced
        return Lock()


def _save(store: Store, lock: Lock) -> None:
    text = locks.text(replace(lock, site=store.site or lock.site))
    if not os.path.lexists(store.lock_path) or files.read(store.lock_path).decode(errors="replace") != text:
        files.replace(store.lock_path, text, PUBLIC)
