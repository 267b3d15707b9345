"""What keeps `topology` pure: no pyinfra, no I/O but the loader's, and imports that run one way."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TOPOLOGY = Path(__file__).parents[2] / "topology"
MODULES = sorted(TOPOLOGY.glob("*.py"))

ALLOWED = {
    "collections",
    "dataclasses",
    "difflib",
    "ipaddress",
    "itertools",
    "re",
    "typing",
    "pydantic",
    "pydantic_core",
    "yaml",
}
LOADER_ONLY = {"os", "pathlib"}
IO_CALLS = {"open", "print", "input", "exec", "eval", "__import__"}
IO_METHODS = {
    *(
        "read_text",
        "read_bytes",
        "write_text",
        "write_bytes",
        "exists",
        "is_file",
        "is_dir",
        "iterdir",
        "glob",
    ),
    *("stat", "mkdir", "unlink", "resolve", "absolute", "cwd", "home", "expanduser", "touch", "open"),
}
LAYERS = ["problem", "document", "model", "rules", "plan", "load"]


def imports(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            base = node.module or ""
            yield from (f"{base}.{alias.name}" for alias in node.names) if base == "topology" else [base]


def io_calls(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text())):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in IO_CALLS:
                yield name
            case ast.Attribute(attr=name) if name in IO_METHODS:
                yield name


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_imports_only_what_is_below_it_and_pure(module: Path) -> None:
    for name in imports(module):
        package, _, rest = name.partition(".")
        if package == "topology":
            assert LAYERS.index(rest) < LAYERS.index(module.stem)
        else:
            assert package in ALLOWED | (LOADER_ONLY if module.stem == "load" else {"pathlib"})


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_only_the_loader_does_io(module: Path) -> None:
    assert bool(list(io_calls(module))) == (module.stem == "load")
