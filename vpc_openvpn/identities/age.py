"""The operator's identity, which decrypts the secrets, and their encryption to recipients.

The identity comes from one of these. Both variables at once are refused, so that the operator knows
which key is used:
    AGE_IDENTITY        the text of the key, for CI
    AGE_IDENTITY_FILE   a file that holds it
    ~/.config/vpc-openvpn/age.key and ~/.ssh/id_ed25519, those that exist, if neither is set
The text is what `age-keygen` writes, comments and one or more AGE-SECRET-KEY-1… lines, which may also be a plugin's,
AGE-PLUGIN-…; or an OpenSSH private key. Its passphrase is asked for when a file is met that no other key decrypts,
once a typed line.
"""

import os
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import Any

import pyrage
from pyrage import ssh, x25519

from vpc_openvpn.identities import files, header, plugins, ssh_key
from vpc_openvpn.identities.errors import CredentialsError
from vpc_openvpn.identities.recipients import AGE, PLUGIN, SSH, Recipient
from vpc_openvpn.identities.ssh_key import SshKey

DEFAULT_FILE = Path("~/.config/vpc-openvpn/age.key")
SSH_FILE = Path("~/.ssh/id_ed25519")

VARIABLE = "AGE_IDENTITY"
FILE_VARIABLE = "AGE_IDENTITY_FILE"

PEOPLE = "docs/keys-and-people.md"

_NO_KEY = "No matching keys"  # pyrage's words

_ENCRYPTED = ("age-encryption.org/", header.BEGIN)


class AgeIdentity:
    """The keys of an operator. Shows its public keys and where it came from, never more.

    A plugin's key has no public one here; `plugins` has the plugins' names. `why_not` says what is wrong with a key
    that could have been used.
    """

    def __init__(
        self, keys: Sequence[Any], public: Sequence[str], origin: str, locked: Sequence[tuple[str, SshKey]] = ()
    ) -> None:
        self._keys = list(keys)
        self._locked = list(locked)
        self.origin = origin
        self.public = (*public, *(key.public for _, key in locked))
        self.plugins: tuple[str, ...] = ()
        self.why_not = ""

    def __repr__(self) -> str:
        return f"AgeIdentity({', '.join(self.public)} from {self.origin})"

    @property
    def has_passphrase(self) -> bool:
        """Whether one of the keys cannot be used before its passphrase is known."""
        return bool(self._locked)

    def owns(self, recipient: Recipient) -> bool:
        """Whether this decrypts what is encrypted to `recipient`; of a plugin's, whether it may."""
        return recipient.key in self.public or (recipient.kind == PLUGIN and recipient.plugin in self.plugins)

    def decrypt(self, path: Path) -> str:
        """The text that the file `path` holds encrypted. Raises CredentialsError."""
        data = files.read(path)
        if files.has_conflict(data):
            raise CredentialsError(
                f"{path} is two versions that git could not merge.\n"
                f"Take one: git checkout --theirs {quote(str(path))} (or --ours), then: "
                "./vpc identities reencrypt --accept"
            )
        text, reason = self._decrypted(data)
        if text is None and _NO_KEY in reason and self._unlock(data):
            text, reason = self._decrypted(data)
        if text is not None:
            return text
        if _NO_KEY in reason:
            raise CredentialsError(
                f"{path} is not encrypted to you: {', '.join(self.public)}, from {self.origin}.\n{self.why_not}"
                f"Use another age identity (set {FILE_VARIABLE}), or ask the owner of a key in "
                f"{path.parent / 'recipients.txt'} to type `./vpc identities recipients add` and your public key, "
                "and to commit."
            )
        raise CredentialsError(
            f"{path} is damaged: {reason}.\nRestore it, if it is in git: git restore {quote(str(path))}"
        )

    def _decrypted(self, data: bytes) -> tuple[str | None, str]:
        """The text that is encrypted in `data`, or why not."""
        if not self._keys:
            return None, _NO_KEY if header.parse(data) else "it is no file of age's"
        try:
            return pyrage.decrypt(data, self._keys).decode(), ""
        except pyrage.DecryptError as error:
            return None, str(error)
        except UnicodeDecodeError:
            return None, "what it holds is not text"

    def _unlock(self, data: bytes) -> bool:
        """Ask for the passphrase of each ssh key that `data` is encrypted to; whether there is one.

        Raises CredentialsError.
        """
        found, before = header.parse(data), len(self._keys)
        for locked in list(self._locked):
            origin, key = locked
            if found is None or header.tag(key.public) not in found.ssh:
                continue
            opened = key.open(origin)
            if isinstance(opened, str):
                raise CredentialsError(f"{origin} {opened}")
            self._keys.append(opened)
            self._locked.remove(locked)
        return len(self._keys) > before


def identity_file() -> Path:
    """The file that the age identity is read from, whether it exists or not."""
    return Path(os.environ.get(FILE_VARIABLE) or DEFAULT_FILE).expanduser()


def identity() -> AgeIdentity:
    """The operator's identity, read anew. Raises CredentialsError if there is none, or it cannot be used."""
    if os.environ.get(VARIABLE):
        if os.environ.get(FILE_VARIABLE):
            raise CredentialsError(f"{VARIABLE} and {FILE_VARIABLE} are both set. Unset one: unset {VARIABLE}")
        return _usable(_parse(os.environ[VARIABLE], VARIABLE), VARIABLE)
    path, own_ssh = identity_file(), SSH_FILE.expanduser()
    if os.environ.get(FILE_VARIABLE) or not own_ssh.exists():
        return _from_file(path)
    if not path.exists():
        return _from_file(own_ssh)
    both = _from_file(path)
    try:
        more = _from_file(own_ssh)
    except CredentialsError as error:
        both.why_not = f"{error}\n"
        return both
    return _joined(both, more)


def have_identity() -> bool:
    """Whether there is an age identity, usable or not."""
    return bool(os.environ.get(VARIABLE)) or identity_file().exists()


def create_identity() -> AgeIdentity:
    """Make an age identity in `identity_file()`, which must not exist yet, for its owner's eyes only."""
    path, key = identity_file(), x25519.Identity.generate()
    files.make_directory(path.parent, mode=0o700)
    try:
        with files.exclusive(path.parent, path.name):
            files.create(
                path,
                f"# created: {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}\n# public key: {key.to_public()}\n{key}\n",
                mode=0o600,
            )
    except CredentialsError as error:
        reason = str(error)
    else:
        return AgeIdentity([key], [str(key.to_public())], str(path))
    raise CredentialsError(reason)  # anew: the traceback of the first passes through what holds the text


def encrypt(text: str, to: Sequence[Recipient]) -> str:
    """`text` encrypted to every one of `to`, as ASCII armour, which git and mail leave alone.

    Raises CredentialsError where a plugin that a key needs is not installed.
    """
    encrypted = _encrypted(text, to)
    if isinstance(encrypted, CredentialsError):
        del text
        raise encrypted
    return encrypted


def _encrypted(text: str, to: Sequence[Recipient]) -> str | CredentialsError:
    keys: list[Any] = [x25519.Recipient.from_str(each.key) for each in to if each.kind == AGE]
    keys += [ssh.Recipient.from_str(each.key) for each in to if each.kind == SSH]
    of_plugins = [each for each in to if each.kind == PLUGIN]
    try:
        for name in sorted({each.plugin for each in of_plugins}):
            keys.append(plugins.recipients(name, [each.key for each in of_plugins if each.plugin == name]))
        return pyrage.encrypt(text.encode(), keys, armored=True).decode()  # type: ignore[no-any-return]
    except CredentialsError as error:
        reason = str(error)
    except pyrage.EncryptError as error:
        reason = f"The secrets cannot be encrypted: {error}.\nSee: ./vpc identities recipients list"
    return CredentialsError(reason)


def _from_file(path: Path) -> AgeIdentity:
    _check_file(path)
    return _usable(_parse(files.read(path, follow=True).decode(errors="replace"), str(path)), str(path))


def _joined(first: AgeIdentity, second: AgeIdentity) -> AgeIdentity:
    both = AgeIdentity(
        [*first._keys, *second._keys], first.public, f"{first.origin} and {second.origin}", second._locked
    )
    both.public = (*first.public, *second.public)
    both.plugins = first.plugins
    return both


def _check_file(path: Path) -> None:
    """Refuse a missing file, and, as ssh does, one that others can read."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise CredentialsError(
            f"No age identity, which decrypts the secrets: {path} does not exist.\n"
            f"Put yours there, or set {FILE_VARIABLE} to its path, or {VARIABLE} to its text. An ssh key in {SSH_FILE}"
            f" does, too.\nIf it is lost for good: {PEOPLE}"
        ) from None
    except OSError as error:
        raise files.problem(error, path) from None
    if not stat.S_ISREG(mode):
        raise CredentialsError(f"{path} is no file.\nSet {FILE_VARIABLE} to a file, or {VARIABLE} to the key's text.")
    if stat.S_IMODE(mode) & 0o077:
        raise CredentialsError(
            f"{path} is a secret key, and others than its owner may use it (mode {stat.S_IMODE(mode):04o}).\n"
            f"Run: chmod 600 {quote(str(path))}"
        )


def _parse(text: str, origin: str) -> AgeIdentity | str:
    """The identity in a text; or what is wrong: an exception's traceback would show the text."""
    if text.startswith(_ENCRYPTED):
        return (
            "is protected by a passphrase, which is not supported.\n"
            f'Decrypt it for one shell: export {VARIABLE}="$(age --decrypt FILE)"'
        )
    if text.lstrip().startswith(ssh_key.BEGIN):
        key = ssh_key.parse(text)
        return key if isinstance(key, str) else AgeIdentity([], [], origin, [(origin, key)])
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines or not all(line.startswith(("AGE-SECRET-KEY-1", "AGE-PLUGIN-")) for line in lines):
        return "holds no age identity.\nIt must be what `age-keygen` writes: a line AGE-SECRET-KEY-1…"
    try:
        own = [x25519.Identity.from_str(line) for line in lines if line.startswith("AGE-SECRET-KEY-1")]
    except (pyrage.IdentityError, UnicodeEncodeError):
        return "holds an age identity that is damaged or cut short.\nRestore it from your backup."
    of_plugins: list[Any] = []
    for line in lines:
        if line.startswith("AGE-PLUGIN-"):
            found = plugins.identity(line)
            if isinstance(found, str):
                return found
            of_plugins.append(found)
    identity = AgeIdentity([*own, *of_plugins], [str(key.to_public()) for key in own], origin)
    identity.plugins = tuple(
        line.rpartition("-1")[0].removeprefix("AGE-PLUGIN-").lower() for line in lines if line.startswith("AGE-PLUGIN-")
    )
    return identity


def _usable(parsed: AgeIdentity | str, origin: str) -> AgeIdentity:
    if isinstance(parsed, str):
        raise CredentialsError(f"{origin} {parsed}")
    return parsed
