"""Generated sections of a document. No lab."""

from pathlib import Path

import pytest

from bench import document


def test_a_section_goes_between_its_own_markers_and_nowhere_else(tmp_path: Path) -> None:
    path = tmp_path / "document.md"
    one, two = (f"{document.marker(name)}\n\n{name}\n{document.END}\n" for name in ("one", "two"))
    path.write_text(f"before\n{one}between\n{two}after", encoding="utf-8")
    document.publish(path, "two", "new")
    changed = two.replace("\ntwo\n", "\nnew\n")
    assert path.read_text(encoding="utf-8") == f"before\n{one}between\n{changed}after"


def test_a_section_in_a_list_stays_part_of_it() -> None:
    document_with = f"1. item\n\n   {document.marker('one')}\n   old\n   {document.END}\n\n   more\n"
    changed = document.insert(document_with, "one", "a\n\nb")
    assert changed == document_with.replace("\n   old\n", "\n\n   a\n\n   b\n")
    assert document.insert(changed, "one", "a\n\nb") == changed


@pytest.mark.parametrize("text", ["", "<!-- generated: other -->\n<!-- /generated -->", "<!-- generated: one -->\nold"])
def test_a_section_that_is_missing_or_does_not_end_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="lacks <!-- generated: one -->"):
        document.insert(text, "one", "new")
