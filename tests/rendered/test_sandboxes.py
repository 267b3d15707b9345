"""What systemd-analyze says of the units of each kind of site, as files: 10 is everything, 0 is nothing.

A scenario asks the hosts themselves (tests/scenarios/test_metrics.py).
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import cast

import pytest

from tasks import paths, seamless
from tasks.firewall import firewall
from tasks.views import netfilter_sandbox
from tests.rendered.cases import CASES, plans, rendered
from vpc_openvpn.remote.files import File
from vpc_openvpn.site.plan import NatPlan

LIMIT = 3.0
# The operator's own user may run programs that become another, and whatever would deny that is left out.
WITH_A_USER = 6.3
COMMANDED = "dynamic-two-lans"  # its site names that user

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")


def exposure(folder: Path, unit: str, text: str) -> float:
    """Of a unit of such a file."""
    file = folder / unit
    file.write_text(text)
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(file)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    [found] = re.findall(r"Overall exposure level for \S+: ([\d.]+)", said)
    return float(found)


def is_unit(file: File) -> bool:
    return file.path.endswith(".service")


def limit(unit: str, case: str) -> float:
    return WITH_A_USER if unit == paths.ALERTS_UNIT and case == COMMANDED else LIMIT


@pytest.mark.attack
@needs_systemd
@pytest.mark.parametrize("case", CASES)
def test_each_unit_may_do_little(case: str, tmp_path: Path) -> None:
    units = {(file.path.rpartition("/")[2], file.text) for file in rendered(case).values() if is_unit(file)}
    assert len({unit for unit, _ in units}) >= 5
    found = [(unit, exposure(tmp_path, unit, text)) for unit, text in units]
    assert [(unit, value) for unit, value in found if value >= limit(unit, case)] == []


@needs_systemd
def test_a_unit_without_a_sandbox_is_over_the_limit(tmp_path: Path) -> None:
    [text] = {file.text for file in rendered("example").values() if file.path.endswith(f"/{paths.KEEPER_UNIT}")}
    lines = [line for line in text.splitlines() if "SystemCall" not in line and "NoNewPrivileges" not in line]
    assert exposure(tmp_path, paths.KEEPER_UNIT, "\n".join(lines)) > LIMIT


@pytest.mark.attack
@needs_systemd
def test_units_that_have_no_file_may_do_little(tmp_path: Path) -> None:
    lines = ["[Service]", "ExecStart=/bin/true", *netfilter_sandbox()]
    assert exposure(tmp_path, "vpc-openvpn-x.service", "\n".join(lines)) < LIMIT


@pytest.mark.attack
def test_units_that_have_no_file_have_the_sandbox() -> None:
    nat = cast(NatPlan, plans("example")["nat-us-east-1a"])
    for script in (seamless._held(nat), firewall(nat).loader.text):
        _, _, words = script.partition("systemd-run")
        missing = [line for line in netfilter_sandbox() if line not in words]
        assert "NoNewPrivileges=yes" in netfilter_sandbox() and missing == []
