"""What drain.py refuses, before a host is touched."""

import pytest
from pyinfra.api.exceptions import DeployError

from tasks import draining
from tests.rendered.cases import plans


@pytest.mark.parametrize(
    ("case", "zone", "back", "error"),
    [
        (
            "example",
            None,
            False,
            r"which zone\? Write: --data zone=us-east-1a \(the zones are us-east-1a, us-east-1b\)",
        ),
        ("example", "us-east-1", False, "there is no zone us-east-1: did you mean us-east-1[ab]"),
        ("example", "frankfurt", False, "there is no zone frankfurt: there are us-east-1a, us-east-1b"),
        ("example", "us-east-1a", "perhaps", "back=perhaps is neither true nor false. Write: --data back=true"),
        ("detour-off", "us-east-1a", False, "us-east-1a has no detour"),
        ("single", "eu-west-3a", False, "eu-west-3a has no detour"),
        ("dynamic-two-lans", "eu-west-3c", False, "eu-west-3c has no detour"),
    ],
)
def test_a_drain_of_nothing_is_refused(case: str, zone: object, back: object, error: str) -> None:
    with pytest.raises(DeployError, match=error):
        draining.switch(plans(case)["office"], zone, back=back)


def test_a_nat_has_no_part_in_a_drain() -> None:
    draining.switch(plans("example")["nat-us-east-1a"], None, back=False)
