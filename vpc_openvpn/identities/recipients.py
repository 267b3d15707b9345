"""recipients.txt: the public keys that secrets are encrypted to, one a line, and the people who hold the private ones.

    age1…  # NAME               as `age-keygen -y` prints it
    ssh-ed25519 AAAA… NAME      as in ~/.ssh/id_ed25519.pub and authorized_keys
    age1PLUGIN1…  # NAME        of a plugin, such as age-plugin-yubikey

Lines that begin with # are comments. A byte order mark and CRLF are read, and gone once we write the file.
No line is quoted in an error: it may be a secret key, put there by mistake.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyrage
from pyrage import plugin, ssh, x25519

from vpc_openvpn.identities import files
from vpc_openvpn.identities.errors import CredentialsError

AGE, SSH, PLUGIN = "age", "ssh", "plugin"
HOW = "Write one recipient a line: age1… (`age-keygen -y` prints it), or ssh-ed25519 AAAA… NAME."

_PLUGIN = re.compile(r"age1([a-z0-9+._-]+)1[02-9ac-hj-np-z]+")  # Bech32: what stands before the last 1 names the plugin
_OTHER_SSH = ("ssh-", "ecdsa-", "sk-")
_SECRET = ("AGE-SECRET-KEY-", "AGE-PLUGIN-", "-----BEGIN ")


@dataclass(frozen=True)
class Recipient:
    """`key` is a public key in the one way in which it is written, `name` its owner, as far as the line says."""

    key: str
    name: str = ""
    kind: str = AGE

    def __str__(self) -> str:
        return f"{self.name} ({self.short})" if self.name else self.short

    @property
    def short(self) -> str:
        """The key, cut so that it fits a line and is still recognized."""
        return self.key if len(self.key) <= 30 else f"{self.key[:20]}…{self.key[-8:]}"

    @property
    def plugin(self) -> str:
        """The plugin's name: its program is age-plugin-NAME. Empty for a key that needs none."""
        found = _PLUGIN.fullmatch(self.key) if self.kind == PLUGIN else None
        return found[1] if found else ""

    @property
    def line(self) -> str:
        """The line of recipients.txt, as we write it."""
        if not self.name:
            return self.key
        return f"{self.key} {self.name}" if self.kind == SSH else f"{self.key}  # {self.name}"


def parse(line: str) -> Recipient | str | None:
    """What one line names: a recipient; None where it is empty or a comment; or what is wrong with it."""
    text, _, comment = line.strip().partition("#")
    words, name = text.split(), comment.strip()
    if not words:
        return None
    if text.startswith(_SECRET):
        return "is a secret key, which has no place here: remove it, and take a new one if others could read the file"
    if words[0] == "ssh-ed25519":
        key, name = " ".join(words[:2]), name or " ".join(words[2:])
        kind, make = SSH, ssh.Recipient.from_str
    elif text.startswith(_OTHER_SSH):
        return "is an ssh key of another kind than ssh-ed25519, which alone is supported: ssh-keygen -t ed25519"
    elif len(words) > 1:
        return "has more than a key: write the name behind a #"
    else:
        key = words[0].lower() if words[0].startswith("AGE1") else words[0]
        kind, make = (PLUGIN, plugin.Recipient.from_str) if _PLUGIN.fullmatch(key) else (AGE, x25519.Recipient.from_str)
    try:
        make(key)
    except (pyrage.RecipientError, UnicodeEncodeError):
        return "is not an age public key" if kind == AGE else "holds a public key that is damaged or cut short"
    if not name.isprintable():
        return "has a name with characters that cannot be printed"
    return Recipient(key, name, kind)


def named(key: str, name: str) -> Recipient:
    """The recipient with this public key, which is right, and this name, or none if it cannot stand in a line."""
    kind = SSH if key.startswith("ssh-") else AGE
    return Recipient(key, name if name.isprintable() and "#" not in name else "", kind)


def read(path: Path) -> list[Recipient]:
    """The recipients in the file `path`, each once. Raises CredentialsError, which names every line that is wrong."""
    found, wrong = _parse_all(files.read(path))
    if wrong:
        raise CredentialsError("\n".join([*(f"{path}, {each}." for each in wrong), HOW]))
    if not found:
        raise CredentialsError(f"{path} lists no key, so no key could decrypt the secrets.\n{HOW}")
    return list({each.key: each for each in found}.values())


def doubles(path: Path) -> list[Recipient]:
    """Those that the file lists more than once."""
    found, _ = _parse_all(files.read(path))
    count = Counter(each.key for each in found)
    return list({each.key: each for each in found if count[each.key] > 1}.values())


def find(among: Sequence[Recipient], word: str) -> Recipient:
    """The recipient whose name or key is `word`. Raises CredentialsError where it is none, or more than one."""
    parsed = parse(word)
    key = parsed.key if isinstance(parsed, Recipient) else word
    found = [each for each in among if key == each.key or word == each.name]
    if len(found) == 1:
        return found[0]
    if found:
        keys = "\n".join(f"  {each.key}" for each in found)
        raise CredentialsError(f"{len(found)} recipients have the name {word!r}. Type the key of the one:\n{keys}")
    names = ", ".join(each.name or each.short for each in among)
    raise CredentialsError(
        f"recipients.txt has no such recipient; there are: {names}.\nSee: ./vpc identities recipients list"
    )


def with_line(text: str, recipient: Recipient) -> str:
    """The file's `text`, and one more line."""
    lines = _clean(text).splitlines()
    return "\n".join([*lines, recipient.line, ""])


def without(text: str, recipient: Recipient) -> str:
    """The file's `text` without the lines of `recipient`; comments stay."""
    kept = []
    for line in _clean(text).splitlines():
        named = parse(line)
        if not (isinstance(named, Recipient) and named.key == recipient.key):
            kept.append(line)
    return "\n".join([*kept, ""])


def _parse_all(data: bytes) -> tuple[list[Recipient], list[str]]:
    """The recipients in a file's content, and what is wrong with it."""
    if files.has_conflict(data):
        return [], ["which git could not merge: keep the lines that are right, and remove those of <, = and >"]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return [], ["whose text is not UTF-8: save it as UTF-8"]
    found, wrong = [], []
    for number, line in enumerate(_clean(text).splitlines(), start=1):
        match parse(line):
            case Recipient() as recipient:
                found.append(recipient)
            case str(reason):
                wrong.append(f"line {number} {reason}")
    return found, wrong


def _clean(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n")
