"""The guest agent's protocol, spoken with an agent that is a thread."""

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import agent
from lab.system import LabError

Agent = Callable[[dict[str, Any]], Any]


@pytest.fixture
def port(tmp_path: Path) -> Path:
    return tmp_path / "agent.socket"


@pytest.fixture
def serve(port: Path) -> Iterator[Callable[..., None]]:
    """`serve(answer, left=b"")`: an agent that answers each client in turn; `left` is what another did not wait for."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(port))
    listener.listen()

    def loop(answer: Agent, left: bytes) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client, client.makefile("rwb") as stream:
                stream.write(left)
                for line in stream:
                    asked = json.loads(line)
                    if asked["execute"] == "guest-sync-delimited":
                        stream.write(b"\xff" + json.dumps({"return": asked["arguments"]["id"]}).encode() + b"\n")
                    else:
                        stream.write(json.dumps(answer(asked)).encode() + b"\n")
                    stream.flush()

    threads = []

    def start(answer: Agent, left: bytes = b"") -> None:
        threads.append(threading.Thread(target=loop, args=[answer, left]))
        threads[-1].start()

    yield start
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for thread in threads:
        thread.join()


def runs(**ended: object) -> Agent:
    """An agent whose command has ended so when it is asked for the third time."""
    asked = iter([False, False, True])

    def answer(message: dict[str, Any]) -> dict[str, object]:
        if message["execute"] == "guest-exec":
            assert message["arguments"] == {"path": "/bin/x", "arg": ["-y"], "capture-output": True}
            return {"return": {"pid": 7}}
        assert message["arguments"] == {"pid": 7}
        done = next(asked)
        return {"return": {"exited": done, **(ended if done else {})}}

    return answer


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_a_command_has_a_status_and_two_outputs(port: Path, serve: Callable[..., None]) -> None:
    serve(runs(exitcode=3, **{"out-data": in_base64("so\n"), "err-data": in_base64("no\n")}))
    assert agent.run(port, ["/bin/x", "-y"]) == agent.Ended(3, b"so\n", b"no\n")


def test_a_command_that_a_signal_ends_has_the_shells_status(port: Path, serve: Callable[..., None]) -> None:
    serve(runs(signal=9))
    assert agent.run(port, ["/bin/x", "-y"]) == agent.Ended(137, b"", b"")


def test_unread_lines_of_another_client_are_skipped(port: Path, serve: Callable[..., None]) -> None:
    serve(runs(exitcode=0), left=b'{"return": 1}\n{"return": {"ex\n')
    assert agent.run(port, ["/bin/x", "-y"]).status == 0


def test_an_agents_refusal_is_an_error(port: Path, serve: Callable[..., None]) -> None:
    serve(lambda _: {"error": {"class": "GenericError", "desc": "No such file"}})
    with pytest.raises(LabError, match="refused guest-exec: No such file"):
        agent.run(port, ["/bin/x", "-y"])


def test_a_missing_agent_is_an_error(port: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LabError, match="no agent answers"):
        agent.run(port, ["/bin/x"])
    monkeypatch.setattr(agent, "THERE", 0.1)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(port))
        silent.listen()
        with pytest.raises(LabError, match="no agent answers"):
            agent.run(port, ["/bin/x"])
