"""Exit statuses of the Makefile's targets. make itself knows only 0 and 2."""

import os
import subprocess
from pathlib import Path
from shutil import copy

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("status", [0, 1, 2])
@pytest.mark.parametrize("flags", ["", "w", "kw -j2", "w -- SITE=elsewhere.yml"], ids=repr)
@pytest.mark.parametrize("words", [(), ("SITE=elsewhere.yml",), ("-k", "-j2"), ("--no-print-directory",)], ids=repr)
def test_drift_exits_as_the_check_does(tmp_path: Path, status: int, flags: str, words: tuple[str, ...]) -> None:
    for file in ("Makefile", "requirements-dev.txt"):
        copy(ROOT / file, tmp_path)
    check = tmp_path / ".venv/bin/python"
    check.parent.mkdir(parents=True)
    check.write_text(f'#!/bin/sh\necho "$@" >> "$0.called"\nexit {status}\n')
    check.chmod(0o755)
    # As from a shell, and as from the recipe of another make (which is how the whole of `make test` runs).
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    if flags:
        environment |= {"MAKEFLAGS": flags, "MAKELEVEL": "1"}
    done = subprocess.run(["make", "drift", *words], cwd=tmp_path, env=environment, check=False, capture_output=True)
    assert done.returncode == status, done.stderr.decode()
    assert Path(f"{check}.called").read_text() == "drift.py\n"
