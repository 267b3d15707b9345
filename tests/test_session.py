"""What is refused before anything connects, and how a run that is interrupted ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import EXAMPLE_SITE
from vpc_openvpn.session import complaint_about

ROOT = Path(__file__).parents[1]
NAMES = ["office", "nat-us-east-1a", "nat-us-east-1b", "nat", "us-east-1a", "us-east-1b"]


def pyinfra(*words: str, site: Path = EXAMPLE_SITE) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pyinfra", "inventory.py", *words],
        cwd=ROOT,
        env={**os.environ, "SITE": str(site)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("limit", ["office", "nat-us-east-1b", "us-east-1a", "nat-*", "*"])
def test_who_is_there_may_be_named(limit: str) -> None:
    assert not complaint_about({"limit": (limit,), "operations": ("deploy.py",)}, NAMES)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"limit": ("nat-us-east-1c",)}, "--limit nat-us-east-1c: no host or group is called so; did you mean nat-us-"),
        (
            {"limit": ("office", "zzz")},
            "--limit zzz: no host or group is called so; there are: office, nat-us-east-1a,",
        ),
        ({"exclude": ("ofice",)}, "--exclude ofice: no host or group is called so; did you mean office?"),
        ({"dry": True, "yes": True}, "--dry with --yes (or PYINFRA_YES) shows no changes"),
        ({"serial": True}, "--serial: tunnels are restarted one zone after the other"),
        ({"no_wait": True}, "--no-wait: tunnels are restarted one zone after the other"),
    ],
)
def test_options_that_do_not_do_what_they_say(options: dict[str, object], complaint: str) -> None:
    assert complaint_about(options | {"operations": ("./deploy.py",)}, NAMES).startswith(complaint)


def test_what_is_no_deploy_may_go_one_by_one() -> None:
    assert not complaint_about({"serial": True, "operations": ("exec", "uptime")}, NAMES)


@pytest.mark.parametrize("option", ["yes", "dry", "json_output"])
def test_a_run_that_asks_nothing_needs_no_terminal(option: str) -> None:
    options: dict[str, object] = {"operations": ("drain.py",)}
    assert complaint_about(options, NAMES, terminal=False).startswith("There is no terminal to confirm the changes on.")
    assert not complaint_about(options | {option: True}, NAMES, terminal=False)
    assert not complaint_about(options, NAMES, terminal=True)
    assert not complaint_about({"operations": ("debug-inventory",)}, NAMES, terminal=False)


def test_without_a_terminal_a_deploy_names_what_to_type() -> None:
    run = pyinfra("deploy.py")
    output, _ = run.communicate(timeout=30)
    assert run.returncode == 1
    assert "Type -y to make them without a question, or --dry --diff to see them" in output
    assert "Connecting" not in output and "Traceback" not in output and "exception" not in output, output


def test_pyinfra_itself_says_so() -> None:
    run = pyinfra("deploy.py", "--limit", "nat-us-east-1z")
    output, _ = run.communicate(timeout=30)
    assert run.returncode == 1
    assert "did you mean nat-us-east-1b? Nothing was done." in output
    assert "Connecting" not in output and "Traceback" not in output
