"""docs/security.md names a test for each attack: they exist, and are those that `make test-attacks` runs."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROW = re.compile(r"^\| .* \| (`.*`) \|$", re.MULTILINE)
MARK = "pytest.mark.attack"


def named() -> Iterator[tuple[str, str]]:
    """File below tests/ and test, in the table's order."""
    table = (ROOT / "docs/security.md").read_text(encoding="utf-8").partition("# What is tried")[2]
    for row in ROW.findall(table):
        path = ""
        for each in re.findall(r"`([^`]+)`", row):  # `FILE::TEST`, and others of the same file without it
            file, _, test = each.rpartition("::")
            path = file or path
            yield path, test


def marked() -> Iterator[tuple[str, str]]:
    """The same for each test that has the mark, of its own or of its module."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        marks = [
            ast.unparse(node.value)
            for node in module.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
        ]
        for node in module.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                own = [*marks, *map(ast.unparse, node.decorator_list)]
                if any(MARK in each for each in own):
                    yield path.relative_to(ROOT / "tests").as_posix(), node.name


def test_each_attack_is_in_the_table_and_has_the_mark() -> None:
    table = list(named())
    assert len(table) > 40 and len(set(table)) == len(table)
    assert sorted(table) == sorted(marked())


def test_the_mark_is_what_make_test_attacks_runs() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^test-attacks: ready .*\n\tATTACKS=long .* pytest tests -m attack ", makefile, re.MULTILINE)
