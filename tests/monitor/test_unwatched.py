"""Zones without a monitor's word: what the kernel's routes say and, under `single`, what answers."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path as File

import pytest
from vpc_openvpn_monitor import unwatched
from vpc_openvpn_monitor.history import Change, Path
from vpc_openvpn_monitor.kernel import Route
from vpc_openvpn_monitor.site import Site, Tunnel

WHY = unwatched.NOT_RUNNING


def tunnel(number: int, zone: str, interface: str, probe: str | None = None) -> Tunnel:
    subnets = (IPv4Network(f"10.0.{number}.0/24"), IPv4Network(f"10.0.2{number}.0/24"))
    ends = IPv4Address(f"10.200.{number}.1"), IPv4Address(f"10.200.{number}.2")
    return Tunnel(number, zone, interface, subnets, *ends, IPv4Address(probe) if probe else None, (3 - number,))


A, B = tunnel(1, "a", "tun-1"), tunnel(2, "b", "tun-2")
SITE = Site("office", "office", "per-zone", (), (), (A, B), 7900, *[File("/nowhere")] * 5)


@pytest.mark.parametrize(
    ("interface", "state", "via", "said"),
    [
        ("tun-1", "own", "a", f"by its own tunnel, by the kernel's routes: {WHY}"),
        ("tun-2", "detour", "b", f"by a detour over b, by the kernel's routes: BIRD does not answer; {WHY}"),
        ("", "lost", None, f"lost, by the kernel's routes: BIRD does not answer; {WHY}"),
        (None, "lost", None, f"lost, by the kernel's routes: BIRD does not answer; {WHY}"),
    ],
)
def test_the_kernels_routes_say_where_packets_go(interface: str | None, state: str, via: str | None, said: str) -> None:
    routes = [] if interface is None else [Route(A.subnets[0], 7900, interface)]
    found = unwatched.by_kernel(SITE, routes, {}, WHY)["a"]
    assert (found["state"], found["via"], found["says"], found["since"]) == (state, via, said, None)


def test_what_the_monitor_has_seen_dates_the_same_way_only() -> None:
    past = {"a": (Change(5.0, Path("own", "a")),), "b": (Change(7.0, Path("own", "b")),)}
    routes = [Route(A.subnets[0], 7900, "tun-1"), Route(B.subnets[0], 7900, "tun-1")]
    found = unwatched.by_kernel(SITE, routes, past, WHY)
    assert [found[zone]["since"] for zone in "ab"] == [5.0, None]


def test_a_zone_that_desks_packets_do_not_reach_is_lost() -> None:
    routes = [Route(each.subnets[0], 7900, each.interface) for each in (A, B)]
    misled = lambda _, interface, __: "a rule" if interface == "tun-1" else ""  # noqa: E731
    found = unwatched.by_kernel(SITE, routes, {}, WHY, misled)
    assert [(found[zone]["state"], found[zone]["via"]) for zone in "ab"] == [("lost", None), ("own", "b")]
    assert found["a"]["why"] == f"a rule; {WHY}"


def test_a_drained_zone_is_said_to_be_so(tmp_path: File) -> None:
    (tmp_path / "a").touch()
    found = unwatched.by_kernel(replace(SITE, drained=tmp_path), [Route(A.subnets[0], 7900, "tun-2")], {}, WHY)["a"]
    assert found["why"].startswith("drained; ") and found["drained_since"]


ONE = replace(
    SITE, strategy="single", tunnels=(tunnel(1, "a", "tun-vpc", "10.0.21.10"), tunnel(2, "b", "tun-vpc", "10.0.22.10"))
)
ROUTES = [Route(each.subnets[0], 7900, "tun-vpc") for each in ONE.tunnels]
NAT, PROBE_A, PROBE_B = map(IPv4Address, ("10.200.2.1", "10.0.21.10", "10.0.22.10"))


@pytest.mark.parametrize(
    ("there", "answering", "routes", "states", "said"),
    [
        ("10.200.2.2", [NAT, PROBE_A, PROBE_B], ROUTES, ["own", "own"], "by the one connection, to b's NAT"),
        ("10.200.2.2", [], ROUTES, ["lost", "lost"], f"lost: {unwatched.SILENT}"),
        (None, [], ROUTES, ["lost", "lost"], f"lost: {unwatched.UNCONNECTED}"),
        ("10.9.9.9", [], ROUTES, ["lost", "lost"], f"lost: {unwatched.UNCONNECTED}"),
        ("10.200.2.2", [NAT, PROBE_A, PROBE_B], [], ["lost", "lost"], f"lost: {unwatched.NO_ROUTE}"),
        (
            "10.200.2.2",
            [NAT, PROBE_B],
            ROUTES,
            ["unknown", "own"],
            "unknown: its probe does not answer through b's NAT",
        ),
    ],
)
def test_one_connection_is_asked_whether_it_carries_packets(
    there: str | None, answering: list[IPv4Address], routes: list[Route], states: list[str], said: str
) -> None:
    def ask(through: Tunnel, targets: Iterable[IPv4Address]) -> Mapping[IPv4Address, float]:
        assert through.zone == "b" and set(targets) == {NAT, PROBE_A, PROBE_B}
        return dict.fromkeys(answering, 0.02)

    found = unwatched.single(ONE, routes, ask, IPv4Address(there) if there else None)
    assert [found[zone]["state"] for zone in "ab"] == states
    assert found["a"]["says"] == said


def test_an_interface_without_an_address_has_none() -> None:
    assert unwatched.address("no-such-1") is None
    assert unwatched.address("lo") in (IPv4Address("127.0.0.1"), None)


def test_nothing_answers_through_an_interface_that_is_not_there() -> None:
    missing = replace(ONE, tunnels=(tunnel(1, "a", "no-such-1"),))
    assert unwatched.asking(missing)(missing.tunnels[0], [NAT]) == {}
