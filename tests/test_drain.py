"""A zone is drained only where a detour takes its new connections."""

import pytest

from tasks.draining import without_detour
from tests.conftest import EXAMPLE_SITE
from topology.load import load
from topology.plan import OFFICE, OfficePlan, plan


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
    office = plan(load(EXAMPLE_SITE))[OFFICE]
    assert isinstance(office, OfficePlan)
    complaint = without_detour(office, "us-east-1a", shown)
    assert (why in complaint) and bool(why) == bool(complaint), complaint
    if why:
        assert "make rebuild ZONE=us-east-1b" in complaint and "--data zone=us-east-1b --data back=true" in complaint
