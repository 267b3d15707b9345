"""`./vpc setup`, on a machine that has a Python and nothing else: what it calls is written to `called`."""

import subprocess
import sys
from pathlib import Path
from shutil import copy

import pytest

from vpc_openvpn.site.load import ROOT

PYTHON = """#!/bin/sh
[ "$1" != -c ] || exec %s "$@"
echo "python $*" >> "$HOME/called"
for folder; do :; done; mkdir -p "$folder/bin"
printf '#!/bin/sh\\necho "pip $*" >> "$HOME/called"\\n' > "$folder/bin/pip"
chmod +x "$folder/bin/pip"
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with the cookbook's script and its requirements, and with `bin`, which is all of PATH."""
    for file in ("vpc", "requirements.txt", "requirements-dev.txt"):
        copy(ROOT / file, tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "cksum", "chmod", "dirname", "ls", "mkdir", "rm", "tr"):
        (programs / name).symlink_to(f"/bin/{name}")
    python = programs / "python3"
    python.write_text(PYTHON % sys.executable)
    python.chmod(0o755)
    return tmp_path


def vpc(machine: Path, *words: str, **environment: str) -> tuple[int, str, list[str]]:
    """`./vpc WORDS` there; its status, its output, and the programs that it called since the last time."""
    (machine / "called").write_text("")
    done = subprocess.run(
        ["./vpc", *words],
        cwd=machine,
        env={"PATH": str(machine / "bin"), "HOME": str(machine), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, (machine / "called").read_text().splitlines()


def test_setup_makes_an_environment_once_and_follows_the_requirements(machine: Path) -> None:
    make = f"python -m venv --clear {machine}/.venv"
    install = "pip install --quiet --disable-pip-version-check --require-hashes --requirement"
    assert vpc(machine, "setup") == (0, "", [make, f"{install} {machine}/requirements.txt"])
    assert vpc(machine, "setup") == (0, "", [])
    assert vpc(machine, "setup", "--dev") == (0, "", [f"{install} {machine}/requirements-dev.txt"])
    assert vpc(machine, "setup") == (0, "", []), "what contributors need has all that operators need"
    (machine / "requirements.txt").write_text("other\n")
    assert vpc(machine, "setup") == (0, "", [f"{install} {machine}/requirements.txt"])
    # What was there before is not what is there now.
    assert vpc(machine, "setup", "--dev") == (0, "", [f"{install} {machine}/requirements-dev.txt"])


def test_an_interrupted_setup_is_made_good(machine: Path) -> None:
    (machine / ".venv/bin").mkdir(parents=True)
    (machine / ".venv/bin/python").symlink_to("/bin/true")  # and no pip yet
    status, said, _ = vpc(machine, "check")
    assert (status, said) == (1, "There is no virtual environment yet. Type: ./vpc setup\n")
    status, said, called = vpc(machine, "setup")
    assert (status, said) == (0, "") and called[0] == f"python -m venv --clear {machine}/.venv"


def test_setup_says_what_a_machine_lacks(machine: Path) -> None:
    status, said, called = vpc(machine, "setup", PYTHON="python3.99")
    assert (status, called) == (1, []) and "There is no python3.99; Python 3.11 or newer is needed" in said
    old = machine / "bin/python3.8"
    old.write_text('#!/bin/sh\necho "This is Python 3.8; 3.11 or newer is needed." >&2\nexit 1\n')
    old.chmod(0o755)
    status, said, called = vpc(machine, "setup", PYTHON="python3.8")
    assert (status, called) == (1, []) and "This is Python 3.8" in said
    assert not (machine / ".venv").exists()


def test_other_verbs_name_setup_first(machine: Path) -> None:
    status, said, _ = vpc(machine, "deploy")
    assert (status, said) == (1, "There is no virtual environment yet. Type: ./vpc setup\n")
