"""The arithmetic of goals, what is read of hosts and programs, and how results are shown. No lab."""

import os
import struct
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import document
from bench.deploys import goals, material, probe, report, results
from bench.deploys.__main__ import CHART, DOCUMENT, FULL, RUNBOOK, RUNBOOK_SECTION, SECTION
from bench.deploys.contenders import HERE
from bench.deploys.results import (
    ANSIBLE,
    COMMANDS,
    CONNECT,
    COOKBOOK,
    FAR_AWAY,
    FAR_REBUILD,
    FAR_UNCHANGED,
    FLOOR,
    GROWTH_FIRST,
    GROWTH_UNCHANGED,
    REBUILD,
    STAGES,
    UNCHANGED,
    Results,
)
from bench.deploys.sections import FULL as FULL_EXTENT
from bench.deploys.sections import QUICK, homecoming, stages

ENVIRONMENT = {
    "date": "2026-01-02T03:04:05",
    "revision": "abc",
    "kernel": "6",
    "cpus": 2,
    "openvpn": "O",
    "bird": "B",
    "pyinfra": "3",
    "ansible": "2",
}


def measured(measures: Mapping[str, Mapping[str, Sequence[float]]]) -> Results:
    return Results(ENVIRONMENT, {}, measures)


ALL = measured(
    {
        REBUILD: {COOKBOOK: [9.0, 8.0, 7.0], FLOOR: [5.0, 5.0, 5.0], ANSIBLE: [40.0]},
        STAGES: {"ssh answers": [0.1, 0.3, 0.2], "altogether": [8.0, 9.0, 8.5]},
        UNCHANGED: {CONNECT: [1.0], COOKBOOK: [1.2, 1.3, 1.1], FLOOR: [0.4], ANSIBLE: [25.0]},
        COMMANDS: {COOKBOOK: [4, 3, 4], FLOOR: [1, 1, 1]},
        FAR_AWAY: {"office": [0.1004]},
        FAR_UNCHANGED: {COOKBOOK: [7.0], FLOOR: [4.0]},
        FAR_REBUILD: {COOKBOOK: [10.0], FLOOR: [5.0]},
        GROWTH_FIRST: {"16": [20.0], "1": [6.0]},
        GROWTH_UNCHANGED: {"1": [1.0], "16": [2.8]},
    }
)


def test_results_survive_being_saved(tmp_path: Path) -> None:
    results.save(ALL, tmp_path / "results.json")
    assert results.load(tmp_path / "results.json") == ALL


# --- goals ----------------------------------------------------------------------------------------------------------


def test_every_goal_has_a_verdict_by_medians_and_the_most_commands() -> None:
    assert [each.measured for each in goals.verdicts(ALL)] == [
        *("1.60 ×", "5.00 ×", "1.20 ×", "20.83 ×", "4", "1.75 ×", "2.00 ×", "2.80 ×")
    ]
    assert goals.missed(ALL) == []


@pytest.mark.parametrize(
    ("measure", "what", "figures", "limit"),
    [
        (REBUILD, FLOOR, [3.9], "≤ 2 ×"),
        (REBUILD, ANSIBLE, [31.9], "≥ 4 ×"),
        (UNCHANGED, CONNECT, [0.9], "≤ 1.3 ×"),
        (UNCHANGED, ANSIBLE, [9.5], "≥ 8 ×"),
        (COMMANDS, COOKBOOK, [4, 5, 4], "≤ 4"),
        (FAR_UNCHANGED, FLOOR, [3.4], "≤ 2 ×"),
        (FAR_REBUILD, FLOOR, [4.9], "≤ 2 ×"),
        (GROWTH_UNCHANGED, "16", [3.01], "≤ 3 ×"),
    ],
)
def test_a_goal_is_missed_by_a_little(measure: str, what: str, figures: list[float], limit: str) -> None:
    measures = {**ALL.measures, measure: {**ALL.measures[measure], what: figures}}
    assert [each.rpartition(": ")[2] for each in goals.missed(measured(measures))] == [limit]
    assert report.tables(measured(measures)).count("**missed**") == 1


def test_an_unmeasured_goal_has_no_verdict() -> None:
    assert goals.verdicts(measured({REBUILD: {COOKBOOK: [9.0]}})) == []


# --- what is read ---------------------------------------------------------------------------------------------------


def test_traffic_comes_home_when_the_zones_own_nat_answers() -> None:
    hops = "9.0 10.200.2.1\n10.5 10.200.3.1\n11.0 10.200.2.1\n11.5 10.200.2.1\n12.0 10.2"
    assert homecoming(hops, "10.200.2.1", since=10.0) == 11.0
    assert homecoming(hops, "10.200.2.1", since=11.5) is None
    assert homecoming(hops, "10.2", since=0.0) is None  # not all of the line has come


def test_stages_are_read_as_a_rebuild_prints_them() -> None:
    said = "It took 3.0 s\n    … still at it, 15 s\n\n"
    printed = f"{said}    ssh answers                 0.1 s\n    altogether              123.4 s\n"
    assert stages(printed) == {"ssh answers": 0.1, "altogether": 123.4}


def test_a_ping_has_a_right_checksum_and_an_identifier() -> None:
    for identifier in (0, 1, 0xF800, 0xFFFF):
        ping = probe.echo_request(identifier)
        total = sum(struct.unpack("!4H", ping))
        assert (total & 0xFFFF) + (total >> 16) == 0xFFFF
        assert struct.unpack("!H", ping[4:6]) == (identifier,)


@pytest.mark.parametrize(("kind", "options"), [(11, 0), (11, 8), (0, 0)])
def test_time_exceeded_is_recognised_with_any_header_length(kind: int, options: int) -> None:
    packet = bytes([0x45 + options // 4]) + bytes(19 + options) + bytes([kind, 0])
    assert probe.is_time_exceeded(packet) is (kind == 11)


def entry(name: str, mode: int, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode, info.type = mode, kind
    return info


def test_each_file_and_unit_belongs_to_a_role() -> None:
    members = [
        entry("etc/vpc-openvpn", 0o755, tarfile.DIRTYPE),
        entry("etc/vpc-openvpn/identity/host.key", 0o600),
        entry("etc/vpc-openvpn/firewall.rules", 0o644),
        entry("etc/sysctl.d/zz-vpc-openvpn.conf", 0o644),
        entry("etc/openvpn/server/office.conf", 0o644),
        entry("etc/systemd/system/openvpn-server@office.service.d/vpc-openvpn.conf", 0o644),
        entry("etc/vpc-openvpn/bird.conf", 0o644),
    ]
    units = ["vpc-openvpn-firewall.service", "vpc-openvpn-bird.service", "openvpn-server@office.service"]
    roles = material.by_role(members, units, Path("/files"))
    assert roles["identity"] == {
        "directories": [{"path": "/etc/vpc-openvpn", "mode": "0755"}],
        "files": [
            {
                "path": "/etc/vpc-openvpn/identity/host.key",
                "mode": "0600",
                "src": "/files/etc/vpc-openvpn/identity/host.key",
            }
        ],
        "units": [],
    }
    assert {role: len(has["files"]) for role, has in roles.items()} == {
        "identity": 1,
        "firewall": 1,
        "forwarding": 1,
        "tunnels": 2,
        "routing": 1,
    }
    assert {role: has["units"] for role, has in roles.items() if has["units"]} == {
        "firewall": units[:1],
        "routing": units[1:2],
        "tunnels": units[2:],
    }


def test_the_playbook_has_exactly_the_roles_that_get_files() -> None:
    roles = {path.name for path in (HERE / "playbook" / "roles").iterdir()}
    assert roles == {"packages", *material.by_role([], [], Path())}


def test_the_script_by_hand_writes_a_file_that_differs_and_changes_no_other(tmp_path: Path) -> None:
    there, programs = tmp_path / "there", tmp_path / "programs"
    wanted = tmp_path / "files" / there.relative_to("/")
    wanted.parent.mkdir(parents=True)
    wanted.write_text("as it should be\n")
    (tmp_path / "paths").write_text(f"{there.relative_to('/')}\n")
    (tmp_path / "units").write_text("one.service\n")
    programs.mkdir()
    # All packages are there; systemctl ends the script at daemon-reload, before any setting of this machine is changed.
    for name, script in {
        "dpkg-query": "yes installed | head -n 5",
        "systemctl": f'echo "$*" >> {tmp_path}/said; [ "$1" != daemon-reload ]',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)

    def apply() -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
        words = ["sh", str(HERE / "floor.sh"), "apply"]
        return subprocess.run(words, cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE, check=False)

    there.write_text("otherwise\n")
    assert apply().returncode == 1
    assert there.read_text() == "as it should be\n"
    assert apply().stdout.endswith(": unchanged\n")
    assert (tmp_path / "said").read_text() == "daemon-reload\nstart one.service\n"


def test_a_quick_run_measures_once_what_a_full_one_does() -> None:
    assert QUICK.repetitions.keys() == FULL_EXTENT.repetitions.keys()
    assert {count for each in QUICK.repetitions.values() for count in each.values()} == {1}
    assert {goals.FEWEST, goals.MOST} <= {str(zones) for zones in FULL_EXTENT.growth}


# --- how it is shown ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("figures", "text"),
    [([1.5], "1.5"), ([1.52, 1.49], "1.5"), ([2.0, 1.0, 4.0], "2.0 (1.0–4.0)"), ([19.9, 40.4, 25.3], "25 (19.9–40)")],
)
def test_figures_are_printed_as_median_and_range(figures: list[float], text: str) -> None:
    assert report.spread(figures) == text


def test_tables_show_the_measurements() -> None:
    tables = report.tables(ALL)
    assert (
        "| seconds | NAT rebuilt | nothing to change | NAT rebuilt, from far away | nothing to change, from far away |"
        in tables
    )
    assert "| cookbook | 8.0 (7.0–9.0) | 1.2 (1.1–1.3) | 10.0 | 7.0 |" in tables
    assert "| Ansible | 40 | 25 | – | – |" in tables
    assert "| cookbook | 4 | 4 |" in tables
    assert "| 1 | 6.0 | 1.0 |\n| 16 | 20 | 2.8 |" in tables
    assert "a round trip of 100 ms" in tables
    assert "Medians (least–most) of up to 3 runs. Measured on 2026-01-02" in tables


def test_the_runbook_has_the_medians_of_a_rebuilds_stages() -> None:
    assert stages(report.stages(ALL)) == {"ssh answers": 0.2, "altogether": 8.5}


def test_chart_and_tables_show_the_same_figures() -> None:
    drawn = list(ElementTree.fromstring(report.chart(ALL)).iter())
    labels = [element.text for element in drawn if element.text]
    assert {"NAT rebuilt", "8.0", "40", "0.4"} <= set(labels)
    widths = {element.get("class"): float(element.get("width", 0)) for element in drawn if element.tag.endswith("rect")}
    assert widths[ANSIBLE] > widths[COOKBOOK]


def test_the_documents_show_the_saved_results() -> None:
    text, runbook = (path.read_text(encoding="utf-8") for path in (DOCUMENT, RUNBOOK))
    assert document.insert(text, SECTION, "") and document.insert(runbook, RUNBOOK_SECTION, "")
    kept = results.load(FULL)
    assert document.insert(text, SECTION, report.tables(kept)) == text
    assert document.insert(runbook, RUNBOOK_SECTION, report.stages(kept)) == runbook
    assert CHART.read_text(encoding="utf-8") == report.chart(kept)
