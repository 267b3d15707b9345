"""The Makefile's targets: their exit statuses (make itself knows only 0 and 2), and what they install where."""

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


# Programs of a machine that has nothing but them; what is called is written to `called`.
FAKES = {
    "python3": 'case $* in "-m venv "*) mkdir -p .venv/bin; for name in pip python ruff mypy; do'
    ' cp "$here/tool" .venv/bin/$name; done ;; esac',
    "tool": "",
    "apt-get": "",
    "id": "echo $ID",
}
LAB = ["test", "test-sweep", "demo", "outages", "bench"]


def make(folder: Path, *words: str, user: int, debian: bool) -> tuple[int, str, list[str]]:
    """`make WORDS` as this user, with no package installed, on Debian or on a system without dpkg; its exit status, its
    output, and what it called, in order.
    """
    for file in ("Makefile", "requirements-dev.txt"):
        copy(ROOT / file, folder)
    programs = folder / "programs"
    programs.mkdir()
    for name in ("sh", "cksum", "cp", "grep", "mkdir", "rm", "touch", "tr"):
        (programs / name).symlink_to(f"/bin/{name}")
    fakes = FAKES | ({"dpkg-query": "exit 1"} if debian else {})
    for name, script in fakes.items():
        record = "" if name in ("id", "dpkg-query") else f'[ "$1" = -c ] || echo "${{0##*/}} $*" >> {folder}/called\n'
        (programs / name).write_text(f"#!/bin/sh\nhere={programs}\n{record}{script}\n")
        (programs / name).chmod(0o755)
    done = subprocess.run(
        ["/usr/bin/make", *words],
        cwd=folder,
        env={"PATH": str(programs), "ID": str(user)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    called = folder / "called"
    return done.returncode, done.stdout, called.read_text().splitlines() if called.exists() else []


@pytest.mark.parametrize("debian", [True, False])
@pytest.mark.parametrize("user", [0, 1000])
def test_setup_makes_the_virtual_environment_and_installs_no_package(tmp_path: Path, user: int, debian: bool) -> None:
    status, output, called = make(tmp_path, "setup", user=user, debian=debian)
    assert status == 0, output
    assert [line.split(" --")[0] for line in called] == ["python3 -m venv .venv", "pip install"]


@pytest.mark.parametrize("target", LAB)
def test_what_needs_the_lab_installs_it_first(tmp_path: Path, target: str) -> None:
    status, output, called = make(tmp_path, target, user=0, debian=True)
    assert status == 0, output
    assert called[0] == "apt-get -q update" and called[1].startswith("apt-get -q install")
    assert {"mmdebstrap", "systemd-container", "python3-venv"} <= set(called[1].split())
    assert called[2] == "python3 -m venv .venv" and called[-1].startswith("python ")


@pytest.mark.parametrize("target", LAB)
@pytest.mark.parametrize(
    ("user", "debian", "said"),
    [(1000, True, "takes root: sudo make"), (0, False, "The lab needs Debian or Ubuntu. Deploys do not: make setup")],
)
def test_what_needs_the_lab_says_what_it_needs(tmp_path: Path, target: str, user: int, debian: bool, said: str) -> None:
    status, output, called = make(tmp_path, target, user=user, debian=debian)
    assert status == 2 and said in output
    assert called == []
