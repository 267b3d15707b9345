"""firewalld's own rulesets, as `nft -j -t list table inet firewalld` printed them on an office router.

Zone external has wan, internal has lan, a policy lets internal out to external; the tunnels are in no zone.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.diagnosis.test_filters import BFD, DESK
from tests.diagnosis.test_judges import NAT, OFFICE, WELL, WELL_NAT
from vpc_openvpn.diagnosis import nat, office
from vpc_openvpn.diagnosis.filters import from_iptables, from_nft, verdicts
from vpc_openvpn.diagnosis.firewalld import mend
from vpc_openvpn.diagnosis.obstacles import obstacles, sentence
from vpc_openvpn.site.plan import NatPlan, OfficePlan

VERSIONS = ("1.3", "2.3")


def ruleset(version: str) -> str:
    return (Path(__file__).parent / f"firewalld-{version}.json").read_text().replace("\n", " ")


def typed(text: str) -> list[str]:
    return [
        line.strip().removeprefix("firewall-cmd --permanent ") for line in text.splitlines() if "  firewall-" in line
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_its_verdicts_are_certain(version: str) -> None:
    outwards = replace(DESK, oif="wan")
    ends = {
        packet: [(each.outcome, each.certain, each.owner) for each in verdicts(from_nft(ruleset(version)), packet)]
        for packet in (
            DESK,
            outwards,
            replace(DESK, iif="tun-1", oif="lan", state="established"),
            BFD,
            replace(DESK, hook="postrouting"),
            replace(outwards, hook="postrouting"),
        )
    }
    assert [outcome for [outcome] in ends.values()] == [
        (outcome, True, "firewalld") for outcome in ("drop", "accept", "accept", "drop", "accept", "nat")
    ]


OUT = [
    "--new-policy=vpc-openvpn-out",
    "--policy=vpc-openvpn-out --add-ingress-zone=internal",
    "--policy=vpc-openvpn-out --add-egress-zone=vpc-openvpn",
    "--policy=vpc-openvpn-out --set-priority=-100",
    "--policy=vpc-openvpn-out --set-target=ACCEPT",
]
TUNNELS = "--zone=vpc-openvpn --change-interface=tun-1 --change-interface=tun-2"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_rejecting_office_router_fails_with_the_commands_for_all_tunnels(version: str) -> None:
    assert isinstance(OFFICE, OfficePlan)
    found = office.judge(OFFICE, f"{WELL}nft {ruleset(version)}\n", ("86",), patient=True)
    [said] = found.wrong
    assert found.unproved == [] and "drops what desks of 192.168.50.0/24 send to us-east-1a, us-east-1b. Type" in said
    commands = typed(said)
    assert commands[:7] == ["--new-zone=vpc-openvpn", TUNNELS, *OUT]
    assert "--policy=vpc-openvpn-in --add-ingress-zone=vpc-openvpn" in commands
    assert "--policy=vpc-openvpn-in --add-egress-zone=internal" in commands
    assert commands[-1] == "firewall-cmd --reload" and "trusted" not in said

    # A tunnel that its owner has put into a zone stays in that.
    [bound] = from_nft(ruleset(version).replace('"right": "wan"', '"right": "tun-1"'))
    kept = typed(mend("drop", bound, [DESK], ["tun-1", "tun-2"]))
    assert kept[0] == "--zone=external --change-interface=tun-1 --change-interface=tun-2"
    assert "--policy=vpc-openvpn-out --add-egress-zone=external" in kept

    deaf = office.judge(OFFICE, f"{DEAF}nft {ruleset(version)}\n", ("86",), patient=True).wrong[0]
    assert typed(deaf)[:3] == ["--new-zone=vpc-openvpn", TUNNELS, "--zone=vpc-openvpn --add-port=3784/udp"]


DEAF = WELL.replace(" Up", " Down")
for _number in (1, 2):
    _way = f"10.0.2{_number}.3 from 192.168.50.254 via 10.200.{_number}.1 dev tun-{_number} table vpc-zones"
    DEAF = DEAF.replace(_way, "RTNETLINK answers: No route to host")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_nat_opens_its_port_bfd_and_what_passes_through_it(version: str) -> None:
    assert isinstance(NAT, NatPlan)
    found = nat.judge(NAT, f"{WELL_NAT}nft {ruleset(version)}\n", ("86",))
    assert found.unproved == []
    commands = typed("\n".join(found.wrong))
    for wanted in (
        "--zone=vpc-openvpn --change-interface=tun-office",
        "--zone=public --change-interface=eth0",
        "--zone=public --add-port=1194/udp",
        "--zone=vpc-openvpn --add-port=3784/udp",
        "--policy=vpc-openvpn-in --add-egress-zone=public",
        "--policy=vpc-openvpn-out --add-ingress-zone=public",
        "--zone=public --add-forward",
    ):
        assert wanted in commands
    assert not any("trusted" in command for command in commands)


def test_zones_behind_one_tunnel_name_it_once() -> None:
    [met] = obstacles(from_nft(ruleset("1.3")), [DESK])
    [line] = [each for each in typed(sentence([met], "", ["tun-1", "tun-1"])) if "--change-interface" in each]
    assert line == "--zone=vpc-openvpn --change-interface=tun-1"


def test_tunnels_leave_a_zone_that_masquerades() -> None:
    [table] = from_nft(ruleset("1.3").replace('"right": "wan"', '"right": "tun-1"'))
    packet = replace(DESK, hook="postrouting", iif="")
    assert [each.outcome for each in verdicts([table], packet)] == ["nat"]
    assert typed(mend("nat", table, [packet], ["tun-1"])) == [
        "--new-zone=vpc-openvpn",
        "--zone=vpc-openvpn --change-interface=tun-1",
        "firewall-cmd --reload",
    ]
    elsewhere = replace(packet, oif="tun-1")
    assert "--zone=external --remove-masquerade" in typed(mend("nat", table, [elsewhere], ["tun-office"]))


def test_what_the_host_itself_sends_needs_a_policy_for_host() -> None:
    [table] = from_nft(ruleset("1.3"))
    commands = typed(mend("drop", table, [replace(DESK, hook="output", iif="")], ["tun-1"]))
    assert "--policy=vpc-openvpn-host --add-ingress-zone=HOST" in commands
    assert "--policy=vpc-openvpn-host --add-egress-zone=vpc-openvpn" in commands


IPTABLES = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:INPUT_ZONES - [0:0]
:FORWARD_ZONES - [0:0]
:IN_internal - [0:0]
:FWD_internal - [0:0]
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT
-A FORWARD -j FORWARD_ZONES
-A FORWARD -j REJECT --reject-with icmp-host-prohibited
-A INPUT_ZONES -i lan -g IN_internal
-A FORWARD_ZONES -i lan -g FWD_internal
-A FWD_internal -j REJECT --reject-with icmp-host-prohibited
COMMIT
"""


def test_its_other_backend_is_known_by_its_chains() -> None:
    [table] = from_iptables(IPTABLES)
    [verdict] = verdicts([table], DESK)
    assert (verdict.outcome, verdict.certain, verdict.owner) == ("drop", True, "firewalld")
    assert "--policy=vpc-openvpn-out --add-ingress-zone=internal" in typed(mend("drop", table, [DESK], ["tun-1"]))
