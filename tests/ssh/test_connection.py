"""What pyinfra says, as far as the cookbook has a word in it."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyinfra import logger

from vpc_openvpn.ssh.connection import adapt_messages


@pytest.fixture
def said(tmp_path: Path) -> Iterator[list[str]]:
    """Lines that reach the user from now on."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    filters = logger.filters[:]
    adapt_messages(tmp_path / "known_hosts")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)
    logger.filters[:] = filters


def test_hosts_that_an_operation_does_not_concern_are_not_listed(said: list[str]) -> None:
    logger.warning("    [\x1b[1mnat-us-east-1a\x1b[0m] \x1b[34mSkipped\x1b[0m")
    logger.warning("    [nat-us-east-1b] No changes")
    logger.warning("Skipped a beat")

    assert said == ["    [nat-us-east-1b] No changes", "Skipped a beat"]


def test_advice_on_a_changed_host_key_names_our_file(said: list[str], tmp_path: Path) -> None:
    logger.warning("    ssh-keygen -R 198.51.100.12")

    assert said[0].splitlines()[0] == f"    ssh-keygen -R 198.51.100.12 -f {tmp_path / 'known_hosts'}"
