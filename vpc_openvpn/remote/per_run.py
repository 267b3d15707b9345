"""What one run of pyinfra knows of itself: one object of a kind, kept on pyinfra's own state."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from pyinfra.context import ctx_state

Kind = TypeVar("Kind")
_NAME = "vpc_openvpn"


def of_run(kind: Callable[[], Kind]) -> Kind:
    """The object of the class `kind` that this run has; made when it is asked for first."""
    known: dict[object, Any] = vars(ctx_state.get()).setdefault(_NAME, {})
    if kind not in known:
        known[kind] = kind()
    return cast("Kind", known[kind])
