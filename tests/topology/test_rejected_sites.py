"""Site files that must be refused, each beside the report that its user gets.

A pair is `tests/rejected_sites/NAME.yml` and `NAME.txt`. After adding one, or changing a message:
`pytest --update-golden`, and read the diff as a user would.
"""

import re
from pathlib import Path

import pytest

from tests.conftest import Golden
from topology.load import SiteError, load

SITES = Path(__file__).parents[1] / "rejected_sites"
PLACELESS = {"empty", "not-a-mapping", "one-word", "yaml-alias-of-itself"}
"""Refused as a whole."""


@pytest.mark.parametrize("name", sorted(path.stem for path in SITES.glob("*.yml")))
def test_report(name: str, golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(SITES)
    with pytest.raises(SiteError) as refused:
        load(Path(f"{name}.yml"))
    golden(SITES / f"{name}.txt", f"{refused.value}\n")


def test_every_site_has_its_report() -> None:
    assert {path.stem for path in SITES.glob("*.yml")} == {path.stem for path in SITES.glob("*.txt")}
    assert {path.suffix for path in SITES.iterdir()} == {".yml", ".txt"}


@pytest.mark.parametrize("path", sorted(SITES.glob("*.txt")), ids=lambda path: path.stem)
def test_every_report_names_places_and_speaks_the_users_language(path: Path) -> None:
    header, *entries = path.read_text(encoding="utf-8").splitlines()

    assert re.fullmatch(rf"{path.stem}\.yml: (1 error|\d+ errors)", header)
    for entry in entries:
        assert re.match(r"  (line \d+|[a-z]+(\.|$))|    \S", entry) or path.stem in PLACELESS
    assert not re.search(r"pydantic|https?://|input_|validation|None|IPv4\w+\(|\bdict\b|\btuple\b", "\n".join(entries))
