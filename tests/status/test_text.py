"""The status as an operator reads it."""

from datetime import UTC
from typing import Any

import pytest

from tests.status.reports import BLANK, DEAD, NOW, REPLACED, A, B, away, status, zone
from vpc_openvpn.status import text
from vpc_openvpn.status.model import Zone

SILENT = away(B, A, "its NAT is silent")
LOST_B = zone(B, state="lost", via=None, why="its NAT is silent", since=NOW - 30)
STOPPED = {"stopped": ["vpc-openvpn-monitor.service"], "monitor": {"running": False}}


@pytest.mark.parametrize(
    ("zones", "hosts", "expected"),
    [
        ({}, {}, "both zones by their own tunnels since 12:46 (1 h)"),
        (
            {B: SILENT},
            {"nat_us_east_1b": DEAD},
            "1 of 2 zones by its own tunnel; us-east-1b by a detour over us-east-1a since 13:27 (19 min): its NAT is"
            " silent",
        ),
        (
            {A: LOST_B, B: LOST_B},
            {},
            "both zones lost since 13:46 (30 s): their NATs are silent",
        ),
        (
            {A: SILENT | {"via": B}, B: LOST_B},
            {},
            "none of 2 zones by their own tunnels; us-east-1a by a detour over us-east-1b since 13:27 (19 min): its"
            " NAT is silent; us-east-1b lost since 13:46 (30 s): its NAT is silent",
        ),
        (
            {B: away(B, A, "drained", drained_since=NOW - 60)},
            {},
            "1 of 2 zones by its own tunnel; us-east-1b by a detour over us-east-1a since 13:27 (19 min): drained",
        ),
        (
            {B: zone(B, drained_since=NOW - 60)},
            {},
            "both zones by their own tunnels since 12:46 (1 h); us-east-1b is drained since 13:45 (1 min), and has no"
            " detour that works",
        ),
        (
            {},
            {"nat_us_east_1b": REPLACED},
            "both zones by their own tunnels since 12:46 (1 h); nat-us-east-1b cannot be asked",
        ),
        ({}, {"office": STOPPED}, f"both zones by their own tunnels since 12:46 (1 h); {text.NO_MONITOR}"),
        (
            {B: away(B, A, "BFD hears nothing of its NAT; the monitor does not run")},
            {"office": STOPPED},
            "1 of 2 zones by its own tunnel; us-east-1b by a detour over us-east-1a since 13:27 (19 min): BFD hears"
            f" nothing of its NAT; {text.NO_MONITOR}",
        ),
        (
            {},
            {"nat_us_east_1a": {"repairs": [{"what": "firewall", "count": 12, "looping": True}]}},
            "both zones by their own tunnels since 12:46 (1 h); nat-us-east-1a: another program removes firewall again"
            " and again (12 times)",
        ),
        (
            {},
            {"office": DEAD},
            "it is unknown how both zones are reached: the office router gives no report: no answer from 198.51.100.12"
            " port 22",
        ),
        ({}, {"office": BLANK}, "it is unknown how both zones are reached: the office router is not deployed yet"),
    ],
)
def test_one_sentence_says_how_things_stand(zones: Any, hosts: Any, expected: str) -> None:
    assert text.sentence(status(zones, **hosts), UTC) == expected


def test_zones_and_hosts_follow() -> None:
    found = status({B: SILENT}, nat_us_east_1b=DEAD, nat_us_east_1a={"outdated": ["openvpn-server@office.service"]})
    assert list(text.lines(found, UTC)) == [
        "1 of 2 zones by its own tunnel; us-east-1b by a detour over us-east-1a since 13:27 (19 min): its NAT is"
        " silent.",
        "",
        "us-east-1a      its own tunnel            since 12:46 (1 h)               12.3 ms",
        "us-east-1b      a detour over us-east-1a  since 13:27 (19 min)",
        "                why: its NAT is silent",
        "                meanwhile: its hosts begin no connection to the office; its private subnets (10.0.22.0/24,"
        " 10.0.32.0/24) have no internet",
        "                type: ./vpc rebuild us-east-1b",
        "",
        "office          runs what is on its disk",
        "                release 2 by anna@desk, 11:46, identity 1 d old, disk 62 % free, 12 of 65536 connections",
        "nat-us-east-1a  openvpn-server@office.service runs from older files than are on the disk: a restart is"
        " pending",
        "                release 2 by anna@desk, 11:46, identity 1 d old, disk 62 % free, 12 of 65536 connections",
        "                type: ./vpc deploy --limit nat-us-east-1a",
        "nat-us-east-1b  no answer from 198.51.100.12 port 22",
    ]


def test_a_monitor_that_is_silent_is_said_once() -> None:
    quiet = zone(B, why="the monitor does not run")
    said = list(text.lines(status({B: quiet}, office=STOPPED), UTC))
    assert text.NO_MONITOR in said[0] and not any("why:" in line for line in said)
    last_resort = zone(B, why="its NAT does not forward")
    assert "why: its NAT does not forward" in "\n".join(text.lines(status({B: last_resort}), UTC))


def test_a_repair_that_fails_is_degraded() -> None:
    repair = {"what": "firewall", "count": 0, "last": NOW, "looping": False, "gone": "", "failing": "load:\x1b no"}
    found = status(nat_us_east_1a={"repairs": [repair]})
    assert found.verdict == "degraded"
    said = "\n".join(text.lines(found, UTC))
    assert "nat-us-east-1a: firewall is gone, and cannot be put back" in said.splitlines()[0]
    assert "firewall is gone, and cannot be put back: load:\\u001b no" in said


def test_files_that_are_newer_than_the_last_deploy_are_said() -> None:
    deploy = {"by": "anna@desk", "at": NOW - 7200, "release": 2, "changed": NOW - 3600}
    assert "files written since, 12:46: by hand, or by" in "\n".join(text.lines(status(office={"deploy": deploy}), UTC))


def test_repairs_are_shown_with_what_was_gone() -> None:
    repair = {"what": "tun-1", "count": 3, "last": NOW - 60, "looping": True, "gone": "the interface was\x1b down"}
    [_, fact, *_] = text.facts(status(office={"repairs": [repair]}).hosts[0], NOW, UTC)
    assert fact == (
        "tun-1 put back 3 times, last at 13:45 (1 min): the interface was\\u001b down; another program removes it again"
        " and again"
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-3, "0 s"), (59.9, "59 s"), (60, "1 min"), (3600, "1 h"), (11100, "3 h 5 min"), (183600, "2 d 3 h")],
)
def test_a_duration_has_the_unit_that_a_person_would_take(seconds: float, said: str) -> None:
    assert text.duration(seconds) == said


def test_a_time_of_another_day_has_its_date() -> None:
    assert text.clock(NOW - 86400, NOW, UTC) == "1970-01-11 13:46"


def test_many_zones_are_counted() -> None:
    many = [Zone(f"zone-{number}", "own") for number in range(9)]
    assert text._names(many) == "zone-0, zone-1, zone-2 and 6 more"
