"""Hosts that an earlier commit of this cookbook has deployed become this one's by one deploy, which costs no packet.

desk 192.168.50.10 ── office ══ tun-N ══ nat-us-east-1X ── app-us-east-1X 10.0.2N.10
"""

import subprocess
from pathlib import Path

import pytest

from tests.scenarios.flows import losing_nothing, steady
from tests.scenarios.harness import ROOT, Host, World, idle_keeper, lab

BEFORE = "56ef07c"  # routing tables had other numbers, and no names
APPS = ("10.0.21.10", "10.0.22.10", "10.0.23.10")


def test_one_deploy_upgrades_from_the_last_release(world: World, desk: Host, office: Host, tmp_path: Path) -> None:
    checkout = tmp_path / "before"
    checkout.mkdir()
    archive = subprocess.run(["git", "archive", BEFORE], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode != 0:
        pytest.skip(f"this checkout has no commit {BEFORE}: {archive.stderr.decode()}")
    subprocess.run(["tar", "-x", "-C", checkout], input=archive.stdout, check=True)
    for host in world.hosts:
        assert lab("replace", host).status == 0
        idle_keeper(host)
    world.trust()
    before = world.run("sh", "-c", f"cd {checkout} && pyinfra -y inventory.py deploy.py")
    assert before.status == 0, before.output
    assert "lookup 8600 " in office.succeeds("ip rule") and "hold-" not in office.succeeds("ip rule")

    with steady(desk, APPS[0], Host("app-us-east-1a")), losing_nothing(desk, *APPS):
        world.deploy()
    rules = office.succeeds("ip rule")
    assert "7001:\tfrom all fwmark 0x1000000/0xff000000 ipproto tcp lookup hold-us-east-1a proto vpc-openvpn" in rules
    assert "proto bird" in office.succeeds("ip route show table vpc-zones")
    for table in (8600, 8601, 8901, 9201, 9501, 9800):
        assert office.answers(f"ip route show table {table}").output.strip() in (
            "",
            "Error: ipv4: FIB table does not exist.\nDump terminated",
        )
