"""The lab itself: what it leaves behind, what it says when it is used wrongly, and that its faults are real.

A second lab beside the scenarios' own, so that it can be taken down and broken.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab import cgroups
from lab.system import wait_until
from tests.scenarios.flows import Background
from tests.scenarios.harness import ROOT, Answer, Host, World, lab

SECOND = "second"


def second(*words: str) -> Answer:
    return lab(*words, instance=SECOND)


@pytest.fixture(autouse=True)
def taken_down(booted: World) -> Iterator[None]:
    """Comes after `booted`, so that the base image is there: what is timed or cut short is `up`, not its building."""
    second("down")
    yield
    assert second("down").status == 0


def traces() -> set[str]:
    """What a lab could leave on the machine: namespaces, links, mounts, rules, processes, cgroups, files."""

    def printed(*command: str) -> list[str]:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    found = {f"namespace {line.split()[0]}" for line in printed("ip", "netns", "list")}
    found |= {f"link {line.split(':')[1].strip()}" for line in printed("ip", "-o", "link")}
    found |= {f"mount {line.split()[1]}" for line in Path("/proc/self/mounts").read_text().splitlines()}
    found |= {f"rule {line}" for line in printed("nft", "list", "ruleset")}
    found |= {f"cgroup {path}" for path in Path("/sys/fs/cgroup").rglob("*vpclab*") if path.is_dir()}
    found |= {f"file {path}" for path in Path("/var/lib").glob("vpc-openvpn-lab*")}
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if "vpclab" in words or "lab.supervisor" in words or "lab.web" in words:
            found.add(f"process {process.parent.name} {words}")
    return found


def test_down_leaves_no_trace() -> None:
    before = traces()
    assert second("up", "--zones", "2").status == 0
    # The negative: there is something that could be left.
    assert {kind.split()[0] for kind in traces() - before} >= {"namespace", "process", "file"}
    assert second("down").status == 0
    assert traces() - before == set()
    assert "no lab was up" in second("down").output


@pytest.mark.parametrize("moment", [0.15, 0.3, 0.45, 0.7, 1.0])
def test_down_removes_an_interrupted_up(moment: float) -> None:
    before = traces()
    up = subprocess.Popen(
        [sys.executable, "-m", "lab", "up", "--zones", "2"],
        cwd=ROOT,
        env={**os.environ, "VPC_OPENVPN_LAB": SECOND},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(moment)  # the moment is what is tested
    up.send_signal(signal.SIGKILL)
    up.wait()
    assert second("down").status == 0
    assert traces() - before == set()


@pytest.mark.parametrize("hierarchy", [*cgroups.hierarchies()], ids=str)
def test_down_removes_a_host_that_has_joined_one_hierarchy_alone(hierarchy: Path) -> None:
    """Where a machine mixes both versions, a start that is cut short stands between its two groups."""
    before = traces()
    group = hierarchy / "vpclab.second-hosts/nat-us-east-1a"
    group.mkdir(parents=True)
    with subprocess.Popen(["sh", "-c", 'echo $$ >"$0"; exec sleep 60', str(group / "cgroup.procs")]) as host:
        wait_until(lambda: str(host.pid) in (group / "cgroup.procs").read_text().split(), 5, "the host to join")
        assert second("down").status == 0
        assert host.wait(5) == -signal.SIGKILL
    assert traces() - before == set()


def test_what_a_killed_command_has_begun_ends_before_the_next_begins(tmp_path: Path) -> None:
    """An `ip` that outlived a killed `up` once made a namespace after `down` had looked for them."""
    script = (
        "from lab import state, system\n"
        "with state.exclusive(f'{state.PREFIX}lab', ''):\n"
        f"    system.run(['sh', '-c', 'cd {tmp_path} && touch begun && sleep 2 && touch ended'])\n"
    )
    environment = {**os.environ, "VPC_OPENVPN_LAB": SECOND}
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=environment) as up:
        wait_until((tmp_path / "begun").exists, 10, "the command to begin something")
        up.kill()
        up.wait()
        assert not (tmp_path / "ended").exists()
        assert second("down").status == 0
        assert (tmp_path / "ended").exists()


def test_a_second_up_is_refused() -> None:
    assert second("up", "--zones", "1").status == 0
    again = second("up", "--zones", "1")
    assert again.status == 1
    assert "lab down" in again.output and "Traceback" not in again.output
    assert second("exec", "desk", "--", "true").status == 0  # the first is as it was


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("list",), "no lab"),
        (("exec", "desk", "--", "true"), "no lab"),
        (("up", "--zones", "17"), "from 1 to 16"),
        (("frobnicate",), "invalid choice"),
    ],
)
def test_wrong_arguments_are_refused(words: tuple[str, ...], said: str) -> None:
    answer = second(*words)
    assert answer.status != 0
    assert said in answer.output and "Traceback" not in answer.output


def test_an_unknown_name_is_refused_with_the_nearest(world: World) -> None:
    for words in (("kill", "nat-us-east-1"), ("isolate", "us-east-1"), ("exec", "offfice", "--", "true")):
        answer = lab(*words)
        assert answer.status == 1
        assert "did you mean" in answer.output and "Traceback" not in answer.output


def test_commands_keep_their_status_and_their_folder(world: World) -> None:
    assert lab("exec", "desk", "--", "sh", "-c", "exit 7").status == 7
    assert lab("run", "--", "sh", "-c", "exit 9").status == 9
    assert lab("run", "--", "pwd").output.strip() == str(ROOT)


def test_hosts_are_mounted_as_debians_initramfs_does(world: World) -> None:
    for name in world.hosts:
        options = Host(name).succeeds("findmnt --noheadings --output OPTIONS /run").split(",")
        assert {"nosuid", "nodev", "noexec"} <= set(options), name
        Host(name).fails("cp /bin/true /run/true && /run/true")


def test_hosts_are_as_debians_cloud_image_boots(world: World) -> None:
    for name in world.hosts:
        host = Host(name)
        host.succeeds("for tool in python3 cloud-init needrestart unattended-upgrade; do which $tool || exit; done")
        assert host.succeeds("systemctl is-system-running").strip() == "running"
    for name in world.hosts[1:]:
        # Its address is its own doing, not the lab's.
        Host(name).succeeds('networkctl --json=short status eth0 | grep -q \'"AdministrativeState":"configured"\'')
        Host(name).succeeds("netplan get ethernets.eth0.addresses | grep '10\\.0\\.'")


def test_a_host_reboots_at_once_while_consoles_are_open(world: World) -> None:
    nat, consoles = Host("nat-us-east-1c"), 4
    boot = nat.succeeds("systemctl show --value --property UserspaceTimestampMonotonic").strip()
    with ExitStack() as open_consoles:
        for _ in range(consoles):
            open_consoles.enter_context(Background(nat, "sleep 600"))
        nat.eventually(f"[ $(pgrep -cfx 'sleep 600') = {consoles} ]")
        nat.succeeds("systemctl reboot")
        # One that hears of no console's end shuts down for ten seconds, and boots for two.
        nat.eventually(
            f"! systemctl show --value --property UserspaceTimestampMonotonic | grep -qxF {boot}"
            " && systemctl is-system-running",
            10,
        )


def test_a_command_ends_with_its_caller(world: World) -> None:
    nat = Host("nat-us-east-1c")
    with Background(nat, "sleep 600"):
        nat.eventually("pgrep -fx 'sleep 600'")
    nat.eventually("! pgrep -fx 'sleep 600'", 5)


def test_list_prints_json(world: World) -> None:
    listed = json.loads(lab("list", "--json").output)
    by_name = {host["name"]: host for host in listed}
    assert {"desk", "office", "nat-us-east-1a", "app-us-east-1c", "web"} <= set(by_name)
    assert all({"name", "kind", "zone", "addresses", "state"} <= set(host) for host in listed)
    assert by_name["nat-us-east-1b"]["zone"] == "us-east-1b"
    assert re.fullmatch(r"SHA256:\S{43}", by_name["office"]["ssh_host_key"])


def test_faults_are_real_and_heal(world: World, desk: Host) -> None:
    a, b = Host("app-us-east-1a"), Host("app-us-east-1b")
    a.reaches("10.0.22.10")
    desk.reaches("10.0.21.10")
    assert lab("partition", "us-east-1a", "us-east-1b").status == 0
    a.cannot_reach("10.0.22.10")
    a.reaches("10.0.23.10")
    b.reaches("198.51.100.200")
    assert lab("heal").status == 0
    a.reaches("10.0.22.10")
    assert lab("isolate", "us-east-1b").status == 0
    b.cannot_reach("10.0.23.10")
    b.cannot_reach("198.51.100.200")
    b.reaches("10.0.2.10")  # inside the zone nothing is lost
    desk.reaches("10.0.21.10")
    assert lab("heal").status == 0
    b.reaches("10.0.23.10")


def test_a_private_host_has_no_way_out_but_its_nat(world: World) -> None:
    app = Host("app-us-east-1c")
    app.reaches("198.51.100.200")
    assert lab("kill", "nat-us-east-1c").status == 0
    app.cannot_reach("198.51.100.200")
    assert lab("start", "nat-us-east-1c").status == 0
    app.eventually("ping -q -c 1 -W 1 198.51.100.200", 30)


def test_the_lab_reaches_nothing_but_itself(world: World) -> None:
    own = json.loads(
        subprocess.run(["ip", "-json", "-4", "address"], capture_output=True, text=True, check=True).stdout
    )
    way = json.loads(subprocess.run(["ip", "-json", "-4", "route"], capture_output=True, text=True, check=True).stdout)
    machine = [each["local"] for link in own for each in link["addr_info"] if each["scope"] == "global"]
    assert machine, "this machine has an address: it answers itself"
    for address in machine:
        subprocess.run(["ping", "-q", "-c", "1", "-W", "1", address], stdout=subprocess.DEVNULL, check=True)
    for address in {*machine, *(route["gateway"] for route in way if "gateway" in route)}:
        for host in ("desk", "web", "office"):
            Host(host).cannot_reach(address)


def test_a_replaced_host_is_blank_and_has_a_new_key(world: World) -> None:
    before = {host["name"]: host for host in json.loads(lab("list", "--json").output)}["nat-us-east-1c"]
    nat = Host("nat-us-east-1c")
    nat.succeeds("test -e /etc/vpc-openvpn")
    assert lab("replace", "nat-us-east-1c").status == 0
    nat.fails("test -e /etc/vpc-openvpn")
    after = {host["name"]: host for host in json.loads(lab("list", "--json").output)}["nat-us-east-1c"]
    assert after["addresses"] == before["addresses"]
    assert after["ssh_host_key"] != before["ssh_host_key"]
    assert world.deploy_fails("--limit", nat.name).output.count("ssh-keygen -R 198.51.100.23") == 1
    world.trust()
