"""What a rebuild refuses, before it connects anywhere; and what it does not deploy unasked."""

import subprocess
from collections.abc import Sequence

import pytest

from tests.command.typing import Type
from vpc_openvpn.command import rebuild


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], "Missing argument"),
        (["us-east-1d"], "there is no host or zone us-east-1d in the site; did you mean us-east-1"),
        (
            ["frankfurt"],
            "there is no host or zone frankfurt in the site; there are: us-east-1a, us-east-1b, office, all",
        ),
        (["us-east-1b", "--host-key", "abc"], "abc is no fingerprint of a host key"),
        (["us-east-1b", "--host-key", "office=SHA256:abc"], "office is none of the hosts to rebuild"),
        (["us-east-1a", "nat-us-east-1b", "--host-key", "SHA256:" + 43 * "a"], "which host's key is"),
    ],
)
def test_an_argument_that_names_no_host_or_key_is_refused(vpc: Type, words: list[str], error: str) -> None:
    said = vpc("rebuild", *words)
    assert said.status == 1
    assert error in said.err and said.out == ""


@pytest.mark.parametrize("status", [0, 1])
def test_the_office_router_is_not_made_to_trust_another(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], status: int
) -> None:
    """Its deploy has -y, and what it refuses is shown."""
    typed: list[Sequence[str]] = []

    def run(command: Sequence[str], **_: object) -> subprocess.CompletedProcess[str]:
        typed.append(command)
        return subprocess.CompletedProcess(command, status, "The identity of nat-us-east-1a, which office pins …")

    monkeypatch.setattr(rebuild, "pending", lambda *_, **__: {"office": ["Tunnels are configured"]})
    monkeypatch.setattr(subprocess, "run", run)
    assert rebuild._see_to_office() is (status == 0)
    assert "-y" in typed[0] and "new_pins=no" in typed[0]
    assert "The identity of nat-us-east-1a, which office pins" in capfd.readouterr().out
