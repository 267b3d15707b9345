"""What a deploy, a plan and a rebuild say of the folder, without any key: files that are others than recipients.lock
has, and recipients who were added since.
"""

import shutil
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from pyinfra.api.exceptions import DeployError

from tasks import site
from tests.identities.desk import Desk
from tests.identities.people import with_age
from vpc_openvpn.command.__main__ import main
from vpc_openvpn.identities import people, rotation
from vpc_openvpn.identities.store import Store
from vpc_openvpn.site.load import this_run

A = "nat-us-east-1a"


@pytest.fixture
def ready(desk: Desk) -> Desk:
    assert desk.vpc("init").status == 0
    return desk


@pytest.fixture
def strangers(ready: Desk, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A folder with identities of the same hosts, made by a stranger."""
    store = Store(ready.site.with_name("strangers"))
    with monkeypatch.context() as patch:
        patch.setenv("IDENTITIES", str(store.folder))
        assert ready.vpc("init").status == 0
    return store


@pytest.fixture
def deploys(ready: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[str]]]:
    """`deploys(yes=True)`: what a deploy says of the folder, to two hosts. It may raise DeployError."""

    def deploy(*, yes: bool = False) -> list[str]:
        said: list[str] = []
        for cached in (site._store, site._said_of_folder, this_run):
            cached.cache_clear()
        monkeypatch.setattr(site, "logger", SimpleNamespace(warning=lambda text: said.append(plain(text))))
        monkeypatch.setattr(site, "state", SimpleNamespace(should_check_for_changes=lambda: not yes))
        for plan in list(site.plans().values())[:2]:
            site.store_for(plan)
        return said

    yield deploy
    for cached in (site._store, site._said_of_folder, this_run):
        cached.cache_clear()


def plain(text: str) -> str:
    return text.removeprefix("\x1b[33m\x1b[1m").removesuffix("\x1b[0m")


def test_nothing_is_said_of_a_folder_that_is_as_it_was_written(ready: Desk, deploys: Callable[..., list[str]]) -> None:
    assert people.review(ready.store()) == people.Review("", [])
    assert deploys() == deploys(yes=True) == []


@pytest.mark.parametrize("step", [1, 2, 3])
def test_nor_while_a_rotation_is_under_way(ready: Desk, deploys: Callable[..., list[str]], step: int) -> None:
    store, wanted = ready.store(), rotation.parts(ready.plans(), [A])
    list(rotation.prepare(store, ready.plans(), wanted))
    for move in (rotation.switch, rotation.retire)[: step - 1]:
        list(move(store, wanted))
    assert deploys(yes=True) == []


@pytest.mark.attack
def test_an_exchanged_file_is_named_and_refused_with_yes(
    ready: Desk, strangers: Store, deploys: Callable[..., list[str]]
) -> None:
    before = ready.store().fingerprint(A)
    for name in (f"{A}.crt", f"{A}.key.age"):
        shutil.copy(strangers.folder / name, ready.folder / name)
    [said] = deploys()
    assert said.splitlines()[:2] == [
        f"The identity of {A} is another than recipients.lock has: {strangers.fingerprint(A)}, and it was {before}.",
        f"{ready.folder}/{A}.key.age is another file than recipients.lock has.",
    ]
    assert said.endswith("./vpc identities reencrypt --accept") and f"git restore {ready.folder}" in said
    with pytest.raises(DeployError) as refused:
        deploys(yes=True)
    assert str(refused.value) == f"{said}\nNo host was changed."
    assert ready.vpc("reencrypt", "--accept").status == 0
    assert deploys(yes=True) == []


@pytest.mark.attack
@pytest.mark.parametrize("name", [f"{A}.next.crt", f"{A}.old.crt"])
def test_a_certificate_more_is_named_and_refused_with_yes(
    ready: Desk, strangers: Store, deploys: Callable[..., list[str]], name: str
) -> None:
    """Its peers would pin it beside the host's own."""
    shutil.copy(strangers.certificate_path(A), ready.folder / name)
    assert strangers.fingerprint(A) in ready.store().pins(A)
    [said] = deploys()
    assert said.startswith(f"{ready.folder}/{name} is not in recipients.lock: {strangers.fingerprint(A)}.\n")
    with pytest.raises(DeployError, match="No host was changed"):
        deploys(yes=True)
    for verb in ("reencrypt", "recipients check"):
        assert f"{name} is not in recipients.lock" in ready.vpc(*verb.split()).err
    assert ready.vpc("reencrypt", "--accept").status == 0
    assert deploys(yes=True) == []


def test_a_recipient_who_was_added_is_named(ready: Desk, deploys: Callable[..., list[str]]) -> None:
    mallory = with_age(ready.site.parent, "mallory")
    with ready.store().recipients_path.open("a") as file:
        file.write(f"{mallory.line}  # mallory\n")
    said = f"mallory ({mallory.line[:20]}…{mallory.line[-8:]}) is a recipient since the last run. Do you know that key?"
    [first] = deploys()
    assert first.startswith(said)
    assert deploys(yes=True) == [first], "a deploy encrypts nothing"


def test_a_recipient_who_was_taken_out_by_hand_is_a_note(ready: Desk, deploys: Callable[..., list[str]]) -> None:
    ready.vpc("recipients", "add", with_age(ready.site.parent, "bob").line, "--name", "bob")
    path = ready.store().recipients_path
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if "# bob" not in line))
    assert deploys(yes=True) == [
        f"Not every secret is encrypted to exactly those in {path}. Type: ./vpc identities recipients check"
    ]


def test_a_folder_without_a_lock_is_a_note(ready: Desk, deploys: Callable[..., list[str]]) -> None:
    ready.store().lock_path.unlink()
    [said] = deploys(yes=True)
    assert said.startswith(f"{ready.folder}/recipients.lock does not exist, so nothing says") and "reencrypt" in said


@pytest.mark.parametrize("text", ["", "{", "<<<<<<< HEAD\n>>>>>>> bob\n"])
def test_a_damaged_lock_is_refused_with_yes(ready: Desk, deploys: Callable[..., list[str]], text: str) -> None:
    ready.store().lock_path.write_text(text)
    [said] = deploys()
    assert said.startswith(f"{ready.folder}/recipients.lock is ")
    with pytest.raises(DeployError, match="No host was changed"):
        deploys(yes=True)


def test_files_that_no_host_needs_may_be_gone(ready: Desk, deploys: Callable[..., list[str]]) -> None:
    ready.write_site("a")
    for path in ready.folder.glob("*us-east-1b*"):
        path.unlink()
    assert deploys(yes=True) == []


@pytest.mark.attack
def test_a_rebuild_is_refused_before_it_connects(ready: Desk, strangers: Store) -> None:
    shutil.copy(strangers.certificate_path(A), ready.folder)
    shutil.copy(strangers.key_path(A), ready.folder)
    this_run.cache_clear()
    assert main(["rebuild", "us-east-1a", "--wait", "0"]) == 1
    said = ready.capture.readouterr()
    assert f"The identity of {A} is another than recipients.lock has" in said.err and "waiting" not in said.out
