"""The monitor's machine, in simulated time: what it believes, and how long that takes."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vpc_openvpn_monitor.machine import (
    LIFE,
    LOOP,
    REACH,
    Drained,
    Event,
    Gone,
    Leaving,
    Restarting,
    Thresholds,
    Verdict,
    Way,
    begin,
    memory,
    verdict,
    why,
)

from tests.monitor.world import World, site

BOTH = pytest.mark.parametrize("probed", [False, True], ids=["no probe", "probe"])
HOME, DETOUR, NEXT = Way(1, 1), Way(1, 2), Way(1, 3)
NOTHING = Verdict(frozenset(), frozenset())


@BOTH
def test_where_all_is_well_nothing_changes(probed: bool) -> None:
    world = site(probed=probed)
    world.run(300)
    assert world.verdicts == []
    assert {question.kind for _, question in world.asked} == ({LIFE, LOOP, REACH} if probed else {LIFE, LOOP})


@BOTH
def test_a_dead_nat_is_dead_in_two_to_three_seconds(probed: bool) -> None:
    world = site(probed=probed)
    world.run(10)
    world.dead.add(1)
    assert 1.8 <= world.until(lambda: HOME in world.dead_ways(), 3) <= 2.6
    # Its tunnel is no detour of other zones either.
    assert {Way(2, 1), Way(3, 1)} <= world.dead_ways()
    assert not world.avoided(Way(2, 2))
    assert why(world.state, HOME) == "silent"


@BOTH
def test_a_nat_that_answers_and_does_not_forward_is_avoided_within_its_time(probed: bool) -> None:
    world = site(probed=probed)
    world.run(10)
    world.idle.add(1)
    assert world.until(lambda: HOME in world.dead_ways(), 4) <= 3.5
    assert world.best(1) == DETOUR
    assert why(world.state, HOME) == "does not forward"


@BOTH
def test_traffic_returns_to_a_nat_that_has_proved_itself(probed: bool) -> None:
    world = site(probed=probed)
    world.run(10)
    world.dead.add(1)
    world.run(10)
    world.dead.clear()
    assert world.until(lambda: not world.avoided(HOME), 5) <= 2
    world.run(60)
    assert len(world.verdicts) <= 4


@BOTH
def test_a_nat_that_is_back_and_does_not_forward_gets_no_traffic(probed: bool) -> None:
    world = site(probed=probed)
    world.run(10)
    world.dead.add(1)
    world.run(10)
    world.dead.clear()
    world.idle.add(1)
    world.run(60)
    assert world.avoided(HOME)
    assert HOME in world.dead_ways()


@BOTH
def test_one_that_was_about_to_stop_and_then_does_not_forward_is_dead(probed: bool) -> None:
    """An unprobed zone once stayed doubted for ever, and was not moved when its NAT failed."""
    world = site(probed=probed)
    world.run(10)
    world.take(Leaving(1))
    assert world.avoided(HOME)
    assert HOME not in world.dead_ways()
    world.idle.add(1)
    assert world.until(lambda: HOME in world.dead_ways(), 4) <= 3.5


def stops(world: World, number: int) -> None:
    """A tunnel's unit stops it in an orderly way."""
    world.take(Leaving(number))
    world.run(1.6)
    world.dead.add(number)
    world.take(Gone(number))


@BOTH
def test_one_that_is_about_to_stop_is_avoided_until_it_has(probed: bool) -> None:
    """It answers meanwhile. Three answers once brought new connections back to it, just before it stopped."""
    world = site(probed=probed)
    world.run(10)
    world.take(Leaving(1))
    assert world.best(1) == DETOUR and verdict(world.state).leaving == {1}
    world.run(9)
    assert world.best(1) == DETOUR and verdict(world.state).leaving == {1}
    world.take(Gone(1))
    assert verdict(world.state).leaving == frozenset()
    assert world.until(lambda: world.best(1) == HOME, 1) <= 0.5


@BOTH
def test_one_that_was_about_to_stop_and_stays_is_used_again(probed: bool) -> None:
    world = site(probed=probed)
    world.run(10)
    world.take(Leaving(1))
    assert 9 < world.until(lambda: world.best(1) == HOME, 12) < 11
    assert world.verdicts[-1][1] == NOTHING


@BOTH
def test_both_ends_restarted_leave_nothing_doubted(probed: bool) -> None:
    world = site(probed=probed)
    world.run(10)
    for number in (1, 2, 3):
        stops(world, number)
        world.run(1.5)
        world.dead.discard(number)
        world.run(3)
    world.run(1)
    assert world.verdicts[-1][1] == NOTHING
    assert all(not said.dead for said in world.changes()), "TCP was released by an orderly restart"


@BOTH
@pytest.mark.parametrize("said", [Restarting, Leaving])
def test_connections_stay_through_a_restart_that_takes_long(probed: bool, said: Callable[[int], Event]) -> None:
    """On a busy machine a deploy's restart once took longer than a NAT may be silent: TCP was reset."""
    world = site(probed=probed)
    world.run(10)
    world.take(said(1))
    world.dead.add(1)
    world.run(8)
    assert HOME not in world.dead_ways()
    world.dead.discard(1)
    world.take(Gone(1))
    world.until(lambda: world.best(1) == HOME, 1)
    assert all(not said.dead for said in world.changes())
    # One that does not come back is dead all the same, and so is the next that was not announced.
    world.take(said(1))
    world.dead.add(1)
    assert 9.9 < world.until(lambda: HOME in world.dead_ways(), 11) < 10.5
    world.dead.discard(1)
    world.run(10)
    world.dead.add(1)
    assert world.until(lambda: HOME in world.dead_ways(), 4) <= 3.5


@BOTH
def test_an_orderly_restart_is_no_failure(probed: bool) -> None:
    """Deploy after deploy, each made the next return wait longer."""
    world = site(probed=probed)
    world.run(10)
    for _ in range(6):
        for number in (1, 2, 3):
            stops(world, number)
            world.run(2.5)
            world.dead.discard(number)
        assert world.until(lambda: world.verdicts[-1][1] == NOTHING, 5) < 2
        world.run(5)
    # One that fails while it is away has failed.
    world.take(Leaving(1))
    world.idle.add(1)
    world.run(10)
    world.idle.clear()
    world.until(lambda: not world.avoided(HOME), 5)
    assert memory(world.state).tunnels[1][1] > Thresholds().rise


@BOTH
@pytest.mark.parametrize("doubt", [lambda each: Leaving(each), lambda _: Drained(frozenset({2, 3}))])
def test_a_way_that_is_doubted_is_better_than_one_that_is_dead(
    probed: bool, doubt: Callable[[int], Leaving | Drained]
) -> None:
    """With every detour drained or doubted, a zone once stayed on its own NAT, which did not forward."""
    world = site(probed=probed)
    world.run(10)
    world.idle.add(1)
    world.run(2.5)
    for tunnel in (2, 3):
        world.take(doubt(tunnel))
        if isinstance(doubt(tunnel), Leaving):
            world.take(Gone(tunnel))
            world.dead.add(tunnel)
    world.run(1)
    world.dead.clear()
    assert world.until(lambda: world.best(1) == DETOUR, 4) <= 2
    assert HOME in world.dead_ways() and DETOUR not in world.dead_ways()


@BOTH
def test_flapping_makes_each_return_wait_longer(probed: bool) -> None:
    world = site(probed=probed)
    world.run(1)
    waits = []
    for _ in range(7):
        world.dead.add(1)
        world.run(5)
        world.dead.clear()
        waits.append(world.until(lambda: not world.avoided(HOME), 60))
    assert all(wait < following + 0.1 for wait, following in pairwise(waits))
    assert waits[0] < 2
    assert 20 < waits[-1] < 30
    # Two quiet minutes, and it is forgotten.
    world.run(150)
    world.dead.add(1)
    world.run(5)
    world.dead.clear()
    assert world.until(lambda: not world.avoided(HOME), 60) < 2


@BOTH
@pytest.mark.parametrize("loss", [0.02, 0.1])
def test_lost_packets_are_no_dead_nat(probed: bool, loss: float) -> None:
    world = replace(site(probed=probed), loss=loss)
    world.run(400)
    assert world.verdicts == []


def test_a_probe_that_is_gone_is_no_fault_of_its_nat() -> None:
    world = site(probed=True)
    world.run(10)
    world.gone.add(1)
    world.run(60)
    assert world.verdicts == []
    # Nor does it keep the zone away from a NAT that is back.
    world.dead.add(1)
    world.run(10)
    world.dead.clear()
    world.run(10)
    assert not world.avoided(HOME)


def test_a_zone_that_its_nat_does_not_reach_takes_a_detour() -> None:
    """A security group, a source/destination check: the NAT forwards, and its zone gets nothing."""
    world = site(probed=True)
    world.run(10)
    world.cut.add(HOME)
    assert world.until(lambda: HOME in world.dead_ways(), 4) <= 3.7
    assert why(world.state, HOME) == "does not reach the zone"
    # Other zones may still use that NAT.
    assert not world.avoided(Way(2, 1))
    world.cut.clear()
    world.until(lambda: not world.avoided(HOME), 5)


def test_of_two_faults_the_next_detour_is_taken() -> None:
    world = site(probed=True)
    world.run(10)
    world.dead.add(1)
    world.run(5)
    world.cut.add(DETOUR)
    assert world.until(lambda: world.best(1) == NEXT, 5) <= 4
    assert DETOUR in world.dead_ways()
    assert not world.avoided(Way(2, 2))
    world.cut.clear()
    assert world.until(lambda: world.best(1) == DETOUR, 10)


def test_a_cut_that_comes_first_is_found_when_it_matters() -> None:
    world = site(probed=True)
    world.cut.add(DETOUR)
    world.run(10)
    assert world.verdicts == []
    world.dead.add(1)
    assert world.until(lambda: world.best(1) == NEXT, 8) <= 6


@BOTH
def test_a_drained_tunnel_is_avoided_until_it_is_given_back(probed: bool) -> None:
    world = site(probed=probed)
    world.run(10)
    world.take(Drained(frozenset({1})))
    assert world.best(1) == DETOUR
    assert world.avoided(Way(2, 1))
    assert world.dead_ways() == frozenset()
    assert why(world.state, HOME) == "drained"
    world.take(Drained(frozenset()))
    assert world.verdicts[-1][1] == NOTHING


def test_where_nothing_works_the_own_tunnel_is_used() -> None:
    world = site(probed=True)
    world.run(5)
    world.dead |= {1, 2, 3}
    world.run(20)
    assert world.best(1) == HOME


def test_a_probe_that_goes_during_an_outage_keeps_no_zone_away() -> None:
    world = site(probed=True)
    world.run(10)
    world.dead.add(1)
    world.run(10)
    world.gone.add(1)
    world.run(10)
    world.dead.clear()
    world.until(lambda: not world.avoided(HOME), 10)


@BOTH
def test_a_monitor_that_starts_again_knows_what_it_knew(probed: bool) -> None:
    world = site(probed=probed)
    world.run(10)
    world.dead.add(1)
    world.idle.add(2)
    world.run(10)
    before = verdict(world.state)
    world.state = begin(world.zones, world.now, memory(world.state))
    assert verdict(world.state) == before
    world.dead.clear()
    world.until(lambda: not world.avoided(HOME), 5)
    assert world.avoided(Way(2, 2))


def test_questions_cost_few_packets() -> None:
    world = site(4, probed=True)
    world.run(100)
    limits = Thresholds()
    expected = 4 * 100 * (1 / limits.life_interval + 2 / limits.interval)
    assert expected * 0.98 <= len(world.asked) <= expected * 1.02


FAULTS = st.lists(
    st.tuples(
        st.sampled_from(["dead", "idle", "cut", "gone", "leaving", "restarting", "heal", "drain"]),
        st.integers(1, 3),
        st.integers(1, 3),
        st.floats(0.05, 6),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(faults=FAULTS, probed=st.booleans())
def test_whatever_has_happened_a_way_that_works_is_taken_and_in_the_end_the_own(
    faults: list[tuple[str, int, int, float]], probed: bool
) -> None:
    world = site(probed=probed)
    world.run(2)
    for kind, first, second, seconds in faults:
        _break(world, kind, first, second)
        world.run(seconds)
    # A NAT whose restart was announced is given its time first.
    world.run(10 + (Thresholds().restart if "restarting" in [kind for kind, *_ in faults] else 0))
    for zone in world.zones:
        known = [
            way for way in zone.ways if world.works(way) or (not probed and way.tunnel not in world.dead | world.idle)
        ]
        if known and zone.number not in world.gone:
            way = world.best(zone.number)
            proving = [each for each in known if why(world.state, each) in ("has yet to prove itself", "drained")]
            assert way in known or proving, f"{way}: {[(each, why(world.state, each)) for each in zone.ways]}"
    _break(world, "heal", 1, 1)
    world.take(Drained(frozenset()))
    world.run(60)
    assert world.state.tunnels and not any(world.avoided(zone.ways[0]) for zone in world.zones)


def _break(world: World, kind: str, first: int, second: int) -> None:
    match kind:
        case "dead":
            world.dead.add(first)
        case "idle":
            world.idle.add(first)
        case "cut":
            world.cut.add(Way(first, second))
        case "gone":
            world.gone.add(first)
        case "leaving":
            world.take(Leaving(first))
        case "restarting":
            world.take(Restarting(first))
        case "drain":
            world.take(Drained(frozenset({first})))
        case "heal":
            for each in (world.dead, world.idle, world.gone):
                each.clear()
            world.cut.clear()
