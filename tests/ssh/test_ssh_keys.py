"""The operator's ssh keys: each file that cannot be used is named before anything connects, and the agent is asked."""

import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from paramiko.agent import Agent, AgentKey

from tests.conftest import EXAMPLE_SITE
from vpc_openvpn.site.load import ROOT
from vpc_openvpn.ssh.ssh_keys import UnusableKeyError, find

PASSPHRASE = "correct horse"
LOAD = (
    "import sys; from pathlib import Path; from vpc_openvpn.ssh.ssh_keys import load;"
    " [load(Path(sys.argv[1])) for _ in 'ab']"
)


def new_key(file: Path, *options: str, passphrase: str = "") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-a", "1", "-t", "ed25519", "-N", passphrase, *options, "-f", file], check=True)
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key of each kind, and a file of each kind that is none."""
    folder = tmp_path_factory.mktemp("keys")
    new_key(folder / "plain")
    new_key(folder / "locked", passphrase=PASSPHRASE)
    new_key(folder / "pem", "-m", "PEM", "-t", "rsa", "-b", "2048")
    new_key(folder / "pkcs8", "-m", "PKCS8", "-t", "ecdsa")
    (folder / "renamed").write_bytes((folder / "plain.pub").read_bytes())
    (folder / "putty.ppk").write_text("PuTTY-User-Key-File-3: ssh-ed25519\n")
    (folder / "notes").write_text("not a key\n")
    (folder / "binary").write_bytes(bytes(range(256)))
    return folder


@pytest.fixture
def agent(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An agent that holds the key with the passphrase."""
    socket, ask = tmp_path / "agent", tmp_path / "ask"
    ask.write_text(f"#!/bin/sh\necho '{PASSPHRASE}'\n")
    ask.chmod(0o700)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    with subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL) as process:
        try:
            while not socket.exists():
                time.sleep(0.01)
            environment = {**os.environ, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
            subprocess.run(["ssh-add", "-q", folder / "locked"], env=environment, check=True)
            yield
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("name", "why", "instead"),
    [
        ("none-such", "there is no such file", "write the name of your private key's file"),
        ("", "is a folder", "write the name of the key in it, such as {folder}/id_ed25519"),
        ("plain.pub", "is a public key", "write {folder}/plain"),
        ("renamed", "is a public key", "write the name of the private key's file"),
        (
            "putty.ppk",
            "is in PuTTY's format",
            "convert it: puttygen {folder}/putty.ppk -O private-openssh-new -o {folder}",
        ),
        (
            "notes",
            "is not a private key in a format",
            "convert it to OpenSSH's, if it is a key: ssh-keygen -p -f {folder}",
        ),
        (
            "pkcs8",
            "is not a private key in a format",
            "convert it to OpenSSH's, if it is a key: ssh-keygen -p -f {folder}",
        ),
        (
            "binary",
            "is not a private key in a format",
            "convert it to OpenSSH's, if it is a key: ssh-keygen -p -f {folder}",
        ),
    ],
)
def test_a_file_without_a_private_key_is_named(folder: Path, name: str, why: str, instead: str) -> None:
    with pytest.raises(UnusableKeyError) as error:
        find(folder / name)
    assert error.value.why.startswith(why)
    assert error.value.instead.startswith(instead.format(folder=folder))


def test_a_key_that_may_not_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_file: Path) -> bytes:
        raise PermissionError

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(UnusableKeyError, match="cannot be read: type: sudo chown"):
        find(folder / "plain")


@pytest.mark.parametrize("name", ["plain", "pem"])
def test_a_key_without_a_passphrase_is_read(folder: Path, name: str) -> None:
    key, public = find(folder / name), (folder / f"{name}.pub").read_text().split()[1]
    assert key is not None and key.get_base64() == public


def test_the_agent_is_asked_for_a_key_with_a_passphrase(folder: Path, agent: None) -> None:
    key, public = find(folder / "locked"), (folder / "locked.pub").read_text().split()[1]
    assert isinstance(key, AgentKey) and key.get_base64() == public
    assert isinstance(key.agent, Agent)
    key.agent.close()


def test_another_key_of_the_agent_is_not_taken(folder: Path, agent: None, tmp_path: Path) -> None:
    other = new_key(tmp_path / "other", passphrase=PASSPHRASE)
    done = subprocess.run(
        [sys.executable, "-c", LOAD, other],
        cwd=ROOT,
        start_new_session=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "the ssh agent does not hold it, and there is no terminal to ask on" in done.stderr


def test_the_passphrase_is_asked_for_once_on_a_terminal(folder: Path) -> None:
    said, answers = "", [b"wrong\n", PASSPHRASE.encode() + b"\n"]
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.environ.pop("SSH_AUTH_SOCK", None)
        os.execv(sys.executable, [sys.executable, "-c", LOAD, str(folder / "locked")])
    while True:
        try:
            said += os.read(terminal, 4096).decode()
        except OSError:
            break
        if said.endswith("): ") and len(answers) >= 3 - said.count("Passphrase of"):
            os.write(terminal, answers.pop(0))
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, said
    assert said.count("Passphrase of") == 2 and said.count("That is not its passphrase.") == 1, said
    assert PASSPHRASE not in said


def test_all_files_of_the_site_are_reported_before_anything_connects(folder: Path, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text("# keys\n<<<<<<< HEAD\n")
    site = tmp_path / "site.yml"
    example = EXAMPLE_SITE.read_text()
    site.write_text(
        f"ssh: {{key: {folder}/locked, known_hosts: {known_hosts}}}\n"
        + example.replace("host: 192.168.50.1 ", f"host: 192.168.50.1\n    key: {folder}/none-such")
    )
    environment = {key: value for key, value in os.environ.items() if key != "SSH_AUTH_SOCK"}
    done = subprocess.run(
        [sys.executable, "-m", "pyinfra", "inventory.py", "deploy.py", "-y"],
        cwd=ROOT,
        env={**environment, "SITE": str(site)},
        start_new_session=True,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 1
    assert f"{site}: 3 errors" in done.stderr
    assert f"ssh.key: {folder}/locked" in done.stderr
    assert f"add it to an agent: eval $(ssh-agent); ssh-add {folder}/locked" in done.stderr
    assert f"office.ssh.key: {folder}/none-such" in done.stderr
    assert f"ssh.known_hosts: {known_hosts}" in done.stderr and "line 2 is not `HOST KIND KEY`" in done.stderr
    assert "Traceback" not in done.stderr and "Connecting" not in done.stderr
