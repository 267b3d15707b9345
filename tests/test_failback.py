"""What the last proof of a rebuild says, from what ping prints."""

import subprocess
from pathlib import Path

import pytest

from tasks.failback import script
from tests.conftest import EXAMPLE_SITE
from vpc_openvpn.site.load import load
from vpc_openvpn.site.plan import OFFICE, OfficePlan, plan


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("From 10.200.1.1 icmp_seq=1 Time to live exceeded", ""),
        ("From 10.200.2.1 icmp_seq=1 Time to live exceeded", "go through 10.200.2.1, not through 10.200.1.1, its own"),
        ("1 packets transmitted, 0 received", "go through no tunnel, not through 10.200.1.1, its own"),
    ],
)
def test_the_nat_that_new_connections_go_through_is_named(tmp_path: Path, answer: str, said: str) -> None:
    ping = tmp_path / "ping"
    ping.write_text(f"#!/bin/sh\necho '{answer}'\n")
    ping.chmod(0o755)
    office = plan(load(EXAMPLE_SITE))[OFFICE]
    assert isinstance(office, OfficePlan)
    done = subprocess.run(
        ["sh", "-c", script([office.tunnels[0]], patience=0)],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert (said in done.stdout) and bool(said) == bool(done.stdout), done.stdout
    assert "exceeded" not in done.stdout
