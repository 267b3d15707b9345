"""Run `./vpc identities WORDS`, again and again from the same state, and be killed at one system call or another.

    python -m tests.identities.dies FOLDER WORDS...

Before each run it reads a line from standard input, a number N; after it, it writes `killed` or `done`. A run is a
process of its own; SIGKILL strikes it right before the N-th call that opens for writing, renames, links, removes or
flushes a file below FOLDER, and half-way through what it writes to one. Deploys succeed, and there are none.
"""

import os
import signal
import sys
from io import BufferedWriter
from pathlib import Path
from typing import Any

from vpc_openvpn.command import identities_rotate, pyinfra
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

    flush = os.fsync

    def fsync(handle: Any) -> None:
        step()
        flush(handle)

    os.fsync = fsync  # type: ignore[assignment]
    sys.addaudithook(see)
    fdopen = os.fdopen

    class Halves(BufferedWriter):
        def write(self, data: Any) -> int:
            first = super().write(data[: len(data) // 2])
            self.flush()
            step()
            return first + super().write(data[first:])

    def halves(*args: Any, **kwargs: Any) -> Any:
        file = fdopen(*args, **kwargs)
        return Halves(file.detach()) if isinstance(file, BufferedWriter) else file

    os.fdopen = halves


def run(folder: Path, words: list[str]) -> None:
    vars(pyinfra).update(run=lambda *_, **__: 0)
    vars(identities_rotate).update(_silent=lambda *_: {})
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            arm(folder, int(line))
            os._exit(main(["identities", *words]))
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print("killed" if killed else f"done {os.waitstatus_to_exitcode(status)}", flush=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2:])
