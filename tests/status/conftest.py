"""The command, as its own tests type it."""

from tests.command.conftest import vpc

__all__ = ["vpc"]
