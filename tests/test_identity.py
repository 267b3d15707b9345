"""A deploy says which identities are others than the last deploy's: age does not sign what it encrypts."""

from dataclasses import replace
from typing import Any

import pytest

from tasks import identity, paths
from tasks.identity import Identity
from tests.conftest import EXAMPLE_SITE
from vpc_openvpn.remote.facts import FileState, State
from vpc_openvpn.remote.files import File
from vpc_openvpn.site.load import load
from vpc_openvpn.site.plan import plan

PLANS = plan(load(EXAMPLE_SITE))
ZONES = ["us-east-1a", "us-east-1b"]
OURS = Identity(
    ("office", "AA"),
    File(paths.CERTIFICATE, "certificate\n"),
    File(paths.PRIVATE_KEY, "key\n", mode="600"),
    {zone: File(paths.tls_crypt(zone), f"{zone}\n", mode="600") for zone in ZONES},
    {},
)


def on_host(found: Identity) -> State:
    """What a host answers that has these files."""
    return State(files={file.path: FileState("file", file.mode, "root", "root", file.sha256) for file in found})


@pytest.mark.parametrize("now", [on_host(OURS), State()], ids=["the same", "a blank host"])
def test_nothing_is_said_of_what_is_as_it_was(now: State) -> None:
    assert list(identity.others(PLANS["office"], OURS, now)) == []


@pytest.mark.attack
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"certificate": File(paths.CERTIFICATE, "another\n")}, ["The identity of office is another than the last"]),
        ({"private_key": File(paths.PRIVATE_KEY, "another\n")}, []),  # a key's certificate goes with it
        (
            {"tls_crypt": {"us-east-1b": File(paths.tls_crypt("us-east-1b"), "another\n")}},
            ["The tls-crypt key of us-east-1b's tunnel is another than the last deploy's"],
        ),
    ],
)
def test_each_that_is_another_is_named(change: dict[str, Any], said: list[str]) -> None:
    found = list(identity.others(PLANS["office"], OURS, on_host(replace(OURS, **change))))
    assert len(found) == len(said) and all(text.startswith(each) for text, each in zip(found, said, strict=True))


@pytest.mark.attack
def test_tunnels_that_exchanged_their_keys_are_named() -> None:
    crossed = dict(zip(ZONES, reversed(ZONES), strict=True))
    exchanged = {zone: File(paths.tls_crypt(zone), f"{other}\n") for zone, other in crossed.items()}
    found = identity.others(PLANS["office"], OURS, on_host(replace(OURS, tls_crypt=exchanged)))
    assert [text.split("'")[0] for text in found] == [f"The tls-crypt key of {zone}" for zone in ZONES]
