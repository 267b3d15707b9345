"""Run `./vpc identities WORDS`, again and again from the same state, and be killed at the next system call each time.

    python -m tests.identities.dies FOLDER WORDS...

Before each run it reads a line from standard input; after it, it writes `killed` or `done`. A run is a process of its
own; SIGKILL strikes it right before the N-th call that opens for writing, renames, links, removes or flushes a file
below FOLDER, and half-way through what it writes to one; N is one more than in the run before.
"""

import os
import signal
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from vpc_openvpn.command.__main__ import main

EVENTS = {"open", "os.rename", "os.link", "os.remove", "os.chmod", "fcntl.flock"}
WRITES = os.O_WRONLY | os.O_RDWR


def arm(folder: Path, point: int) -> None:
    left = point

    def step() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def see(event: str, args: tuple[Any, ...]) -> None:
        inside = event == "fcntl.flock" or (event in EVENTS and str(args[0]).startswith(str(folder)))
        if inside and (event != "open" or args[2] & WRITES):
            step()

    flush, write = os.fsync, TextIOWrapper.write

    def fsync(handle: Any) -> None:
        step()
        flush(handle)

    os.fsync = fsync  # type: ignore[assignment]
    sys.addaudithook(see)
    fdopen = os.fdopen

    def halves(*args: Any, **kwargs: Any) -> Any:
        file = fdopen(*args, **kwargs)
        if isinstance(file, TextIOWrapper):

            class Halves(TextIOWrapper):
                def write(self, text: str) -> int:
                    write(self, text[: len(text) // 2])
                    self.flush()
                    step()
                    return write(self, text[len(text) // 2 :])

            return Halves(file.detach(), encoding="utf-8")
        return file

    os.fdopen = halves


def run(folder: Path, words: list[str]) -> None:
    for point, _ in enumerate(sys.stdin, start=1):
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            arm(folder, point)
            os._exit(main(["identities", *words]))
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print("killed" if killed else f"done {os.waitstatus_to_exitcode(status)}", flush=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2:])
