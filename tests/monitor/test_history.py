"""What is remembered of each zone's path, and how a path is said."""

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path as File

import pytest
from vpc_openvpn_monitor import history, machine, report
from vpc_openvpn_monitor.history import DAY, DETOUR, LOST, MOST, OWN, Change, Path, noted
from vpc_openvpn_monitor.kernel import Route
from vpc_openvpn_monitor.machine import State, Trust, Way
from vpc_openvpn_monitor.site import Site, Tunnel

HOME = Path(OWN, "a")
AWAY = Path(DETOUR, "b", "BFD hears nothing of its NAT")


def test_a_change_is_remembered_with_its_time() -> None:
    past = noted({}, "a", HOME, 10.0)
    assert noted(past, "a", HOME, 11.0) == past
    past = noted(past, "a", AWAY, 20.0)
    assert past["a"] == (Change(10.0, HOME), Change(20.0, AWAY))
    assert history.of_a_day(past, "a", 30.0) == 1
    assert history.of_a_day(past, "a", 21.0 + DAY) == 0


def test_a_better_reason_is_no_change() -> None:
    past = noted(noted({}, "a", AWAY, 20.0), "a", Path(DETOUR, "b", "its NAT is silent"), 22.0)
    assert past["a"] == (Change(20.0, Path(DETOUR, "b", "its NAT is silent")),)


def test_a_reason_that_holds_no_more_is_gone() -> None:
    last_resort = Path(OWN, "a", "its NAT has yet to prove itself")
    past = noted(noted({}, "a", last_resort, 20.0), "a", HOME, 22.0)
    assert past["a"] == (Change(20.0, HOME),)


def test_it_does_not_grow_for_ever() -> None:
    past: history.History = {}
    for number in range(3 * MOST):
        past = noted(past, "a", HOME if number % 2 else AWAY, float(number))
    assert len(past["a"]) == MOST and past["a"][-1].at == 3 * MOST - 1


def tunnel(number: int, zone: str) -> Tunnel:
    subnets = (IPv4Network(f"10.0.{number}.0/24"), IPv4Network(f"10.0.2{number}.0/24"))
    ends = IPv4Address(f"10.200.{number}.1"), IPv4Address(f"10.200.{number}.2")
    return Tunnel(number, zone, f"tun-{number}", subnets, *ends, None, (3 - number,))


A, B = tunnel(1, "a"), tunnel(2, "b")
SITE = Site("office", "office", "per-zone", (), (), (A, B), 7900, *[File("/nowhere")] * 5)


def state(**changes: object) -> State:
    """The monitor's, where a's own tunnel is not as it should be."""
    begun = machine.begin(SITE.zones(), 0.0)
    return machine._with_tunnel(begun, 1, **changes)


@pytest.mark.parametrize(
    ("known", "interface", "expected", "said"),
    [
        (state(), "tun-1", Path(OWN, "a"), "by its own tunnel"),
        (
            state(silent=True),
            "tun-2",
            Path(DETOUR, "b", "its NAT is silent"),
            "by a detour over b: its NAT is silent",
        ),
        (state(drained=True), "tun-2", Path(DETOUR, "b", "drained"), "by a detour over b: drained"),
        (state(), "tun-2", Path(DETOUR, "b", report.UNEXPLAINED), f"by a detour over b: {report.UNEXPLAINED}"),
        (state(silent=True), "tun-1", Path(LOST, "a", "its NAT is silent"), "lost: its NAT is silent"),
        (state(silent=True), "", Path(LOST, "", "its NAT is silent"), "lost: its NAT is silent"),
        (state(), "", Path(LOST, "", report.UNEXPLAINED), f"lost: {report.UNEXPLAINED}"),
        (
            state(forwards=machine.Gate(Trust.PROVING)),
            "tun-1",
            Path(OWN, "a", "its NAT has yet to prove itself"),
            "by its own tunnel as the last resort: its NAT has yet to prove itself",
        ),
        (
            machine._with_tunnel(state(silent=True), 2, forwards=machine.Gate(Trust.BROKEN)),
            "tun-2",
            Path(LOST, "b", "its NAT is silent"),
            "lost, sent by b's NAT: its NAT is silent",
        ),
    ],
)
def test_the_kernel_says_which_way_and_the_monitor_why(known: State, interface: str, expected: Path, said: str) -> None:
    routes = [Route(A.subnets[0], 7900, interface)] if interface else []
    found = report.path(SITE, known, A, routes)
    assert (found, report.words(A, found)) == (expected, said)
    assert Way(1, 1) in machine.verdict(known).avoided or not machine.why(known, Way(1, 1))


def test_a_zone_that_left_the_site_is_forgotten_as_a_way_to_others_too() -> None:
    past: history.History = {}
    for at, (zone, path) in enumerate(
        [("a", Path(OWN, "a")), ("a", Path(DETOUR, "c")), ("a", Path(LOST, "")), ("c", Path(OWN, "c"))]
    ):
        past = noted(past, zone, path, float(at))
    assert history.of_the_site(past, {"a", "c"}.__contains__) == past
    assert history.of_the_site(past, {"a"}.__contains__) == {
        "a": (Change(0.0, Path(OWN, "a")), Change(2.0, Path(LOST, "")))
    }
