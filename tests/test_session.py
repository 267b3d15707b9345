"""What is refused before anything connects, and how a run that is interrupted ends."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import EXAMPLE_SITE
from vpc_openvpn import session
from vpc_openvpn.session import complaint_about, unknown_host

ROOT = Path(__file__).parents[1]
NAMES = ["office", "nat-us-east-1a", "nat-us-east-1b", "nat", "us-east-1a", "us-east-1b"]


def pyinfra(*words: str, inventory: Path | str = "inventory.py", folder: Path | str = ROOT) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pyinfra", str(inventory), *words],
        cwd=folder,
        env={**os.environ, "SITE": str(EXAMPLE_SITE)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_closed_standard_input_is_no_terminal() -> None:
    command = ["sh", "-c", 'exec "$@" <&-', "sh", sys.executable, "-m", "pyinfra", "inventory.py", "debug-inventory"]
    environment = {**os.environ, "SITE": str(EXAMPLE_SITE)}
    shown = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert shown.returncode == 0 and "Traceback" not in shown.stderr, shown.stderr


@pytest.mark.parametrize("limit", ["office", "nat-us-east-1b", "us-east-1a", "nat-*", "*"])
def test_a_known_host_or_group_is_accepted(limit: str) -> None:
    assert not unknown_host({"limit": (limit,)}, NAMES)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"limit": ("nat-us-east-1c",)}, "--limit nat-us-east-1c: no host or group is called so; did you mean nat-us-"),
        (
            {"limit": ("office", "zzz")},
            "--limit zzz: no host or group is called so; there are: office, nat-us-east-1a,",
        ),
        ({"exclude": ("ofice",)}, "--exclude ofice: no host or group is called so; did you mean office?"),
    ],
)
def test_an_unknown_host_or_group_is_refused(options: dict[str, object], complaint: str) -> None:
    assert unknown_host(options, NAMES).startswith(complaint)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"dry": True, "yes": True}, "--dry with --yes (or PYINFRA_YES) shows no changes"),
        ({"serial": True}, "--serial: tunnels are restarted one zone after the other"),
        ({"no_wait": True}, "--no-wait: tunnels are restarted one zone after the other"),
    ],
)
def test_options_that_pyinfra_ignores_are_refused(options: dict[str, object], complaint: str) -> None:
    assert complaint_about(options | {"operations": ("./deploy.py",)}).startswith(complaint)


def test_serial_is_accepted_without_a_deploy() -> None:
    assert not complaint_about({"serial": True, "operations": ("exec", "uptime")})


@pytest.mark.parametrize("option", ["yes", "dry", "json_output"])
def test_a_run_without_a_question_needs_no_terminal(option: str) -> None:
    options: dict[str, object] = {"operations": ("deploys/drain.py",)}
    assert complaint_about(options, terminal=False).startswith("There is no terminal to confirm the changes on.")
    assert not complaint_about(options | {option: True}, terminal=False)
    assert not complaint_about(options, terminal=True)
    assert not complaint_about({"operations": ("debug-inventory",)}, terminal=False)


def test_a_deploy_without_a_terminal_names_the_options() -> None:
    run = pyinfra("deploy.py")
    output, _ = run.communicate(timeout=30)
    assert run.returncode == 1
    assert "Type -y to make them without a question, or --dry --diff (./vpc plan) to see them" in output
    assert "Connecting" not in output and "Traceback" not in output and "exception" not in output, output


@pytest.mark.parametrize(
    ("options", "hosts"),
    [
        ({}, ["office", "nat-a", "nat-b"]),
        ({"limit": ("nat-a",)}, ["nat-a"]),
        ({"limit": ("b", "off*")}, ["office", "nat-b"]),
        ({"limit": ("nat",), "exclude": ("nat-b",)}, ["nat-a"]),
        ({"operations": ("deploy.py",)}, ["office", "nat-a", "nat-b"]),
        ({"operations": ("debug-inventory",)}, []),  # connects to none
    ],
)
def test_a_run_concerns_the_hosts_that_its_options_leave(
    options: dict[str, object], hosts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = {"office": ("office",), "nat-a": ("nat", "a"), "nat-b": ("nat", "b")}
    monkeypatch.setattr(session, "_groups", groups)
    assert session.concerned(groups, options) == hosts


def test_pyinfra_refuses_an_unknown_host() -> None:
    run = pyinfra("deploy.py", "-y", "--limit", "nat-us-east-1z")
    output, _ = run.communicate(timeout=30)
    assert run.returncode == 1
    assert "did you mean nat-us-east-1b? Nothing was done." in output
    assert "Connecting" not in output and "Traceback" not in output


@pytest.mark.parametrize("folder", ["/", ROOT / "deploys"], ids=str)
def test_a_run_from_another_folder_says_where_to_go(folder: Path | str) -> None:
    """pyinfra takes config.py and group_data from the folder that it is run in."""
    run = pyinfra(str(ROOT / "deploy.py"), "-y", inventory=ROOT / "inventory.py", folder=folder)
    output, _ = run.communicate(timeout=30)
    assert run.returncode == 1
    assert f"Type: cd {ROOT}" in output and "Traceback" not in output, output


def test_another_version_of_pyinfra_is_refused(tmp_path: Path) -> None:
    """What this one checks, as its facts and exit statuses are used, and private functions of its own replaced."""
    config = tmp_path / "config.py"
    config.write_text(
        (ROOT / "config.py").read_text().replace("==3.10.0", "==9.9").replace("__file__", repr(str(ROOT / "x")))
    )
    run = pyinfra("debug-inventory", "--config", str(config))
    output, _ = run.communicate(timeout=30)
    assert run.returncode == 1
    assert "version requirement not met (requires ==9.9" in output


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("pyinfra", logging.WARNING, "", 0, message, None, None)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("    [\x1b[1mnat-us-east-1a\x1b[0m] \x1b[34mSkipped\x1b[0m", False),
        ("    [nat-us-east-1b] No changes", True),
        ("Skipped a beat", True),
    ],
)
def test_hosts_that_an_operation_does_not_concern_are_not_listed(message: str, shown: bool) -> None:
    assert session._concerns(record(message)) == shown


def test_advice_on_a_changed_host_key_names_our_file(monkeypatch: pytest.MonkeyPatch) -> None:
    host = SimpleNamespace(data=SimpleNamespace(ssh_known_hosts_file="/site/known_hosts"))
    monkeypatch.setattr(session, "inventory", [host])
    said = record("    ssh-keygen -R 198.51.100.12")
    assert session._advice(said)
    assert said.getMessage().splitlines()[0] == "    ssh-keygen -R 198.51.100.12 -f /site/known_hosts"


def refuse(_text: str) -> bool:
    return False


def end_of_input(_text: str) -> bool:
    raise EOFError


@pytest.mark.parametrize(("question", "status"), [(refuse, 1), (end_of_input, session.INTERRUPTED)])
def test_a_refusal_to_change_anything_is_no_success(
    question: Callable[[str], bool], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        session.agreed(question, "Detected changes displayed above, skip this step with -y")
    assert ended.value.code == status
    assert "Nothing was changed" in capsys.readouterr().err
    assert session.agreed(question, "One of more hosts failed, continue?") is False


def test_agreement_goes_on() -> None:
    assert session.agreed(lambda _: True, "Detected changes displayed above, skip this step with -y")
