"""What a file of age's says of itself without any key: the kinds of its recipients. Pure.

The stanzas of X25519 are anonymous: they can be counted. Those of ssh keys carry the start of the public key's sum.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vpc_openvpn.identities.recipients import AGE, SSH, Recipient

BEGIN, END = "-----BEGIN AGE ENCRYPTED FILE-----", "-----END AGE ENCRYPTED FILE-----"
VERSION = b"age-encryption.org/v1"


@dataclass(frozen=True)
class Header:
    """`x25519` keys, `ssh` tags (one for each ssh key, sorted), and `others`: stanzas of plugins."""

    x25519: int
    ssh: tuple[str, ...]
    others: int

    def fits(self, to: Sequence[Recipient]) -> bool:
        """Whether the file can be one that was encrypted to exactly `to`."""
        kinds = Counter(each.kind for each in to)
        tags = tuple(sorted(tag(each.key) for each in to if each.kind == SSH))
        plugins = len(to) - kinds[AGE] - kinds[SSH]
        # How many stanzas a plugin writes is its own affair.
        return (
            self.x25519 == kinds[AGE] and self.ssh == tags and (self.others >= plugins if plugins else not self.others)
        )


def parse(data: bytes) -> Header | None:
    """The header of a file of age's, in ASCII armour or not; None where it is none."""
    lines = _binary(data).split(b"\n")
    if lines[0] != VERSION or not any(line.startswith(b"---") for line in lines):
        return None
    words = []
    for line in lines[1:]:
        if line.startswith(b"---"):
            break
        if line.startswith(b"-> "):
            words.append(line.decode(errors="replace").split()[1:] or [""])
    # A "grease" stanza is noise, so that readers learn to skip what they do not know.
    kinds = Counter(first for first, *_ in words if not first.endswith("-grease"))
    ssh = sorted(rest[0] for first, *rest in words if first == "ssh-ed25519" and rest)
    return Header(kinds["X25519"], tuple(ssh), kinds.total() - kinds["X25519"] - kinds["ssh-ed25519"])


def tag(ssh_key: str) -> str:
    """What a stanza calls the key `ssh-ed25519 AAAA…`: four bytes of its SHA-256 (age's specification of ssh keys)."""
    blob = base64.b64decode(ssh_key.split()[1])
    return base64.b64encode(hashlib.sha256(blob).digest()[:4]).decode().rstrip("=")


def _binary(data: bytes) -> bytes:
    text = data.decode(errors="replace").strip().replace("\r\n", "\n")
    if not text.startswith(BEGIN):
        return data
    try:
        return base64.b64decode(text.removeprefix(BEGIN).partition(END)[0].replace("\n", ""), validate=True)
    except ValueError:  # binascii.Error is one; what is not ASCII another
        return b""
