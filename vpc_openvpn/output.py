"""What a command prints, and what it does where its reader is gone (`| head -1`): it goes on with its work.

A command that makes or changes things must not end in the middle because its output has filled a pipe that is closed.
"""

import io
import os
import sys
from typing import Any


class _Pipe(io.FileIO):
    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return len(data)


def outlive_reader() -> None:
    """From now on standard output and standard error, by line, discard what cannot be written to a closed pipe.

    One that was closed from the beginning is opened, on nothing.
    """
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
