"""What is typed on the hosts around a restart without a lost packet, as far as a shell without a tunnel shows it."""

import os
import subprocess
from pathlib import Path
from typing import cast

import pytest

from tasks import paths, seamless
from tests.rendered.cases import plans
from vpc_openvpn.remote.facts import Probe
from vpc_openvpn.site.plan import NatPlan, OfficePlan

ZONE = "us-east-1a"
TUNNEL = cast(OfficePlan, plans("example")["office"]).connection_to(ZONE).tunnel
# Stands for the monitor: writes down what is typed, and drains as it does.
MONITOR = """#!/bin/sh
echo "$@" >> "$0.typed"
case $1 in
    drain) mkdir -p "${0%/*}/drained" && : > "${0%/*}/drained/$2" ;;
    give-back) rm "${0%/*}/drained/$2" ;;
    show) echo "us-east-1a: by its own tunnel" ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "MONITOR", str(tmp_path / "monitor"))
    monkeypatch.setattr(paths, "DRAINED", str(tmp_path / "drained"))
    (tmp_path / "monitor").write_text(MONITOR)
    (tmp_path / "monitor").chmod(0o755)
    # Routes lead to each subnet, and there are no rules of ours.
    (tmp_path / "ip").write_text('#!/bin/sh\n[ "$2" = rule ] || printf "%s\\n" 1 2 3 4\n')
    (tmp_path / "ip").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def run(script: str, **environment: str) -> str:
    """What the script prints: what is wrong."""
    done = subprocess.run(
        ["sh", "-c", Probe(script).script],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
        env={**os.environ, **environment},
    )
    return done.stdout


def test_a_drain_of_our_own_is_given_back_also_after_a_run_that_died(folder: Path) -> None:
    for _ in range(2):
        assert run(seamless._drained(ZONE)) == ""
    assert (folder / "drained" / ZONE).read_text() == "rotation\n"
    assert run(seamless._home(TUNNEL)) == "" and not (folder / "drained" / ZONE).exists()
    assert run(seamless._home(TUNNEL)) == ""
    typed = (folder / "monitor.typed").read_text().splitlines()
    assert typed == [f"drain {ZONE}", f"give-back {ZONE}", "show"]


def test_an_operators_drain_stays(folder: Path) -> None:
    (folder / "drained").mkdir()
    (folder / "drained" / ZONE).touch()
    for script in (seamless._drained(ZONE), seamless._home(TUNNEL)):
        assert run(script) == ""
    assert (folder / "drained" / ZONE).read_text() == "" and not (folder / "monitor.typed").exists()


def test_a_drain_that_fails_says_why(folder: Path) -> None:
    (folder / "monitor").write_text("#!/bin/sh\necho no BIRD >&2; exit 1\n")
    assert run(seamless._drained(ZONE)).strip() == "no BIRD"
    assert not (folder / "drained" / ZONE).exists()


def test_a_kernel_without_a_queue_is_said_to_have_none(tmp_path: Path) -> None:
    """systemd-run fails with what the program says."""
    for name, text in (("systemctl", "exit 1"), ("systemd-run", "exit 1"), ("journalctl", "echo no such table")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    nat = cast(NatPlan, plans("example")[f"nat-{ZONE}"])
    said = run(seamless._held(nat), PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert "no such table" in said and "leave --seamless out" in said


def test_the_rule_stands_between_the_tables_of_waiting_and_of_pinned_connections() -> None:
    office = cast(OfficePlan, plans("example")["office"])
    for check in office.health_checks:
        assert check.tunnel.tables.wait.id < seamless.AGAIN < seamless.ASIDE < check.tunnel.tables.pin.id
