"""An ssh-ed25519 private key, which decrypts what was encrypted to its public one; with a passphrase or without.

pyrage reads no ssh key that has a passphrase: `cryptography` decrypts it, in memory, after a question on the terminal.
What is wrong comes back as text, and not as an exception, whose traceback could show the key or the passphrase.
"""

import base64
import binascii
import struct
from dataclasses import dataclass
from functools import partial
from shlex import quote

import pyrage
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from pyrage import ssh

from vpc_openvpn import terminal

BEGIN = "-----BEGIN OPENSSH PRIVATE KEY-----"
_END = "-----END OPENSSH PRIVATE KEY-----"
_MAGIC = b"openssh-key-v1\0"


@dataclass(frozen=True)
class SshKey:
    """A private key as its file has it. Shows its public key and nothing else."""

    public: str
    has_passphrase: bool
    _text: str

    def __repr__(self) -> str:
        return f"SshKey({self.public})"

    def open(self, origin: str) -> ssh.Identity | str:
        """What decrypts; or why not. Asks for the passphrase where there is one; `origin` is the key's file."""
        if not self.has_passphrase:
            return _identity(self._text)
        try:
            found = terminal.opened(origin, partial(self._opened, origin), f"Passphrase of {origin}: ")
        except terminal.NoTerminalError:
            return (
                "is protected by a passphrase, and there is no terminal to ask for it on.\n"
                "In CI, give it a key of its own: docs/keys-and-people.md"
            )
        return found or "is protected by another passphrase than that.\nType it again."

    def _opened(self, origin: str, passphrase: str) -> ssh.Identity | str | None:
        """None: it is another passphrase than this."""
        try:
            key = serialization.load_ssh_private_key(self._text.encode(), passphrase.encode())
            plain = key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
            )
        except UnsupportedAlgorithm:
            advice = f"ssh-keygen -p -Z aes256-ctr -f {quote(origin)}"
            return f"has a passphrase by a cipher that is not supported.\nType: {advice}"
        except Exception:  # each cipher has its own, whose traceback would show the passphrase
            return None
        return _identity(plain.decode())


def parse(text: str) -> SshKey | str:
    """The key in a file's `text`; or what is wrong."""
    try:
        body = text.strip().removeprefix(BEGIN).partition(_END)
        data = base64.b64decode(body[0].replace("\r", "").replace("\n", ""), validate=True)
        if not (body[1] and data.startswith(_MAGIC)):
            return _DAMAGED
        cipher, rest = _string(data[len(_MAGIC) :])
        _, rest = _string(rest)
        _, rest = _string(rest)
        blob, _ = _string(rest[4:])
        kind, _ = _string(blob)
    except (binascii.Error, struct.error, ValueError):
        return _DAMAGED
    if kind != b"ssh-ed25519":
        return f"is an ssh key of the kind {kind.decode(errors='replace')!r}, and only ssh-ed25519 is supported"
    return SshKey(f"ssh-ed25519 {base64.b64encode(blob).decode()}", cipher != b"none", text)


_DAMAGED = "holds an ssh key that is damaged or cut short.\nRestore it from your backup."


def _string(data: bytes) -> tuple[bytes, bytes]:
    """The first string in `data` (RFC 4251, 5), and what follows it."""
    (length,) = struct.unpack_from(">I", data)
    if length > len(data) - 4:
        raise ValueError
    return data[4 : 4 + length], data[4 + length :]


def _identity(text: str) -> ssh.Identity | str:
    try:
        return ssh.Identity.from_buffer(text.encode())
    except pyrage.IdentityError:
        return _DAMAGED
