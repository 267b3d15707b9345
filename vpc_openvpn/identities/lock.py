"""recipients.lock: what each file of the store was when we wrote it last, and to whom it was encrypted.

age's files do not name their recipients. With the lock, `recipients check` needs no private key, `reencrypt` leaves
alone what is right, and a file that others have put there is named. It is no signature: an attacker who may write to
the folder can write the lock as well, but not without a diff that a reviewer sees.

A file that is about to be written has two seals, what it is now and what it will be, so that a process that was killed
at any instant leaves no file that the lock does not know.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vpc_openvpn.identities.recipients import Recipient

NAME = "recipients.lock"
VERSION = 1
ABOUT = (
    "Written by ./vpc identities. It names the site by its NATs' addresses, who can read each secret, and each"
    " certificate's fingerprint."
)


@dataclass(frozen=True)
class Seal:
    """`sum`: SHA-256 of a secret's file, or a certificate's fingerprint. `to`: the keys that decrypt a secret."""

    sum: str
    to: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """What a file is, and what it is about to be; a file without `now` may not exist yet."""

    now: Seal | None = None
    next: Seal | None = None


@dataclass(frozen=True)
class Lock:
    """`recipients`: names by key, as of the last writing. `files`: by name in the folder. `site`: the public addresses
    of the NATs whose identities they are; none where a release wrote it that did not know them.
    """

    recipients: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Entry] = field(default_factory=dict)
    site: tuple[str, ...] = ()

    def planning(self, seals: Mapping[str, Seal]) -> "Lock":
        """The lock while the files that `seals` names are being written."""
        return replace(
            self,
            files={**self.files, **{name: Entry(self._now(name), seal) for name, seal in seals.items()}},
        )

    def moving(self, seals: Mapping[str, Seal | None]) -> "Lock":
        """The lock while files are moved. `seals`: what each that this concerns will be; None: gone, or unknown."""
        left = {name: entry for name, entry in self.files.items() if name not in seals}
        entries = {
            name: Entry(self._now(name), seal) if seal else Entry(None, self._now(name)) for name, seal in seals.items()
        }
        return replace(self, files={**left, **{name: each for name, each in entries.items() if each.now or each.next}})

    def settled(self, sums: Mapping[str, str]) -> "Lock":
        """The lock once the writing is over, in this run or one that was killed; `sums` has what the files are."""
        done = {}
        for name, entry in self.files.items():
            now = entry.next if entry.next and sums.get(name) == entry.next.sum else entry.now
            if now:
                done[name] = Entry(now)
        return replace(self, files=done)

    def accepting(self, sums: Mapping[str, str]) -> "Lock":
        """The lock without the files that are gone or others, as if it had never known them."""
        return replace(self, files={name: each for name, each in self.files.items() if sums.get(name) == _sum(each)})

    def without(self, names: Sequence[str]) -> "Lock":
        return replace(self, files={name: each for name, each in self.files.items() if name not in names})

    def naming(self, to: Sequence[Recipient]) -> "Lock":
        """The lock, with these as the recipients."""
        return replace(self, recipients={each.key: each.name for each in to})

    def others(self, sums: Mapping[str, str]) -> list[str]:
        """Files that are neither what the lock says nor what it says they would be."""
        return [
            name
            for name, entry in self.files.items()
            if name in sums and sums[name] not in {seal.sum for seal in (entry.now, entry.next) if seal}
        ]

    def lost(self, sums: Mapping[str, str]) -> list[str]:
        """Files that were there, and are not."""
        return [name for name, entry in self.files.items() if entry.now and name not in sums]

    def seal(self, name: str, sum_: str) -> Seal | None:
        """What the lock knows of the file `name`, which has the sum `sum_`."""
        entry = self.files.get(name, Entry())
        return next((seal for seal in (entry.now, entry.next) if seal and seal.sum == sum_), None)

    def _now(self, name: str) -> Seal | None:
        return self.files[name].now if name in self.files else None


def text(lock: Lock) -> str:
    """The file's content."""
    content = {
        "about": ABOUT,
        "version": VERSION,
        "site": list(lock.site),
        "recipients": dict(sorted(lock.recipients.items())),
        "files": {
            name: {word: _seal(seal) for word, seal in (("now", entry.now), ("next", entry.next)) if seal}
            for name, entry in sorted(lock.files.items())
        },
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def parse(content: str) -> Lock | None:
    """The lock in a file's content; None where it is none of ours."""
    try:
        data = json.loads(content)
        if data["version"] != VERSION:
            return None
        return Lock(
            {_printable(key): _printable(name) for key, name in data["recipients"].items()},
            {
                _printable(name): Entry(_unseal(each.get("now")), _unseal(each.get("next")))
                for name, each in data["files"].items()
            },
            tuple(_printable(each) for each in data.get("site", ())),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _printable(data: Any) -> str:
    """A text of the file, which may be shown."""
    return "".join(each if each.isprintable() else "?" for each in str(data))


def _sum(entry: Entry) -> str | None:
    return entry.now.sum if entry.now else None


def _seal(seal: Seal) -> dict[str, Any]:
    return {"sum": seal.sum, **({"to": list(seal.to)} if seal.to else {})}


def _unseal(data: Any) -> Seal | None:
    return (
        None if data is None else Seal(_printable(data["sum"]), tuple(_printable(each) for each in data.get("to", ())))
    )
