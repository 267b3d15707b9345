"""What a drain refuses, before a host is touched."""

import json
from unittest.mock import Mock

import pytest
from pyinfra.api.exceptions import DeployError

from tasks import draining
from tests.rendered.cases import plans
from vpc_openvpn.site.plan import OfficePlan


@pytest.mark.parametrize(
    ("case", "zone", "error"),
    [
        (
            "example",
            None,
            r"which zone\? Write: --data zone=us-east-1a \(the zones are us-east-1a, us-east-1b\)",
        ),
        ("example", "us-east-1", "there is no zone us-east-1: did you mean us-east-1[ab]"),
        # A name is a name, and no pattern.
        ("example", "us-east-1.", r"there is no zone us-east-1\.: did you mean us-east-1[ab]"),
        ("example", "us-east-1*", r"there is no zone us-east-1\*: did you mean us-east-1[ab]"),
        ("example", "frankfurt", "there is no zone frankfurt: there are us-east-1a, us-east-1b"),
        ("detour-off", "us-east-1a", "us-east-1a has no detour"),
        ("single", "eu-west-3a", "eu-west-3a has no detour"),
        ("dynamic-two-lans", "eu-west-3c", "eu-west-3c has no detour"),
    ],
)
def test_a_drain_without_a_known_zone_is_refused(case: str, zone: object, error: str) -> None:
    with pytest.raises(DeployError, match=error):
        draining.switch(plans(case)["office"], zone, back=False)


@pytest.mark.parametrize("with_office", [True, False])
def test_a_drain_runs_on_the_office_router_alone(with_office: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    nat = plans("example")["nat-us-east-1a"]
    monkeypatch.setattr(draining, "host", Mock())
    monkeypatch.setattr(draining, "state", Mock(is_host_in_limit=lambda _: with_office))
    if with_office:
        draining.switch(nat, None, back=False)
    else:
        with pytest.raises(DeployError, match=r"Write: --limit office. Nothing was done\."):
            draining.switch(nat, None, back=False)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (None, "; 10.0.21.0/24 keeps its internet through us-east-1a's own NAT."),
        ("drained", "; 10.0.21.0/24 keeps its internet through us-east-1a's own NAT."),
        ("silent", "."),
    ],
)
def test_a_drain_says_beforehand_what_will_carry_the_zone(
    own: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draining, "plans", lambda: plans("example"))
    office = plans("example")["office"]
    assert isinstance(office, OfficePlan)
    expected = f"new connections to us-east-1a will go over us-east-1b's tunnel{said}"
    assert draining.beforehand(office, "us-east-1a", shown(own=own, detour=None)) == expected


def test_a_drain_goes_over_the_first_detour_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "plans", lambda: plans("dynamic-two-lans"))
    office = plans("dynamic-two-lans")["office"]
    assert isinstance(office, OfficePlan)
    check = next(each for each in office.health_checks if each.others)
    zone, detours = check.tunnel.zone, [each.zone for each in check.others]
    for number, detour in enumerate(detours):
        ways = [
            {"tunnel": each, "avoided": "silent" if each in detours[:number] else None} for each in [zone, *detours]
        ]
        told = json.dumps({"version": 1, "zones": {zone: {"ways": ways}}})
        assert draining.beforehand(office, zone, told).startswith(
            f"new connections to {zone} will go over {detour}'s tunnel"
        )


def test_a_drain_without_a_monitor_is_refused_with_what_starts_it() -> None:
    office = plans("example")["office"]
    assert isinstance(office, OfficePlan)
    told = json.dumps({"version": 1, "zones": {}, "host": {"monitor": {"running": False}}})
    complaint = draining.without_detour(office, "us-east-1a", told)
    assert complaint.endswith("type: ./vpc deploy --limit office")


def shown(**avoided: str | None) -> str:
    """What the monitor shows of a zone's own tunnel and of its detour: why it is avoided."""
    tunnels = zip(("us-east-1a", "us-east-1b"), avoided.values(), strict=True)
    ways = [{"tunnel": tunnel, "avoided": why} for tunnel, why in tunnels]
    return json.dumps({"version": 1, "zones": {"us-east-1a": {"ways": ways}}})


@pytest.mark.parametrize(
    ("said", "why", "advice"),
    [
        (shown(own=None, detour=None), "", ""),
        (shown(own="drained", detour=None), "", ""),
        (shown(own=None, detour="silent"), "(us-east-1b: silent)", "./vpc rebuild us-east-1b"),
        (shown(own=None, detour="drained"), "(us-east-1b: drained)", "./vpc undrain us-east-1b"),
        (shown(own=None, detour="has yet to prove itself"), "yet to prove", "the same again in a minute"),
        (shown(own=None, detour="does not forward"), "does not", "./vpc deploy --limit nat-us-east-1b"),
        (shown(own=None, detour="does not reach the zone"), "reach", "./vpc deploy --limit nat-us-east-1b"),
        ("", "(us-east-1b: not deployed)", "./vpc deploy"),
    ],
)
def test_a_drain_needs_a_detour_that_works(said: str, why: str, advice: str) -> None:
    office = plans("example")["office"]
    assert isinstance(office, OfficePlan)
    complaint = draining.without_detour(office, "us-east-1a", said)
    assert (why in complaint) and bool(why) == bool(complaint), complaint
    if why:
        assert complaint.endswith(f"type for us-east-1b: {advice}")
