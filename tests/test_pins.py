"""What a host remembers of whom it trusts: an exchanged identity is named, and one that was replaced comes back by a
word alone.
"""

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api import Config, Inventory, StringCommand
from pyinfra.api import State as PyinfraState
from pyinfra.api.exceptions import DeployError
from pyinfra.context import ctx_host, ctx_state

from tasks import identity, paths, pins
from tasks.ownership import Record, Recorded
from tasks.pins import Pins
from tests.test_identity import OURS, PLANS, on_host
from vpc_openvpn.remote.effects import Files
from vpc_openvpn.remote.facts import State

A, B, OFFICE = "nat-us-east-1a", "nat-us-east-1b", "office"
OLD, NEW, NEXT, OTHER = (":".join([pair] * 32) for pair in ("0D", "1E", "2F", "3A"))
TRUSTED = {OFFICE: (OTHER,), A: (NEW,), B: (NEXT,)}


def known(**now: str) -> Pins:
    return Pins({host.replace("_", "-"): frozenset(pins.split()) for host, pins in now.items()})


def test_the_record_is_read_as_it_is_written() -> None:
    found = Pins({OFFICE: frozenset([OTHER]), A: frozenset([OLD, NEW])}, frozenset([NEXT]))
    assert pins.parse(found.text) == found
    assert all(pin in found.text for pin in (OTHER, OLD, NEW, NEXT))


@pytest.mark.parametrize("text", ["", "nonsense\n", f"{A} 00\n", f"\x1b[2J {OLD}\n", f"{A} {OLD} more\n"])
def test_text_without_a_record_says_nothing(text: str) -> None:
    assert pins.parse(text) == Pins()


@pytest.mark.attack
@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Pins(), []),  # a blank host, or an earlier release's
        (known(nat_us_east_1a=NEW, nat_us_east_1b=NEXT, office=OLD), []),  # the host's own, which its certificate tells
        (known(nat_us_east_1a=f"{OLD} {NEW}"), []),  # the old one goes, at a rotation's end
        (known(nat_us_east_1b=NEXT), []),  # a zone joins
        (known(nat_us_east_1a=OLD), [A]),
        (known(nat_us_east_1a=OLD, nat_us_east_1b=OTHER), [A, B]),
    ],
)
def test_each_peer_whose_pin_is_another_is_named(found: Pins, said: list[str]) -> None:
    sentences = [f"The identity of {peer}, which office pins, is another than the last deploy's" for peer in said]
    assert [*pins.others(OFFICE, TRUSTED, found)] == sentences
    state = replace(on_host(OURS), records={paths.PINS: found.text})
    ours = replace(OURS, own=(OFFICE, OTHER), peers={A: (NEW,), B: (NEXT,)})
    assert [*identity.others(PLANS[OFFICE], ours, state)] == sentences


def test_a_rotation_leaves_what_was_replaced_and_nothing_before_that() -> None:
    found = known(nat_us_east_1a=OLD, office=OTHER)
    stages: list[tuple[tuple[str, ...], set[str]]]
    stages = [((OLD, NEW), set()), ((NEW, OLD), set()), ((NEW,), {OLD}), ((NEXT,), {OLD, NEW})]
    for wanted, replaced in stages:
        found = found.then({OFFICE: (OTHER,), A: wanted})
        assert found.now[A] == {*wanted} and found.replaced == replaced
    assert found.then({OFFICE: (OTHER,)}).replaced == {OLD, NEW}, "a zone that left was not replaced"
    back = found.then({OFFICE: (OTHER,), A: (OLD,)})
    assert back.replaced == {NEW, NEXT}


@pytest.mark.parametrize(("meant", "refused"), [("", True), (B, True), (A, False), (f"{B},{A}", False)])
def test_an_identity_that_was_replaced_wants_its_hosts_name(meant: str, refused: bool) -> None:
    found = replace(known(nat_us_east_1a=OLD), replaced=frozenset([NEW]))
    said = [*pins.taken_back(OFFICE, TRUSTED, found, meant)]
    assert bool(said) is refused
    if refused:
        assert said[0].startswith(f"office: the identity of {A} in the folder, {NEW[:23]}…, is one that a deploy has")
        assert f"./vpc identities revoke {A}" in said[0] and said[0].endswith(f"--data take_back={A}")


@pytest.mark.attack
def test_one_nats_word_against_the_office_has_the_nat_revoked() -> None:
    """What it remembers is a file of its own; the office's new identity would cost every tunnel."""
    ours = {A: (NEW,), OFFICE: (OTHER,)}
    [said] = pins.taken_back(A, ours, replace(known(office=OTHER), replaced=frozenset([OTHER])), "")
    assert f"Where {A} alone says this, it may have fallen: ./vpc identities revoke {A}." in said
    assert "revoke office" not in said
    [own] = pins.taken_back(A, ours, replace(known(office=OTHER), replaced=frozenset([NEW])), "")
    assert f"or make new ones: ./vpc identities revoke {A}." in own


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A run of pyinfra's: what it is given (`data`, `yes`), and the lines that it shows."""
    run: dict[str, Any] = {"data": {}, "yes": False, "lines": []}
    host = SimpleNamespace(data=run["data"], log_styled=lambda text, **_: run["lines"].append(text))
    monkeypatch.setattr(identity, "host", host)
    monkeypatch.setattr(identity, "state", SimpleNamespace(should_check_for_changes=lambda: not run["yes"]))
    yield run


def judged(found: Pins) -> None:
    ours = replace(OURS, own=(OFFICE, OTHER), peers={A: (NEW,), B: (NEXT,)})
    identity.check(PLANS[OFFICE], ours, replace(on_host(ours), records={paths.PINS: found.text}))


@pytest.mark.attack
def test_what_was_replaced_is_shown_in_a_plan_and_refused_with_yes(said: dict[str, Any]) -> None:
    found = replace(known(nat_us_east_1a=OLD, nat_us_east_1b=NEXT), replaced=frozenset([NEW]))
    judged(found)
    assert [line.split(",")[0] for line in said["lines"]] == [
        f"The identity of {A}",
        f"office: the identity of {A} in the folder",
    ]
    said["yes"] = True
    with pytest.raises(DeployError, match=rf"--data take_back={A}\. No host was changed\.$"):
        judged(found)
    said["data"]["take_back"] = A
    judged(found)


@pytest.mark.attack
def test_a_rebuild_pins_no_other_identity(said: dict[str, Any]) -> None:
    said["data"]["new_pins"], said["yes"] = "no", True
    judged(known(nat_us_east_1a=NEW, nat_us_east_1b=NEXT))
    assert said["lines"] == []
    with pytest.raises(DeployError, match=f"^The identity of {A}, .*deploy --limit office; then the rebuild again"):
        judged(known(nat_us_east_1a=OLD, nat_us_east_1b=NEXT))


def test_the_record_is_written_with_the_identity() -> None:
    owner = Record(OTHER, "a site", "us-east-1a", 1)
    effect = Recorded(Files("Identity is in place", []), owner, TRUSTED)
    assert paths.PINS in effect.question.files and paths.PINS in effect.question.records
    record = Pins({host: frozenset(each) for host, each in TRUSTED.items()}, frozenset([OLD])).text
    inventory = Inventory((["@local"], {}))
    with ctx_state.use(PyinfraState(inventory, Config())), ctx_host.use(inventory.get_host("@local")):
        [command] = effect.commands(State(records={paths.PINS: known(nat_us_east_1a=OLD).text}))
    assert isinstance(command, StringCommand) and record in str(command.connector_arguments["_stdin"])
