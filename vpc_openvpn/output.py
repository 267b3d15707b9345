"""What a command prints, and what it does where its reader is gone (`| head -1`): it goes on with its work.

A command that makes or changes things must not end in the middle because its output has filled a pipe that is closed,
or a disk. Who has sent it to a file that is then not whole learns so by the exit status.
"""

import atexit
import io
import os
import select
import sys
from typing import Any

_lost: list[OSError] = []


class _Pipe(io.FileIO):
    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            pass
        except OSError as error:
            _lost.append(error)
        return len(data)


def abandoned() -> bool:
    """Whether standard output has no reader any more: a pipe whose other end, or a terminal that, is closed."""
    poll = select.poll()
    poll.register(1, 0)  # what is always told: errors, and the other end gone
    return bool(poll.poll(0))


def _admit_loss() -> None:
    if _lost:
        print(f"A part of the output is lost: {_lost[0].strerror}", file=sys.stderr)
        os._exit(1)


def outlive_reader() -> None:
    """From now on standard output and standard error, by line, discard what cannot be written. Unless that was because
    of a closed pipe, the process exits with 1.

    One that was closed from the beginning is opened, on nothing.
    """
    atexit.register(_admit_loss)  # the first to be registered is the last to run
    for number in (1, 2):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(
            io.BufferedWriter(_Pipe(number, "w", closefd=False)),
            encoding=stream.encoding if stream else "utf-8",
            errors=stream.errors if stream else "replace",
            line_buffering=True,
        )
        for number, stream in ((1, sys.stdout), (2, sys.stderr))
    )
