"""What the kernel does with desks' packets, whatever the table of ways has."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from vpc_openvpn_monitor import desks, kernel

LAN, FAR = IPv4Network("192.168.50.0/24"), IPv4Network("10.0.21.0/24")
DESK, HOST = IPv4Address("192.168.50.253"), IPv4Address("10.0.21.254")
# The router has the last address but one; the desk's is the next.
WELL = {
    ("192.168.50.254",): "lo",
    (str(DESK),): "lan",
    (str(HOST), str(DESK), "lan"): "tun-1",
    (str(DESK), str(HOST), "tun-1"): "lan",
}


def misled(**changes: str) -> str:
    ways = WELL | {
        key: changes[name]
        for name, key in zip(("router", "desk", "there", "back"), WELL, strict=True)
        if name in changes
    }

    def answer(*words: object) -> str:
        return ways[tuple(map(str, words))]

    return desks.misled((LAN,), "tun-1", (FAR,), answer, answer)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"there": ""}, f"a desk's packets are sent elsewhere; ip route get {HOST} from {DESK} iif lan"),
        ({"there": "wan"}, f"a desk's packets are sent elsewhere; ip route get {HOST} from {DESK} iif lan"),
        ({"back": ""}, f"answers do not come back to desks; ip route get {DESK} from {HOST} iif tun-1"),
        ({"desk": ""}, ""),  # no interface has this network now
    ],
)
def test_a_desks_packet_must_go_there_and_its_answer_back(changes: dict[str, str], said: str) -> None:
    assert misled(**changes) == said


def test_each_subnet_of_a_zone_counts() -> None:
    ways = {"10.0.1.254": "tun-1", str(HOST): "wan", str(DESK): "lan", "192.168.50.254": "lo"}

    def answer(to: IPv4Address, *_: object) -> str:
        return ways[str(to)]

    said = desks.misled((LAN,), "tun-1", (IPv4Network("10.0.1.0/24"), FAR), answer, answer)
    assert said == f"a desk's packets are sent elsewhere; ip route get {HOST} from {DESK} iif lan"


def test_this_machines_kernel_answers() -> None:
    assert kernel.way(IPv4Address("127.0.0.1")) == kernel.home(IPv4Address("127.0.0.1")) == "lo"
    # A network that this machine has not, whether it has a default route or none.
    assert kernel.home(IPv4Address("203.0.113.77")) == ""
    assert kernel.way(IPv4Address("127.0.0.1"), IPv4Address("10.9.9.9"), "no-such") == ""
    # lo does not admit what comes from elsewhere.
    assert kernel.way(IPv4Address("10.9.9.8"), IPv4Address("10.9.9.9"), "lo") == ""
