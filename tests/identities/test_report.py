"""What `./vpc identities show` knows: ages, what is due, stages; and what a host has otherwise."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.identities.desk import Desk, new_identity
from tests.identities.people import with_age
from vpc_openvpn.identities import report, rotation
from vpc_openvpn.identities.report import Live
from vpc_openvpn.identities.store import NEXT
from vpc_openvpn.ssh import connection
from vpc_openvpn.status import gather
from vpc_openvpn.status.model import Answer

A, OFFICE = "nat-us-east-1a", "office"
SERVER = "openvpn-server@office.service"
PIN = ":".join(["AB"] * 32)


@pytest.fixture
def made(desk: Desk) -> Desk:
    """A desk whose hosts have their identities."""
    assert desk.vpc("init").status == 0
    return desk


def test_ages_are_of_days_and_the_site_says_what_is_due(made: Desk) -> None:
    today = datetime.now(UTC).timestamp()
    for days, limit, due in ((0, None, False), (730, 730, False), (731, 730, True)):
        found = report.rows(made.store(), made.plans(), limit, today + timedelta(days=days).total_seconds())
        assert [str(row.part) for row in found][:3] == [OFFICE, A, "nat-us-east-1b"] and len(found) == 5
        assert {(row.age, row.due) for row in found} == {(days, due)}
    made.site.write_text(made.site.read_text() + "identities: {max_age_days: 1}\n")
    old = made.store().certificate_path(A)
    old.write_text(old.read_text().replace(f"{datetime.now(UTC):%Y-%m-%d}", "2020-01-01"))
    said = made.vpc("show").out
    assert "days, due" in said and f"Older than 1 days: {A}. Type: ./vpc identities rotate {A}" in said


def test_a_key_that_is_not_encrypted_to_the_operator_is_shown_without_its_sum(made: Desk) -> None:
    new_identity(made.age_key)
    said = made.vpc("show")
    assert said.status == 0 and said.out.count("not encrypted to you") == 2 and said.out.count("age unknown") == 2


def test_who_can_decrypt_is_shown_by_name(made: Desk) -> None:
    path = made.store().recipients_path
    key = next(line for line in path.read_text().splitlines() if line.startswith("age1"))
    path.write_text(f"# all of us\n\n{key.split()[0]}  # Ada\n")
    assert f"Can decrypt: Ada (age1{key[4:20]}…" in made.vpc("show").out
    document = json.loads(made.vpc("show", "--json").out)
    [said] = document["recipients"]
    assert said.startswith(f"Ada ({key[:20]}…")
    assert [row["recipients"] for row in document["identities"]] == [[said]] * 5


def test_who_can_really_decrypt_is_by_the_lock_and_not_by_the_wish(made: Desk) -> None:
    """A line in recipients.txt opens no secret, and a line less takes none back."""
    store, bob, eve = made.store(), with_age(made.site.parent, "bob"), with_age(made.site.parent, "eve")
    [ann] = map(str, store.recipients())
    assert made.vpc("recipients", "add", bob.line, "--name", "bob").status == 0
    before = store.recipients_path.read_text()
    named = next(str(each) for each in store.recipients() if each.name == "bob")
    store.recipients_path.write_text(before.replace(f"{bob.line}  # bob\n", f"{eve.line}  # eve\n"))
    [_, wish] = map(str, store.recipients())
    said = made.vpc("show")
    assert f"Can decrypt: {ann}; {named}\n" in said.out and "Can decrypt: eve" not in said.out
    assert f"recipients.txt lists others: {ann}; {wish}. Type: ./vpc identities recipients check\n" in said.out
    document = json.loads(made.vpc("show", "--json").out)
    assert document["recipients"] == [ann, wish]
    assert {tuple(row["recipients"]) for row in document["identities"]} == {(ann, named)}


def test_secrets_of_which_it_is_not_the_same_are_shown_apart(made: Desk) -> None:
    """A zone's that joined after the others, one that the lock does not know, and one whose stanzas are others."""
    store, bob = made.store(), with_age(made.site.parent, "bob")
    [ann] = map(str, store.recipients())
    with store.recipients_path.open("a") as file:
        file.write(f"{bob.line}  # bob\n")
    made.write_site("abc")
    assert made.vpc("init").status == 0
    [_, named] = map(str, store.recipients())
    lock = json.loads(store.lock_path.read_text())
    del lock["files"]["tunnel-us-east-1a.key.age"]
    lock["files"][f"{A}.key.age"]["now"]["to"].append(bob.line)
    store.lock_path.write_text(json.dumps(lock))
    lines = made.vpc("show").out.splitlines()
    assert f"Can decrypt office, nat-us-east-1b, tunnel of us-east-1b: {ann}" in lines
    assert f"Can decrypt nat-us-east-1c, tunnel of us-east-1c: {ann}; {named}" in lines
    assert (
        f"Can decrypt {A}, tunnel of us-east-1a: unknown, recipients.lock does not say."
        " Type: ./vpc identities reencrypt" in lines
    )
    rows = json.loads(made.vpc("show", "--json").out)["identities"]
    assert {row.get("host") or row["zone"]: row["recipients"] for row in rows} == {
        **{part: [ann] for part in ("office", "nat-us-east-1b", "us-east-1b")},
        **{part: [ann, named] for part in ("nat-us-east-1c", "us-east-1c")},
        **dict.fromkeys((A, "us-east-1a")),
    }


def test_what_hosts_have_is_in_the_document_too(made: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """`show --live --json`: one host has what the folder has, one pins another, one does not answer."""
    store, plans = made.store(), made.plans()
    sums = {row.part.zone: row.fingerprint for row in report.rows(store, plans, None, 0) if row.part.zone}

    def has(host: str, peers: dict[str, str]) -> str:
        pins = [f"pin {unit} {pin}" for unit, pin in peers.items()]
        keys = [f"key {tunnel.zone} {sums[tunnel.zone]}" for tunnel in plans[host].tunnels]
        return "\n".join([store.certificate(host).rstrip("\n"), *keys, *pins])

    nats = {
        f"openvpn-client@vpc-us-east-1{letter}.service": store.fingerprint(f"nat-us-east-1{letter}") for letter in "ab"
    }
    said = {OFFICE: has(OFFICE, nats), A: has(A, {SERVER: PIN})}

    class Hosts:
        def __init__(self, _plans: object, *, script: str, reading: Callable[[str], Answer]) -> None:
            assert script == report.SCRIPT
            self.reading = reading

        def answers(self) -> dict[str, Answer]:
            return {
                host: self.reading(said[host]) if host in said else Answer(None, "no answer from 198.51.100.12")
                for host in plans
            }

        def close(self) -> None:
            pass

    monkeypatch.setattr(gather, "Hosts", Hosts)
    monkeypatch.setattr(connection, "check", lambda _: None)
    answer = made.vpc("show", "--live", "--json")
    document = json.loads(answer.out)
    assert answer.status == 2 and [*document] == [
        *("identities", "not_in_site", "recipients", "max_age_days", "type", "live")
    ]
    assert document["live"] == {
        OFFICE: {"differences": [], "type": None, "unknown": None},
        A: {
            "differences": [
                f"{SERVER} does not pin {store.fingerprint(OFFICE)} of office",
                f"{SERVER} pins {PIN}, which no host of the site has",
            ],
            "type": f"./vpc deploy --limit {A}",
            "unknown": None,
        },
        "nat-us-east-1b": {"differences": [], "type": None, "unknown": "no answer from 198.51.100.12"},
    }
    said[A] = has(A, {SERVER: store.fingerprint(OFFICE)})
    assert made.vpc("show", "--live", "--json").status == 1, "one host does not answer"
    assert "live" not in json.loads(made.vpc("show", "--json").out)


def test_show_names_the_stage_of_a_rotation_and_the_line_that_goes_on(made: Desk) -> None:
    store, wanted = made.store(), rotation.parts(made.plans(), [A])
    list(rotation.prepare(store, made.plans(), wanted))
    said = made.vpc("show").out
    assert (
        "its next identity is made; peers pin both" in said and f"{store.fingerprint(A, NEXT)}  pinned as well" in said
    )
    assert said.endswith(f"type: ./vpc identities rotate {A} --seamless\n")
    list(rotation.switch(store, wanted))
    assert "it has its new identity; peers pin both" in made.vpc("show").out
    list(rotation.retire(store, wanted))
    shown = json.loads(made.vpc("show", "--json").out)
    assert shown["type"] == f"./vpc identities rotate {A}"
    assert {row["stage"] for row in shown["identities"] if row.get("host") == A} == {"retired"}


def test_hosts_that_are_not_in_the_site_are_named(made: Desk) -> None:
    made.write_site("a")
    assert made.vpc("show").out.endswith("Not in the site file: nat-us-east-1b.\n")


def answer(made: Desk, *lines: str) -> str:
    certificate = made.store().certificate(A)
    return "\n".join([certificate.rstrip("\n"), *lines])


def has(made: Desk, *, fingerprint: str = "", pins: tuple[str, ...] = ()) -> Live:
    """What the NAT of zone a has: what the folder has, but for what is given."""
    store = made.store()
    sums = {row.part.zone: row.fingerprint or "" for row in report.rows(store, made.plans(), None, 0) if row.part.zone}
    return Live(
        fingerprint or store.fingerprint(A),
        {SERVER: frozenset(pins or store.pins(OFFICE))},
        {"us-east-1a": sums["us-east-1a"]},
        (),
        (),
    )


def differences(made: Desk, live: Live) -> list[str]:
    store = made.store()
    sums = {row.part.zone: row.fingerprint for row in report.rows(store, made.plans(), None, 0) if row.part.zone}
    return report.differences(store, made.plans()[A], live, sums)


def test_what_a_host_says_is_read_and_nothing_else(made: Desk) -> None:
    total = "0" * 64
    live = report.read(answer(made, f"key us-east-1a {total}", f"pin {SERVER} {PIN}", f"stale {SERVER}"))
    expected = Live(made.store().fingerprint(A), {SERVER: frozenset([PIN])}, {"us-east-1a": total}, (SERVER,), ())
    assert live == expected
    assert not report.read("undeployed\n").deployed
    for line in ("\x1b[2J", f"pin {SERVER} {PIN}\x07", "pin", f"stale {SERVER};reboot", "key us-east-1a 0"):
        with pytest.raises(ValueError):
            report.read(answer(made, line))
    with pytest.raises(ValueError):
        report.read("sh: not found")


def test_each_difference_is_one_sentence(made: Desk) -> None:
    store = made.store()
    assert differences(made, has(made)) == []
    assert differences(made, Live(None, {}, {}, (), (), deployed=False)) == ["nothing of this site is there yet"]
    assert differences(made, has(made, fingerprint=PIN)) == [f"its certificate is {PIN}, not {store.fingerprint(A)}"]
    assert differences(made, has(made, pins=(PIN,))) == [
        f"{SERVER} does not pin {store.fingerprint(OFFICE)} of office",
        f"{SERVER} pins {PIN}, which no host of the site has",
    ]
    live = has(made)
    other = Live(live.fingerprint, live.pins, {"us-east-1a": "0" * 64}, (SERVER,), ())
    assert differences(made, other) == [
        "it has another tls-crypt key for the tunnel of us-east-1a",
        f"{SERVER} was started from other files than are there now",
    ]
    assert differences(made, Live(live.fingerprint, live.pins, {}, (), (SERVER,))) == [
        "it has no tls-crypt key for the tunnel of us-east-1a",
        f"{SERVER} does not run",
    ]


def test_a_host_that_has_another_stage_than_the_folder_is_said_to(made: Desk) -> None:
    live, store, wanted = has(made), made.store(), rotation.parts(made.plans(), [A])
    list(rotation.prepare(store, made.plans(), wanted))
    list(rotation.switch(store, wanted))
    assert f"its certificate is its old one, not {made.store().fingerprint(A)}" in differences(made, live)
