"""The operator's age identity (a secret key) and the recipients (public keys) that secrets are encrypted to.

The identity comes from one of these. Both variables at once are refused, so that the operator knows
which key is used:
    AGE_IDENTITY        the text of the key, for CI
    AGE_IDENTITY_FILE   a file that holds it
    ~/.config/vpc-openvpn/age.key, if neither is set
The text is what `age-keygen` writes: comments and one or more AGE-SECRET-KEY-1… lines. Only this module knows
pyrage.
"""

import os
import re
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import pyrage
from pyrage import x25519

from vpc_openvpn.identities import files
from vpc_openvpn.identities.errors import CredentialsError

DEFAULT_FILE = Path("~/.config/vpc-openvpn/age.key")
Recipient: TypeAlias = x25519.Recipient

VARIABLE = "AGE_IDENTITY"
FILE_VARIABLE = "AGE_IDENTITY_FILE"

_OTHER_IDENTITIES = (
    ("AGE-PLUGIN-", "holds an identity of an age plugin"),
    ("-----BEGIN OPENSSH PRIVATE KEY-----", "is an ssh key"),
)
_SSH_KEYS = ("ssh-", "ecdsa-", "sk-")
_ENCRYPTED = ("age-encryption.org/", "-----BEGIN AGE ENCRYPTED FILE-----")


class AgeIdentity:
    """One or more age secret keys. Shows its public keys and where it came from, never more."""

    def __init__(self, keys: Sequence[x25519.Identity], origin: str) -> None:
        self._keys = tuple(keys)
        self.origin = origin
        self.public = tuple(str(key.to_public()) for key in keys)

    def __repr__(self) -> str:
        return f"AgeIdentity({', '.join(self.public)} from {self.origin})"

    def decrypt(self, path: Path) -> str:
        """The text that the file `path` holds encrypted. Raises CredentialsError."""
        data = files.read(path)
        try:
            return pyrage.decrypt(data, self._keys).decode()  # type: ignore[no-any-return]
        except pyrage.DecryptError as error:
            reason = str(error)
        except UnicodeDecodeError:
            reason = "what it holds is not text"
        if "No matching keys" in reason:
            raise CredentialsError(
                f"{path} is not encrypted to you: {', '.join(self.public)}, from {self.origin}.\n"
                f"Use another age identity (set {FILE_VARIABLE}), or ask the owner of a key in "
                f"{path.parent / 'recipients.txt'} to add your public key there, "
                "run `./vpc identities reencrypt` and commit."
            )
        raise CredentialsError(f"{path} is damaged: {reason}.\nRestore it, if it is in git: git restore {path}")


def identity_file() -> Path:
    """The file that the age identity is read from, whether it exists or not."""
    return Path(os.environ.get(FILE_VARIABLE) or DEFAULT_FILE).expanduser()


def identity() -> AgeIdentity:
    """The operator's identity, read anew. Raises CredentialsError if there is none, or it cannot be used."""
    if os.environ.get(VARIABLE):
        if os.environ.get(FILE_VARIABLE):
            raise CredentialsError(f"{VARIABLE} and {FILE_VARIABLE} are both set. Unset one: unset {VARIABLE}")
        return _identity(_parse(os.environ[VARIABLE]), VARIABLE)
    path = identity_file()
    _check_file(path)
    return _identity(_parse(files.read(path, follow=True).decode(errors="replace")), str(path))


def have_identity() -> bool:
    """Whether there is an identity, usable or not."""
    return bool(os.environ.get(VARIABLE)) or identity_file().exists()


def create_identity() -> AgeIdentity:
    """Make an age identity in `identity_file()`, which must not exist yet, for its owner's eyes only."""
    path, key = identity_file(), x25519.Identity.generate()
    files.make_directory(path.parent, mode=0o700)
    try:
        files.create(
            path,
            f"# created: {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}\n# public key: {key.to_public()}\n{key}\n",
            mode=0o600,
        )
    except CredentialsError as error:
        reason = str(error)
    else:
        return AgeIdentity([key], str(path))
    raise CredentialsError(reason)  # anew: the traceback of the first passes through what holds the text


def recipients(path: Path) -> list[Recipient]:
    """The public keys in the file `path`, one per line, beside comments. Raises CredentialsError."""
    found: list[Recipient] = []
    for number, line in enumerate(files.read(path).decode(errors="replace").splitlines(), start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            found.append(x25519.Recipient.from_str(text))
        except pyrage.RecipientError:
            # The line is not quoted: it may be a secret key, put there by mistake.
            wrong = f"{path}, line {number} {_instead_of_a_public_key(text)}"
        else:
            continue
        del line, text
        raise CredentialsError(f"{wrong}.\nWrite one `age1…` per line, as `age-keygen -y` prints it.")
    if not found:
        raise CredentialsError(
            f"{path} lists no key, so no key could decrypt the secrets.\n"
            "Write your age public key there, `age1…`, as `age-keygen -y` prints it."
        )
    return found


def _instead_of_a_public_key(text: str) -> str:
    """What a recipient is that is not an age public key."""
    if re.fullmatch(r"age1.+1[a-z0-9]+", text):  # Bech32: what stands before the last 1 names the plugin
        return "is for an age plugin, which is not supported"
    if text.startswith(_SSH_KEYS):
        return "is an ssh key, which is not supported"
    return "is not an age public key"


def encrypt(text: str, to: Sequence[Recipient]) -> str:
    """`text` encrypted to every one of `to`, as ASCII armour, which git and mail leave alone."""
    return pyrage.encrypt(text.encode(), list(to), armored=True).decode()  # type: ignore[no-any-return]


def _check_file(path: Path) -> None:
    """Refuse a missing file, and, as ssh does, one that others can read."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise CredentialsError(
            f"No age identity, which decrypts the secrets: {path} does not exist.\n"
            f"Put yours there, or set {FILE_VARIABLE} to its path, or {VARIABLE} to its text."
        ) from None
    except OSError as error:
        raise files.problem(error, path) from None
    if stat.S_IMODE(mode) & 0o077:
        raise CredentialsError(
            f"{path} is a secret key, and others than its owner may use it (mode {stat.S_IMODE(mode):04o}).\n"
            f"Run: chmod 600 {path}"
        )


def _parse(text: str) -> list[x25519.Identity] | str:
    """The keys in an identity's text; or what is wrong: an exception's traceback would show the text."""
    if text.startswith(_ENCRYPTED):
        return (
            "is protected by a passphrase, which is not supported.\n"
            f'Decrypt it for one shell: export {VARIABLE}="$(age --decrypt FILE)"'
        )
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines or not all(line.startswith("AGE-SECRET-KEY-1") for line in lines):
        what = next((what for start, what in _OTHER_IDENTITIES if any(line.startswith(start) for line in lines)), "")
        wrong = f"{what}, which is not supported" if what else "holds no age identity"
        return f"{wrong}.\nIt must be what `age-keygen` writes: a line AGE-SECRET-KEY-1…"
    try:
        return [x25519.Identity.from_str(line) for line in lines]
    except pyrage.IdentityError:
        return "holds an age identity that is damaged or cut short.\nRestore it from your backup."


def _identity(parsed: list[x25519.Identity] | str, origin: str) -> AgeIdentity:
    if isinstance(parsed, str):
        raise CredentialsError(f"{origin} {parsed}")
    return AgeIdentity(parsed, origin)
