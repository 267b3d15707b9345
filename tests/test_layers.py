"""Arrows between packages run one way, and what is called pure does no I/O. The map is `vpc_openvpn/__init__.py`."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "vpc_openvpn"

# What a layer's modules import of the product, itself aside.
BELOW: dict[str, set[str]] = {
    "command": {"status", "ssh", "identities", "site", "output", "system", "terminal", "text", "version"},
    "status": {"ssh", "remote", "diagnosis", "site", "text"},
    "session": {"ssh", "remote", "output", "terminal"},
    "ssh": {"site", "system", "terminal", "text", "whole"},
    "identities": {"site", "system", "terminal", "whole"},
    "diagnosis": {"site"},
    "remote": {"text"},
    "site": set(),
    "version": {"site"},
    "output": set(),
    "system": set(),
    "terminal": set(),
    "text": set(),
    "whole": set(),
}
BESIDE: dict[str, set[str]] = {
    "tasks": {"remote", "identities", "diagnosis", "site", "system", "version", "text"},
    "templates": set(),
    "lab": {"output"},
    "bench": {"output"},
}
# Modules of `site`, each importing only those before it.
SITE = ["problem", "document", "model", "rules", "plan", "load"]

# All that pure layers may import from elsewhere; `site`'s loader beside that what finds a file.
PURE = {
    "site": {
        *("collections", "dataclasses", "difflib", "functools", "ipaddress", "itertools", "pathlib", "re", "typing"),
        *("pydantic", "pydantic_core", "yaml"),
    },
    "diagnosis": {"collections", "dataclasses", "ipaddress", "itertools", "json", "re", "shlex", "typing"},
}
LOADER = {"os"}
IO_CALLS = {"open", "print", "input", "exec", "eval", "__import__"}
IO_METHODS = {
    *("read_text", "read_bytes", "write_text", "write_bytes", "exists", "is_file", "is_dir", "iterdir", "glob"),
    *("stat", "mkdir", "unlink", "resolve", "absolute", "cwd", "home", "expanduser", "touch", "open"),
}


def modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def imports(module: Path) -> Iterator[str]:
    """Dotted names, down to what is imported."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layers(folder: Path) -> set[str]:
    """The layers of the product that modules below `folder` import."""
    names = (name.split(".") for module in modules(folder) for name in imports(module))
    return {name[1] for name in names if name[0] == PACKAGE}


def io_calls(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text())):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in IO_CALLS:
                yield name
            case ast.Attribute(attr=name) if name in IO_METHODS:
                yield name


def test_every_layer_is_on_the_map() -> None:
    inside = [path for path in (ROOT / PACKAGE).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    assert {path.stem for path in inside} - {"__init__"} == {*BELOW}


@pytest.mark.parametrize("layer", BELOW)
def test_a_layer_imports_what_is_below_it(layer: str) -> None:
    assert layers(ROOT / PACKAGE / layer) - {layer} == BELOW[layer]


@pytest.mark.parametrize("folder", BESIDE)
def test_folders_beside_the_package_import_listed_layers_only(folder: str) -> None:
    assert layers(ROOT / folder) == BESIDE[folder]


@pytest.mark.parametrize("folder", [PACKAGE, "templates"])
def test_the_package_imports_no_folder_beside_it(folder: str) -> None:
    names = {name.partition(".")[0] for module in modules(ROOT / folder) for name in imports(module)}
    assert not names & {"tasks", "lab", "bench", "tests", "deploys"}


def test_a_command_types_pyinfra_and_does_not_import_it() -> None:
    names = {name.partition(".")[0] for module in modules(ROOT / PACKAGE / "command") for name in imports(module)}
    assert "pyinfra" not in names


@pytest.mark.parametrize("module", modules(ROOT / PACKAGE / "site"), ids=lambda module: module.stem)
def test_site_is_pure_but_for_its_loader(module: Path) -> None:
    loader = module.stem == "load"
    for name in imports(module):
        first, *rest = name.split(".")
        if first == PACKAGE:
            below = next(part for part in reversed(rest) if part in SITE)
            assert SITE.index(below) < SITE.index(module.stem)
        else:
            assert first in PURE["site"] | (LOADER if loader else set())
    assert bool(list(io_calls(module))) == loader


@pytest.mark.parametrize("module", modules(ROOT / PACKAGE / "status"), ids=lambda module: module.stem)
def test_status_is_pure_but_for_what_asks_the_hosts(module: Path) -> None:
    if module.stem != "gather":
        assert list(io_calls(module)) == []
        assert not {"paramiko", "pyinfra", "socket", "subprocess", "time"} & {*imports(module)}


@pytest.mark.parametrize("module", modules(ROOT / PACKAGE / "diagnosis"), ids=lambda module: module.stem)
def test_diagnosis_is_pure(module: Path) -> None:
    assert {name.partition(".")[0] for name in imports(module)} <= PURE["diagnosis"] | {PACKAGE}
    assert list(io_calls(module)) == []
