"""What hosts say, read as claims: of any shape, and no more of it than is asked for. Pure."""

import math
import re
from collections.abc import Mapping
from typing import Any
from unicodedata import category

from vpc_openvpn.text import printable

LONGEST = 300  # characters of a text
MOST = 64  # elements of a list
LATEST = 1e11  # seconds since 1970; what is later is no time
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9@._:\\-]{0,80}")  # of a unit, of an interface
CLOCK = 5.0  # seconds by which a host's clock may differ before its times are corrected


def readable(text: str, most: int = LONGEST) -> str:
    """In one line, short, and without a character that moves a terminal's cursor or turns a line around."""
    # Marks that are put on the character before them could be piled up over other lines.
    found = "".join("?" if category(each)[0] == "M" else each for each in printable(text[: most + 1], keep=""))
    return found if len(found) <= most else f"{found[: most - 1]}…"


class Claims:
    """A JSON object, or what stands in its place. A value that is not of the kind that is asked for is None."""

    def __init__(self, found: object) -> None:
        self._found: Mapping[str, Any] = found if isinstance(found, dict) else {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def inside(self, key: str) -> "Claims":
        return Claims(self._found.get(key))

    def text(self, key: str) -> str | None:
        """Printable, not empty."""
        value = self._found.get(key)
        return readable(value) if isinstance(value, str) and value else None

    def long_text(self, key: str) -> str | None:
        """Of any length and with any characters: not to be shown."""
        value = self._found.get(key)
        return value if isinstance(value, str) else None

    def word(self, key: str) -> str | None:
        """What could be a name of ours, and is no sentence."""
        value = self._found.get(key)
        return value if isinstance(value, str) and _NAME.fullmatch(value) else None

    def words(self, key: str) -> tuple[str, ...]:
        """Those of a list; what is none is no part of it."""
        return tuple(each for each in self.elements(key) if isinstance(each, str) and _NAME.fullmatch(each))

    def flag(self, key: str) -> bool | None:
        value = self._found.get(key)
        return value if isinstance(value, bool) else None

    def number(self, key: str, most: float = LATEST) -> float | None:
        """From 0 to `most`."""
        value = self._found.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value) if 0 <= value <= most and math.isfinite(value) else None

    def count(self, key: str) -> int | None:
        value = self._found.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63 else None

    def counts(self, *keys: str) -> dict[str, int] | None:
        """Those numbers; None where one is missing."""
        found = {key: value for key in keys if (value := self.count(key)) is not None}
        return found if len(found) == len(keys) else None

    def time(self, key: str, shift: float) -> float | None:
        """A moment, in seconds since 1970, by the operator's clock."""
        value = self.number(key)
        return None if value is None else max(0.0, value + shift)

    def elements(self, key: str) -> list[Any]:
        value = self._found.get(key)
        return value[:MOST] if isinstance(value, list) else []

    def ahead(self, now: float) -> float | None:
        """Seconds by which the host's clock is ahead of `now`."""
        value = self.number("now")
        return None if value is None else value - now

    def shift(self, now: float) -> float:
        """What added to the host's times makes them the operator's."""
        ahead = self.ahead(now)
        return 0.0 if ahead is None or abs(ahead) <= CLOCK else -ahead
