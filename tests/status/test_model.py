"""What hosts' answers come to: verdict, what is lost meanwhile, what to type; and what no answer may do."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rendered.cases import CASES, plans
from tests.status.reports import BLANK, DEAD, NOW, PLANS, REPLACED, A, B, answers, away, status, zone
from vpc_openvpn.site.plan import NatPlan
from vpc_openvpn.status import model, text
from vpc_openvpn.status.claims import LONGEST, readable
from vpc_openvpn.status.model import DEGRADED, LOST, OWN, UNKNOWN, Answer, Refusal, exit_status

SILENT = away(B, A, "its NAT is silent")
IDLE = away(B, A, "its NAT does not forward")
DRAINED = away(B, A, "drained", drained_since=NOW - 600)
OFFICE = "./vpc deploy --limit office"
REBUILD = "./vpc rebuild us-east-1b"
MEND = "./vpc deploy --limit nat-us-east-1b"


def lost(name: str) -> dict[str, Any]:
    return zone(name, state="lost", via=None, why="its NAT is silent", round_trip=None)


@pytest.mark.parametrize(
    ("zones", "hosts", "verdict", "code"),
    [
        ({}, {}, OWN, 0),
        ({}, {"nat_us_east_1b": DEAD}, OWN, 0),  # its tunnel carries packets
        ({}, {"nat_us_east_1b": {"outdated": ["openvpn-server@office.service"]}}, OWN, 0),
        ({B: SILENT}, {"nat_us_east_1b": DEAD}, DEGRADED, 2),
        ({B: DRAINED}, {}, DEGRADED, 2),
        ({B: zone(B, drained_since=NOW - 5)}, {}, DEGRADED, 2),
        ({}, {"nat_us_east_1b": {"repairs": [{"what": "firewall", "looping": True}]}}, DEGRADED, 2),
        ({}, {"nat_us_east_1b": {"repairs": [{"what": "firewall", "looping": False}]}}, OWN, 0),
        ({}, {"office": {"stopped": ["vpc-openvpn-monitor.service"], "monitor": {"running": False}}}, DEGRADED, 2),
        ({}, {"office": {"monitor": {"running": False}}}, DEGRADED, 2),  # it hangs
        ({B: lost(B)}, {"nat_us_east_1b": DEAD}, LOST, 1),
        ({}, {"office": {"forwards": False}}, LOST, 1),
        ({}, {"office": DEAD}, UNKNOWN, 1),
        ({}, {"office": BLANK}, UNKNOWN, 1),
    ],
)
def test_the_verdict_is_the_worst_of_what_is_so(zones: Any, hosts: Any, verdict: str, code: int) -> None:
    found = status(zones, **hosts)
    assert (found.verdict, exit_status(found.verdict)) == (verdict, code)


@pytest.mark.parametrize(
    ("zones", "nat", "line"),
    [
        ({}, {}, None),
        ({B: SILENT}, DEAD, REBUILD),
        ({B: SILENT}, REPLACED, REBUILD),
        ({B: SILENT}, BLANK, REBUILD),
        ({B: SILENT}, {}, OFFICE),  # it runs as it should: something is between it and the office
        ({B: SILENT}, {"stopped": ["openvpn-server@office.service"]}, MEND),
        ({B: IDLE}, {}, MEND),
        ({B: IDLE}, DEAD, REBUILD),
        ({B: away(B, A, "its NAT has yet to prove itself")}, {}, None),
        ({B: away(B, A, "BIRD has no way through its own tunnel")}, {}, OFFICE),
        ({B: DRAINED}, {}, "./vpc undrain us-east-1b"),
        ({B: away(B, A, "its NAT is silent", drained_since=NOW)}, DEAD, REBUILD),
        ({B: None}, {}, "./vpc deploy"),
        ({}, {"forwards": False}, MEND),
    ],
)
def test_the_line_to_type_is_one_that_mends_it(zones: Any, nat: Any, line: str | None) -> None:
    assert status(zones, nat_us_east_1b=nat).zones[1].type == line


@pytest.mark.parametrize(
    ("zones", "nat", "expected"),
    [
        ({}, {}, None),
        ({}, DEAD, None),
        ({B: SILENT}, DEAD, "its private subnets (10.0.22.0/24, 10.0.32.0/24) have no internet"),
        ({B: SILENT}, BLANK, "its private subnets (10.0.22.0/24, 10.0.32.0/24) have no internet"),
        ({B: SILENT}, {}, None),  # the NAT itself says that it forwards
        ({B: IDLE}, {"forwards": False}, "its private subnets (10.0.22.0/24, 10.0.32.0/24) have no internet"),
        ({B: IDLE}, {}, "its private subnets (10.0.22.0/24, 10.0.32.0/24) likely have no internet"),
        ({B: DRAINED}, {}, None),
        ({B: DRAINED}, DEAD, None),
        ({B: lost(B)}, DEAD, "desks reach nothing of it"),
    ],
)
def test_what_is_lost_meanwhile_is_said(zones: Any, nat: Any, expected: str | None) -> None:
    found = status(zones, nat_us_east_1b=nat).zones[1].lost_meanwhile
    assert found is None if expected is None else found and expected in found


def test_where_every_nat_is_silent_it_may_be_the_offices_line() -> None:
    found = status({A: lost(A), B: lost(B)}, nat_us_east_1a=DEAD, nat_us_east_1b=DEAD)
    assert all("unless it is the office's own line" in (each.lost_meanwhile or "") for each in found.zones)


def test_an_unreachable_office_leaves_the_nats() -> None:
    found = status(office=DEAD)
    assert {each.state for each in found.zones} == {UNKNOWN} and {each.type for each in found.zones} == {None}
    assert [host.reachable for host in found.hosts] == [False, True, True]
    assert found.hosts[1].hears_office is True


def test_a_site_that_was_never_deployed_says_so() -> None:
    found = status(office=BLANK, nat_us_east_1a=BLANK, nat_us_east_1b=BLANK)
    assert {zone.type for zone in found.zones} | {host.type for host in found.hosts} == {"./vpc deploy"}
    assert {host.reachable for host in found.hosts} == {True}


def test_an_older_release_is_named_with_the_line_that_replaces_it() -> None:
    older = Answer(None, "an older release is there, which gives no report", Refusal.OLDER)
    found = status(office=older, nat_us_east_1b=Answer({"version": 1, "zones": {}}))
    assert found.zones[0].type == OFFICE
    assert [host.type for host in found.hosts] == [OFFICE, None, MEND]


def test_a_clock_that_differs_moves_the_hosts_times() -> None:
    found = status({A: zone(A, since=NOW + 500), B: zone(B, since=NOW + 900)}, office={"now": NOW + 600})
    assert [each.since for each in found.zones] == [NOW - 100, NOW]  # nothing begins later than now
    assert found.hosts[0].clock == 600.0
    assert status(office={"now": NOW + 1}).zones[0].since == NOW - 3600


def test_single_has_one_connection_for_all() -> None:
    site = plans("single")
    zones = [plan.zone for plan in site.values() if isinstance(plan, NatPlan)]
    told = {name: zone(name, via=zones[0]) for name in zones}
    report = {"version": 1, "zones": told, "host": {"now": NOW}}
    found = model.status(site, {name: Answer(report) for name in site}, NOW)
    assert (found.verdict, text.sentence(found).split(" since ")[0]) == (
        OWN,
        f"both zones by the one connection, to {zones[0]}'s NAT",
    )
    down = {name: zone(name, state="lost", via=None, why="the connection is not up") for name in zones}
    found = model.status(site, {name: Answer({**report, "zones": down}) for name in site}, NOW)
    assert found.verdict == LOST and {each.type for each in found.zones} == {OFFICE}


# --- what no answer may do ------------------------------------------------------------------------------------

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.sampled_from(["own", "detour", "lost", "\x1b[2J", "‮", "x" * 9999, 10**30, float("nan"), -1, {}, []]),
)
ODDER = st.recursive(ODD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))
KEYS = ["state", "via", "why", "since", "changes_today", "drained_since", "round_trip", "now", "outdated", "stopped"]
KEYS += ["deploy", "by", "at", "release", "repairs", "what", "count", "looping", "identity", "disk", "free", "size"]
KEYS += ["conntrack", "max", "forwards", "monitor", "running", "zones", "host", A, B]
KEYS += ["filters", "iptables", "legacy", "nft", "desks", "network", "desk", "interface"]
HOSTILE = st.dictionaries(st.sampled_from(KEYS), ODDER, max_size=12)


@given(st.one_of(ODDER, st.fixed_dictionaries({"zones": st.fixed_dictionaries({A: HOSTILE}), "host": HOSTILE})))
def test_no_report_breaks_the_status_or_writes_to_the_terminal(report: Any) -> None:
    found = model.status(PLANS, {name: Answer(report, "x" if report is None else "") for name in PLANS}, NOW)
    sentence = text.sentence(found)
    shown = [sentence, *text.lines(found)]
    assert all(line.isprintable() or not line for line in shown)
    assert max(map(len, shown)) < 100 * LONGEST
    json.dumps(found.document(sentence), allow_nan=False)
    assert [each.zone for each in found.zones] == [A, B]


@given(ODDER)
def test_a_nats_report_changes_no_zones_way(report: Any) -> None:
    before = status()
    after = model.status(PLANS, {**answers(), "nat-us-east-1a": Answer(report, "x")}, NOW)
    assert [(each.state, each.via, each.since) for each in after.zones] == [
        (each.state, each.via, each.since) for each in before.zones
    ]


def test_text_is_made_printable_and_short() -> None:
    assert readable("a\x1b]0;b\x07\n\u202ec\ud800") == r"a\u001b]0;b\u0007\n\u202ec\ud800"
    assert readable("é 日本") == "é 日本"
    assert len(readable("x" * 100000)) == LONGEST


@pytest.mark.parametrize("case", CASES)
def test_each_kind_of_site_has_a_status_without_any_answer(case: str) -> None:
    site = plans(case)
    found = model.status(site, dict.fromkeys(site, DEAD), NOW)
    assert found.verdict == UNKNOWN and text.sentence(found).startswith("it is unknown how")
