"""Running commands by QEMU's guest agent, which speaks JSON on a serial port: a console that needs no network.

Its messages are in QEMU's "QEMU Guest Agent Protocol Reference". The port has one client at a time, and an answer that
a client did not wait for goes to the next one: each connection begins by finding where its own answers begin.
"""

from __future__ import annotations

import base64
import fcntl
import json
import random
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.system import LabError

THERE = 10.0  # seconds until an agent counts as not there (yet)
SILENCE = 60.0  # seconds until one that runs a command counts as gone; emulated hosts can be slow
_MARK = b"\xff"  # no part of any message


@dataclass(frozen=True)
class Ended:
    """A command that ended: its exit status, as a shell gives it, and what it printed."""

    status: int
    output: bytes
    errors: bytes


def run(port: Path, command: list[str]) -> Ended:
    """Run `command`, whose first word is a path, as root; `port` is QEMU's socket. It gets no input.

    Raises LabError where no agent answers: the host is off, or its boot has not come so far.
    """
    words = {"path": command[0], "arg": command[1:], "capture-output": True}
    pid = _ask(port, THERE, "guest-exec", words)["pid"]
    pause = 0.02
    while not (done := _ask(port, SILENCE, "guest-exec-status", {"pid": pid}))["exited"]:
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)
    status = done["exitcode"] if "exitcode" in done else 128 + done["signal"]
    return Ended(status, *(base64.b64decode(done.get(name, "")) for name in ("out-data", "err-data")))


def _ask(port: Path, seconds: float, what: str, arguments: dict[str, object]) -> Any:
    """The agent's answer, which must come within so many seconds."""
    try:
        with _alone(port), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(seconds)
            connection.connect(str(port))
            with connection.makefile("rwb") as stream:
                number = random.getrandbits(31)
                _write(stream, "guest-sync-delimited", {"id": number})
                while _after_mark(stream.readline()) != {"return": number}:
                    pass
                _write(stream, what, arguments)
                answer = json.loads(stream.readline())
    except (OSError, ValueError) as error:  # off; not there yet; cut short
        raise LabError(f"no agent answers at {port}: {error}") from error
    if "error" in answer:
        raise LabError(f"the agent at {port} refused {what}: {answer['error']['desc']}")
    return answer["return"]


def _write(stream: Any, what: str, arguments: dict[str, object]) -> None:
    stream.write(json.dumps({"execute": what, "arguments": arguments}).encode() + b"\n")
    stream.flush()


def _after_mark(line: bytes) -> object:
    """What a line says; of a line that another client has left, nothing that anybody waits for."""
    if not line:
        raise EOFError
    try:
        return json.loads(line.rpartition(_MARK)[2])
    except ValueError:
        return None


@contextmanager
def _alone(port: Path) -> Iterator[None]:
    with port.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
