"""Who can read the secrets: a person is added, removed, checked; the secrets follow recipients.txt.

recipients.txt is what is wished, and it is written first; then the secrets, each whole. A run that was killed between
is completed by `reencrypt`, and `check` sees it. All that can fail (a secret that cannot be read, a plugin that is not
installed) fails before the first file is written.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vpc_openvpn.identities import files, header, recipients, writing
from vpc_openvpn.identities.errors import CredentialsError
from vpc_openvpn.identities.lock import Lock
from vpc_openvpn.identities.recipients import Recipient
from vpc_openvpn.identities.store import Store, are_twins, one_key

ROTATE = "./vpc identities rotate all"
CHECK = "./vpc identities recipients check"


def reencrypt(store: Store, *, accept: bool = False) -> Iterator[str]:
    """Encrypt the secrets that are not encrypted to exactly those in recipients.txt; yield a line about each.

    With `accept` the files may be others than recipients.lock has. Raises CredentialsError.
    """
    with writing.begun(store, accept=accept) as lock:
        to = store.recipients()
        drafts = _drafts(store, lock, to)
        yield from news(store, lock, to)
        yield from _written(store, lock, to, drafts)
        if accept:
            yield "recipients.lock has the files as they are now."
        elif not drafts:
            yield "Nothing to do."
        yield encrypted_to(to)
        yield from _left(store, lock, to)


def add(store: Store, line: str, name: str = "") -> Iterator[str]:
    """Let a person read the secrets; yield what is done.

    `line` is one of recipients.txt, `name` overrides the name in it. Raises CredentialsError, which does not quote the
    line: it may be a secret key.
    """
    new = _parsed(line, name)
    if isinstance(new, str):
        del line
        raise CredentialsError(f"What you typed {new}.\n{recipients.HOW}")
    with writing.begun(store) as lock:
        known = store.recipients()
        for each in known:
            if each.key == new.key:
                raise CredentialsError(f"{each} is a recipient already.\nSee: ./vpc identities recipients list")
        to = [*known, new]
        drafts = _drafts(store, lock, to)
        yield from news(store, lock, known)
        _replace(store, recipients.with_line(_text(store), new))
        yield f"added {new}"
        yield from _written(store, lock, to, drafts)


def remove(store: Store, word: str) -> Iterator[str]:
    """Encrypt the secrets to all but the recipient whose name or key is `word`; yield what is done, and what is left.

    Raises CredentialsError, before anything is written, where no recipient would be left, or none whose key you hold.
    """
    with writing.begun(store) as lock:
        known = store.recipients()
        gone = recipients.find(known, word)
        to = [each for each in known if each != gone]
        if not to:
            raise CredentialsError(
                f"{gone} is the only recipient: without it nothing can be read.\n"
                "Add another first: ./vpc identities recipients add LINE"
            )
        if store.identity().owns(gone) and not any(store.identity().owns(each) for each in to):
            raise CredentialsError(
                f"Yours is the key of none of the others: without {gone} you could read nothing any more.\n"
                "Have it removed by one of the others, or add another key of yours first: "
                "./vpc identities recipients add LINE"
            )
        drafts = _drafts(store, lock, to)
        yield from news(store, lock, known)
        _replace(store, recipients.without(_text(store), gone))
        yield f"removed {gone}"
        yield from _written(store, lock, to, drafts)
        yield from _farewell(gone, _readable(store, lock, gone.key))


@dataclass(frozen=True, slots=True)
class Review:
    """`wrong`: which files are others than `./vpc identities` wrote, and what to type; empty if none is. `notes`: what
    else an operator should know, a line each.
    """

    wrong: str
    notes: Sequence[str]


def review(store: Store) -> Review:
    """What is to be said of the folder before hosts get what it has. Needs no private key, and raises nothing: what a
    host lacks, the store says.
    """
    try:
        lock, sums = store.lock(), store.sums()
    except CredentialsError as error:
        return Review(str(error), [])
    wrong = writing.exchanged(store, lock, sums)
    try:
        to = store.recipients()
    except CredentialsError as error:
        notes = [str(error)]
    else:
        notes = [*news(store, lock, to)] if store.lock_path.exists() else [_no_lock(store)]
        if not notes and not wrong and _stale(store, lock, sums, to):
            notes = [f"Not every secret is encrypted to exactly those in {store.recipients_path}. Type: {CHECK}"]
    return Review("\n".join([*wrong, writing.what_to_type(store)]) if wrong else "", notes)


def problems(store: Store) -> list[str]:
    """Why the folder is not what recipients.txt and recipients.lock say; empty if it is. Needs no private key.

    Raises CredentialsError where a file cannot be read at all.
    """
    files.check_directory(store.folder)
    to = store.recipients()
    if not store.lock_path.exists():
        return [_no_lock(store)]
    lock, sums = store.lock(), store.sums()
    found = [f"{each} is in {store.recipients_path} twice." for each in recipients.doubles(store.recipients_path)]
    if disagreeing := writing.disagreements(store, lock):
        found += ["\n".join([*disagreeing, writing.what_to_type(store)])]
    stale = _stale(store, lock, sums, to)
    found += stale
    found += [one_key(twins) for twins in _twins(store, sums)]
    return [*found, "Type: ./vpc identities reencrypt"] if stale else found


def readers(store: Store) -> dict[Path, frozenset[str] | None]:
    """Who can decrypt each secret, by name: those to whom it is encrypted, by recipients.lock. None where the lock does
    not know the file, or the file's stanzas are those of others.

    Raises CredentialsError where the lock or a file cannot be read at all.
    """
    lock, sums = store.lock(), store.sums()
    names = {each.key: str(each) for each in wished(store)}
    found = dict[Path, frozenset[str] | None]()
    for path in store.secret_paths():
        seal = lock.seal(path.name, sums[path.name])
        known = seal is not None and _fits(path, [recipients.parse(key) for key in seal.to])
        found[path] = frozenset(names.get(key) or _named(lock, key) for key in seal.to) if seal and known else None
    return found


def wished(store: Store) -> list[Recipient]:
    """Who is to read the secrets, by recipients.txt; none where there is no such file."""
    return store.recipients() if store.recipients_path.exists() else []


def encrypted_to(to: Sequence[Recipient]) -> str:
    """A sentence that names them."""
    return f"The secrets are encrypted to exactly: {', '.join(map(str, to))}."


def news(store: Store, lock: Lock, to: Sequence[Recipient]) -> Iterator[str]:
    """Recipients that recipients.lock has not: age does not sign, so who can write to the file can add a line."""
    if not lock.files and not store.secret_paths():  # the first run
        return
    for each in to:
        if each.key not in lock.recipients:
            yield f"{each} is a recipient since the last run. Do you know that key? git log -p recipients.txt"


def _no_lock(store: Store) -> str:
    return (
        f"{store.lock_path} does not exist, so nothing says who can read the secrets.\nType: ./vpc identities reencrypt"
    )


def _stale(store: Store, lock: Lock, sums: Mapping[str, str], to: Sequence[Recipient]) -> list[str]:
    """Secrets that are not encrypted to exactly `to`, as far as the lock and they themselves say, a sentence each."""
    found, names = list[str](), {each.key: str(each) for each in to}
    for path in store.secret_paths():
        seal = lock.seal(path.name, sums[path.name])
        if seal is None:
            if path.name not in lock.files:
                found.append(f"{path} is not in recipients.lock.")
            continue
        for key in sorted({*seal.to} - {*names}):
            found.append(f"{path} is encrypted to {_named(lock, key)}, who is not in recipients.txt.")
        for key in sorted({*names} - {*seal.to}):
            found.append(f"{path} is not encrypted to {names[key]}.")
        if not _fits(path, [recipients.parse(key) for key in seal.to]):
            found.append(f"{path} is not encrypted to those whom recipients.lock has: its stanzas are others.")
    return found


def _drafts(store: Store, lock: Lock, to: Sequence[Recipient]) -> list[writing.Draft]:
    """The secrets that are not encrypted to exactly `to`, encrypted anew."""
    wished, sums = {each.key for each in to}, store.sums()
    stale = []
    for path in store.secret_paths():
        seal = lock.seal(path.name, sums[path.name])
        if seal is None or {*seal.to} != wished or not _fits(path, to):
            stale.append(path)
    if stale:
        store.unlock(store.secret_paths())
    return [writing.encrypted(path, store.encrypted(path, to), to, new=False) for path in stale]


def _written(store: Store, lock: Lock, to: Sequence[Recipient], drafts: Sequence[writing.Draft]) -> Iterator[str]:
    for draft in writing.write(store, lock, to, drafts):
        yield f"encrypted {draft.path} for {len(to)}"
    if drafts and not any(store.identity().owns(each) for each in to):
        yield f"You can read them no more: none of the {len(to)} keys is yours."


def _left(store: Store, lock: Lock, to: Sequence[Recipient]) -> Iterator[str]:
    """What recipients could read who are in recipients.lock and no more in recipients.txt."""
    for key in {*lock.recipients} - {each.key for each in to}:
        gone = Recipient(key, lock.recipients[key])
        yield f"{gone} is no recipient any more"
        # All of them: a run that was killed may have written some already, and the lock has forgotten who read those.
        yield from _farewell(gone, store.secret_paths())


def _farewell(gone: Recipient, secrets: Sequence[Path]) -> Iterator[str]:
    yield f"{gone} could read these secrets, and may have kept them:"
    yield from (f"  {path.name}" for path in secrets)
    yield "Removing takes nothing back. Commit this, then give the hosts and the tunnels new ones, and deploy:"
    yield ROTATE


def _readable(store: Store, lock: Lock, key: str) -> list[Path]:
    """Secrets that were encrypted to `key`; all where the lock does not say."""
    found = []
    for path in store.secret_paths():
        seal = lock.files[path.name].now if path.name in lock.files else None
        if seal is None or key in seal.to:
            found.append(path)
    return found


def _parsed(line: str, name: str) -> Recipient | str:
    if len(line.strip().splitlines()) > 1:
        return "is more than one line"
    found = recipients.parse(line)
    if not isinstance(found, Recipient):
        return found or "is no public key"
    if not name:
        return found
    if "#" in name or not name.isprintable():
        return "has a name with a # or with characters that cannot be printed"
    return Recipient(found.key, name.strip(), found.kind)


def _fits(path: Path, to: Sequence[Recipient | str | None]) -> bool:
    """Whether the stanzas of the file `path` can be those of `to`."""
    found = header.parse(files.read(path))
    return found is not None and found.fits([each for each in to if isinstance(each, Recipient)])


def _named(lock: Lock, key: str) -> str:
    return str(Recipient(key, lock.recipients.get(key, "")))


def _twins(store: Store, sums: dict[str, str]) -> list[list[Path]]:
    same = defaultdict(list)
    for path in store.secret_paths():
        same[sums[path.name]].append(path)
    return [paths for paths in same.values() if are_twins(paths)]


def _text(store: Store) -> str:
    return files.read(store.recipients_path).decode("utf-8-sig")


def _replace(store: Store, text: str) -> None:
    files.replace(store.recipients_path, text, writing.PUBLIC)
