"""What hosts print, read; and what a connection that fails is said to be. Real hosts are asked in tests/scenarios."""

import json
import socket
import threading
import time
from pathlib import Path

import pytest

from tasks import paths
from tests.status.reports import PLANS
from vpc_openvpn.site.plan import Ssh
from vpc_openvpn.ssh import host_keys
from vpc_openvpn.status import gather
from vpc_openvpn.status.claims import LONGEST
from vpc_openvpn.status.gather import read
from vpc_openvpn.status.model import Refusal


def test_the_program_is_looked_for_where_a_deploy_puts_it() -> None:
    assert (gather.PROGRAM, gather.RECORD) == (paths.MONITOR, paths.SITE)


@pytest.mark.parametrize(
    ("printed", "refusal"),
    [
        ("undeployed\n", Refusal.UNDEPLOYED),
        ("older", Refusal.OLDER),
        ("vpc-openvpn-monitor: /etc/vpc-openvpn/monitor.json is not as a deploy writes it", Refusal.OTHER),
        ("", Refusal.OTHER),
        ("{", Refusal.OTHER),
        ("[" * 100000, Refusal.OTHER),
        ("{" + '"a":{' * 100000, Refusal.OTHER),
        ("\x1b[2Jgone " * 10000, Refusal.OTHER),
    ],
)
def test_what_is_no_report_is_a_reason(printed: str, refusal: Refusal) -> None:
    found = read(printed)
    assert (found.report, found.refusal) == (None, refusal)
    assert found.why and found.why.isprintable() and len(found.why) < 2 * LONGEST


def test_a_report_is_read_among_complaints() -> None:
    report = {"version": 1, "zones": {}}
    assert read(f"perl: warning: Setting locale failed.\n{json.dumps(report)}\nbye\n").report == report


def ssh(port: int, folder: Path) -> Ssh:
    return Ssh("127.0.0.1", "root", port, None, folder / "known_hosts")


def test_a_port_that_nothing_listens_on_refuses(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    answer = gather._Line(ssh(port, tmp_path), None, 1.0).answer()
    assert (answer.why, answer.refusal) == (f"127.0.0.1 port {port} refuses connections", Refusal.SILENT)


def test_a_service_that_is_no_sshd_is_said_to_be_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "STEP", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_greet, args=(listening, b"\x1b[2J220 mail\r\n" * 200))
        thread.start()
        answer = gather._Line(ssh(listening.getsockname()[1], tmp_path), None, 1.0).answer()
        thread.join()
    assert answer.refusal == Refusal.OTHER and not answer.reached
    assert answer.why.isprintable()


def test_a_host_that_lets_us_in_and_gives_no_report_is_not_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hangs(*_: object) -> str:
        raise TimeoutError

    monkeypatch.setattr(gather._Line, "_connected", lambda _: None)
    monkeypatch.setattr(gather._Line, "_run", hangs)
    answer = gather._Line(ssh(22, tmp_path), None, 1.0).answer()
    assert (answer.why, answer.refusal) == ("it lets us in, and gives no report within 6 s", Refusal.OTHER)


def _greet(listening: socket.socket, text: bytes) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.sendall(text)


def test_hosts_are_asked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three that accept a connection and say nothing cost as much as one."""
    monkeypatch.setattr(gather, "STEP", 0.5)
    monkeypatch.setattr(host_keys, "adopt", lambda: None)
    hosts = gather.Hosts(PLANS)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for line in hosts._lines.values():
            line._ssh = ssh(silent.getsockname()[1], tmp_path)
        began = time.monotonic()
        answers = hosts.answers()
        assert time.monotonic() - began < 1.4
    assert {answer.reached for answer in answers.values()} == {False} and len(answers) == 3


def test_a_host_that_hangs_keeps_no_other_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "ALTOGETHER", 0.2)
    monkeypatch.setattr(host_keys, "adopt", lambda: None)
    hosts, end = gather.Hosts(PLANS), threading.Event()
    for name, line in hosts._lines.items():
        monkeypatch.setattr(line, "_ask", (lambda: str(end.wait(5))) if name == "office" else lambda: "undeployed")
    answers = hosts.answers()
    end.set()
    assert answers["office"].why == "it has not answered within 0.2 s"
    assert answers["nat-us-east-1a"].refusal == Refusal.UNDEPLOYED
