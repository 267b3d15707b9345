"""Files that appear whole or not at all. Errors of the system become CredentialsError."""

import os
import tempfile
from pathlib import Path

from vpc_openvpn.identities.errors import CredentialsError


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise problem(error, path) from None


def make_directory(path: Path, mode: int = 0o777) -> None:
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
        # Made with O_EXCL and mode 0600, so that no other user can open it at any instant.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        draft = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.chmod(mode)
            if replace:
                draft.replace(path)
            else:
                path.hardlink_to(draft)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise problem(error, path) from None


def problem(error: OSError, path: Path) -> CredentialsError:
    """What to raise for `error`, met while reading or writing `path`."""
    return CredentialsError(f"{path}: {error.strerror or 'failed'}.")
