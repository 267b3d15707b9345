"""What is typed on the hosts around a restart without a lost packet, as far as a shell without a tunnel shows it."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from vpc_openvpn_monitor import drains

from tasks import paths, seamless
from tests.rendered.cases import plans
from vpc_openvpn.remote.facts import Probe
from vpc_openvpn.site.load import ROOT
from vpc_openvpn.site.plan import AGAIN, ASIDE, NatPlan, OfficePlan

ZONE = "us-east-1a"
TUNNEL = cast(OfficePlan, plans("example")["office"]).connection_to(ZONE).tunnel
# Stands for the monitor: drains and gives back by its own code, and writes down what is typed.
MONITOR = f"""#!{sys.executable}
import pathlib, sys, types
sys.path.insert(0, {str(ROOT / "files")!r})
from vpc_openvpn_monitor import drains
here = pathlib.Path(sys.argv[0]).parent
with open(here / "monitor.typed", "a") as typed:
    print(*sys.argv[1:], file=typed)
match sys.argv[1:]:
    case ["drain", zone, "--for", word]:
        drains.drain(types.SimpleNamespace(drained=here / "drained"), zone, word)
    case ["give-back", zone, "--for", word]:
        drains.give_back(types.SimpleNamespace(drained=here / "drained"), zone, word)
    case ["show"]:
        print("us-east-1a: by its own tunnel")
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
    assert typed == [*2 * [f"drain {ZONE} --for rotation"], f"give-back {ZONE} --for rotation", "show"]


@pytest.mark.parametrize("meanwhile", [False, True], ids=["before", "meanwhile"])
def test_an_operators_drain_stays(folder: Path, meanwhile: bool) -> None:
    drained = SimpleNamespace(drained=folder / "drained")
    if not meanwhile:
        drains.drain(cast(Any, drained), ZONE)
    assert run(seamless._drained(ZONE)) == ""
    drains.drain(cast(Any, drained), ZONE)
    assert run(seamless._home(TUNNEL)) == ""
    assert (folder / "drained" / ZONE).read_text() == ""


def test_an_operator_who_drains_as_it_is_given_back_is_not_waited_for(folder: Path) -> None:
    """After the look whose drain it is, and before it is given back."""
    assert run(seamless._drained(ZONE)) == ""
    program = folder / "monitor"
    program.write_text(
        program.read_text().replace(
            'case ["give-back", zone, "--for", word]:\n',
            'case ["give-back", zone, "--for", word]:\n'
            '        drains.drain(types.SimpleNamespace(drained=here / "drained"), zone)\n',
        )
    )
    assert run(seamless._home(TUNNEL)) == ""
    assert (folder / "drained" / ZONE).read_text() == ""
    assert "show" not in (folder / "monitor.typed").read_text()


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
        assert check.tunnel.tables.wait.id < AGAIN < ASIDE < check.tunnel.tables.pin.id
