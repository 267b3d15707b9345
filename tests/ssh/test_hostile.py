"""A machine at a host's address says what it likes, and files are damaged: each an answer, and no traceback."""

import fcntl
import logging
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import paramiko
import pytest
from pyinfra.connectors.sshuserclient import client

from tests.conftest import EXAMPLE_SITE
from tests.ssh.server import showing
from vpc_openvpn import whole
from vpc_openvpn.site.load import SiteError, load
from vpc_openvpn.site.plan import Ssh
from vpc_openvpn.ssh import connection, host_keys

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.attack


class Short(paramiko.PKey):
    """An ed25519 host key of 31 bytes."""

    def __init__(self) -> None:
        pass

    def get_name(self) -> str:
        return "ssh-ed25519"

    def asbytes(self) -> bytes:
        message = paramiko.Message()
        message.add_string("ssh-ed25519")
        message.add_string(b"x" * 31)
        return message.asbytes()

    def sign_ssh_data(self, _data: bytes, _algorithm: str | None = None) -> paramiko.Message:
        message = paramiko.Message()
        message.add_string("ssh-ed25519")
        message.add_string(b"y" * 64)
        return message

    def can_sign(self) -> bool:
        return True


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[Ssh]:
    """A host whose key was accepted once, and that shows one which no parser takes now."""
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    with showing(Short()) as (port, _):
        known_hosts, key = tmp_path / "known_hosts", paramiko.ECDSAKey.generate()
        known_hosts.write_text(f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}\n")
        yield Ssh(host="127.0.0.1", port=port, user="root", key=None, known_hosts=known_hosts)


def test_a_host_key_that_is_none_keeps_no_host_from_being_revoked(hostile: Ssh) -> None:
    assert host_keys.of_its_disk(hostile, 3) == []
    assert host_keys.revoke(hostile) == host_keys.revoked(hostile) != []


def test_a_host_key_that_is_none_is_no_ssh(hostile: Ssh) -> None:
    with pytest.raises((OSError, EOFError, paramiko.SSHException)):
        next(host_keys.shown(hostile, 3))


def test_a_number_below_zero_in_a_key_is_a_damaged_line(tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text("h ssh-rsa AAAAB3NzaC1yc2EAAABB7XkKkVAvkUamv1GQY86jLqal2B4RzJFO5SKcCSiop2RSGZ8=\n")
    assert host_keys.complaint_about(known_hosts)[0].startswith("line 1 is not `HOST KIND KEY`")


def test_a_configuration_of_ssh_that_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(client.get_ssh_config, "cache", {})
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text("Host x\n  =garbage\n")
    with pytest.raises(SiteError, match=r"~/\.ssh/config cannot be read: .*\n.*Nothing was connected to\."):
        connection.check(load(EXAMPLE_SITE))


def test_a_lock_that_another_user_holds_is_waited_for_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may read a directory may lock it."""
    monkeypatch.setattr(whole, "PATIENCE", 0.3)
    known_hosts = tmp_path / "known_hosts"
    ssh = Ssh(host="192.0.2.1", port=22, user="root", key=None, known_hosts=known_hosts)
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(OSError, match=r"another process has it locked for 0\.3 s"):
            host_keys.accept((ssh, paramiko.ECDSAKey.generate()))
        threading.Timer(0.1, fcntl.flock, (handle, fcntl.LOCK_UN)).start()
        host_keys.accept((ssh, paramiko.ECDSAKey.generate()))
    finally:
        os.close(handle)
    assert len(host_keys.known(ssh)) == 1


def test_a_passphrase_that_is_no_text_is_shown_nowhere() -> None:
    code = "from vpc_openvpn import terminal; print('asked', repr(terminal.ask_secret('Passphrase: ')))"
    shown = b""
    own, theirs = pty.openpty()
    with subprocess.Popen(
        ["setsid", "--ctty", "--wait", sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONUTF8": "1"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        while b"Passphrase: " not in shown:
            shown += os.read(own, 4096)
        os.write(own, b"hunter\xe4two\n")
        with suppress(OSError):  # its end
            while more := os.read(own, 4096):
                shown += more
        assert process.wait(10) == 0
    os.close(own)
    assert b"asked ''" in shown and b"hunter" not in shown and b"0xe4" not in shown, shown
