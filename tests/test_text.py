"""What hosts say moves no cursor: each character that is not printable is written out."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpc_openvpn.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 日本 \\u001b", "plain é 日本 \\u001b"),
        ("\x1b]52;c;cm0gLXJm\x07", r"\u001b]52;c;cm0gLXJm\u0007"),
        ("a\rb\x08c\x7f\x9b2Jd", r"a\rb\bc\u007f\u009b2Jd"),
        ("a\u202eb\u2028c\u200f", r"a\u202eb\u2028c\u200f"),
        ("one\n\ttwo\n", "one\n\ttwo\n"),
        ("\udcff", r"\udcff"),
    ],
)
def test_a_character_that_is_not_printable_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(text, keep="").isprintable()


@given(st.text())
def test_all_that_is_left_is_printable_or_kept(text: str) -> None:
    assert all(each.isprintable() or each in "\n\t" for each in printable(text))
    assert printable(printable(text)) == printable(text)


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_a_json_document_keeps_its_values(text: str) -> None:
    assert json.loads(printable(json.dumps({"value": text}, ensure_ascii=False))) == {"value": text}
