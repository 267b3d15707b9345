"""A list of the fingerprints of hosts' keys, as consoles and ssh-keygen print them. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

# What else a cloud's console prints around them: `ec2: ###…`, `-----BEGIN SSH HOST KEY FINGERPRINTS-----`.
_PREFIX, _FRAME = re.compile(r"\s*(ec2|ci-info): "), re.compile(r"#|-----|<14>")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}=?")


class ListError(Exception):
    """What is wrong with a list, and in which line."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Fingerprints, `SHA256:…`: `by_host`, and those of `any` host."""

    by_host: Mapping[str, set[str]] = field(default_factory=dict)
    any: set[str] = field(default_factory=set)

    def of(self, host: str) -> set[str]:
        """What the host's key may have: where lines name it, no other."""
        return self.by_host.get(host, self.any)


def fingerprint(word: str) -> str:
    """`word` as keys are compared. Raises ValueError for what is no SHA256 fingerprint."""
    if not _FINGERPRINT.fullmatch(word):
        raise ValueError(word)
    return word.rstrip("=")


def read(lines: Iterable[str], names: Mapping[str, str]) -> Listed:
    """The fingerprints in `lines`, each `SHA256:…` alone, beside a host's name, or as `ssh-keygen -l` prints it.

    `names` gives, by what may stand for a host (its name, its zone's, its address), the host. Raises ListError for a
    line that has no fingerprint, more than one, or a name that is none; and where there is no line.
    """
    by_host, others = dict[str, set[str]](), set[str]()
    for number, line in enumerate(lines, start=1):
        words = _PREFIX.sub("", line, count=1).replace("=SHA256:", " SHA256:").split()
        if not words or _FRAME.match(words[0]):
            continue
        try:
            [found] = (fingerprint(word) for word in words if word.startswith("SHA256:"))
        except ValueError:
            instead = "write HOST SHA256:…, or what `ssh-keygen -l -E sha256` prints"
            raise ListError(f"line {number} has no SHA256 fingerprint, or more than one: {instead}") from None
        by_keygen = words[0].isdecimal() and words[1:2] == [next(word for word in words if word.startswith("SHA256:"))]
        beside = [word for word in words if not word.startswith("SHA256:")]
        if by_keygen:  # its length, a comment that may be anything, its kind
            beside = [word for word in beside[1:] if word in names]
        if unknown := [word for word in beside if word not in names]:
            raise ListError(f"line {number}: there is no host {unknown[0]} in the site; there are: {', '.join(names)}")
        for word in beside:
            by_host.setdefault(names[word], set()).add(found)
        if not beside:
            others.add(found)
    if not by_host and not others:
        raise ListError("it lists no fingerprint: write a line HOST SHA256:… for each host")
    return Listed(by_host, others)
