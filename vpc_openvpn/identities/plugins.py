"""Keys of age's plugins, such as a YubiKey's: pyrage starts the program age-plugin-NAME, which has to be on the PATH.

Decision record 0023 has why it is not the program `age` that does it.
"""

import sys
from collections.abc import Callable, Sequence
from shutil import which
from typing import TypeVar

import pyrage
from pyrage import plugin

from vpc_openvpn import terminal
from vpc_openvpn.identities.errors import CredentialsError

T = TypeVar("T")


class _Terminal:
    """What plugins ask and say, at the operator's terminal. pyrage ends the process if one of these raises."""

    def display_message(self, message: str) -> None:
        print(_printable(message), file=sys.stderr, flush=True)

    def confirm(self, message: str, _yes: str, _no: str | None) -> bool | None:
        answer = _or_none(terminal.ask, f"{_printable(message)} [y/N] ")
        return None if answer is None else answer.strip().lower() in {"y", "yes"}

    def request_public_string(self, description: str) -> str | None:
        return _or_none(terminal.ask, f"{_printable(description)}: ")

    def request_passphrase(self, description: str) -> str | None:
        return _or_none(terminal.ask_secret, f"{_printable(description)}: ") or None


def recipients(name: str, keys: Sequence[str]) -> plugin.RecipientPluginV1:
    """What encrypts to `keys`, public ones of the plugin `name`. Raises CredentialsError where it is not installed."""
    _need(name, "recipients.txt lists a key of it")
    found = [plugin.Recipient.from_str(key) for key in keys]
    return _or_say(name, lambda: plugin.RecipientPluginV1(name, found, [], _Terminal()))


def identity(line: str) -> plugin.IdentityPluginV1 | str:
    """What decrypts with the identity AGE-PLUGIN-NAME-1…; or why not."""
    try:
        key = plugin.Identity.from_str(line)
        name = key.plugin()
        if not installed(name):
            return f"holds a key of an age plugin, whose program {program(name)} is not on the PATH.\nInstall it."
        return plugin.IdentityPluginV1(name, [key], _Terminal())
    except (pyrage.IdentityError, pyrage.DecryptError):
        return "holds an identity of an age plugin that is damaged or cut short.\nRestore it from your backup."


def program(name: str) -> str:
    return f"age-plugin-{name}"


def installed(name: str) -> bool:
    return which(program(name)) is not None


def _need(name: str, why: str) -> None:
    if not installed(name):
        raise CredentialsError(
            f"{program(name)} is not on the PATH, and {why}.\n"
            f"Install that program, and type it again; or take the key out: ./vpc identities recipients list"
        )


def _or_say(name: str, make: Callable[[], T]) -> T:
    try:
        return make()
    except pyrage.EncryptError:
        pass
    raise CredentialsError(f"{program(name)} does not start. Try it by hand: {program(name)} --version")


def _or_none(ask: Callable[[str], str | None], question: str) -> str | None:
    try:
        return ask(question)
    except KeyboardInterrupt:
        return None


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)
