"""What a drain refuses, before a host is touched."""

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
    ("shown", "why"),
    [
        ("us-east-1a: trusted\nus-east-1b: trusted\n", ""),
        ("us-east-1a: drained since 2026-11-26 17:00:00\nus-east-1b: trusted\n", ""),
        ("us-east-1a: trusted\nus-east-1b: silent doubted\n", "(us-east-1b: silent doubted)"),
        ("us-east-1a: trusted\nus-east-1b: doubted\n", "(us-east-1b: doubted)"),
        ("us-east-1a: trusted\nus-east-1b: drained since 2026-11-26 17:00:00\n", "(us-east-1b: drained since 2026"),
        ("", "(us-east-1b: not deployed)"),
    ],
)
def test_a_drain_needs_a_detour_that_works(shown: str, why: str) -> None:
    office = plans("example")["office"]
    assert isinstance(office, OfficePlan)
    complaint = draining.without_detour(office, "us-east-1a", shown)
    assert (why in complaint) and bool(why) == bool(complaint), complaint
    if why:
        verb = "undrain" if "us-east-1b: drained" in shown else "rebuild"
        assert complaint.endswith(f"type for us-east-1b: ./vpc {verb} us-east-1b")
