"""A passphrase is asked for once a typed line, however many runs of pyinfra it begins, two at once too."""

import os
import pty
import select
import sys
import termios
import time
from pathlib import Path

import paramiko
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec

from tests.conftest import EXAMPLE_SITE
from tests.identities.people import with_ssh
from tests.ssh.server import showing
from tests.ssh.test_ssh_keys import new_key
from vpc_openvpn import terminal
from vpc_openvpn.command.__main__ import main
from vpc_openvpn.site.load import ROOT, this_run

PASSPHRASE = "correct horse"
OFFICE, NAT = (paramiko.ECDSAKey.generate(curve) for curve in 2 * (ec.SECP256R1(),))


def at_a_terminal(words: list[str | Path], environment: dict[str, str]) -> tuple[int, str, bool]:
    """Run it and type the passphrase at each question: its status, what it said, whether the terminal still echoes."""
    child, screen = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.execve(words[0], [str(word) for word in words], environment)
    said, answered, deadline, echoes = "", 0, time.monotonic() + 60, True
    while time.monotonic() < deadline:
        if not select.select([screen], [], [], 1)[0]:
            continue
        try:
            said += os.read(screen, 4096).decode()
        except OSError:  # its end
            break
        echoes = bool(termios.tcgetattr(screen)[3] & termios.ECHO)
        if said.count("Passphrase of") > answered:
            answered += 1
            os.write(screen, f"{PASSPHRASE}\n".encode())
    os.close(screen)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said, echoes


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    (tmp_path / ".ssh").mkdir()
    for name, value in {"SITE": "site.yml", "IDENTITIES": "ids", "HOME": ""}.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    for name in ("SSH_AUTH_SOCK", "AGE_IDENTITY", "AGE_IDENTITY_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "site.yml").write_text(EXAMPLE_SITE.read_text())
    this_run.cache_clear()
    assert main(["identities", "init"]) == 0
    return dict(os.environ)


def test_a_rebuild_asks_once_for_the_ssh_key_that_its_two_runs_connect_with(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """One deploys to the NAT; the other looks at the office router meanwhile, with its output hidden."""
    key, document = new_key(tmp_path / "key", passphrase=PASSPHRASE), yaml.safe_load(EXAMPLE_SITE.read_text())
    with showing(OFFICE) as (office, at_office), showing(NAT) as (nat, at_nat):
        document["office"]["ssh"] |= {"host": "127.0.0.1", "port": office}
        document["zones"][0]["nat"]["ssh"] = {"host": "127.0.0.1", "port": nat}
        document["ssh"] = {"known_hosts": "known_hosts", "key": str(key)}
        (tmp_path / "site.yml").write_text(yaml.safe_dump(document))
        (tmp_path / "known_hosts").write_text(
            "".join(
                f"[127.0.0.1]:{port} {each.get_name()} {each.get_base64()}\n"
                for port, each in ((office, OFFICE), (nat, NAT))
            )
        )
        status, said, echoes = at_a_terminal([ROOT / "vpc", "rebuild", document["zones"][0]["name"]], environment)
    assert status == 1 and "Authentication error" in said, said  # neither server lets anyone in
    assert any("by ssh-ed25519" in word for word in at_office.asked), said
    assert any("by ssh-ed25519" in word for word in at_nat.asked), said
    assert said.count("Passphrase of") == 1 and echoes and PASSPHRASE not in said, said


BEGINS_TWO = """
import subprocess, sys
from vpc_openvpn.command import pyinfra
from vpc_openvpn.identities.store import Store
from vpc_openvpn.site.load import site_path, this_run
pyinfra.ask_passphrases(Store.from_environment(site_path()), this_run()[1])
with pyinfra.begun() as first, pyinfra.begun() as second:
    runs = [subprocess.Popen([sys.executable, "-c", sys.argv[1]], **how) for how in (first, second)]
    sys.exit(max(run.wait() for run in runs))
"""
IS_BEGUN = """
import os, sys
from vpc_openvpn import terminal
from vpc_openvpn.identities.store import Store
from vpc_openvpn.site.load import site_path
print(os.environ, sys.orig_argv)
assert terminal.take_over() is not None and terminal.VARIABLE not in os.environ
assert Store.from_environment(site_path()).private_key("office")
os.write(1, b"%d\\n" % (6 * 7000001))
"""


def test_two_runs_at_once_decrypt_with_one_ssh_key(tmp_path: Path, environment: dict[str, str]) -> None:
    person = with_ssh(tmp_path, "alice", PASSPHRASE)
    assert main(["identities", "recipients", "add", person.line]) == 0
    (tmp_path / ".config/vpc-openvpn/age.key").unlink()
    person.key.rename(tmp_path / ".ssh/id_ed25519")
    status, said, echoes = at_a_terminal([Path(sys.executable), "-c", BEGINS_TWO, IS_BEGUN], environment)
    assert status == 0 and said.count("42000006") == 2, said
    assert said.count("Passphrase of") == 1 and echoes and PASSPHRASE not in said, said


def test_what_is_begun_asks_for_no_other_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a terminal, at which another of the same line may ask."""
    monkeypatch.setattr(terminal, "ask_secret", lambda _: pytest.fail("it asked"))
    terminal.asked_for_all()
    with terminal.handed_on() as (more, _):
        monkeypatch.setattr(terminal, "_typed", terminal._Typed())
        monkeypatch.setenv(terminal.VARIABLE, more[terminal.VARIABLE])
        assert terminal.take_over() == int(more[terminal.VARIABLE])
        with pytest.raises(terminal.NoTerminalError):
            terminal.opened("key", lambda _: None, "?")


@pytest.mark.parametrize("given", ["", "x", "-1", "999999", "99999999999999999999", "0"])
def test_a_descriptor_that_is_none_is_passed_over(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(terminal.VARIABLE, given)
    monkeypatch.setattr(os, "read", lambda *_: b"") if given == "0" else None
    assert terminal.take_over() is None and terminal._typed.by_file == {}
