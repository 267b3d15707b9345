"""The alerts at work: real commands, a real server, files as the monitor writes them."""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from vpc_openvpn_monitor import alerts, heartbeat, hooks
from vpc_openvpn_monitor.alerts import Memory
from vpc_openvpn_monitor.hooks import Config, Hooks

DETOUR = {"state": "detour", "via": "b", "why": "its NAT is silent", "since": 5.0, "says": "by a detour over b"}
OWN = {"state": "own", "via": "a", "why": None, "since": 5.0, "says": "by its own tunnel"}
LOST = {"state": "lost", "via": None, "why": "its NAT is silent", "since": 5.0, "says": "lost: its NAT is silent"}


class Router:
    """Its files below `folder`, and what the alerts have said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.config = Config(
            site="office",
            command="",
            after=0.0,
            days=365,
            created={},
            state=folder / "state",
            keeper=folder / "keeper.state",
            memory=folder / "memory",
        )
        # Long after the boot.
        self.config.memory.write_text(alerts.kept(Memory(time.monotonic() - 1000.0)))

    def command(self, script: str) -> None:
        path = self.folder / "command"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        self.config = replace(self.config, command=str(path))

    def sees(self, *, age: float = 0.0, **zones: dict[str, Any]) -> None:
        self.config.state.write_text(json.dumps({"version": 1, "zones": zones}))
        os.utime(self.config.state, (time.time() - age, time.time() - age))

    @contextmanager
    def alerting(self) -> Iterator[Hooks]:
        """The alerts run, as in their unit."""
        working = Hooks(self.config, self.said.append)
        thread = threading.Thread(target=working.run)
        thread.start()
        try:
            yield working
        finally:
            working.stop()
            thread.join(10)
            assert not thread.is_alive()

    def memory(self) -> Memory:
        return alerts.recalled(self.config.memory.read_text(), 0.0)


@pytest.fixture
def router(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Router:
    monkeypatch.setattr(hooks, "BEAT", 0.02)
    monkeypatch.delenv(hooks.CREDENTIALS, raising=False)
    return Router(tmp_path)


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_command_hears_the_facts_once(router: Router) -> None:
    router.command(f"env >> {router.folder}/heard")
    router.sees(a=DETOUR, b=OWN)
    with router.alerting():
        eventually(lambda: router.memory().runs == 1)
        time.sleep(0.3)
    heard = (router.folder / "heard").read_text()
    assert heard.count("VPC_OPENVPN_EVENT=detour\n") == heard.count("VPC_OPENVPN_ZONE=a\n") == 1
    assert "VPC_OPENVPN_WAY=b\n" in heard and "VPC_OPENVPN_WHY=its NAT is silent\n" in heard
    assert router.said == ["said: a: by a detour over b"]
    with router.alerting():  # a restart says nothing again
        time.sleep(0.3)
    assert router.memory().runs == 1


def test_a_command_that_fails_is_counted_and_tried_again(router: Router, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "TRIES", (0.0, 0.1, 0.1))
    router.command("exit 7")
    router.sees(a=DETOUR)
    with router.alerting():
        eventually(lambda: router.memory().failures == 3)
        time.sleep(0.3)
    assert router.memory().runs == 3 and router.memory().waiting == ()
    assert [line.split("; ")[1].split(":")[0] for line in router.said] == ["tried again", "tried again", "given up"]
    assert "failed with status 7" in router.said[0]


def test_a_command_that_hangs_ends_with_all_that_it_started(router: Router, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "LONGEST", 0.3)
    router.command(f"sleep 300 & echo $! > {router.folder}/pid; wait")
    router.sees(a=DETOUR)
    with router.alerting():
        eventually(lambda: router.memory().failures == 1)
    assert "took more than" in router.said[0]
    pid = (router.folder / "pid").read_text().strip()
    eventually(lambda: not Path(f"/proc/{pid}").exists() or "(zombie)" in Path(f"/proc/{pid}/status").read_text())


def test_a_command_that_is_not_there_is_a_failure(router: Router) -> None:
    router.config = replace(router.config, command="/nonexistent")
    router.sees(a=DETOUR)
    with router.alerting():
        eventually(lambda: router.memory().failures == 1)
    assert router.said == ["/nonexistent cannot be run: No such file or directory"]


def test_a_monitor_without_a_sign_is_said_and_its_zones_are_not(router: Router) -> None:
    router.command(f"echo $VPC_OPENVPN_EVENT >> {router.folder}/heard")
    router.sees(age=100.0, a=DETOUR)
    with router.alerting():
        eventually(lambda: router.memory().runs == 1)
    assert (router.folder / "heard").read_text() == "monitor-silent\n"


def test_a_repair_that_loops_is_said(router: Router) -> None:
    router.command(f"echo $VPC_OPENVPN_EVENT $VPC_OPENVPN_WHAT >> {router.folder}/heard")
    one = {"what": "firewall", "count": 9, "first": 1, "last": 2, "looping": True, "gone": "-A vpc-openvpn-input"}
    router.config.keeper.write_text(json.dumps({"version": 1, "repairs": [one]}))
    router.sees(a=OWN)
    with router.alerting():
        eventually(lambda: router.memory().runs == 1)
    assert (router.folder / "heard").read_text() == "repair-loop firewall\n"


# --- the heartbeat --------------------------------------------------------------------------------------------------


@pytest.fixture
def service() -> Iterator[tuple[str, list[str]]]:
    """A server on this machine: its URL, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200 if self.path == "/secret" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()
    thread.join()


def passed_on(router: Router, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As systemd does with LoadCredential=."""
    (router.folder / hooks.URL).write_text(f"{url}\n")
    monkeypatch.setenv(hooks.CREDENTIALS, str(router.folder))


def test_the_heartbeat_is_fetched_while_all_is_well(
    router: Router, service: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "HEARTBEAT", 0.2)
    url, asked = service
    passed_on(router, f"{url}/secret", monkeypatch)
    router.sees(a=LOST, b=OWN)
    with router.alerting():
        eventually(lambda: len(asked) >= 3)
    assert set(asked) == {"/secret"} and router.said == []


@pytest.mark.parametrize(("age", "zone"), [(0.0, LOST), (31.0, OWN)])
def test_there_is_none_while_all_zones_are_lost_or_the_monitor_is_silent(
    age: float, zone: dict[str, Any], router: Router, service: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, asked = service
    passed_on(router, f"{url}/secret", monkeypatch)
    router.sees(age=age, a=zone)
    with router.alerting():
        time.sleep(0.5)
    assert asked == []


@pytest.mark.parametrize(
    ("wanted", "says"),
    [("{}/other", "its server answers 404"), ("http://127.0.0.1:1/secret", "Connection refused"), ("x:y", "no answer")],
)
def test_a_heartbeat_that_is_not_heard_is_counted_and_its_url_is_not_said(
    wanted: str, says: str, router: Router, service: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = wanted.format(service[0])
    passed_on(router, url, monkeypatch)
    router.sees(a=OWN)
    with router.alerting():
        eventually(lambda: router.memory().heartbeat_failures == 1)
    assert len(router.said) == 1 and says in router.said[0] and url not in router.said[0]


def test_a_server_that_never_comes_to_its_end_is_left(router: Router, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "WITHIN", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_drip, args=(server,))
        thread.start()
        passed_on(router, f"http://127.0.0.1:{server.getsockname()[1]}/secret", monkeypatch)
        router.sees(a=OWN)
        with router.alerting():
            eventually(lambda: router.memory().heartbeat_failures == 1)
        thread.join()
    assert router.said == ["the heartbeat was not heard: no answer in time"]


def _drip(server: socket.socket) -> None:
    """A header that goes on for as long as it is read."""
    with server.accept()[0] as connection, contextlib.suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.2)


def test_the_command_does_not_see_where_the_url_is(router: Router, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hooks.CREDENTIALS, str(router.folder))
    router.command(f"env >> {router.folder}/heard")
    router.sees(a=DETOUR)
    with router.alerting():
        eventually(lambda: router.memory().runs == 1)
    assert hooks.CREDENTIALS not in (router.folder / "heard").read_text()
