"""`./vpc status` tells what the kernel and the hosts have, whichever of them is dead; what it says to type works.

desk ── office ── nat-us-east-1a, -1b, -1c ── app-us-east-1a, -1b, -1c
"""

import json
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.scenarios.flows import changed
from tests.scenarios.harness import Answer, Host, World, lab
from vpc_openvpn.remote.lock import OPERATOR

A, B, C = (f"us-east-1{letter}" for letter in "abc")
NAT_A, NAT_B = Host(f"nat-{A}"), Host(f"nat-{B}")
APP_B = "10.0.22.10"
UNBLOCKED = "iptables -D INPUT -p icmp -j DROP; iptables -D FORWARD -j DROP"
ASIDE = "to 10.0.22.0/24 unreachable"
LATEST = 12.0  # seconds; on a machine with nothing else to do a status takes one, and two with a dead NAT


def status(world: World, *words: str, env: tuple[str, ...] = ()) -> Answer:
    return world.run("./vpc", "status", *words, env=env)


def document(world: World) -> tuple[int, dict[str, Any]]:
    """The status as JSON, and its exit status."""
    answer = status(world, "--json")
    return answer.status, json.loads(answer.output)


def comes_to(world: World, expected: int, *texts: str, seconds: float = 20) -> str:
    """The status soon has this exit status and holds these texts; what it says."""
    deadline = time.monotonic() + seconds
    while True:
        answer = status(world)
        if answer.status == expected and all(text in answer.output for text in texts):
            return answer.output
        assert time.monotonic() < deadline, f"status {answer.status}, not {expected} with {texts}:\n{answer.output}"
        time.sleep(0.3)


def test_all_own_is_status_0_and_needs_no_age_key(world: World) -> None:
    began = time.monotonic()
    answer = status(world, env=("AGE_IDENTITY_FILE=/nowhere", "IDENTITIES=/nowhere"))
    took = time.monotonic() - began
    print(f"asked three NATs and the office in {took:.2f} s")
    assert answer.status == 0, answer.output
    assert answer.output.startswith("All 3 zones by their own tunnels since "), answer.output
    assert answer.output.count("runs what is on its disk") == 4
    assert took < LATEST


def test_status_has_the_last_deploy_that_came_to_its_end(world: World) -> None:
    def times() -> list[float]:
        deploys = [host["deploy"] for host in document(world)[1]["hosts"]]
        assert {each["by"] for each in deploys} == {OPERATOR} and len({each["release"] for each in deploys}) == 1
        return [each["at"] for each in deploys]

    before = times()
    assert world.plan().pending == {} and times() == before
    began = time.time()
    again = world.apply()
    assert (again.status, again.changed) == (0, {}), again.output
    assert all(began - 1 < at <= time.time() for at in times())
    before = times()
    with changed(NAT_B, "iptables -I INPUT -p icmp -j DROP; iptables -I FORWARD -j DROP", UNBLOCKED):
        world.deploy_fails()
    assert times()[2] == before[2], "it failed there"


def test_a_dead_nat_is_a_detour_until_what_is_typed_is_done(world: World, desk: Host) -> None:
    assert lab("kill", NAT_B.name).status == 0
    desk.eventually(f"ping -c 1 -W 1 {APP_B}", 10)
    said = comes_to(world, 2, f"{B} by a detour over {A} since ", ": its NAT is silent")
    assert said.startswith("2 of 3 zones by their own tunnels; "), said
    assert "its private subnets (10.0.22.0/24) have no internet" in said
    assert f"{NAT_B.name}  no answer from 198.51.100.22 port 22" in said
    began = time.monotonic()
    code, found = document(world)
    took = time.monotonic() - began
    print(f"with a dead NAT: {took:.2f} s")
    assert took < LATEST
    assert (code, found["version"], found["verdict"]) == (2, 1, "degraded")
    zone = next(each for each in found["zones"] if each["zone"] == B)
    assert (zone["state"], zone["via"], zone["type"]) == ("detour", A, f"./vpc rebuild {B}")
    assert abs(found["at"] - zone["since"]) < 60

    # A blank host in its place; then what the status says to type.
    assert lab("replace", NAT_B.name).status == 0
    said = comes_to(world, 2, "its ssh host key is another than before")
    assert f"type: ./vpc rebuild {B}" in said
    listed = json.loads(lab("list", "--json").output)
    key = next(host["ssh_host_key"] for host in listed if host["name"] == NAT_B.name)
    rebuilt = world.run(*zone["type"].split(), "--host-key", key)
    assert rebuilt.status == 0, rebuilt.output
    comes_to(world, 0, "All 3 zones by their own tunnels")


@pytest.mark.parametrize(
    ("fault", "end", "why"),
    [
        (
            f"ip rule add priority 100 {ASIDE}",
            f"ip rule del priority 100 {ASIDE}",
            "a desk's packets are sent elsewhere",
        ),
        (
            f"ip rule add priority 100 iif lan {ASIDE}",
            f"ip rule del priority 100 iif lan {ASIDE}",
            "a desk's packets are sent elsewhere",
        ),
        (
            "sysctl -qw net.ipv4.conf.tun-2.forwarding=0",
            "sysctl -qw net.ipv4.conf.tun-2.forwarding=1",
            "answers do not come back to desks",
        ),
        (
            "nft add table inet owner && nft add chain inet owner forward '{ type filter hook forward priority 0; }' &&"
            " nft add rule inet owner forward ip daddr 10.0.22.0/24 drop",
            "nft delete table inet owner",
            "nftables, table inet owner, chain forward (ip daddr 10.0.22.0/24 drop) drops what desks of",
        ),
    ],
    ids=["rule", "rule for desks", "setting", "firewall"],
)
def test_a_zone_that_another_program_cuts_off_is_lost(
    world: World, desk: Host, office: Host, fault: str, end: str, why: str
) -> None:
    with changed(office, fault, end):
        desk.cannot_reach(APP_B)
        comes_to(world, 1, f"{B} lost", why, "type: ./vpc deploy --limit office")
    comes_to(world, 0)


def test_a_drained_zone_is_degraded_and_loses_nothing(world: World) -> None:
    elsewhere = world.run(
        "pyinfra", "inventory.py", "deploys/drain.py", "-y", "--data", f"zone={B}", "--limit", NAT_B.name
    )
    assert elsewhere.status != 0 and "Write: --limit office. Nothing was done." in elsewhere.output, elsewhere.output
    drained = world.run("./vpc", "drain", B, "-y")
    assert drained.status == 0, drained.output
    assert f"new connections to {B} will go over {A}'s tunnel; 10.0.22.0/24 keeps its internet" in drained.output
    said = comes_to(world, 2, f"{B} by a detour over {A} since ", ": drained", f"type: ./vpc undrain {B}")
    assert "meanwhile" not in said
    assert world.run("./vpc", "undrain", B, "-y").status == 0
    comes_to(world, 0)


def test_a_nat_that_does_not_forward_is_named_with_what_mends_it(world: World) -> None:
    NAT_B.succeeds("sysctl -qw net.ipv4.ip_forward=0")
    said = comes_to(world, 2, ": its NAT does not forward", "net.ipv4.ip_forward is 0")
    assert f"type: ./vpc deploy --limit {NAT_B.name}" in said and "have no internet" in said
    mended = world.run("./vpc", "deploy", "-y", "--limit", NAT_B.name)
    assert mended.status == 0, mended.output
    comes_to(world, 0, seconds=60)


def test_zones_that_are_lost_are_status_1(world: World) -> None:
    for zone in (A, B, C):
        assert lab("kill", f"nat-{zone}").status == 0
    said = comes_to(world, 1, "All 3 zones lost since ", "their NATs are silent")
    assert "unless it is the office's own line that is down" in said


@pytest.fixture
def stopped_monitor(office: Host) -> Iterator[None]:
    office.succeeds("systemctl stop vpc-openvpn-monitor")
    yield
    office.succeeds("systemctl start vpc-openvpn-monitor")


def test_without_a_monitor_the_status_has_the_kernels_way(world: World, desk: Host, stopped_monitor: None) -> None:
    said = comes_to(world, 2, "All 3 zones by their own tunnels", "no monitor answers on the office router")
    assert "vpc-openvpn-monitor.service does not run" in said and "type: ./vpc deploy --limit office" in said
    assert lab("kill", NAT_B.name).status == 0
    desk.eventually(f"ping -c 1 -W 1 {APP_B}", 10)
    comes_to(world, 2, f"{B} by a detour over {A}: BFD hears nothing of its NAT", f"./vpc rebuild {B}")


def test_a_monitor_that_hangs_is_said_not_to_answer(world: World, office: Host) -> None:
    office.succeeds("systemctl kill -s STOP vpc-openvpn-monitor")
    try:
        comes_to(world, 2, "All 3 zones by their own tunnels", "no monitor answers on the office router")
    finally:
        office.succeeds("systemctl kill -s CONT vpc-openvpn-monitor")


def test_an_office_that_does_not_answer_leaves_the_nats(world: World, office: Host) -> None:
    office.succeeds("systemctl stop ssh.socket ssh.service")
    try:
        code, found = document(world)
    finally:
        office.succeeds("systemctl start ssh.service")
    assert (code, found["verdict"]) == (1, "unknown")
    assert found["says"].startswith("it is unknown how all 3 zones are reached: the office router gives no report")
    assert [host["reachable"] for host in found["hosts"]] == [False, True, True, True]
    assert [host["hears_office"] for host in found["hosts"]] == [None, True, True, True]


def test_a_nat_that_refuses_ssh_is_not_lost(world: World) -> None:
    NAT_B.succeeds("systemctl stop ssh.socket ssh.service")
    try:
        answer = status(world)
    finally:
        NAT_B.succeeds("systemctl start ssh.service")
    assert answer.status == 0, answer.output
    assert f"{NAT_B.name} cannot be asked" in answer.output and "port 22 refuses connections" in answer.output


def test_a_unit_that_runs_older_files_is_said_to(world: World, office: Host) -> None:
    unit = f"openvpn-client@vpc-{B}.service"
    office.succeeds(f"echo '# by hand' >> /etc/openvpn/client/vpc-{B}.conf")
    said = comes_to(world, 0, f"{unit} runs from older files than are on the disk: a restart is pending")
    assert "type: ./vpc deploy --limit office" in said


def test_repairs_are_shown_and_a_loop_is_degraded(world: World) -> None:
    repair = {"what": "firewall", "count": 12, "first": time.time() - 600, "last": time.time(), "looping": False}
    written = "/run/vpc-openvpn/keeper.state"
    before = NAT_B.answers(f"cat {written}")
    try:
        for looping, expected in ((False, 0), (True, 2)):
            state = json.dumps({"version": 1, "repairs": [{**repair, "looping": looping, "gone": "a chain\x1b[2J"}]})
            NAT_B.succeeds(f"cat > {written} << 'EOF'\n{state}\nEOF\n")
            said = comes_to(world, expected, "firewall put back 12 times, last at ", ": a chain\\u001b[2J")
            assert ("again and again" in said) == looping
    finally:
        NAT_B.succeeds(f"cat > {written} << 'EOF'\n{before.output}\nEOF\n" if before.status == 0 else f"rm {written}")


def test_a_fallen_nat_writes_nothing_to_the_terminal(world: World) -> None:
    """Its program is another: it prints what it likes."""
    program = "/usr/local/lib/vpc-openvpn/vpc-openvpn-monitor"
    zones = {A: {"state": "lost", "why": "a lie"}}
    report = {"version": 1, "zones": zones, "host": {"stopped": ["\x1b]0;owned\x07", 7], "now": "x" * 999}}
    NAT_B.succeeds(f"mv {program} {program}.kept")
    try:
        for script in (
            f"#!/bin/cat\n{json.dumps(report, ensure_ascii=False)}",
            "#!/bin/cat\n\x1b[2J\x1b[H all is well",
            "#!/bin/sh\nyes 'all is well'",
        ):
            NAT_B.succeeds(f"cat > {program} << 'EOF'\n{script}\nEOF\nchmod 755 {program}")
            answer = status(world)
            assert answer.status in (0, 2), answer.output
            assert answer.output.startswith("All 3 zones by their own tunnels"), answer.output
            assert "\x1b" not in answer.output and "Traceback" not in answer.output
            assert len(answer.output) < 5000
    finally:
        NAT_B.succeeds(f"mv {program}.kept {program}")


def test_watch_ends_at_ctrl_c(world: World) -> None:
    with world.running("./vpc", "status", "--watch", "--json") as process:
        assert process.stdout is not None
        looks = [json.loads(process.stdout.readline()) for _ in range(3)]
        assert looks[2]["at"] - looks[1]["at"] < LATEST
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
    assert {look["verdict"] for look in looks} == {"own"}


def test_a_single_connection_is_shown_as_one(world: World, desk: Host, office: Host) -> None:
    world.use(world.copy_of_site() | {"strategy": "single"})
    world.deploy()
    said = comes_to(world, 0, "All 3 zones by the one connection, to us-east-1")
    active = said.partition("to us-east-1")[2][0]
    assert lab("kill", f"nat-us-east-1{active}").status == 0
    comes_to(world, 1, "All 3 zones lost", "the connection is ")
    desk.eventually(f"ping -c 1 -W 1 {'10.0.22.10' if active == 'a' else '10.0.21.10'}", 30)
    said = comes_to(world, 0, "All 3 zones by the one connection, to us-east-1")
    assert said.partition("to us-east-1")[2][0] != active


def test_a_zone_without_detours_is_lost(world: World) -> None:
    world.use(world.copy_of_site() | {"detour": "off"})
    world.deploy()
    comes_to(world, 0, "All 3 zones by their own tunnels")
    assert lab("kill", NAT_B.name).status == 0
    said = comes_to(world, 1, f"{B} lost since ", "its NAT is silent")
    assert f"type: ./vpc rebuild {B}" in said and "desks reach nothing of it" in said


def test_a_host_that_was_never_deployed_is_said_to_be_none(world: World) -> None:
    """Blank hosts whose keys are known: what a new site is before its first deploy."""
    assert lab("replace", NAT_B.name).status == 0
    world.forget_host_key("198.51.100.22")
    answer = status(world)
    assert f"{NAT_B.name}  its ssh host key is not known: ED25519 SHA256:" in answer.output
    assert "198.51.100.22" not in world.run("cat", world.baseline["ssh"]["known_hosts"]).output
    assert f"type: ./vpc trust {NAT_B.name}" in answer.output
    listed = json.loads(lab("list", "--json").output)
    key = next(host["ssh_host_key"] for host in listed if host["name"] == NAT_B.name)
    trusted = world.run("sh", "-c", f"echo {key} | ./vpc trust --fingerprints -")
    assert trusted.status == 0, trusted.output
    comes_to(world, 2, "nothing of this site is there yet", f"type: ./vpc rebuild {B}")
    mended = world.run("./vpc", "deploy", "-y")
    assert mended.status == 0, mended.output
