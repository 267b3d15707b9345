"""Site files that must be refused, each beside the report that its user gets.

A pair is `tests/rejected_sites/NAME.yml` and `NAME.txt`. After adding one, or changing a message:
`pytest --update-golden`, and read the diff as a user would.
"""

import re
import time
from ipaddress import IPv4Network
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import Golden
from vpc_openvpn.site.load import SiteError, load
from vpc_openvpn.site.rules import overlapping

SITES = Path(__file__).parents[1] / "rejected_sites"
PLACELESS = {"empty", "not-a-mapping", "one-word", "yaml-alias-of-itself"}
"""Refused as a whole."""


@pytest.mark.parametrize("name", sorted(path.stem for path in SITES.glob("*.yml")))
def test_a_rejected_site_has_its_report(name: str, golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(SITES)
    with pytest.raises(SiteError) as refused:
        load(Path(f"{name}.yml"))
    golden(SITES / f"{name}.txt", f"{refused.value}\n")


nested = st.builds(
    lambda address, size: IPv4Network((address << 24, size), strict=False), st.integers(0, 7), st.integers(4, 10)
)


@given(st.lists(nested, max_size=12))
def test_overlaps_are_those_that_comparing_each_with_each_finds(networks: list[IPv4Network]) -> None:
    found = [
        (path[0], first[0]) for path, _, first, _ in overlapping([((n,), each) for n, each in enumerate(networks)])
    ]

    pairs = ((n, m) for n, each in enumerate(networks) for m in range(n) if each.overlaps(networks[m]))
    assert found == [(n, min(m for _, m in same)) for n, same in groupby(pairs, key=lambda pair: pair[0])]


def test_twenty_thousand_networks_are_reported_at_once(tmp_path: Path) -> None:
    many = ", ".join(f"172.{16 + n // 2048}.{n // 8 % 256}.{n % 8 * 32}/27" for n in range(20_000))
    site = tmp_path / "site.yml"
    site.write_text((SITES / "lans-too-many.yml").read_text().replace("lans: [", f"lans: [{many}, "))
    start = time.monotonic()
    with pytest.raises(SiteError, match="has 20065 items, more than the 64 that are supported"):
        load(site)
    assert time.monotonic() - start < 20

    placed = [((n,), IPv4Network((n << 8, 24))) for n in range(20_000)]
    assert not list(overlapping(placed))


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
