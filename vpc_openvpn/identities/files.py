"""Files that appear whole or not at all (`whole`), and are read only if they are files. Errors of the system become
CredentialsError.
"""

import errno
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from shlex import quote

from vpc_openvpn import system, whole
from vpc_openvpn.identities.errors import CredentialsError

OTHERS_WRITE = 0o002

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_CONFLICT = re.compile(rb"^(<{7}|>{7}) ", re.MULTILINE)


def read(path: Path, *, follow: bool = False) -> bytes:
    """What the file `path` holds. A symbolic link is read if `follow`.

    Raises CredentialsError at once where it is no file (a pipe would keep a reader waiting), or every user may write
    to it.
    """
    try:
        # Without O_NONBLOCK the opening of a pipe waits for a writer.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))
    except OSError as error:
        raise problem(error, path) from None
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            kind = next((kind for is_kind, kind in _KINDS if is_kind(mode)), "no file")
            raise CredentialsError(f"{path} is {kind}, not a file.\nPut the file itself in its place.")
        if mode & OTHERS_WRITE:
            raise _writable(path, path.parent, mode)
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read()
    except OSError as error:
        raise problem(error, path) from None
    finally:
        os.close(handle)


def check_directory(path: Path) -> None:
    """Refuse a directory that every user may write to, and what is none. It need not exist."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise problem(error, path) from None
    if not stat.S_ISDIR(mode):
        raise CredentialsError(f"{path} is not a directory.\nRemove it, or set IDENTITIES to the directory.")
    if mode & OTHERS_WRITE:
        raise _writable(path, path, mode)


def has_conflict(data: bytes) -> bool:
    """Whether `data` holds the lines that git writes into a file that it could not merge."""
    return _CONFLICT.search(data) is not None


@contextmanager
def exclusive(path: Path, *names: str) -> Iterator[None]:
    """While the block runs no other of ours does in the directory `path`. Drafts of the files `names`, shell patterns,
    that a run left which was killed are removed.

    Raises CredentialsError if another holds it.
    """
    with ExitStack() as held:
        try:
            held.enter_context(whole.alone(path, names, wait=False))
        except BlockingIOError:
            raise CredentialsError(
                f"Another `./vpc identities` is writing to {path}.\nWait, and type it again."
            ) from None
        except OSError as error:
            raise problem(error, path) from None
        yield


def make_directory(path: Path, mode: int = 0o755) -> None:
    """Make `path` and what is missing above it; `mode`, less the umask, is for `path` alone."""
    try:
        path.mkdir(mode, parents=True, exist_ok=True)
    except OSError as error:
        raise problem(error, path) from None


def create(path: Path, text: str, mode: int) -> None:
    """Make the file `path`, which must not exist: a link, unlike a rename, refuses to replace."""
    _write(path, text, mode, replace=False)


def replace(path: Path, text: str, mode: int) -> None:
    """Make or replace the file `path`."""
    _write(path, text, mode, replace=True)


def _write(path: Path, text: str, mode: int, *, replace: bool) -> None:
    try:
        whole.write(path, text.encode(), mode, replace=replace)
    except OSError as error:
        raise problem(error, path) from None


def try_out(directory: Path) -> None:
    """Raise CredentialsError where no file can be made there."""
    try:
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".recipients.lock.", suffix=".tmp") as file:
            file.write(b" " * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise problem(error, directory) from None


def keep(path: Path, copy: Path) -> None:
    """The file under another name as well. One that has that name is of the same step, cut short."""
    try:
        with suppress(FileExistsError):
            copy.hardlink_to(path)
        whole.flush(path.parent)
    except OSError as error:
        raise problem(error, path) from None


def move(path: Path, place: Path) -> None:
    """The file is under the other name, in the place of what was there."""
    try:
        path.replace(place)
        whole.flush(path.parent)
    except OSError as error:
        raise problem(error, path) from None


def remove(path: Path) -> None:
    """The file is gone, if it was there."""
    try:
        path.unlink(missing_ok=True)
        whole.flush(path.parent)
    except OSError as error:
        raise problem(error, path) from None


def _writable(path: Path, directory: Path, mode: int) -> CredentialsError:
    return CredentialsError(
        f"Every user of this machine may write to {path} (mode {stat.S_IMODE(mode):04o}).\n"
        f"Look whether it is still yours (git status, git diff), then: chmod -R o-w {quote(str(directory))}"
    )


def problem(error: OSError, path: Path) -> CredentialsError:
    """What to raise for `error`, met while reading or writing `path`."""
    if error.errno == errno.ELOOP:
        return CredentialsError(f"{path} is a symbolic link, not a file.\nPut the file itself in its place.")
    return CredentialsError(system.refusal(error, path))
