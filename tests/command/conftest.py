"""The example site, and the command about it."""

from collections.abc import Iterator

import pytest

from tests.command.typing import Said, Type
from tests.conftest import EXAMPLE_SITE
from vpc_openvpn.command.__main__ import main
from vpc_openvpn.site.load import this_run


@pytest.fixture
def vpc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Type]:
    """`vpc("check", "--json")`: types it, with the example site, and answers with what it said."""
    monkeypatch.setenv("SITE", str(EXAMPLE_SITE))

    def typed(*words: str) -> Said:
        this_run.cache_clear()
        capsys.readouterr()
        status = main(words)
        return Said(status, *capsys.readouterr())

    yield typed
    this_run.cache_clear()
