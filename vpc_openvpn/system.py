"""What the operating system refuses, in words: the file, the cause, what to type. Pure."""

import errno
from os import PathLike, fsdecode
from pathlib import PurePath
from shlex import quote

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}


def refusal(error: OSError, file: str | PathLike[str] | None = None) -> str:
    """In sentences, about the `file` that was meant; without it, about the one that the `error` names, if it does."""
    cause = error.strerror or str(error) or type(error).__name__
    named = file if file is not None else error.filename
    if not isinstance(named, str | bytes | PathLike):  # a file's number, or none
        return f"{cause}.\nType the same again."
    name = fsdecode(named)
    folder = quote(str(PurePath(name).parent))
    look = f"df -h {folder}" if error.errno in _DISK else f"ls -ld {folder} {quote(name)}"
    return f"{name}: {cause}.\nLook: {look}; mend it, and type the same again."
