"""The operator's private ssh keys: what is wrong with a file is found before anything connects.

A key with a passphrase is used through the ssh agent (SSH_AUTH_SOCK) where that holds it. Otherwise its passphrase is
asked for, once a typed line, where there is a terminal.
"""

import base64
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from shlex import quote

import paramiko
from paramiko import ECDSAKey, Ed25519Key, Message, PasswordRequiredException, PKey, RSAKey, SSHException
from pyinfra.api import State as PyinfraState
from pyinfra.api.exceptions import ConnectError
from pyinfra.connectors import ssh as connector

from vpc_openvpn import terminal
from vpc_openvpn.site.load import SiteError

TRIES = 3  # for a passphrase
_OPENSSH = "-----BEGIN OPENSSH PRIVATE KEY-----"
_MAGIC = b"openssh-key-v1\0"  # OpenSSH's PROTOCOL.key


class UnusableKeyError(SiteError):
    """`why` follows on from the file's name; `instead` says what to type or to write."""

    def __init__(self, file: Path, why: str, instead: str) -> None:
        super().__init__(f"The ssh key {file} {why}: {instead}")
        self.why, self.instead = why, instead


@cache
def find(file: Path) -> PKey | None:
    """The key, from its file or from the agent; None where the terminal has to be asked for its passphrase.

    Raises UnusableKeyError.
    """
    text = _text(file)
    try:
        return _opened(file)
    except PasswordRequiredException:
        locked = True
    except SSHException:
        locked = False
    if key := _in_agent(_public(file, text)):
        return key
    if not locked:
        raise UnusableKeyError(
            file,
            "is not a private key in a format that can be read",
            f"convert it to OpenSSH's, if it is a key: ssh-keygen -p -f {quote(str(file))}",
        )
    if not terminal.can_open(str(file)):
        raise UnusableKeyError(
            file,
            "has a passphrase; the ssh agent does not hold it, and there is no terminal to ask on",
            f"add it to an agent: eval $(ssh-agent); ssh-add {quote(str(file))}",
        )
    return None


@cache
def load(file: Path) -> PKey:
    """As `find`, and asks for the passphrase where that is needed."""

    def unlock(passphrase: str) -> PKey | None:
        with suppress(SSHException):
            return _opened(file, passphrase)
        print("That is not its passphrase.", file=sys.stderr)
        return None

    question = f"Passphrase of {file} (asked once; `ssh-add {quote(str(file))}` spares it): "
    key = find(file)
    if key is None:
        with suppress(terminal.NoTerminalError):
            key = terminal.opened(str(file), unlock, question, TRIES)
    if key is None:
        raise UnusableKeyError(file, "has another passphrase", f"add it to an agent: ssh-add {quote(str(file))}")
    return key


def adopt() -> None:
    """Have pyinfra load keys so. Its own way asks for a passphrase whatever the agent holds, and ends in tracebacks."""
    vars(connector)["get_private_key"] = _for_pyinfra


def _for_pyinfra(_state: PyinfraState, key_filename: str, key_password: str | None) -> PKey:
    file = Path(key_filename).expanduser()
    try:
        return _opened(file, key_password) if key_password else load(file)
    except UnusableKeyError as error:
        raise ConnectError(str(error)) from None
    except SSHException as error:
        raise ConnectError(f"The ssh key {file} cannot be used ({error})") from None


def _text(file: Path) -> str:
    """What is in the file; the key's kind is not known yet."""
    try:
        text = file.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        why, instead = "there is no such file", "write the name of your private key's file"
    except IsADirectoryError:
        why, instead = "is a folder", f"write the name of the key in it, such as {file / 'id_ed25519'}"
    except PermissionError:
        why, instead = "cannot be read", f"type: sudo chown $USER {quote(str(file))}; chmod 600 {quote(str(file))}"
    except OSError as error:
        why, instead = f"cannot be read: {error.strerror}", "write the name of your private key's file"
    else:
        if text.startswith(("ssh-", "ecdsa-", "sk-")) or " PUBLIC KEY-----" in text.partition("\n")[0]:
            private = file.with_suffix("") if file.suffix == ".pub" else "the name of the private key's file"
            raise UnusableKeyError(file, "is a public key", f"write {private}")
        if text.startswith("PuTTY-User-Key-File"):
            old, new = quote(str(file)), quote(str(file.with_suffix(".openssh")))
            raise UnusableKeyError(
                file,
                "is in PuTTY's format",
                f"convert it: puttygen {old} -O private-openssh-new -o {new}",
            )
        return text
    raise UnusableKeyError(file, why, instead)


def _opened(file: Path, passphrase: str | None = None) -> PKey:
    """The key in the file, with the certificate beside it if there is one.

    Raises PasswordRequiredException, or another SSHException where this is no key or not its passphrase.
    """
    for kind in (RSAKey, ECDSAKey, Ed25519Key):
        try:
            key = kind.from_private_key_file(str(file), passphrase)
        except PasswordRequiredException:
            raise
        except Exception:  # whatever paramiko's parser meets in a file that is not a key of this kind
            continue
        certificate = Path(f"{file}-cert.pub")
        if certificate.is_file():
            key.load_certificate(str(certificate))
        return key
    raise SSHException("no key")


def _public(file: Path, text: str) -> bytes | None:
    """The public half: OpenSSH's format has it in the clear, for others there is the file beside."""
    with suppress(ValueError, IndexError, OSError, SSHException):
        if text.startswith(_OPENSSH):
            body = Message(base64.b64decode("".join(text.strip().splitlines()[1:-1])).removeprefix(_MAGIC))
            for _ in ("cipher", "kdf", "its options"):
                body.get_binary()
            body.get_int()  # how many keys: one
            return body.get_binary()
        return base64.b64decode(Path(f"{file}.pub").read_text(encoding="utf-8").split()[1])
    return None


def _in_agent(public: bytes | None) -> PKey | None:
    try:
        agent = paramiko.Agent()
    except (SSHException, OSError):  # one that was there
        return None
    for key in agent.get_keys():
        if key.blob == public:
            return key  # signs through this connection, for as long as the run goes on
    agent.close()
    return None
