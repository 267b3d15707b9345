"""The lab's VPC judges packets as AWS does: each prerequisite of README's, got wrong, loses what hangs on it.

desk 192.168.50.10 ── office ══ tunnel ══ nat-us-east-1a 10.0.1.10 ── app-us-east-1a 10.0.21.10
                         └──── internet ── web 198.51.100.200 ──┘
"""

import json
from concurrent.futures import ThreadPoolExecutor

from tests.scenarios.flows import PEERS
from tests.scenarios.harness import Host, World, lab

NAT, APP = "nat-us-east-1a", "app-us-east-1a"
DESK_TO_APP, APP_TO_DESK, APP_TO_WEB, SSH = "desk → app", "app → desk", "app → web", "operator → NAT, ssh"
ASKED = {
    DESK_TO_APP: (Host("desk"), "ping -q -c 1 -W 1 10.0.21.10"),
    APP_TO_DESK: (Host(APP), "ping -q -c 1 -W 1 192.168.50.10"),
    APP_TO_WEB: (Host(APP), "curl -sf -m 1 http://198.51.100.200/"),
    SSH: (Host("operator"), f"{PEERS} connect 198.51.100.21 22"),
}
CHECK = ("source-dest-check", NAT)
# What is set, and the ways that are lost of those that are there while all is right.
WRONG: list[tuple[list[tuple[str, ...]], set[str]]] = [
    ([(*CHECK, "on")], {DESK_TO_APP, APP_TO_DESK, APP_TO_WEB}),
    ([("security-group", APP, "office", "deny")], {DESK_TO_APP}),
    ([("security-group", NAT, "vpc", "deny")], {APP_TO_DESK, APP_TO_WEB}),
    ([("security-group", NAT, "ssh", "deny")], {SSH}),
    ([("security-group", NAT, "outbound", "deny")], {DESK_TO_APP, APP_TO_WEB}),
    ([("route", "us-east-1a", "private", "internet", "off")], {APP_TO_WEB}),
    ([("route", "us-east-1a", "private", "office", "off")], set()),  # the way to the internet is the same NAT's
    (
        [
            ("route", "us-east-1a", "private", "office", "off"),
            ("route", "us-east-1a", "private", "internet", "off"),
        ],
        {DESK_TO_APP, APP_TO_DESK, APP_TO_WEB},
    ),
]


def lost() -> set[str]:
    """The ways by which no answer comes, all asked at once."""
    with ThreadPoolExecutor() as pool:
        answers = {way: pool.submit(host.answers, command) for way, (host, command) in ASKED.items()}
    return {way for way, answer in answers.items() if answer.result().status != 0}


def aws(*words: str) -> None:
    done = lab("aws", *words)
    assert done.status == 0, done.output


def test_each_missing_prerequisite_loses_its_packets(world: World) -> None:
    assert lost() == set()
    for settings, missing in WRONG:
        for words in settings:
            aws(*words)
        assert lost() == missing, settings
        assert lab("heal").status == 0
        assert lost() == set(), settings


def test_an_open_tunnel_outlives_its_rule_and_a_new_one_fails(world: World, office: Host) -> None:
    restart = "systemctl restart openvpn-client@vpc-us-east-1a"
    tunnel = "ping -q -c 1 -W 1 -I tun-1 10.200.1.1"
    aws("security-group", NAT, "tunnel", "deny")
    office.succeeds(tunnel)
    office.succeeds(restart)
    office.fails(f"sleep 2; {tunnel}")
    aws("security-group", NAT, "tunnel", "allow")
    office.succeeds(restart)
    office.eventually(tunnel)


def test_wrong_settings_are_listed_until_corrected(world: World) -> None:
    def faults() -> list[str]:
        [nat] = (host for host in json.loads(lab("list", "--json").output) if host["name"] == NAT)
        return list(nat["faults"])

    for _ in range(2):
        aws(*CHECK, "on")
        assert faults() == ["source-dest-check on"]
    aws(*CHECK, "off")
    assert faults() == []
    aws("route", "us-east-1a", "public", "office", "off")
    assert faults() == ["route public office off"]
    assert lab("heal").status == 0
    assert faults() == []


def test_an_unknown_setting_is_refused_with_the_nearest(world: World) -> None:
    for words, said in (
        (("source-dest-check", "nat-us-east-1", "on"), "did you mean nat-us-east-1"),
        (("source-dest-check", "office", "on"), "there is no instance office"),
        (("security-group", NAT, "shh", "deny"), "did you mean ssh?"),
        (("security-group", NAT, "ssh", "off"), "there are: allow, deny"),
        (("route", "us-east-1a", "privat", "office", "off"), "did you mean private?"),
        (("route", "us-east-1a", "private", "offices", "off"), "did you mean office?"),
    ):
        answer = lab("aws", *words)
        assert (answer.status, said in answer.output) == (1, True), answer.output
        assert "Traceback" not in answer.output
