"""Namespaces come and go while they are looked at: other hosts boot and die at the same time."""

from pathlib import Path

import pytest

from lab import namespaces


def test_a_namespace_that_is_deleted_while_they_are_listed_has_no_processes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / namespaces.full_name("desk")).touch()
    monkeypatch.setattr(namespaces, "_FOLDER", tmp_path)
    monkeypatch.setattr(namespaces, "ours", lambda: ["desk", "gone"])
    assert namespaces.processes() == {}
