"""Whom a host trusts, as the host remembers it: each deploy leaves there whose certificates it pins, with its own, and
which of them deploys have replaced since.

The next one reads that before it changes anything: age does not sign, so who can write to the operator's folder can put
another identity there, or one of an old commit, which may be on a disk that others have.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from vpc_openvpn.site.plan import OFFICE

TAKE_BACK = "take_back"  # as --data takes it
_HEADER = "# Written by vpc-openvpn: certificates that this host trusts, with its own, and those that were replaced.\n"
_LINE = re.compile("([a-z0-9-]+) ((?:[0-9A-F]{2}:){31}[0-9A-F]{2})")
_REPLACED = "replaced"  # no host is called so: `office`, or `nat-ZONE`


@dataclass(frozen=True, slots=True)
class Pins:
    """Fingerprints: `now` of each host's certificates, and those that a deploy has `replaced`, whosever they were."""

    now: Mapping[str, frozenset[str]] = field(default_factory=dict)
    replaced: frozenset[str] = frozenset()

    @property
    def text(self) -> str:
        """The file that a host has."""
        lines = [(host, pin) for host in sorted(self.now) for pin in sorted(self.now[host])]
        return _HEADER + "".join(
            f"{word} {pin}\n" for word, pin in [*lines, *((_REPLACED, pin) for pin in sorted(self.replaced))]
        )

    def then(self, wanted: Mapping[str, tuple[str, ...]]) -> "Pins":
        """What a deploy leaves that has the host trust `wanted`. A host that left the site was not replaced."""
        now = {host: frozenset(pins) for host, pins in wanted.items()}
        gone = [pins - now[host] for host, pins in self.now.items() if host in now]
        return Pins(now, frozenset().union(self.replaced, *gone).difference(*now.values()))


def parse(text: str) -> Pins:
    """What a host's file says, as far as it says it in our words."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if parts := _LINE.fullmatch(line):
            found.setdefault(parts[1], set()).add(parts[2])
    replaced = frozenset(found.pop(_REPLACED, ()))
    return Pins({host: frozenset(pins) for host, pins in found.items()}, replaced)


def others(on: str, wanted: Mapping[str, tuple[str, ...]], found: Pins) -> Iterator[str]:
    """Of which peers the host `on` would pin another certificate than by the last deploy, a sentence each."""
    for peer, pins in wanted.items():
        if peer != on and found.now.get(peer) and not found.now[peer].issuperset(pins):
            yield f"The identity of {peer}, which {on} pins, is another than the last deploy's"


def taken_back(on: str, wanted: Mapping[str, tuple[str, ...]], found: Pins, meant: str) -> Iterator[str]:
    """Which of `wanted` a deploy had replaced on the host `on`, a sentence each; not of those whose host is among the
    names `meant`, separated by commas.
    """
    for host, pins in wanted.items():
        old = sorted(found.replaced.intersection(pins))
        if old and host not in meant.split(","):
            # A NAT that has fallen says what it likes, and a new identity of the office costs every tunnel.
            new = f", or make new ones: ./vpc identities revoke {host}"
            lie = f". Where {on} alone says this, it may have fallen: ./vpc identities revoke {on}"
            yield (
                f"{on}: the identity of {host} in the folder, {old[0][:23]}…, is one that a deploy has replaced: an old"
                f" backup, or a checkout from before a rotation? What has an old disk of {host} would be trusted again."
                " Fetch the newest identities (git pull; git log --stat in the identities' folder)"
                f"{new if on in (host, OFFICE) else lie}. If the old one is meant: --data {TAKE_BACK}={host}"
            )
