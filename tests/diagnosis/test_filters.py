"""A packet's way through rulesets as `nft` and `iptables-save` print them. The nftables texts are its own JSON."""

import json
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from vpc_openvpn.diagnosis.filters import Packet, Verdict, from_iptables, from_nft, verdicts

DESK = Packet(
    what="a desk's packet",
    hook="forward",
    source=IPv4Address("192.168.50.254"),
    destination=IPv4Address("10.0.21.4"),
    iif="lan",
    oif="tun-1",
)
ANSWER = replace(
    DESK, source=DESK.destination, destination=DESK.source, iif=DESK.oif, oif=DESK.iif, state="established"
)
BFD = replace(DESK, hook="input", source=IPv4Address("10.200.1.1"), protocol="udp", port=3784, iif="tun-1", oif="")


def match(left: dict[str, Any], right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


IIF, OIF = ({"meta": {"key": key}} for key in ("iifname", "oifname"))
STATE = {"ct": {"key": "state"}}
DPORT = {"payload": {"protocol": "tcp", "field": "dport"}}
SADDR = {"payload": {"protocol": "ip", "field": "saddr"}}
MARK = {"meta": {"key": "mark"}}
STATUS = {"ct": {"key": "status"}}
LAN = {"prefix": {"addr": "192.168.50.0", "len": 24}}
ACCEPT, DROP = {"accept": None}, {"drop": None}


def nft(*rules: list[Any], hook: str = "forward", policy: str = "drop", kind: str = "filter", more: Any = ()) -> str:
    """A base chain `base` of the table inet own; `more` gives the rules of other chains by name."""
    items: list[Any] = [{"metainfo": {"version": "1.0.6"}}, {"table": {"family": "inet", "name": "own"}}]
    where = {"family": "inet", "table": "own"}
    items.append({"chain": where | {"name": "base", "type": kind, "hook": hook, "prio": 0, "policy": policy}})
    items += [{"chain": where | {"name": name}} for name in dict(more)]
    items += [{"rule": where | {"chain": "base", "expr": list(rule)}} for rule in rules]
    items += [{"rule": where | {"chain": name, "expr": rule}} for name, its in dict(more).items() for rule in its]
    return json.dumps({"nftables": items})


def of(text: str, packet: Packet = DESK) -> Verdict:
    [verdict] = verdicts(from_nft(text), packet)
    return verdict


def ends(verdict: Verdict) -> tuple[str, bool]:
    return verdict.outcome, verdict.certain


ESTABLISHED = [match(STATE, ["established", "related"], "in"), ACCEPT]


@pytest.mark.parametrize(
    ("text", "packet", "end"),
    [
        (nft(), DESK, ("drop", True)),
        (nft(policy="accept"), DESK, ("accept", True)),
        (nft(ESTABLISHED), DESK, ("drop", True)),
        (nft(ESTABLISHED), ANSWER, ("accept", True)),
        (nft([match(OIF, "tun-*"), ACCEPT]), DESK, ("accept", True)),
        (nft([match(IIF, "lan"), match(OIF, "wan"), ACCEPT]), DESK, ("drop", True)),
        (nft([match(IIF, {"set": ["lan", "dmz"]}), ACCEPT]), DESK, ("accept", True)),
        (nft([match(SADDR, LAN), {"counter": {"packets": 1, "bytes": 2}}, ACCEPT]), DESK, ("accept", True)),
        (nft([match(SADDR, LAN, "!="), ACCEPT]), DESK, ("drop", True)),
        # Which ports a desk will ask for is not known, nor what is in a set, nor another's mark.
        (nft([match(DPORT, {"set": [22, 443]}), ACCEPT]), DESK, ("drop", False)),
        (nft([match(SADDR, "@office"), ACCEPT]), DESK, ("drop", False)),
        (nft([match(MARK, 7), DROP], policy="accept"), DESK, ("accept", False)),
        # That its addresses are its own is, and nothing else of its connection.
        (nft([match(STATUS, "dnat", "in"), ACCEPT]), DESK, ("drop", True)),
        (nft([match(STATUS, ["dnat", "snat"], "in"), ACCEPT]), DESK, ("drop", True)),
        (nft([match(STATUS, "dnat", "!="), ACCEPT]), DESK, ("accept", True)),
        (nft([match(STATUS, ["dnat", "assured"], "in"), ACCEPT]), DESK, ("drop", False)),
        # A known port is.
        (nft([match(DPORT, 22), ACCEPT], hook="input"), BFD, ("drop", True)),
        (nft([match({"meta": {"key": "l4proto"}}, "udp"), ACCEPT], hook="input"), BFD, ("accept", True)),
        (
            nft([match({"payload": {"protocol": "udp", "field": "dport"}}, 3784), ACCEPT], hook="input"),
            BFD,
            ("accept", True),
        ),
        (
            nft([{"vmap": {"key": STATE, "data": {"set": [["established", ACCEPT], ["invalid", DROP]]}}}]),
            ANSWER,
            ("accept", True),
        ),
        (
            nft([{"vmap": {"key": STATE, "data": {"set": [["established", ACCEPT], ["invalid", DROP]]}}}]),
            DESK,
            ("drop", True),
        ),
        (nft([{"vmap": {"key": IIF, "data": "@dispatch"}}]), DESK, ("drop", False)),
        # Chains that others lead to.
        (nft([{"jump": {"target": "sub"}}, DROP], more={"sub": [[match(IIF, "lan"), ACCEPT]]}), DESK, ("accept", True)),
        (
            nft([{"jump": {"target": "sub"}}], [ACCEPT], more={"sub": [[match(MARK, 7), {"return": None}], [DROP]]}),
            DESK,
            ("drop", False),
        ),
        (nft([{"goto": {"target": "sub"}}], [ACCEPT], more={"sub": []}), DESK, ("drop", True)),
        (
            nft([match(SADDR, LAN), {"masquerade": None}], hook="postrouting", policy="accept", kind="nat"),
            replace(DESK, hook="postrouting"),
            ("nat", True),
        ),
        (
            nft([match(OIF, "wan"), {"masquerade": None}], hook="postrouting", policy="accept", kind="nat"),
            replace(DESK, hook="postrouting"),
            ("accept", True),
        ),
    ],
)
def test_nftables_verdicts(text: str, packet: Packet, end: tuple[str, bool]) -> None:
    assert ends(of(text, packet)) == end


def test_chains_of_other_hooks_and_families_are_not_met() -> None:
    assert list(verdicts(from_nft(nft(hook="input")), DESK)) == []
    assert from_nft(nft().replace('"inet"', '"ip6"')) == []


SAVED = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD {policy} [3:180]
:vpc-openvpn-forward - [0:0]
{rules}
-A vpc-openvpn-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A vpc-openvpn-forward -s 192.168.50.0/24 -o tun-1 -j ACCEPT
-A vpc-openvpn-forward -o tun-1 -j DROP
COMMIT
"""
OURS = "-A FORWARD -j vpc-openvpn-forward"


@pytest.mark.parametrize(
    ("policy", "rules", "end"),
    [
        ("DROP", OURS, ("accept", True)),
        ("DROP", "", ("drop", True)),
        ("ACCEPT", f"-A FORWARD -j DROP\n{OURS}", ("drop", True)),
        ("ACCEPT", f"-A FORWARD -s 10.0.0.0/8 -j DROP\n{OURS}", ("accept", True)),
        ("ACCEPT", f"-A FORWARD ! -s 10.0.0.0/8 -j REJECT --reject-with icmp-host-prohibited\n{OURS}", ("drop", True)),
        ("ACCEPT", f'-A FORWARD -i lan -o tun+ -m comment --comment "no -j ACCEPT" -j DROP\n{OURS}', ("drop", True)),
        ("ACCEPT", f"-A FORWARD -m mark --mark 0x7 -j DROP\n{OURS}", ("accept", False)),
        ("ACCEPT", f"-A FORWARD -p tcp -m multiport --dports 25,465 -j DROP\n{OURS}", ("accept", False)),
        ("ACCEPT", f'-A FORWARD -p udp -j DROP\n-A FORWARD -j LOG --log-prefix "x "\n{OURS}', ("accept", True)),
    ],
)
def test_iptables_verdicts(policy: str, rules: str, end: tuple[str, bool]) -> None:
    [verdict] = verdicts(from_iptables(SAVED.format(policy=policy, rules=rules)), DESK)
    assert ends(verdict) == end


def test_a_chain_is_named_with_the_rule_and_its_likely_owner() -> None:
    verdict = of(nft([match(IIF, "lan"), {"counter": {}}, DROP]))
    assert verdict.where == "nftables, table inet own, chain base (iifname lan drop)"
    assert (verdict.owner, of(nft()).by) == ("nftables", "policy drop")
    [docker] = verdicts(from_iptables(SAVED.format(policy="DROP", rules=":DOCKER-USER - [0:0]")), DESK)
    assert (docker.owner, docker.by) == ("Docker", "policy drop")
