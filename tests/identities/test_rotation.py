"""A rotation in stages that the files tell: ended at each of its steps it goes on, and no step leaves a host without an
identity or its peers without the pin of what it has.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pyrage
import pytest

from tests.identities.desk import Desk
from vpc_openvpn.identities import init, rotation, writing
from vpc_openvpn.identities.errors import CredentialsError
from vpc_openvpn.identities.rotation import Part, Stage
from vpc_openvpn.identities.store import NEXT, OLD

LOCK = "recipients.lock"
A, B, OFFICE = "nat-us-east-1a", "nat-us-east-1b", "office"


class PowerCut(BaseException):
    """The run ends here."""


@pytest.fixture
def made(desk: Desk) -> Desk:
    """A desk whose hosts have their identities."""
    assert desk.vpc("init").status == 0
    return desk


def parts(desk: Desk, *hosts: str) -> list[Part]:
    return rotation.parts(desk.plans(), hosts)


def stages(desk: Desk, *hosts: str) -> list[Stage]:
    return [rotation.stage(desk.store(), part) for part in parts(desk, *hosts)]


def through(desk: Desk, *hosts: str) -> Iterator[str]:
    """All of a rotation's steps; of one that was cut short, those that are left."""
    store, wanted = desk.store(), parts(desk, *hosts)
    if all(each <= Stage.PREPARED for each in stages(desk, *hosts)):
        yield from rotation.prepare(store, desk.plans(), wanted)
    yield from rotation.switch(store, wanted)
    yield from rotation.retire(store, wanted)
    yield from rotation.finish(store, wanted)


def test_a_nats_identity_goes_with_its_tunnels_key_and_the_offices_with_all(desk: Desk) -> None:
    zone_a, zone_b = Part(zone="us-east-1a"), Part(zone="us-east-1b")
    assert parts(desk, A) == [Part(A), zone_a]
    assert parts(desk, OFFICE) == [Part(OFFICE), zone_a, zone_b]
    assert parts(desk, A, B, OFFICE) == [Part(A), Part(B), Part(OFFICE), zone_a, zone_b]


def test_the_files_tell_each_stage_and_peers_pin_what_it_says(made: Desk) -> None:
    store, wanted, before = made.store(), parts(made, A), made.files()
    old, old_key = store.fingerprint(A), made.store().tls_crypt("us-east-1a")
    assert stages(made, A) == [Stage.SETTLED, Stage.SETTLED] and store.pins(A) == (old,)

    assert len(list(rotation.prepare(store, made.plans(), wanted))) == 3
    new = store.fingerprint(A, NEXT)
    assert stages(made, A) == [Stage.PREPARED, Stage.PREPARED]
    assert set(store.pins(A)) == {old, new} and made.store().fingerprint(A) == old
    assert {name: made.files()[name] for name in before if name != LOCK} == {n: before[n] for n in before if n != LOCK}
    assert list(rotation.prepare(store, made.plans(), wanted)) == []

    list(rotation.switch(store, wanted))
    assert stages(made, A) == [Stage.SWITCHED, Stage.RETIRED]
    assert set(store.pins(A)) == {old, new} and made.store().fingerprint(A) == new
    assert made.store().fingerprint(A, OLD) == old and made.store().private_key(A)
    assert made.store().tls_crypt("us-east-1a") != old_key

    list(rotation.retire(store, wanted))
    assert stages(made, A) == [Stage.RETIRED, Stage.RETIRED] and store.pins(A) == (new,)

    list(rotation.finish(store, wanted))
    assert stages(made, A) == [Stage.SETTLED, Stage.SETTLED]
    assert made.files().keys() == before.keys()
    others = [name for name in before if "1a" not in name and name != LOCK]
    assert made.vpc("recipients", "check").status == 0
    assert {name: made.files()[name] for name in others} == {name: before[name] for name in others}


def test_the_order_of_two_pins_does_not_change_when_the_host_is_switched(made: Desk) -> None:
    """A peer need not be restarted for that."""
    for _ in range(5):
        list(rotation.prepare(made.store(), made.plans(), parts(made, A)))
        pins = made.store().pins(A)
        list(rotation.switch(made.store(), parts(made, A)))
        assert made.store().pins(A) == pins
        list(through(made, A))


def cutting(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """The run ends after so many changes of the folder."""
    steps = count(1)

    def ending(change: Callable[..., Any]) -> Callable[..., Any]:
        def done(*arguments: object, **more: object) -> object:
            if next(steps) > after:
                raise PowerCut
            return change(*arguments, **more)

        return done

    for name in ("replace", "hardlink_to", "unlink"):
        monkeypatch.setattr(Path, name, ending(getattr(Path, name)))


@pytest.mark.parametrize("hosts", [(A,), (OFFICE,), (OFFICE, A, B)], ids=["nat", "office", "all"])
def test_a_rotation_that_ends_at_any_step_goes_on(
    made: Desk, monkeypatch: pytest.MonkeyPatch, hosts: tuple[str, ...]
) -> None:
    before = {host: made.store().fingerprint(host) for host in hosts}
    seen, names = set(), set(made.files())
    for after in count():
        with monkeypatch.context() as patch:
            cutting(patch, after)
            try:
                list(through(made, *hosts))
            except PowerCut:
                whole = False
            else:
                whole = True
        store = made.store()
        for host in hosts:
            seen.add(rotation.stage(store, Part(host)))
            assert store.private_key(host) and store.fingerprint(host) in store.pins(host)
        for part in parts(made, *hosts):
            if part.zone:
                assert store.tls_crypt(part.zone)
        store.check(made.plans())
        assert writing.disagreements(store, store.lock()) == []
        assert list(init.init(store, made.plans())) == []
        drafts = [name for name in made.files() if name.startswith(".")]
        assert not drafts or not whole
        for name in drafts:
            (made.folder / name).unlink()
        if whole:
            break
        # The same again, from the beginning, cut one step later: it must come to an end, however often it is cut.
        list(through(made, *hosts))
        assert set(stages(made, *hosts)) == {Stage.SETTLED} and set(made.files()) == names
        assert made.vpc("recipients", "check").status == 0
        now = {host: made.store().fingerprint(host) for host in hosts}
        assert all(now[host] != before[host] for host in hosts)
        before = now
    assert after > 5 * len(parts(made, *hosts))
    assert seen == set(Stage)


def test_what_to_type_names_the_host_or_all(made: Desk) -> None:
    plans = made.plans()
    for hosts, word in [((A,), A), ((OFFICE,), OFFICE), ((A, B), "all"), ((OFFICE, A, B), "all")]:
        begun = parts(made, *hosts)
        assert rotation.line(plans, begun) == f"./vpc identities rotate {word}"
    assert rotation.line(plans, [Part(zone="us-east-1b")]).split()[-1] in (OFFICE, B)


def test_discarding_leaves_each_host_what_it_has(made: Desk) -> None:
    names, wanted = set(made.files()), parts(made, A)
    for steps in range(4):
        store = made.store()
        if steps > 0:
            list(rotation.prepare(store, made.plans(), wanted))
        if steps > 1:
            list(rotation.switch(store, wanted))
        if steps > 2:
            list(rotation.retire(store, wanted))
        has = made.store().fingerprint(A)
        rotation.discard(store, wanted)
        assert made.store().pins(A) == (has,) and made.store().private_key(A) and set(made.files()) == names


def test_discarding_what_was_cut_short_twice_loses_no_key(made: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = parts(made, A)
    for first in range(8):
        for second in range(8):
            list(rotation.prepare(made.store(), made.plans(), wanted))
            for after, step in ((first, rotation.switch), (second, rotation.discard)):
                with monkeypatch.context() as patch, suppress(PowerCut):
                    cutting(patch, after)
                    list(step(made.store(), wanted) or ())
            rotation.discard(made.store(), wanted)
            assert set(stages(made, A)) == {Stage.SETTLED}
            assert made.store().private_key(A) and made.store().tls_crypt("us-east-1a"), (first, second)
            assert made.vpc("recipients", "check").status == 0


def test_no_new_identity_is_made_for_a_recipient_who_could_read_nothing_before(made: Desk) -> None:
    """Who can write to recipients.txt would read every new key."""
    stranger = str(pyrage.x25519.Identity.generate().to_public())
    with made.store().recipients_path.open("a") as file:
        file.write(f"{stranger}  # stranger\n")
    before = made.files()
    with made.refused() as text:
        list(rotation.prepare(made.store(), made.plans(), parts(made, A)))
    assert "stranger" in text[0] and "./vpc identities reencrypt" in text[0] and made.files() == before


def test_secrets_of_each_stage_are_encrypted_anew(made: Desk) -> None:
    list(rotation.prepare(made.store(), made.plans(), parts(made, A)))
    said = made.vpc("recipients", "add", str(pyrage.x25519.Identity.generate().to_public())).out
    assert f"{A}.next.key.age" in said and "tunnel-us-east-1a.next.key.age" in said


def test_a_damaged_identity_is_refused_before_anything_is_made(made: Desk) -> None:
    made.store().key_path(B).write_text("no age file")
    before = made.files()
    with made.refused() as text:
        list(rotation.prepare(made.store(), made.plans(), parts(made, A, B)))
    assert "is damaged" in text[0] and made.files() == before


def test_errors_of_the_system_are_sentences(made: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    list(rotation.prepare(made.store(), made.plans(), parts(made, A)))
    monkeypatch.setattr(Path, "hardlink_to", full)
    with pytest.raises(CredentialsError, match="No space left on device"):
        list(rotation.switch(made.store(), parts(made, A)))
