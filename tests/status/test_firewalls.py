"""Whether the office router's own firewalls let desks' packets through, from what it reports of them."""

import json
from typing import Any

import pytest

from tests.status.reports import DESKS, IPTABLES, A, B, away, status, zone
from vpc_openvpn.status import text
from vpc_openvpn.status.model import DETOUR, LOST, OWN

NFT_DROP: dict[str, list[Any]] = {
    "nftables": [
        {"chain": {"family": "inet", "table": "f", "name": "forward", "hook": "forward", "type": "filter"}},
        {"rule": {"family": "inet", "table": "f", "chain": "forward", "expr": [{"drop": None}]}},
    ]
}


def filters(*rules: str, policy: str = "ACCEPT", nft: str = "") -> dict[str, Any]:
    lines = IPTABLES.replace(":FORWARD ACCEPT", f":FORWARD {policy}").splitlines()
    return {"filters": {"iptables": "\n".join([*lines[:-1], *rules, lines[-1]]), "legacy": "", "nft": nft}}


@pytest.mark.parametrize(
    ("office", "why"),
    [
        (
            filters("-A FORWARD -j DROP"),
            "chain FORWARD (-A FORWARD -j DROP) drops what desks of 192.168.50.0/24 send to",
        ),
        (
            filters("-A FORWARD -d 10.0.1.0/24 -j DROP", "-A FORWARD -d 10.0.2.0/24 -j DROP"),
            "(-A FORWARD -d 10.0.1.0/24 -j DROP)",
        ),
        (filters(policy="DROP"), "chain FORWARD (policy drop) drops what desks of 192.168.50.0/24 send to"),
        (filters("-A FORWARD -i tun+ -o lan -j REJECT"), "drops what the zone answers to desks of 192.168.50.0/24"),
        (filters(nft=json.dumps(NFT_DROP)), "nftables, table inet f, chain forward"),
    ],
)
def test_a_zone_whose_packets_the_routers_firewall_drops_is_lost(office: dict[str, Any], why: str) -> None:
    found = status(office=office)
    assert found.verdict == LOST and {each.state for each in found.zones} == {LOST}
    first = found.zones[0]
    assert why in (first.why or "")
    assert (first.lost_meanwhile, first.type) == ("desks reach nothing of it", "./vpc deploy --limit office")


@pytest.mark.parametrize(
    "office",
    [
        {},
        filters("-A FORWARD -i lan -o tun+ -j ACCEPT", "-A FORWARD -i tun+ -o lan -j ACCEPT", policy="DROP"),
        filters("-A FORWARD -p udp -j DROP"),
        filters("-A FORWARD -i wan -j DROP"),
        filters("-A FORWARD -m set --match-set some src -j DROP"),  # perhaps, and perhaps not
        filters("-A FORWARD -j DROP") | {"desks": []},
        {"filters": None},
    ],
)
def test_what_does_not_drop_them_for_certain_is_no_reason(office: dict[str, Any]) -> None:
    assert [each.state for each in status(office=office).zones] == [OWN, OWN]


NFT = {"chain": {"family": "netdev", "table": "e", "name": "in", "hook": "ingress", "type": "filter", "dev": "lan"}}
EARLY = [
    ("raw", ":PREROUTING ACCEPT", "-A PREROUTING -i lan -d 10.0.0.0/16 -j DROP", "drops"),
    ("nat", ":PREROUTING ACCEPT", "-A PREROUTING -d 10.0.0.0/16 -j DNAT --to 192.168.50.9", "sends elsewhere"),
    ("nat", ":POSTROUTING ACCEPT", "-A POSTROUTING -o tun+ -j MASQUERADE", "gives another source address to"),
]


@pytest.mark.parametrize(("table", "chain", "rule", "verb"), EARLY)
def test_every_table_on_the_way_counts(table: str, chain: str, rule: str, verb: str) -> None:
    early = f"*{table}\n{chain} [0:0]\n{rule}\nCOMMIT\n"
    office = {"filters": {"iptables": f"{IPTABLES}{early}", "legacy": "", "nft": ""}}
    assert f" {verb} what desks of 192.168.50.0/24 send to the zone" in (status(office=office).zones[0].why or "")


@pytest.mark.parametrize(("device", "state"), [("lan", LOST), ("wan", OWN)])
def test_what_is_dropped_at_a_device_counts(device: str, state: str) -> None:
    drop = {"rule": {"family": "netdev", "table": "e", "chain": "in", "expr": [{"drop": None}]}}
    chain = {"chain": NFT["chain"] | {"dev": device}}
    found = status(office=filters(nft=json.dumps({"nftables": [chain, drop]})))
    assert found.zones[0].state == state


def test_a_table_that_is_dormant_judges_nothing() -> None:
    table = {"table": {"family": "inet", "name": "f", "flags": "dormant"}}
    found = status(office=filters(nft=json.dumps({"nftables": [table, *NFT_DROP["nftables"]]})))
    assert found.verdict == OWN


def test_rules_that_cannot_be_read_are_said_to_be_unknown() -> None:
    found = status(office={"filters": {"iptables": IPTABLES, "legacy": "", "nft": None}})
    assert found.verdict == OWN and found.hosts[0].filters_read is False
    assert "cannot be read, so what they drop is not seen" in "\n".join(text.lines(found))
    assert status().hosts[0].filters_read and status().hosts[1].filters_read is None


def test_a_firewall_that_drops_bfds_packets_is_the_reason_and_no_nat_is_rebuilt() -> None:
    office = filters("-A INPUT -i lan -j ACCEPT", "-A INPUT -j DROP")
    deaf = zone(A, state="lost", via=None, why="BFD hears nothing of its NAT")
    [first, _] = status({A: deaf}, office=office).zones
    assert "(-A INPUT -j DROP) drops BFD's packets" in (first.why or "")
    assert (first.state, first.type) == (LOST, "./vpc deploy --limit office")


def test_the_tunnel_that_is_taken_counts() -> None:
    office = filters("-A FORWARD -o tun-1 -j DROP")
    found = status({B: away(B, A, "its NAT is silent")}, office=office)
    assert [each.state for each in found.zones] == [LOST, LOST]
    found = status({A: away(A, B, "its NAT is silent")}, office=office)
    assert [each.state for each in found.zones] == [DETOUR, OWN]


@pytest.mark.parametrize("shape", ["x", "{", "[]", '{"nftables": [1]}', '{"nftables": {"a": "b"}}', "[" * 10000])
def test_rules_of_any_shape_break_nothing(shape: str) -> None:
    for key in ("nft", "iptables", "legacy"):
        found = status(office={"filters": {"iptables": "", "legacy": "", "nft": "", key: shape}, "desks": [*DESKS, 7]})
        assert found.verdict == OWN
