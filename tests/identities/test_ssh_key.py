"""An ssh key decrypts, with a passphrase or without."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.identities.desk import Desk, new_identity
from tests.identities.people import Person, with_ssh
from vpc_openvpn import terminal
from vpc_openvpn.site.load import ROOT

PASSPHRASE = "correct horse"


@pytest.fixture
def ready(desk: Desk) -> Desk:
    desk.vpc("init")
    return desk


def install(desk: Desk, person: Person) -> Path:
    """The person's key as ~/.ssh/id_ed25519."""
    path = desk.age_key.parents[2] / ".ssh/id_ed25519"
    path.parent.mkdir(mode=0o700)
    shutil.copy(person.key, path)
    path.chmod(0o600)
    return path


def join(desk: Desk, passphrase: str = "", cipher: str = "") -> Person:
    person = with_ssh(desk.site.parent, "alice@laptop", passphrase, cipher)
    wish(desk, person)
    assert desk.vpc("reencrypt").status == 0
    return person


def wish(desk: Desk, person: Person) -> None:
    """Add a line to recipients.txt: `reencrypt` then has something to decrypt."""
    with (desk.folder / "recipients.txt").open("a") as file:
        file.write(f"{person.line}\n")


def test_the_key_in_its_usual_place_is_found(ready: Desk) -> None:
    install(ready, join(ready))
    ready.age_key.unlink()
    assert ready.store().private_key("office") and ready.store().tls_crypt("us-east-1a")


def test_the_variables_take_an_ssh_key(ready: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = join(ready)
    ready.age_key.unlink()
    monkeypatch.setenv("AGE_IDENTITY_FILE", str(alice.key))
    assert ready.store().private_key("office")
    monkeypatch.delenv("AGE_IDENTITY_FILE")
    monkeypatch.setenv("AGE_IDENTITY", alice.key.read_text())
    assert ready.store().private_key("office")


def test_an_age_key_and_an_ssh_key_are_both_tried(ready: Desk) -> None:
    install(ready, join(ready))
    assert ready.store().private_key("office")
    assert len(ready.store().identity().public) == 2
    new_identity(ready.age_key)
    assert ready.store().private_key("office"), "by the ssh key"


def test_an_ssh_key_that_cannot_be_used_is_no_error_beside_an_age_key_that_can(ready: Desk) -> None:
    path = install(ready, join(ready))
    path.chmod(0o644)
    assert ready.store().private_key("office")
    new_identity(ready.age_key)
    with ready.refused() as text:
        ready.store().private_key("office")
    assert "is not encrypted to you" in text[0] and f"Run: chmod 600 {path}" in text[0]


def test_an_ssh_key_that_is_no_recipient_is_refused_without_a_question(ready: Desk) -> None:
    mallory = with_ssh(ready.site.parent, "mallory", PASSPHRASE)
    path = install(ready, mallory)
    ready.age_key.unlink()
    with ready.refused() as text:
        ready.store().private_key("office")
    key = " ".join(mallory.line.split()[:2])
    assert text[0].startswith(f"{ready.folder}/office.key.age is not encrypted to you: {key}, from {path}.\n")


def test_an_ssh_key_of_another_kind_is_refused(ready: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ready.site.with_name("rsa")
    command = ["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", str(path)]
    subprocess.run(command, check=True)
    monkeypatch.setenv("AGE_IDENTITY_FILE", str(path))
    with ready.refused() as text:
        ready.store().private_key("office")
    assert text == [f"{path} is an ssh key of the kind 'ecdsa-sha2-nistp256', and only ssh-ed25519 is supported"]


@pytest.mark.parametrize("keep", [60, 200, -40])
def test_a_truncated_ssh_key_is_refused(ready: Desk, monkeypatch: pytest.MonkeyPatch, keep: int) -> None:
    alice = join(ready)
    alice.key.write_text(alice.key.read_text()[:keep])
    monkeypatch.setenv("AGE_IDENTITY_FILE", str(alice.key))
    with ready.refused() as text:
        ready.store().private_key("office")
    assert text[0] == f"{alice.key} holds an ssh key that is damaged or cut short.\nRestore it from your backup."


def test_the_passphrase_is_asked_for_once_a_run(ready: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    path = install(ready, join(ready, PASSPHRASE))
    ready.age_key.unlink()
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return PASSPHRASE

    monkeypatch.setattr(terminal, "ask_secret", ask)
    store = ready.store()
    assert store.private_key("office") and store.tls_crypt("us-east-1a") and store.tls_crypt("us-east-1b")
    assert asked == [f"Passphrase of {path}: "]
    assert PASSPHRASE not in repr(store.identity())
    wish(ready, with_ssh(ready.site.parent, "bob"))
    assert ready.vpc("reencrypt").status == 0
    assert len(asked) == 2


def test_it_is_not_asked_for_where_another_key_does(ready: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    install(ready, with_ssh(ready.site.parent, "mallory", PASSPHRASE))
    monkeypatch.setattr(terminal, "ask_secret", lambda _: pytest.fail("it was asked for"))
    assert ready.store().private_key("office")


def test_it_is_not_asked_for_where_both_could(ready: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    install(ready, join(ready, PASSPHRASE))
    monkeypatch.setattr(terminal, "ask_secret", lambda _: pytest.fail("it was asked for"))
    assert ready.store().private_key("office")


@pytest.mark.parametrize("cipher", ["aes256-ctr", "aes256-cbc", "aes256-gcm@openssh.com"])
def test_another_passphrase_is_refused_and_not_shown(ready: Desk, monkeypatch: pytest.MonkeyPatch, cipher: str) -> None:
    path = install(ready, join(ready, PASSPHRASE, cipher))
    ready.age_key.unlink()
    monkeypatch.setattr(terminal, "ask_secret", lambda _: "wrong horse")
    with ready.refused("wrong horse") as text:
        ready.store().private_key("office")
    assert text == [f"{path} is protected by another passphrase than that.\nType it again."]
    monkeypatch.setattr(terminal, "ask_secret", lambda _: PASSPHRASE)
    assert ready.store().private_key("office")


def test_a_cipher_that_is_not_supported_is_said(ready: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    path = install(ready, join(ready, PASSPHRASE, "chacha20-poly1305@openssh.com"))
    ready.age_key.unlink()
    monkeypatch.setattr(terminal, "ask_secret", lambda _: PASSPHRASE)
    with ready.refused(PASSPHRASE) as text:
        ready.store().private_key("office")
    advice = f"ssh-keygen -p -Z aes256-ctr -f {path}"
    assert text == [f"{path} has a passphrase by a cipher that is not supported.\nType: {advice}"]
    subprocess.run([*advice.split(), "-P", PASSPHRASE, "-N", PASSPHRASE], check=True, capture_output=True)
    assert ready.store().private_key("office")


WITHOUT = f"""
import os, sys
os.setsid()
os.execv({str(ROOT / "vpc")!r}, ["vpc", *sys.argv[1:]])
"""


def test_without_a_terminal_it_is_an_error(ready: Desk) -> None:
    path = install(ready, join(ready, PASSPHRASE))
    ready.age_key.unlink()
    wish(ready, with_ssh(ready.site.parent, "bob"))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, "identities", "reencrypt"],
        input=f"{PASSPHRASE}\n",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"{path} is protected by a passphrase, and there is no terminal to ask for it on.\n"
        "In CI, give it a key of its own: docs/keys-and-people.md\n"
    )


def test_on_a_terminal_it_is_asked_for_and_not_echoed(ready: Desk) -> None:
    install(ready, join(ready, PASSPHRASE))
    wish(ready, with_ssh(ready.site.parent, "bob"))
    ready.age_key.unlink()
    child, terminal_of_child = pty.fork()
    if child == 0:
        os.execv(ROOT / "vpc", ["vpc", "identities", "reencrypt"])
    said, answered, deadline = b"", False, time.monotonic() + 30
    while time.monotonic() < deadline:
        if not select.select([terminal_of_child], [], [], 1)[0]:
            continue
        try:
            more = os.read(terminal_of_child, 4096)
        except OSError:  # its end
            break
        if not more:
            break
        said += more
        if not answered and b"Passphrase of" in said:
            os.write(terminal_of_child, f"{PASSPHRASE}\n".encode())
            answered = True
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, said
    assert said.count(b"Passphrase of") == 1 and PASSPHRASE.encode() not in said
    assert b"office.key.age for 3" in said
