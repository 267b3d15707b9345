"""Commands whose reader has gone: a pipe that is closed ends no work, and shows no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import EXAMPLE_SITE
from vpc_openvpn.site.load import ROOT


def with_output_closed(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of ours whose standard output is a pipe without a reader."""
    read, write = os.pipe()
    os.close(read)
    try:
        return subprocess.run(
            words,
            cwd=ROOT,
            env={
                **os.environ,
                "SITE": str(EXAMPLE_SITE),
                "IDENTITIES": f"{folder}/ids",
                "AGE_IDENTITY_FILE": f"{folder}/age",
            },
            stdin=subprocess.DEVNULL,
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(write)


def test_a_closed_pipe_does_not_stop_identities_init(tmp_path: Path) -> None:
    made = with_output_closed(tmp_path, "./vpc", "identities", "init")
    assert (made.returncode, made.stderr) == (0, "")
    hosts = [f"{name}.{kind}" for name in ("office", "nat-us-east-1a", "nat-us-east-1b") for kind in ("crt", "key.age")]
    tunnels = [f"tunnel-us-east-1{letter}.key.age" for letter in "ab"]
    recipients = ["recipients.txt", "recipients.lock"]
    assert sorted(path.name for path in (tmp_path / "ids").iterdir()) == sorted([*hosts, *tunnels, *recipients])


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["./vpc", "ssh-config"], 0),
        (["./vpc", "--help"], 0),
        (["./vpc", "check"], 1),
        ([sys.executable, "-m", "lab", "--help"], 0),
        ([sys.executable, "-m", "pyinfra", "inventory.py", "debug-inventory", "--json"], 0),
    ],
    ids=["ssh-config", "help", "check", "lab", "pyinfra"],
)
def test_a_closed_pipe_causes_no_traceback(tmp_path: Path, words: list[str], status: int) -> None:
    done = with_output_closed(tmp_path, *words)
    assert done.returncode == status
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["./vpc", "--help"],
        ["./vpc", "ssh-config"],
        [sys.executable, "-m", "lab", "--help"],
        [sys.executable, "-m", "pyinfra", "inventory.py", "debug-inventory", "--json"],
    ],
    ids=["help", "ssh-config", "lab", "pyinfra"],
)
def test_output_that_a_full_disk_loses_is_a_failure(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            words,
            cwd=ROOT,
            env={**os.environ, "SITE": str(EXAMPLE_SITE)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.endswith("A part of the output is lost: No space left on device\n")
    assert "Traceback" not in done.stderr


def test_output_that_was_closed_from_the_beginning_brings_no_traceback() -> None:
    command = "./vpc ssh-config >&- 2>&-; echo $?"
    done = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, env={**os.environ, "SITE": str(EXAMPLE_SITE)}, capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"0\n", b"")
