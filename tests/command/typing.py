"""`./vpc`, typed in this process."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str


Type: TypeAlias = Callable[..., Said]
