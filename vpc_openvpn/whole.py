"""Files that appear whole or not at all, also where the power fails, and of two writers one after the other.

A process that is killed at any instant leaves the old file or the new one, and at most a draft, `.NAME.XXXXXXXX.tmp`,
which the next that is `alone` removes.
"""

import errno
import fcntl
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase as fnmatch
from pathlib import Path

PATIENCE = 10.0  # seconds
_DRAFT = re.compile(r"\.(.+)\.[a-z0-9_]{8}\.tmp")


def write(path: Path, data: bytes, mode: int, *, replace: bool = True) -> None:
    """Make or replace the file `path`. Without `replace` it must not exist: a link, unlike a rename, replaces none.

    Raises OSError, and has left what was there.
    """
    # Made with O_EXCL and mode 0600, so that no other user can open it at any instant.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    draft = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        if replace:
            draft.replace(path)
        else:
            path.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)
    flush(path.parent)


def flush(directory: Path) -> None:
    """Put the directory's names on the disk: without it a power cut may take a file back that was written."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def alone(directory: Path, names: Sequence[str], *, wait: bool) -> Iterator[None]:
    """While the block runs no other of ours has the `directory`. Drafts of the files `names`, shell patterns, that were
    left by a run that was killed are removed.

    Raises OSError where there is no such directory and, unless it may `wait`, BlockingIOError if another has it.
    """
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            _lock(handle, PATIENCE if wait else 0)
        except BlockingIOError:
            why = "another process has it locked" + (f" for {PATIENCE:g} s" if wait else "")
            raise BlockingIOError(errno.EAGAIN, why, str(directory)) from None
        except OSError:
            pass  # a file system without locks
        else:
            _sweep(directory, names)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, patience: float) -> None:
    """Any user who may read a directory may lock it: it is not waited for without an end."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.1)


def _sweep(directory: Path, names: Sequence[str]) -> None:
    for path in directory.glob(".*.tmp"):
        draft = _DRAFT.fullmatch(path.name)
        ours = draft is not None and any(fnmatch(draft[1], name) for name in names)
        if ours and stat.S_ISREG(path.lstat().st_mode):
            path.unlink(missing_ok=True)
