"""What systemd's watchdog hears of a process."""

import os
import socket
from pathlib import Path

import pytest
from vpc_openvpn_monitor.watchdog import Watchdog


@pytest.mark.parametrize("name", ["{}/notify", "@{}/abstract"])
def test_systemd_hears_that_the_process_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    name = name.format(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as systemd:
        systemd.bind(name.replace("@", "\0", 1))
        watchdog = Watchdog()
        assert "NOTIFY_SOCKET" not in os.environ  # not for a command that the process runs
        watchdog.hears()
        assert systemd.recv(100) == b"WATCHDOG=1"
        watchdog.hears()  # not at every packet
        with pytest.raises(BlockingIOError):
            systemd.recv(100)


def test_a_systemd_that_does_not_ask_or_listen_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    Watchdog().hears()
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nothing"))
    Watchdog().hears()
