"""Whose a host is: the right host, this site's, with all its zones, by no newer release; and what lets it pass else."""

from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from tasks.ownership import Record, anothers, cautions, parse, record, release, wrong_host
from tests.conftest import EXAMPLE_SITE
from vpc_openvpn.site.load import ROOT, load
from vpc_openvpn.site.plan import HostPlan, plan

PLANS = plan(load(EXAMPLE_SITE))
OFFICE, A, B = (PLANS[name] for name in ("office", "nat-us-east-1a", "nat-us-east-1b"))
OURS = "AA:" * 31 + "AA"
THEIRS = "BB:" * 31 + "BB"
SITE = "198.51.100.10 192.168.50.0/24 to 10.0.0.0/16"


@pytest.fixture
def found() -> Record:
    """What the office router has after a deploy."""
    return record(OFFICE, PLANS, OURS)


def test_the_record_is_read_as_it_is_written(found: Record) -> None:
    assert parse(found.text) == found
    assert (found.office, found.site, found.zones) == (OURS, SITE, "us-east-1a us-east-1b")
    assert found.says_the_same(replace(found, by="another")) and not found.says_the_same(replace(found, release=0))


@pytest.mark.parametrize(
    "text", ["", "nonsense\n", "office x\nsite\n", f"office {OURS}\nsite a\nzones b\nrelease x\nby c\n"]
)
def test_text_without_a_record_is_none(text: str) -> None:
    assert parse(text) is None


def test_control_characters_of_a_record_are_not_printed(found: Record) -> None:
    hostile = parse(replace(found, by="\x1b]0;title\x07").text)
    assert hostile is not None and hostile.by.isprintable()


@pytest.mark.parametrize(
    ("host", "addresses", "said"),
    [
        (OFFICE, ["192.168.50.1", "198.51.100.10"], ""),
        (A, ["127.0.0.1", "10.0.1.10", "10.200.1.1"], ""),
        (A, ["10.0.2.10"], "198.51.100.11 has 10.0.2.10, the private_address of nat-us-east-1b. Correct nat.public_a"),
        (B, ["10.0.1.10"], "198.51.100.12 has 10.0.1.10, the private_address of nat-us-east-1a. Correct nat.public_a"),
        (A, ["10.0.1.77"], "198.51.100.11 has 10.0.1.77, and not the zone's nat.private_address, 10.0.1.10. Correct"),
        (A, [], "198.51.100.11 has no address, and not the zone's nat.private_address, 10.0.1.10. Correct that in"),
        (
            OFFICE,
            ["10.0.2.10"],
            "192.168.50.1 has 10.0.2.10, the private_address of nat-us-east-1b. Correct office.ssh",
        ),
    ],
)
def test_the_host_that_answers_has_the_addresses_of_the_site(host: HostPlan, addresses: list[str], said: str) -> None:
    complaint = wrong_host(host, PLANS, [IPv4Address(address) for address in addresses])
    assert (said in complaint) and bool(said) == bool(complaint), complaint


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({}, False),
        ({"office": THEIRS}, False),  # new identities
        ({"site": "dynamic 192.168.50.0/24 to 10.0.0.0/16"}, False),  # another line, another LAN
        ({"zones": "us-east-1a"}, False),
        ({"office": THEIRS, "site": "dynamic 192.168.60.0/24 to 10.0.0.0/16"}, True),
    ],
)
def test_another_site_differs_by_identity_or_networks(found: Record, change: dict[str, Any], refused: bool) -> None:
    complaint = anothers(A, replace(found, by="ann", **change), found)
    assert bool(complaint) is refused
    if refused:
        assert complaint.startswith(
            "nat-us-east-1a belongs to another site (dynamic 192.168.60.0/24 to 10.0.0.0/16; zones"
        )
        assert "deployed by ann" in complaint and complaint.endswith("--data take_over=yes")


@pytest.mark.parametrize(
    ("zones", "words", "advice"),
    [
        ("us-east-1a us-east-1b", {}, ""),
        ("us-east-1a", {}, ""),
        ("us-east-1a us-east-1b us-east-1c", {}, "--data remove=us-east-1c"),
        ("us-east-1c us-east-1d", {}, "--data remove=us-east-1c,us-east-1d"),
        ("us-east-1c us-east-1d", {"remove": "us-east-1c"}, "--data remove=us-east-1c,us-east-1d"),
        ("us-east-1c us-east-1d", {"remove": "us-east-1d,us-east-1c"}, ""),
    ],
)
def test_removing_a_zone_takes_its_name(found: Record, zones: str, words: dict[str, object], advice: str) -> None:
    said = cautions(OFFICE, replace(found, zones=zones), found, words)
    assert [line.rpartition(": ")[2] for line in said] == ([advice] if advice else [])
    assert cautions(A, replace(found, zones=zones), found, {}) == []


def test_an_older_release_takes_go_back_yes(found: Record) -> None:
    newer = replace(found, release=found.release + 1)
    [said] = cautions(A, newer, found, {})
    assert "this checkout is release" in said and said.endswith("to go back: --data go_back=yes")
    assert cautions(A, newer, found, {"go_back": "yes"}) == cautions(A, found, newer, {}) == []


def test_each_release_has_a_higher_number() -> None:
    first = "# Changelog\n\n## Unreleased\n\nFirst.\n"
    released = first.replace("Unreleased", "1.0")
    assert release(first) == release(released) == 1
    assert release(released.replace("\n## 1.0", "\n## Unreleased\n\n## 1.0")) == 2
    assert release((ROOT / "CHANGELOG.md").read_text()) >= 1


def test_an_office_with_a_dynamic_address_has_a_record(tmp_path: Path) -> None:
    site = tmp_path / "site.yml"
    example = EXAMPLE_SITE.read_text()
    site.write_text(example.replace("public_address: 198.51.100.10 ", "public_address: dynamic "))
    plans = plan(load(site))
    assert record(plans["office"], plans, OURS).site == "dynamic 192.168.50.0/24 to 10.0.0.0/16"
