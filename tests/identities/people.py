"""Colleagues and their keys, and a plugin of age's that needs no hardware."""

import base64
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.identities.desk import new_identity


@dataclass(frozen=True)
class Person:
    """`line` is that of recipients.txt, `key` the file of the private key."""

    name: str
    line: str
    key: Path


def with_age(folder: Path, name: str) -> Person:
    path = folder / f"{name}.age"
    return Person(name, new_identity(path), path)


def with_ssh(folder: Path, name: str, passphrase: str = "", cipher: str = "") -> Person:
    path = folder / f"{name}-ssh"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f", str(path), "-a", "1"]
    subprocess.run([*command, *(["-Z", cipher] if cipher else [])], check=True, stdin=subprocess.DEVNULL)
    return Person(name, path.with_suffix(".pub").read_text().strip(), path)


# The protocol: https://c2sp.org/age-plugin. It wraps the file key by leaving it as it is.
PLUGIN = f"""#!{sys.executable}
import base64, sys

def stanza():
    words = sys.stdin.readline().split()[1:]
    body = ""
    while True:
        line = sys.stdin.readline().rstrip("\\n")
        body += line
        if len(line) < 64:
            return words, body

def say(words, body=""):
    print("->", words, flush=False)
    print(body, flush=True)

found = []
while True:
    words, body = stanza()
    if words[0] == "done":
        break
    found.append((words, body))
for words, body in found:
    if words[0] == "wrap-file-key":
        say("recipient-stanza 0 fake", body)
        stanza()
    if words[0] == "recipient-stanza" and words[2] == "fake" and sys.argv[1] == "--age-plugin=identity-v1":
        say("file-key " + words[1], body)
        stanza()
say("done")
"""


def install_plugin(folder: Path) -> str:
    """Put age-plugin-fake into `folder`; the PATH that finds it."""
    path = folder / "age-plugin-fake"
    path.write_text(PLUGIN)
    path.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def bech32(prefix: str, data: bytes) -> str:
    """BIP 173, which age writes keys in."""
    digits = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    values = [int(bits[start : start + 5], 2) for start in range(0, len(bits), 5)]
    check = 1
    expanded = [ord(char) >> 5 for char in prefix] + [0] + [ord(char) & 31 for char in prefix]
    for value in [*expanded, *values, *[0] * 6]:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> bit & 1 else 0
    checksum = [(check ^ 1) >> 5 * (5 - place) & 31 for place in range(6)]
    return f"{prefix}1" + "".join(digits[value] for value in [*values, *checksum])


PLUGIN_RECIPIENT = bech32("age1fake", base64.b64decode("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
PLUGIN_IDENTITY = bech32("age-plugin-fake-", b"nothing").upper()
