"""Whose a host is: each deploy leaves a record there, and the next one reads it before it changes anything.

docs/decisions/0014-whose-host.md has what is refused, what wants a word, and why.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from ipaddress import IPv4Address
from pathlib import Path

from pyinfra import host, logger, state
from pyinfra.api.exceptions import DeployError

from tasks import paths, pins
from vpc_openvpn.remote.effects import Commands, Files
from vpc_openvpn.remote.facts import HostState, State
from vpc_openvpn.remote.files import Directory, File, changes
from vpc_openvpn.remote.lock import OPERATOR
from vpc_openvpn.remote.operations import left
from vpc_openvpn.site.plan import HostPlan, NatPlan, OfficePlan
from vpc_openvpn.text import printable

CHANGELOG = Path(__file__).parent.parent / "CHANGELOG.md"
TAKE_OVER, REMOVE, GO_BACK = "take_over", "remove", "go_back"  # the words, as --data takes them
# The record has no date of its own: a plan shows the text that the deploy writes, and that may be later.
_SHOW = f"ip -4 -o address show; date -r {paths.SITE} '+written %F %H:%M %Z'"
_HEADER = "# Written by vpc-openvpn: whose host this is. The next deploy reads it before it changes anything.\n"


@dataclass(frozen=True, slots=True)
class Record:
    """`office`: the fingerprint of the office router's certificate. `site`: what else tells two sites apart, as text.
    `zones`: names, separated by spaces. `release`: a number that grows with the cookbook's releases. `by`: who wrote
    it; another operator's deploy that changes nothing else leaves it as it is.
    """

    office: str
    site: str
    zones: str
    release: int
    by: str = OPERATOR

    @property
    def text(self) -> str:
        return _HEADER + "".join(f"{each.name} {getattr(self, each.name)}\n" for each in fields(self))

    def says_the_same(self, other: "Record") -> bool:
        return all(getattr(self, each.name) == getattr(other, each.name) for each in fields(self) if each.name != "by")


def parse(text: str) -> Record | None:
    """The record in a file's text; None where it holds none. Its values may be shown: they are printable."""
    lines = printable(text, keep="\n").splitlines()
    values = dict(line.split(" ", 1) for line in lines if " " in line and not line.startswith("#"))
    if not {each.name for each in fields(Record)} <= values.keys() or not re.fullmatch("[0-9]{1,9}", values["release"]):
        return None
    return Record(values["office"], values["site"], values["zones"], int(values["release"]), values["by"])


def release(changelog: str) -> int:
    """How many releases the change log has, the one to come included: more than any older checkout's."""
    return sum(line.startswith("## ") for line in changelog.splitlines())


@dataclass(frozen=True, slots=True)
class Recorded:
    """What `beside` puts in place, and first, in the same command, the files that say whose the host is (`wanted`,
    unless what is there says the same by another operator's name) and whom it trusts (`trusted`, by host), and did.
    """

    beside: Files
    wanted: Record
    trusted: Mapping[str, tuple[str, ...]]
    disturbs = False

    @property
    def name(self) -> str:
        return self.beside.name

    @property
    def question(self) -> HostState:
        records = [paths.SITE, paths.PINS]
        own = HostState(files=[paths.HOME, *records], records=records, show=[_SHOW])
        return own.and_([self.beside.question])

    def commands(self, now: State) -> Commands:
        found = parse(now.records.get(paths.SITE, ""))
        kept = found if found and found.says_the_same(self.wanted) else self.wanted
        known = pins.parse(now.records.get(paths.PINS, "")).then(self.trusted)
        files = [File(paths.SITE, kept.text), File(paths.PINS, known.text)]
        items = [Directory(paths.HOME), *files, *self.beside.wanted]
        yield from changes(items, self.beside.owned, now.files).commands


def record(plan: HostPlan, plans: Mapping[str, HostPlan], fingerprint: str) -> Record:
    """What a deploy leaves on the host; `fingerprint` is the office router's."""
    public = next(each.office_addresses for each in plans.values() if isinstance(each, NatPlan))
    site = [*(public or ["dynamic"]), *sorted(plan.lans), "to", *sorted(plan.vpc)]
    zones = " ".join(tunnel.zone for tunnel in plan.tunnels)
    return Record(fingerprint, " ".join(map(str, site)), zones, release(CHANGELOG.read_text(encoding="utf-8")))


def sign(wanted: Record) -> None:
    """A deploy that has come to its end says so on the host: by whom, and of which release. `./vpc status` shows it."""
    left(name="The deploy is signed", file=paths.DEPLOYED, line=f"{wanted.release} {wanted.by}")


def wrong_host(plan: HostPlan, plans: Mapping[str, HostPlan], addresses: Sequence[IPv4Address]) -> str:
    """Why the host that answers for `plan`, which has these `addresses`, is another; empty if it is the right one."""
    nats = {each.private_address: each.host for each in plans.values() if isinstance(each, NatPlan)}
    others = [(address, nats[address]) for address in addresses if nats.get(address, plan.host) != plan.host]
    correct = "office.ssh.host" if isinstance(plan, OfficePlan) else "nat.public_address (or nat.ssh.host)"
    if others:
        address, other = others[0]
        return (
            f"{plan.host}: the host that answers at {plan.ssh.host} has {address}, the private_address of {other}."
            f" Correct {correct} in the site file"
        )
    if isinstance(plan, NatPlan) and plan.private_address not in addresses:
        has = ", ".join(map(str, addresses)) or "no address"
        return (
            f"{plan.host}: the host that answers at {plan.ssh.host} has {has}, and not the zone's nat.private_address,"
            f" {plan.private_address}. Correct that in the site file or, if it is another host, {correct}"
        )
    return ""


def anothers(plan: HostPlan, found: Record, wanted: Record) -> str:
    """Whose the host is by the record `found`, if not this site's; empty if it is.

    A site may give itself new identities, and it may change: only one of both at a time.
    """
    if found.office == wanted.office or found.site == wanted.site:
        return ""
    return (
        f"{plan.host} belongs to another site ({found.site}; zones {found.zones}; certificate of the office router"
        f" {found.office[:23]}…; deployed by {found.by}). A deploy would cut that office off. To take the host over all"
        f" the same: --data {TAKE_OVER}=yes"
    )


def cautions(plan: HostPlan, found: Record, wanted: Record, words: Mapping[str, object]) -> list[str]:
    """What an operator may not have meant, each with the word that says that it is meant, unless that is given."""
    said = []
    kept, removable = wanted.zones.split(), str(words.get(REMOVE) or "").split(",")
    gone = [zone for zone in found.zones.split() if zone not in kept]
    if isinstance(plan, OfficePlan) and not set(gone) <= set(removable):
        said.append(
            f"{', '.join(gone)}: not in the site file, and on the office router (deployed by {found.by}). This deploy"
            " removes the tunnel, the routes, the rules and the keys: the zone is reached no more. If that is meant:"
            f" --data {REMOVE}={','.join(gone)}"
        )
    if found.release > wanted.release and not words.get(GO_BACK):
        said.append(
            f"{plan.host} has release {found.release} of this cookbook (by {found.by}), and this checkout is release"
            f" {wanted.release}: it would undo what is newer. Update it (git pull) or, to go back: --data {GO_BACK}=yes"
        )
    return said


def check(plan: HostPlan, plans: Mapping[str, HostPlan], wanted: Record, now: State) -> None:
    """See by what the host has answered that it is this site's, and that the operator means what a deploy would do.

    Raises DeployError, before any host is changed. Without -y, cautions are shown: the plan comes before a question.
    """
    shown = now.shown.get(_SHOW, "")
    addresses = [IPv4Address(each) for each in re.findall(r"\binet ([0-9.]+)/", shown)]
    if complaint := wrong_host(plan, plans, addresses):
        raise DeployError(f"{complaint}. No host was changed.")
    found = parse(now.records.get(paths.SITE, ""))
    if found is None:
        return
    if when := re.search("^written ([0-9A-Z: +-]+)$", shown, re.MULTILINE):
        found = replace(found, by=f"{found.by}, {when[1]}")
    words = {word: host.data.get(word) for word in (TAKE_OVER, REMOVE, GO_BACK)}
    if (complaint := anothers(plan, found, wanted)) and not words[TAKE_OVER]:
        raise DeployError(f"{complaint}. No host was changed.")
    for caution in cautions(plan, found, wanted, words):
        if not state.should_check_for_changes():
            raise DeployError(f"{caution}. No host was changed.")
        host.log_styled(caution, fg="yellow", bold=True, log_func=logger.warning)
