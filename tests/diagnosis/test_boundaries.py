"""What keeps `diagnosis` pure: it reads texts, and asks no host."""

from pathlib import Path

import pytest

from tests.topology.test_boundaries import imports, io_calls

MODULES = sorted((Path(__file__).parents[2] / "diagnosis").glob("*.py"))
BELOW = {"collections", "dataclasses", "ipaddress", "itertools", "json", "shlex", "typing", "diagnosis", "topology"}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_a_diagnosis_does_no_io_and_imports_what_is_below_it(module: Path) -> None:
    assert {name.partition(".")[0] for name in imports(module)} <= BELOW
    assert list(io_calls(module)) == []
