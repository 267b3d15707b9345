"""Metrics as text: names, labels, values; what is counted although the history forgets."""

import json
import os
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path as File
from typing import Any

import pytest
from vpc_openvpn_monitor import history, machine, metrics, report
from vpc_openvpn_monitor.history import DETOUR, LOST, MOST, OWN, Path, noted
from vpc_openvpn_monitor.machine import State, Trust
from vpc_openvpn_monitor.metrics import Counts, Hook, Repair, counted
from vpc_openvpn_monitor.outbox import Outbox, write_host
from vpc_openvpn_monitor.site import Site, Tunnel

HOME, AWAY, GONE = Path(OWN, "a"), Path(DETOUR, "b", "its NAT is silent"), Path(LOST, "", "its NAT is silent")


def tunnel(number: int, zone: str) -> Tunnel:
    ends = IPv4Address(f"10.200.{number}.1"), IPv4Address(f"10.200.{number}.2")
    return Tunnel(number, zone, f"tun-{number}", (IPv4Network(f"10.0.{number}.0/24"),), *ends, None, (3 - number,))


A, B = tunnel(1, "a"), tunnel(2, "b")
SITE = Site("office", "office", "per-zone", (), (), (A, B), 7900, *[File("/nowhere")] * 5)


def samples(text: str) -> dict[str, float]:
    """By name and labels, as written."""
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def of_office(state: State, path: Path) -> dict[str, float]:
    past = noted(noted({}, "a", path, 10.0), "b", Path(OWN, "b"), 11.5)
    return samples(metrics.text(metrics.of_office(SITE, state, past, Counts(), [A.nat], {1: 0.081})))


def test_each_metric_has_help_and_type_and_comes_once() -> None:
    begun = machine.begin(SITE.zones(), 0.0)
    past = noted(noted({}, "a", AWAY, 10.0), "b", Path(OWN, "b"), 10.0)
    found = [
        *metrics.of_host("1.0", 5.5, {"office": 1.0}, [Repair("firewall", 2, False)]),
        *metrics.of_office(SITE, begun, past, Counts(), [], {1: 0.1}),
        *metrics.of_alerts(Hook(3, 1, 2)),
    ]
    text = metrics.text(reversed(found))
    for name, (kind, _) in metrics.NAMES.items():
        assert text.count(f"# HELP vpcopenvpn_{name} ") == 1, name
        assert f"# TYPE vpcopenvpn_{name} {kind}\nvpcopenvpn_{name}" in text
    assert text.endswith("\n") and len(samples(text)) == len(found)


@pytest.mark.parametrize(("path", "expected"), [(HOME, "own"), (AWAY, "detour"), (GONE, "none")])
def test_a_zone_has_one_path(path: Path, expected: str) -> None:
    found = of_office(machine.begin(SITE.zones(), 0.0), path)
    for name in ("own", "detour", "none"):
        assert found[f'vpcopenvpn_zone_path{{zone="a",path="{name}"}}'] == (name == expected)
    assert ('vpcopenvpn_zone_detour_info{zone="a",via="b"}' in found) == (expected == "detour")
    assert found['vpcopenvpn_tunnel_last_change_timestamp_seconds{zone="a"}'] == 10.0


def test_a_tunnel_is_as_bfd_and_the_monitor_have_it() -> None:
    begun = machine.begin(SITE.zones(), 0.0)
    found = of_office(begun, HOME)
    assert found['vpcopenvpn_tunnel_info{zone="a",interface="tun-1",nat="nat-a"}'] == 1
    assert (found['vpcopenvpn_tunnel_bfd_up{zone="a"}'], found['vpcopenvpn_tunnel_bfd_up{zone="b"}']) == (1, 0)
    assert found['vpcopenvpn_tunnel_round_trip_seconds{zone="a"}'] == 0.081
    assert 'vpcopenvpn_tunnel_round_trip_seconds{zone="b"}' not in found
    broken = machine._with_tunnel(begun, 1, forwards=machine.Gate(Trust.BROKEN), drained=True)
    found = of_office(broken, AWAY)
    assert found['vpcopenvpn_tunnel_nat_forwards{zone="a"}'] == 0
    assert found['vpcopenvpn_tunnel_drained{zone="a"}'] == 1
    silent = of_office(machine._with_tunnel(begun, 1, silent=True), AWAY)
    assert 'vpcopenvpn_tunnel_round_trip_seconds{zone="a"}' not in silent


def test_labels_are_escaped() -> None:
    text = metrics.text([("repairs_total", {"what": 'a"b\\c\nd'}, 1)])
    assert text.splitlines()[-1] == 'vpcopenvpn_repairs_total{what="a\\"b\\\\c\\nd"} 1'


def test_values_keep_what_they_are() -> None:
    lines = metrics.text([("deploy_timestamp_seconds", {}, 1795766148.664498)]).splitlines()
    assert lines[-1] == "vpcopenvpn_deploy_timestamp_seconds 1795766148.664498"


def test_changes_are_counted_although_the_history_forgets() -> None:
    past: history.History = {}
    counts = Counts()
    for number in range(3 * MOST):
        past = noted(past, "a", HOME if number % 2 else AWAY, float(number))
        if number % 7 == 0:
            counts = counted(counts, past)
    counts = counted(counts, past)
    # What was first seen is no change.
    assert counts.changes == {"a": {OWN: 3 * MOST / 2, DETOUR: 3 * MOST / 2 - 1}}
    assert counted(counts, past) == counts
    assert metrics.recalled(metrics.kept(counts)) == counts


@pytest.mark.parametrize("text", ["", "[]", "{", '{"changes": 1, "seen": {}}'])
def test_counts_that_cannot_be_read_begin_anew(text: str) -> None:
    assert metrics.recalled(text) == Counts()


def test_repairs_are_those_of_the_keepers_state() -> None:
    one = {"what": "firewall", "count": 3, "first": 5, "last": 9, "looping": True, "gone": "-A vpc-openvpn-input"}
    written = json.dumps({"version": 1, "repairs": [one]})
    assert metrics.repairs(written) == [Repair("firewall", 3, True, 9.0, "-A vpc-openvpn-input")]
    assert metrics.repairs("") == metrics.repairs('{"repairs": [{}]}') == []


# --- what is written ------------------------------------------------------------------------------------------------


def config(folder: File) -> File:
    """What a deploy writes, with places below `folder`."""
    path = folder / "metrics.json"
    found: dict[str, Any] = {
        "file": f"{folder}/metrics/vpc-openvpn.prom",
        "memory": f"{folder}/metrics.memory",
        "deployed": str(path),
        "version": "1.0",
        "created": {"office": 1764201600},
    }
    path.write_text(json.dumps(found))
    os.utime(path, (77, 77))
    return path


def outbox(folder: File, said: list[str]) -> Outbox:
    site = replace(SITE, bird=folder / "bird.ctl", drained=folder / "drained")
    return Outbox(
        site,
        said.append,
        metrics_file=folder / "metrics.json",
        alerts_file=folder / "alerts.json",
        keeper_file=folder / "keeper.state",
    )


def test_what_is_asked_for_is_written_and_goes_when_it_is_asked_for_no_more(tmp_path: File) -> None:
    said: list[str] = []
    box = outbox(tmp_path, said)
    begun, past = machine.begin(SITE.zones(), 0.0), noted(noted({}, "a", HOME, 1.0), "b", Path(OWN, "b"), 1.0)

    def write() -> list[str]:
        box.write(begun, past, {1: 0.1}, 100.0)
        return sorted(path.name for path in tmp_path.rglob("*"))

    assert write() == []
    config(tmp_path)
    places = {"state": f"{tmp_path}/monitor.state", "memory": f"{tmp_path}/hooks"}
    (tmp_path / "alerts.json").write_text(json.dumps({"places": places}))
    (tmp_path / "hooks").write_text(json.dumps({"runs": 4, "failures": 2, "heartbeat_failures": 0}))
    names = ["alerts.json", "hooks", "metrics", "metrics.json", "metrics.memory", "monitor.state", "vpc-openvpn.prom"]
    assert write() == names
    found = samples((tmp_path / "metrics/vpc-openvpn.prom").read_text())
    assert found["vpcopenvpn_alert_hook_failures_total"] == 2
    assert found['vpcopenvpn_tunnel_bfd_up{zone="a"}'] == 0, "no BIRD answers here"
    state = (tmp_path / "monitor.state").read_text()
    assert state == report.as_json(replace(SITE, drained=tmp_path / "drained"), begun, past, {1: 0.1}, 100.0) + "\n"
    (tmp_path / "alerts.json").unlink()
    (tmp_path / "metrics.json").unlink()
    assert write() == ["hooks"] and said == []


def test_it_is_said_once_that_nothing_can_be_written(tmp_path: File) -> None:
    said: list[str] = []
    box = outbox(tmp_path, said)
    (tmp_path / "metrics.json").write_text("{")
    begun = machine.begin(SITE.zones(), 0.0)
    for _ in range(2):
        box.write(begun, {}, {}, 100.0)
    assert len(said) == 1 and "cannot write metrics" in said[0]


@pytest.mark.parametrize("damaged", ["metrics.json", "metrics.memory"])
def test_alerts_have_their_state_whatever_becomes_of_metrics(tmp_path: File, damaged: str) -> None:
    said: list[str] = []
    box = outbox(tmp_path, said)
    config(tmp_path)
    places = {"state": f"{tmp_path}/monitor.state", "memory": f"{tmp_path}/hooks"}
    (tmp_path / "alerts.json").write_text(json.dumps({"places": places}))
    (tmp_path / damaged).write_bytes(b"{\xff")
    box.write(machine.begin(SITE.zones(), 0.0), noted(noted({}, "a", HOME, 1.0), "b", HOME, 1.0), {}, 100.0)
    assert (tmp_path / "monitor.state").exists()
    assert bool(said) == (damaged == "metrics.json")


def test_a_nat_has_the_metrics_of_each_host(tmp_path: File) -> None:
    keeper = tmp_path / "keeper.state"
    write_host(tmp_path / "metrics.json", keeper)
    assert not (tmp_path / "metrics").exists()
    path = config(tmp_path)
    write_host(path, keeper)
    found = samples((tmp_path / "metrics/vpc-openvpn.prom").read_text())
    assert found == {
        'vpcopenvpn_build_info{version="1.0"}': 1,
        "vpcopenvpn_deploy_timestamp_seconds": 77,
        'vpcopenvpn_identity_created_timestamp_seconds{host="office"}': 1764201600,
    }
    one = {"what": "tun-1", "count": 7, "first": 5, "last": 9, "looping": True, "gone": "x"}
    keeper.write_text(json.dumps({"version": 1, "repairs": [one]}))
    write_host(path, keeper)
    found = samples((tmp_path / "metrics/vpc-openvpn.prom").read_text())
    assert found['vpcopenvpn_repairs_total{what="tun-1"}'] == 7
    assert found['vpcopenvpn_repair_looping{what="tun-1"}'] == 1
