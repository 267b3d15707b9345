"""Questions on the operator's terminal. Standard input is never read for them: it may be a file or a pipe.

A passphrase is asked for once a typed line. A process that begins others hands on to each what was typed, by a pipe: it
is in memory alone, and in no argument, variable or file. Where it has said that this is all (`asked_for_all`), they ask
for no passphrase: two that ask at once would leave the terminal without an echo.
"""

import getpass
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

TERMINAL = Path("/dev/tty")
VARIABLE = "VPC_OPENVPN_HANDED_ON"  # the number of a file descriptor


class NoTerminalError(Exception):
    """There is no terminal to ask on."""


class _Typed:
    """By key file, the passphrases that were typed and are right; `complete`: no others are to be asked for."""

    def __init__(self) -> None:
        self.by_file: dict[str, str] = {}
        self.complete = False


_typed = _Typed()


def ask(question: str) -> str | None:
    """What is typed; None where there is no terminal, or an end of file."""
    try:
        with TERMINAL.open("r+b", buffering=0) as terminal:
            terminal.write(question.encode())
            typed = bytearray()
            while not typed.endswith(b"\n"):
                more = terminal.read(1024)
                if not more:
                    return None
                typed += more
            return typed.decode(errors="replace").rstrip("\n")
    except OSError:
        return None


def ask_secret(question: str) -> str | None:
    """What is typed, unseen, and nothing at an end of file; None where there is no terminal."""
    if not _there():
        return None
    try:
        return getpass.getpass(question)
    except (EOFError, UnicodeDecodeError):  # what is no text is no passphrase that a key has
        return ""


def can_open(file: str) -> bool:
    """Whether the passphrase of a key's file is known, or can be asked for."""
    return file in _typed.by_file or _there()


def opened(file: str, unlock: Callable[[str], T | None], question: str, tries: int = 1) -> T | None:
    """What `unlock` makes of the passphrase of the key `file`; None where none that was typed is right.

    Raises NoTerminalError.
    """
    if file in _typed.by_file and (key := unlock(_typed.by_file[file])) is not None:
        return key
    for _ in range(tries):
        typed = None if _typed.complete else ask_secret(question)
        if typed is None:
            raise NoTerminalError
        if (key := unlock(typed)) is not None:
            _typed.by_file[file] = typed
            return key
    return None


def asked_for_all() -> None:
    """The processes that are begun from here on ask for no passphrase, and neither does this one."""
    _typed.complete = True


@contextmanager
def handed_on() -> Iterator[tuple[dict[str, str], tuple[int, ...]]]:
    """For a process that is begun in the block, and ends in it: what its environment has more, and the descriptors that
    it inherits. It learns there, too, when this process has gone.
    """
    _occupy_standard_input()
    reading, writing = os.pipe()
    try:
        os.write(writing, json.dumps({"typed": _typed.by_file, "complete": _typed.complete}).encode() + b"\n")
        yield {VARIABLE: str(reading)}, (reading,)
    finally:
        os.close(reading)
        os.close(writing)


def take_over() -> int | None:
    """Know what this process was handed on. A descriptor that ends when the one that has begun it is gone; None where
    this was not begun so.
    """
    given = os.environ.pop(VARIABLE, "")
    if not given.isdecimal():
        return None
    text = bytearray()
    with suppress(OSError, ValueError, OverflowError, KeyError, TypeError):
        os.set_inheritable(int(given), False)
        while not text.endswith(b"\n"):
            more = os.read(int(given), 4096)
            if not more:
                return None
            text += more
        found = json.loads(text)
        _typed.by_file.update(found["typed"])
        _typed.complete = found["complete"]
        return int(given)
    return None


def answers() -> bool:
    """Whether standard input is a terminal. It may be closed, and is then no file at all."""
    return sys.stdin is not None and sys.stdin.isatty()


def _occupy_standard_input() -> None:
    """Where it is closed, the next file that is opened would be it."""
    try:
        os.fstat(0)
    except OSError:
        os.open(os.devnull, os.O_RDONLY)


def _there() -> bool:
    """Whether there is a terminal, whatever standard input is."""
    try:
        os.close(os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
