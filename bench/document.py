"""Sections of a document that are generated, and results as they are kept."""

import json
from collections.abc import Mapping
from pathlib import Path
from textwrap import indent
from typing import Any

END = "<!-- /generated -->"


def marker(name: str) -> str:
    """What begins the generated section `name`."""
    return f"<!-- generated: {name} -->"


def insert(document: str, name: str, text: str) -> str:
    """`document` with `text` as its generated section `name`, indented as that is.

    Raises ValueError where the section is missing.
    """
    before, begin, rest = document.partition(marker(name))
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"the document lacks {marker(name)} or {END} after it")
    space = before.rpartition("\n")[2]
    return f"{before}{begin}\n\n{indent(text, space)}\n{space}{end}{after}"


def publish(path: Path, name: str, text: str) -> None:
    """Write `text` into the document at `path`, as `insert` does."""
    path.write_text(insert(path.read_text(encoding="utf-8"), name, text), encoding="utf-8")


def origin(environment: Mapping[str, Any]) -> str:
    """Where and when results were measured, of Lab.made_with()."""
    programs = [environment[name] for name in ("openvpn", "bird") if environment[name]]
    return (
        f"Measured on {environment['date'][:10]}, at revision {environment['revision']}, with {environment['cpus']} "
        f"CPUs, Linux {environment['kernel']}, {', '.join(programs)}."
    )


def save(document: Mapping[str, Any], path: Path) -> None:
    """As JSON; complete under its name, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    draft.rename(path)
