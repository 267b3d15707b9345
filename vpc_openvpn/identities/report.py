"""What the folder holds, for people: how old each identity is, by the site's policy what is due, how far a rotation
has come, and who can read the secrets. And what hosts answer about theirs, compared with it. It asks no host.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from vpc_openvpn.identities import material, people, rotation
from vpc_openvpn.identities.errors import CredentialsError
from vpc_openvpn.identities.rotation import Part, Stage
from vpc_openvpn.identities.store import NEXT, OLD, Store
from vpc_openvpn.site.plan import OFFICE, HostPlan, OfficePlan

DAY = 86400  # seconds
_CREATED = re.compile(r"^# created: (\d{4}-\d\d-\d\d)$", re.MULTILINE)
WHAT = {
    Stage.SETTLED: "",
    Stage.PREPARED: "its next identity is made; peers pin both",
    Stage.SWITCHED: "it has its new identity; peers pin both",
    Stage.RETIRED: "it has its new identity; the old one is pinned no more",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A host's identity, or a tunnel's tls-crypt key. `age` in days; None where the file does not say or, for a key, is
    not encrypted to the operator: then its fingerprint is unknown, too. `readers`: who can decrypt what is secret of
    it, in a rotation of any of its keys; None where that is unknown.
    """

    part: Part
    fingerprint: str | None
    pins: tuple[str, ...]
    age: int | None
    due: bool
    stage: Stage
    readers: tuple[str, ...] | None

    @property
    def document(self) -> dict[str, Any]:
        """For programs."""
        kind = {"zone": self.part.zone} if self.part.zone else {"host": self.part.host}
        return {
            **kind,
            "fingerprint": self.fingerprint,
            **({"pins": list(self.pins)} if self.part.host else {}),
            "age_days": self.age,
            "due": self.due,
            "stage": self.stage.name.lower(),
            "recipients": None if self.readers is None else list(self.readers),
        }


def rows(store: Store, plans: Mapping[str, HostPlan], limit: int | None, now: float) -> list[Row]:
    """A row for each host and tunnel of the site that has an identity; `limit` in days, `now` in seconds since 1970.

    Raises CredentialsError for a certificate that is damaged or was edited, and for a damaged recipients.lock.
    """
    readers = people.readers(store)
    return [_row(store, part, limit, now, readers) for part in rotation.parts(plans, plans) if part.key(store).exists()]


def _row(store: Store, part: Part, limit: int | None, now: float, readers: Mapping[Path, frozenset[str] | None]) -> Row:
    if part.zone:
        fingerprint, since = _of_tunnel(store, part.zone)
        pins: tuple[str, ...] = ()
    else:
        fingerprint, since, pins = store.fingerprint(part.host), store.created(part.host), store.pins(part.host)
    age = None if since is None else max(0, int((now - since) // DAY))
    due = limit is not None and age is not None and age > limit
    known = [readers[path] for which in ("", NEXT, OLD) if (path := part.key(store, which)) in readers]
    decrypt = None if None in known else tuple(sorted(frozenset[str]().union(*filter(None, known))))
    return Row(part, fingerprint, pins, age, due, rotation.stage(store, part), decrypt)


def _of_tunnel(store: Store, zone: str) -> tuple[str | None, int | None]:
    """The SHA-256 of the key's file as its hosts have it, and when it was made; each None where it is unknown."""
    try:
        text = store.tls_crypt(zone)
    except CredentialsError:  # it says what it does not need to: a certificate is shown without any key
        return None, None
    said = _CREATED.search(text)
    try:
        since = int(datetime.fromisoformat(f"{said[1]}T00:00:00+00:00").timestamp()) if said else None
    except ValueError:
        since = None
    return hashlib.sha256(text.encode()).hexdigest(), since


def lines(found: Sequence[Row], wished: Sequence[str], limit: int | None, resume: str) -> Iterator[str]:
    """What is shown. `wished` is who is to decrypt, by recipients.txt; `resume` is the line that goes on with a
    rotation, empty where none is under way.
    """
    width = max(len(str(row.part)) for row in found)
    for row in found:
        age = "age unknown" if row.age is None else f"{row.age} days"
        name = row.fingerprint or "not encrypted to you"
        yield f"{row.part!s:{width}}  {name:95}  {age}{', due' if row.due else ''}".rstrip()
        if row.part.host and row.stage is not Stage.SETTLED:
            yield f"{'':{width}}  {WHAT[row.stage]}"
            for pin in row.pins:
                if pin != row.fingerprint:
                    yield f"{'':{width}}  {pin}  pinned as well"
    yield ""
    yield from _can_decrypt(found, wished)
    if due := [row.part for row in found if row.due]:
        hosts = [part.host for part in due if part.host] or ["all"]
        which = hosts[0] if len(hosts) == 1 else "all"
        yield f"Older than {limit} days: {', '.join(map(str, due))}. Type: ./vpc identities rotate {which}"
    elif limit is None:
        yield "The site file sets no age at which one is due (identities: {max_age_days: …})."
    else:
        yield f"None is older than {limit} days."
    if resume:
        yield f"A rotation is under way. To go on with it, type: {resume}"


def _can_decrypt(found: Sequence[Row], wished: Sequence[str]) -> Iterator[str]:
    """Who can decrypt, a line for those of whom it is the same."""
    groups: dict[tuple[str, ...] | None, list[str]] = {}
    for row in found:
        groups.setdefault(row.readers, []).append(str(row.part))
    for readers, parts in groups.items():
        of = f" {', '.join(parts)}" if len(groups) > 1 else ""
        if readers is None:
            yield f"Can decrypt{of}: unknown, recipients.lock does not say. Type: ./vpc identities reencrypt"
        else:
            yield f"Can decrypt{of}: {'; '.join(readers)}"
    if any(readers is not None and {*readers} != {*wished} for readers in groups):
        listed = "; ".join(wished) or "none"
        yield f"recipients.txt lists others: {listed}. Type: {people.CHECK}"


# --- what hosts have ------------------------------------------------------------------------------------------------

_SAID = re.compile(
    r"pin openvpn-[a-z0-9@-]+\.service [0-9A-F:]{95}|key [a-z0-9-]+ [0-9a-f]{64}"
    r"|(stale|stopped) openvpn-[a-z0-9@-]+\.service"
)
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"

# Read only. For each of our OpenVPN units: `pin UNIT FINGERPRINT`, and `stale UNIT` where the files that it was started
# from are others by now. The certificate is public; of keys it prints sums, which `/run` has for all users anyway.
SCRIPT = r"""
cd /etc/vpc-openvpn/identity 2>/dev/null || { echo undeployed; exit 0; }
cat host.crt
sha256sum tunnel-*.key 2>/dev/null | sed 's/^\([0-9a-f]*\)  tunnel-\(.*\)\.key$/key \2 \1/'
for conf in /etc/openvpn/server/office.conf /etc/openvpn/client/vpc.conf /etc/openvpn/client/vpc-*.conf; do
    [ -e "$conf" ] || continue
    name=${conf##*/}; name=${name%.conf}
    case $conf in */server/*) unit=openvpn-server@$name.service ;; *) unit=openvpn-client@$name.service ;; esac
    [ -e "/etc/systemd/system/$unit.d/vpc-openvpn.conf" ] || continue
    sed -n "s/^peer-fingerprint \"\(.*\)\"$/pin $unit \1/p" "$conf"
    systemctl is-active --quiet "$unit" || { echo "stopped $unit"; continue; }
    sha256sum --check --status "/run/vpc-openvpn/$unit.record" 2>/dev/null || echo "stale $unit"
done
"""


@dataclass(frozen=True, slots=True)
class Live:
    """What one host has: its certificate's fingerprint, what it pins by unit, its tls-crypt keys' sums by zone, units
    that run from other files than are on its disk, and those that do not run.
    """

    fingerprint: str | None
    pins: Mapping[str, frozenset[str]]
    keys: Mapping[str, str]
    stale: tuple[str, ...]
    stopped: tuple[str, ...]
    deployed: bool = True


def read(text: str) -> Live:
    """What `SCRIPT` has printed on a host. Raises ValueError for what it does not print."""
    lines = text.splitlines()
    if [line.strip() for line in lines] == ["undeployed"]:
        return Live(None, {}, {}, (), (), deployed=False)
    start, end = lines.index(_BEGIN), lines.index(_END)
    certificate = material.certificate_from_pem("\n".join([*lines[start : end + 1], ""]))
    if certificate is None:
        raise ValueError
    pins, keys, states = dict[str, set[str]](), dict[str, str](), dict[str, list[str]]()
    for line in lines[end + 1 :]:
        if not _SAID.fullmatch(line):  # a host may say anything, and a terminal obeys some of it
            raise ValueError
        match line.split():
            case ["pin", unit, pin]:
                pins.setdefault(unit, set()).add(pin)
            case ["key", zone, total]:
                keys[zone] = total
            case [state, unit]:
                states.setdefault(state, []).append(unit)
    return Live(
        material.fingerprint(certificate),
        {unit: frozenset(found) for unit, found in pins.items()},
        keys,
        tuple(states.get("stale", ())),
        tuple(states.get("stopped", ())),
    )


def differences(store: Store, plan: HostPlan, live: Live, sums: Mapping[str, str | None]) -> list[str]:
    """What a host has otherwise than the folder: one sentence each. `sums`: of the folder's tls-crypt keys, by zone."""
    if not live.deployed:
        return ["nothing of this site is there yet"]
    found = []
    if live.fingerprint != store.fingerprint(plan.host):
        known = {store.fingerprint(plan.host, which): which for which in (NEXT, OLD) if _has(store, plan.host, which)}
        which = {NEXT: "its next one", OLD: "its old one"}.get(known.get(live.fingerprint or "", ""), "")
        found.append(f"its certificate is {which or live.fingerprint}, not {store.fingerprint(plan.host)}")
    found += _pins(store, plan, live)
    for tunnel in plan.tunnels:
        wanted = sums.get(tunnel.zone)
        if wanted is not None and live.keys.get(tunnel.zone) != wanted:
            has = "another tls-crypt key" if tunnel.zone in live.keys else "no tls-crypt key"
            found.append(f"it has {has} for the tunnel of {tunnel.zone}")
    found += [f"{unit} was started from other files than are there now" for unit in live.stale]
    found += [f"{unit} does not run" for unit in live.stopped]
    return found


def _pins(store: Store, plan: HostPlan, live: Live) -> Iterator[str]:
    if isinstance(plan, OfficePlan):
        wanted = {
            f"openvpn-client@{each.name}.service": {tunnel.nat_host for tunnel in each.tunnels}
            for each in plan.connections
        }
    else:
        wanted = {"openvpn-server@office.service": {OFFICE}}
    for unit, peers in wanted.items():
        pins = {pin: peer for peer in sorted(peers) for pin in store.pins(peer)}
        has = live.pins.get(unit, frozenset())
        yield from (f"{unit} does not pin {pin} of {peer}" for pin, peer in pins.items() if pin not in has)
        yield from (f"{unit} pins {pin}, which no host of the site has" for pin in sorted(has - pins.keys()))


def _has(store: Store, host: str, which: str) -> bool:
    return store.certificate_path(host, which).exists()
