"""docs/site-file.md says what may pass; a scenario asks for each line of it. Both have the same lines."""

from pathlib import Path

import pytest

from tests.scenarios.passing import NOTHING, ROWS, Row

ROOT = Path(__file__).parents[1]


def test_the_documents_rows_are_those_that_are_asked_for() -> None:
    document = (ROOT / "docs/site-file.md").read_text(encoding="utf-8")
    section = document.partition("\n## What may pass\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    assert [tuple(line.strip("| ").split(" | ")) for line in lines[1:]] == [row.text for row in ROWS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.sender} → {row.target}")
def test_each_row_is_asked_for_in_each_state(row: Row) -> None:
    for text, probes in row.ways.values():
        assert probes and (text == NOTHING) == all(probe.seen is None for probe in probes), text


@pytest.mark.parametrize("state", ["home", "detour", "single"])
def test_each_state_has_each_kind_of_packet(state: str) -> None:
    probes = [probe for row in ROWS for probe in row.ways[state].probes]
    passing, others = ({probe.kind for probe in probes if bool(probe.seen) == seen} for seen in (True, False))
    assert {"tcp", "udp", "ping", "tunnel"} <= passing and {"tcp", "udp", "ping", "tunnel", "through"} <= others
