"""Orders to the running monitor, by a socket that root alone may use: a line, and the answer to it."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

_TIMEOUT = 0.2  # seconds that a client may keep the monitor waiting
_PATIENCE = 5.0  # seconds that a client waits for the monitor
_LONGEST = 4096  # bytes of an order


class OrderError(Exception):
    """An order cannot be carried out; the text says why."""


class NoMonitor(Exception):  # noqa: N818 (a state, not a fault)
    """No monitor runs on this host."""


def listening(path: Path) -> socket.socket:
    """The socket on which orders come in. Raises OSError."""
    path.unlink(missing_ok=True)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    mask = os.umask(0o177)
    try:
        opened.bind(str(path))
    finally:
        os.umask(mask)
    opened.listen()
    return opened


def serve(opened: socket.socket, carry_out: Callable[[list[str]], str]) -> None:
    """One order: read it, have it carried out, answer."""
    try:
        line, _ = opened.accept()
    except OSError:
        return
    with line:
        try:
            line.settimeout(_TIMEOUT)
            words = line.recv(_LONGEST).decode("utf-8", "replace").split()
            try:
                line.sendall(f"done\n{carry_out(words)}".encode())
            except OrderError as error:
                line.sendall(f"not done\n{error}".encode())
        except OSError:
            return


def give(path: Path, *words: str, patience: float = _PATIENCE) -> str:
    """The answer to an order. Raises OrderError, and NoMonitor where none comes within `patience` seconds."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(patience)
            line.connect(str(path))
            line.sendall(" ".join(words).encode())
            said = b"".join(iter(lambda: line.recv(65536), b"")).decode()
    except OSError as error:
        raise NoMonitor(f"no monitor answers at {path}: {error}") from None
    done, _, answer = said.partition("\n")
    if done != "done":
        raise OrderError(answer or "the monitor did not answer")
    return answer
