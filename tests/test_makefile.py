"""The Makefile's targets: what they install where, and what stands for names of the last release."""

import subprocess
from pathlib import Path
from shutil import copy

import pytest

ROOT = Path(__file__).parent.parent


# Programs of a machine that has nothing but them; what is called is written to `called`.
FAKES = {
    "python3": 'case $* in "-m venv "*) for folder; do :; done; mkdir -p "$folder/bin"'
    "; for name in pip python ruff mypy; do"
    ' cp "$here/tool" "$folder/bin/$name"; done ;; esac',
    "tool": "",
    "apt-get": "",
    "id": "echo $ID",
}
LAB = ["test", "test-sweep", "test-attacks", "demo", "outages", "bench"]


def make(folder: Path, *words: str, user: int, debian: bool) -> tuple[int, str, list[str]]:
    """`make WORDS` as this user, with no package installed, on Debian or on a system without dpkg; its exit status, its
    output, and what it called, in order.
    """
    for file in ("Makefile", "vpc", "requirements.txt", "requirements-dev.txt"):
        copy(ROOT / file, folder)
    programs = folder / "programs"
    programs.mkdir()
    for name in ("sh", "cksum", "cp", "dirname", "grep", "ls", "mkdir", "rm", "tr"):
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
    assert [line.split(" --")[0] for line in called] == ["python3 -m venv", "pip install"]


@pytest.mark.parametrize("target", LAB)
def test_targets_of_the_lab_install_its_packages(tmp_path: Path, target: str) -> None:
    status, output, called = make(tmp_path, target, user=0, debian=True)
    assert status == 0, output
    assert called[0] == "apt-get -q update" and called[1].startswith("apt-get -q install")
    assert {"mmdebstrap", "systemd-container", "python3-venv"} <= set(called[1].split())
    assert called[2] == f"python3 -m venv --clear {tmp_path}/.venv" and called[-1].startswith("python ")


@pytest.mark.parametrize("target", LAB)
@pytest.mark.parametrize(
    ("user", "debian", "said"),
    [(1000, True, "takes root: sudo make"), (0, False, "The lab needs Debian or Ubuntu. Deploys do not: ./vpc setup")],
)
def test_targets_of_the_lab_name_what_is_missing(
    tmp_path: Path, target: str, user: int, debian: bool, said: str
) -> None:
    status, output, called = make(tmp_path, target, user=user, debian=debian)
    assert status == 2 and said in output
    assert called == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["drift"], "Type: ./vpc drift\n"),
        (["rebuild", "ZONE=us-east-1b", "HOST_KEY=SHA256:a"], "Type: ./vpc rebuild us-east-1b  --host-key SHA256:a\n"),
        (["rebuild"], "Type: ./vpc rebuild ZONE\n"),
    ],
)
def test_targets_of_the_last_release_say_what_to_type(tmp_path: Path, words: list[str], said: str) -> None:
    status, output, called = make(tmp_path, *words, user=0, debian=True)
    assert status == 2 and said in output
    assert called == []
