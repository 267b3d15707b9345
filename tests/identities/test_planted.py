"""Who can write to the folder, and has no key of it, puts files there: age does not sign, recipients.txt is public."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.identities.desk import Desk
from tests.identities.people import with_age
from vpc_openvpn.identities import age, files, init, material, people, rotation
from vpc_openvpn.identities.errors import CredentialsError

A, C, LOCK = "nat-us-east-1a", "nat-us-east-1c", "recipients.lock"
pytestmark = pytest.mark.attack


@pytest.fixture
def made(desk: Desk) -> Desk:
    """A desk whose hosts have their identities."""
    assert desk.vpc("init").status == 0
    return desk


def plant(desk: Desk, name: str, text: str) -> Path:
    path = desk.folder / name
    path.write_text(age.encrypt(text, desk.store().recipients()))
    path.chmod(0o600)
    return path


def key() -> str:
    return material.key_to_pem(material.new_key())


def prepared(desk: Desk) -> Iterator[str]:
    return rotation.prepare(desk.store(), desk.plans(), rotation.parts(desk.plans(), [A]))


@pytest.mark.parametrize("name", [f"{A}.next.key.age", "tunnel-us-east-1a.next.key.age", f"{A}.old.key.age"])
def test_a_key_of_a_rotation_that_we_have_not_written_is_refused(made: Desk, name: str) -> None:
    path = plant(made, name, key() if name.startswith("nat-") else material.new_static_key())
    before = made.files()
    assert f"{path} is not in {LOCK}; who wrote it may know what it holds." in people.review(made.store()).wrong
    for verb in ("init", "reencrypt", "recipients check"):
        said = made.vpc(*verb.split())
        assert said.status == 1 and f"{path} is not in {LOCK}" in said.out + said.err, said
    with made.refused() as text:  # rotate, and revoke, which asks hosts first
        rotation.check(made.store())
    assert f"{path} is not in {LOCK}" in text[0]
    assert made.files() == before


def test_without_a_lock_a_rotation_adopts_no_key(made: Desk) -> None:
    (made.folder / LOCK).unlink()
    planted = [plant(made, f"{A}.next.key.age", key())]
    planted.append(plant(made, "tunnel-us-east-1a.next.key.age", material.new_static_key()))
    before = [path.read_bytes() for path in planted]
    assert len([*prepared(made)]) == 3
    assert not {*before} & {path.read_bytes() for path in planted}


@pytest.mark.parametrize("name", [f"{C}.key.age", "tunnel-us-east-1c.key.age"])
def test_a_zone_that_joins_gets_no_key_that_was_there_before_it(made: Desk, name: str) -> None:
    made.write_site("abc")
    path = plant(made, name, key() if name.startswith("nat-") else material.new_static_key())
    before = made.files()
    said = made.vpc("init")
    assert said.status == 1 and f"{path} is not in {LOCK}" in said.err and "then remove it" in said.err
    assert made.files() == before
    path.unlink()
    assert made.vpc("init").status == 0


def test_a_certificate_beside_one_that_is_gone_is_named(made: Desk) -> None:
    certificate = material.certificate(material.new_key(), A, material.Role.SERVER)
    (made.folder / f"{A}.next.crt").write_text(init.for_people(A, certificate))
    (made.folder / f"{A}.crt").unlink()
    strange = f"{A}.next.crt is not in {LOCK}: {material.fingerprint(certificate)}"
    assert strange in people.review(made.store()).wrong
    said = made.vpc("init")
    assert said.status == 1 and strange in said.err


def test_a_date_that_is_none_is_not_read(made: Desk) -> None:
    store = made.store()
    text = store.tls_crypt("us-east-1a")
    created = next(line for line in text.splitlines() if line.startswith("# created: "))
    plant(made, "tunnel-us-east-1a.key.age", text.replace(created, "# created: 2024-13-45"))
    assert made.vpc("show").status == 0


@pytest.mark.parametrize("word", ["age1\udcff", "ssh-ed25519 \udcff"])
@pytest.mark.parametrize("verb", ["add", "remove"])
def test_a_byte_that_is_no_text_is_no_public_key(made: Desk, verb: str, word: str) -> None:
    said = made.vpc("recipients", verb, word)
    assert said.status == 1 and "Traceback" not in said.err


def test_all_that_a_person_could_read_is_listed_though_a_run_was_killed(made: Desk, tmp_path: Path) -> None:
    """What that run had written has forgotten its old readers."""
    bob = with_age(tmp_path, "bob")
    assert made.vpc("recipients", "add", bob.line, "--name", "bob").status == 0
    removing = people.remove(made.store().claim(made.plans()), "bob")
    for line in removing:
        if line.startswith("encrypted"):
            break
    del removing
    said = made.vpc("reencrypt")
    assert said.status == 0
    assert all(path.name in said.out for path in made.store().secret_paths()), said.out


def test_a_switch_that_was_killed_is_not_two_tunnels_with_one_key(
    made: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The old key has two names then."""
    assert [*prepared(made)]
    store, parts = made.store(), rotation.parts(made.plans(), [A])

    def cut(path: Path, _: Path) -> None:
        raise CredentialsError(path.name)

    with monkeypatch.context() as patch:
        patch.setattr(files, "move", cut)
        with pytest.raises(CredentialsError):
            list(rotation.switch(store, parts))
    assert [path.name for path in made.folder.glob("*.old.key.age")]
    checked = made.vpc("recipients", "check")
    assert "one and the same" not in checked.out + checked.err
    assert made.vpc("recipients", "add", with_age(tmp_path, "bob").line, "--name", "bob").status == 0
