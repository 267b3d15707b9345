"""What an operator on the router types, with files and sockets of the test's own, and no BIRD."""

import json
import os
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from unittest.mock import Mock

import pytest
from vpc_openvpn_monitor import __main__ as command
from vpc_openvpn_monitor import bird, drains, kernel, memory, orders, site
from vpc_openvpn_monitor.daemon import Daemon
from vpc_openvpn_monitor.history import Change
from vpc_openvpn_monitor.history import Path as Taken
from vpc_openvpn_monitor.kernel import Route
from vpc_openvpn_monitor.machine import LIFE, LOOP, NOTHING, Ask, Memory, Question, Trust, Verdict, Way


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> site.Site:
    tunnels = [
        {
            "number": number,
            "zone": f"us-east-1{letter}",
            "interface": f"no-such-{number}",
            "subnets": [f"10.0.{number}.0/24", f"10.0.2{number}.0/24"],
            "nat": f"10.200.{number}.1",
            "own": f"10.200.{number}.2",
            "probe": f"10.0.2{number}.10" if number == 1 else None,
            "detours": [3 - number],
        }
        for number, letter in ((1, "a"), (2, "b"))
    ]
    places = {name: str(tmp_path / name) for name in ("paths", "drained", "memory", "control", "bird")}
    written = tmp_path / "monitor.json"
    own = {"host": "office", "role": "office", "strategy": "per-zone", "units": ["vpc-openvpn-monitor.service"]}
    ways = {"lans": [], "table": 7900, "tunnels": tunnels, "places": places}
    written.write_text(json.dumps({**own, **ways}))
    monkeypatch.setattr(command, "SITE", written)
    return site.read(written)


def by_verdict(found: site.Site, table: int) -> list[Route]:
    """The kernel's routes, if BIRD follows what is written for it: by the zone's own tunnel, or by the other one."""
    assert table == found.table
    avoided = found.paths.read_text().splitlines()[0] if found.paths.exists() else ""
    return [
        Route(
            subnet, table, f"no-such-{3 - each.number if f'({each.number}, {each.number})' in avoided else each.number}"
        )
        for each in found.tunnels
        for subnet in each.subnets
    ]


@contextmanager
def running(found: site.Site) -> Iterator[list[str]]:
    """The monitor itself, in a thread; what it says."""
    said: list[str] = []
    daemon = Daemon(found, said.append, lambda table: by_verdict(found, table))
    thread = threading.Thread(target=daemon.run)
    thread.start()
    try:
        yield said
    finally:
        daemon.stop()
        thread.join(5)
        assert not thread.is_alive()


def until(holds: Callable[[], bool], otherwise: str) -> None:
    """Wait for it, two seconds at most."""
    for _ in range(200):
        if holds():
            return
        threading.Event().wait(0.01)
    raise AssertionError(otherwise)


def await_control(found: site.Site) -> None:
    until(found.control.exists, "the monitor does not listen")


def test_what_a_deploy_writes_is_read(found: site.Site) -> None:
    assert [tunnel.zone for tunnel in found.tunnels] == ["us-east-1a", "us-east-1b"]
    assert found.tunnel(1).probe == IPv4Address("10.0.21.10") and found.tunnel(2).probe is None
    assert [zone.ways for zone in found.zones()] == [(Way(1, 1), Way(1, 2)), (Way(2, 2), Way(2, 1))]


def test_a_zone_is_drained_and_given_back_without_a_monitor(found: site.Site) -> None:
    assert command.main(["drain", "us-east-1b"]) == 0
    assert "avoided_ways = [ (0, 0), (1, 2), (2, 2) ]" in found.paths.read_text()
    assert command.main(["give-back", "us-east-1b"]) == 0
    assert "avoided_ways = [ (0, 0) ]" in found.paths.read_text()
    assert not found.drained.exists()


def test_a_programs_drain_leaves_an_operators_as_it_is(found: site.Site) -> None:
    file, verb = found.drained / "us-east-1b", ["us-east-1b", "--for", "rotation"]
    for _ in "ab":
        assert command.main(["drain", *verb]) == 0
        assert file.read_text() == "rotation\n" and [*found.drained.iterdir()] == [file]
    # One that is given back is all gone.
    assert command.main(["give-back", *verb]) == 0 and not found.drained.exists()
    assert command.main(["drain", *verb]) == 0
    os.utime(file, (7.0, 7.0))
    assert command.main(["drain", "us-east-1b"]) == 0
    assert (file.read_text(), file.stat().st_mtime) == ("", 7.0)
    for order in ("drain", "give-back"):
        assert command.main([order, *verb]) == 0
        assert file.read_text() == "" and "(2, 2)" in found.paths.read_text()
    assert command.main(["give-back", "us-east-1b"]) == 0 and not found.drained.exists()


def test_a_drain_that_dies_at_any_instant_is_no_operators(found: site.Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its word is in the file before that has its name."""
    for name in ("write_text", "hardlink_to", "unlink"):

        def die(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Path, name, die)
            drains.drain(found, "us-east-1b", "rotation")
        assert drains.purpose(found, "us-east-1b") in (None, "rotation")


@pytest.mark.parametrize("was", [None, "", "rotation"])
def test_an_order_that_fails_leaves_a_drain_as_it_was(
    found: site.Site, monkeypatch: pytest.MonkeyPatch, was: str | None
) -> None:
    if was is not None:
        drains.drain(found, "us-east-1b", was)
    monkeypatch.setattr(command, "_settle", Mock(side_effect=OSError("no BIRD")))
    for order in ("drain", "give-back"):
        assert command.main([order, "us-east-1b"]) == 1
        assert drains.purpose(found, "us-east-1b") == was


def test_a_running_monitor_follows_at_once(found: site.Site, capsys: pytest.CaptureFixture[str]) -> None:
    began, process = time.time(), str(os.getpid())
    with running(found) as said:
        await_control(found)
        assert command.main(["show"]) == 0
        assert capsys.readouterr().out.endswith("us-east-1b: by its own tunnel\n")
        assert command.main(["drain", "us-east-1b"]) == 0
        assert "avoided_ways = [ (0, 0), (1, 2), (2, 2) ]" in found.paths.read_text()
        assert command.main(["show"]) == 0
        shown = capsys.readouterr().out.splitlines()
        assert shown == ["us-east-1a: by its own tunnel", "us-east-1b: by a detour over us-east-1a: drained"]
        assert "us-east-1b: by a detour over us-east-1a: drained" in said
        assert command.main(["restarting", "1"]) == 0
        assert command.main(["leaving", "1", process]) == 0
        assert command.main(["show", "--json"]) == 0
        zones = json.loads(capsys.readouterr().out)["zones"]
        assert zones["us-east-1a"]["ways"][0] == {"tunnel": "us-east-1a", "avoided": "has yet to prove itself"}
        drained = zones["us-east-1b"]
        assert (drained["state"], drained["via"], drained["why"]) == ("detour", "us-east-1a", "drained")
        assert began <= drained["since"] <= time.time() and drained["changes_today"] == 1
        for wrong in (["leaving", "9", process], ["leaving", "1", "x"], ["restarting", "9"]):
            assert command.main(wrong) == 1
    assert not found.control.exists()
    recalled, past = memory.recall(found.memory)
    assert recalled.tunnels[1][0] == Trust.PROVING
    assert [change.path.state for change in past["us-east-1b"]] == ["own", "detour"]


def test_a_tunnel_is_about_to_stop_until_its_process_has_ended(found: site.Site) -> None:
    """Its interface says nothing: OpenVPN closes and opens it while it restarts. (Here there is none at all.)"""

    def is_leaving() -> bool:
        return "(0, 1)" in found.paths.read_text()

    with running(found), subprocess.Popen(["sleep", "60"]) as tunnel:
        await_control(found)
        assert command.main(["leaving", "1", str(tunnel.pid)]) == 0
        time.sleep(0.5)  # in which questions are asked in vain
        assert is_leaving()
        tunnel.kill()
        until(lambda: not is_leaving(), "its process has ended, and it is about to stop")
        # One that has ended already is about nothing any more.
        tunnel.wait()
        assert command.main(["leaving", "1", str(tunnel.pid)]) == 0
        assert not is_leaving()


def test_a_question_is_unanswered_in_its_own_time(found: site.Site) -> None:
    """One to the NAT itself may be answered late; those that are asked after it do not wait for it."""
    daemon = Daemon(found, routes=lambda table: by_verdict(found, table))
    daemon._do(Ask(Question(LIFE, 1), 0.01))
    daemon._do(Ask(Question(LOOP, 1), 0.01))
    threading.Event().wait(0.02)
    assert daemon._patience() == 0
    daemon._expire()
    assert [asked.question.kind for asked in daemon._pending.values()] == [LIFE]


def test_a_zone_that_has_left_the_site_is_forgotten(found: site.Site) -> None:
    past = {zone: (Change(1.5, Taken("own", zone)),) for zone in ("us-east-1a", "us-east-1z")}
    memory.keep(found.memory, NOTHING, past)
    with running(found) as said:
        await_control(found)
        while len(said) < 2:
            threading.Event().wait(0.01)
    assert memory.recall(found.memory)[1].keys() == {"us-east-1a", "us-east-1b"}


def test_bird_can_read_what_is_written_whatever_the_umask(found: site.Site) -> None:
    before = os.umask(0o077)
    try:
        assert command.main(["drain", "us-east-1b"]) == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(found.paths.stat().st_mode) == 0o644


@pytest.mark.parametrize("monitored", [False, True], ids=["no monitor", "monitor"])
@pytest.mark.parametrize("verb", ["drain", "give-back"])
def test_a_drain_that_cannot_be_written_changes_no_route(
    found: site.Site, verb: str, monitored: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    if verb == "give-back":
        assert command.main(["drain", "us-east-1b"]) == 0
    else:
        assert command.main(["settle"]) == 0
    before = found.paths.read_text(), (found.drained / "us-east-1b").exists()
    # A folder in the place of the file that is written first: it cannot be written, as on a full /run.
    beside = found.paths.with_name("paths.new")
    beside.mkdir()
    (beside / "full").touch()
    if monitored:
        with running(found):
            await_control(found)
            assert command.main([verb, "us-east-1b"]) == 1
    else:
        assert command.main([verb, "us-east-1b"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert (found.paths.read_text(), (found.drained / "us-east-1b").exists()) == before


@pytest.mark.attack
@pytest.mark.parametrize(
    "line",
    [
        [],
        ["drain"],
        ["drain", "us-east-1."],
        ["drain", "us-east-1*"],
        ["drain", "../us-east-1a"],
        ["show", "x"],
        ["drain", "us-east-1a", "--for"],
        ["drain", "us-east-1a", "rotation"],
        ["give-back", "us-east-1a", "--for", "a", "b"],
    ],
)
def test_a_wrong_line_changes_nothing(found: site.Site, line: list[str]) -> None:
    assert command.main(line) == 2
    assert not found.drained.exists()


def test_without_a_monitor_the_kernel_says_where_packets_go(
    found: site.Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kernel, "routes", lambda table: by_verdict(found, table))
    assert command.main(["show", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["zones"]["us-east-1b"]["state"] == "own"
    assert shown["zones"]["us-east-1b"]["why"] == "the monitor does not run"
    assert shown["host"]["monitor"] == {"running": False}
    with running(found):
        await_control(found)
        assert command.main(["show", "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["zones"]["us-east-1b"]["why"] is None and shown["host"]["monitor"] == {"running": True}


def test_a_nat_tells_of_itself(found: site.Site, capsys: pytest.CaptureFixture[str]) -> None:
    written = json.loads(command.SITE.read_text())
    command.SITE.write_text(json.dumps({**written, "host": "nat-a", "role": "nat", "tunnels": [], "units": []}))
    assert command.main(["show", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["version"], shown["zones"], shown["host"]["name"]) == (1, {}, "nat-a")
    assert command.main(["show"]) == 0


@pytest.mark.parametrize("verb", ["drain", "give-back"])
def test_under_single_no_zone_is_drained(found: site.Site, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    command.SITE.write_text(command.SITE.read_text().replace("per-zone", "single"))
    assert command.main([verb, "us-east-1b"]) == 1
    assert "strategy" in capsys.readouterr().err
    assert not found.drained.exists()


def test_memory_is_kept_and_a_damaged_one_is_none(found: site.Site) -> None:
    kept = Memory(frozenset({2}), {1: (Trust.BROKEN, 6), 2: (Trust.PROVING, 0)}, {Way(1, 2): (Trust.BROKEN, 3)})
    past = {"us-east-1a": (Change(1.5, Taken("detour", "us-east-1b", "its NAT is silent")),)}
    memory.keep(found.memory, kept, past)
    assert memory.recall(found.memory) == (kept, past)
    for damaged in ("", "{}", "[1]", '{"silent": 1}', found.memory.read_text()[:-10]):
        found.memory.write_text(damaged)
        assert memory.recall(found.memory) == (NOTHING, {})


def test_bird_gets_sorted_sets() -> None:
    said = bird.text(Verdict(frozenset({Way(2, 1), Way(1, 2)}), frozenset(), frozenset({3})))
    assert said == "define avoided_ways = [ (0, 0), (0, 3), (1, 2), (2, 1) ];\ndefine dead_ways = [ (0, 0) ];\n"


def test_an_error_of_birds_is_an_error(found: site.Site) -> None:
    for answer, fails in (
        (b"0002-Reading configuration\n0003 Reconfigured\n", False),
        (b"8002 x.conf:1 syntax\n", True),
    ):
        found.bird.unlink(missing_ok=True)
        with orders.listening(found.bird) as listening:
            listening.setblocking(True)
            thread = threading.Thread(target=_play_bird, args=(listening, answer))
            thread.start()
            if fails:
                with pytest.raises(bird.BirdError, match=r"8002 x\.conf:1"):
                    bird.configure(found.bird)
            else:
                bird.configure(found.bird)
            thread.join()


def _play_bird(listening: socket.socket, answer: bytes) -> None:
    line, _ = listening.accept()
    with line:
        line.sendall(b"0001 BIRD 2.0.12 ready.\n")
        assert line.recv(100) == b"configure\n"
        line.sendall(answer)
