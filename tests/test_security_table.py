"""docs/security.md names a test for each attack: they exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROW = re.compile(r"^\| .* \| (`.*`) \|$", re.MULTILINE)


def test_each_test_that_the_table_names_is_there() -> None:
    table = (ROOT / "docs/security.md").read_text(encoding="utf-8").partition("# What is tried")[2]
    rows = ROW.findall(table)
    assert len(rows) >= 17
    missing = []
    for row in rows:
        source = ""
        for named in re.findall(r"`([^`]+)`", row):  # `FILE::TEST`, and others of the same file without it
            path, _, name = named.rpartition("::")
            source = (ROOT / "tests" / path).read_text(encoding="utf-8") if path else source
            missing += [name] if f"def {name}(" not in source else []
    assert missing == []
