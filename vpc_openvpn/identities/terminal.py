"""Questions on the operator's terminal. Standard input is never read for them: it may be a file or a pipe."""

import getpass
import os
from pathlib import Path

TERMINAL = Path("/dev/tty")


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
    """The same, unseen."""
    try:
        os.close(os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return None
    try:
        return getpass.getpass(question)
    except EOFError:
        return None
