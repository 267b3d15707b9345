"""The arithmetic of gaps and losses, what is expected of them, and how they are shown. No lab."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import document
from bench.outages import losses, report
from bench.outages.__main__ import CHART, DOCUMENT, FULL, SECTION
from bench.outages.expected import EXPECTED, check
from bench.outages.losses import Gap, Kind, Loss, Probe, Repetition, Results, gaps, loss
from bench.outages.probes import is_quiet
from bench.outages.situations import DIRECTIONS, NEVER, PER_ZONE, SINGLE, SITUATIONS, STRATEGIES, TO_ZONE

WAY = "desk→us-east-1a"


def probes(answered: str, start: float = 0.0) -> list[Probe]:
    """One every 0.02 s; `.` was answered, `x` was not."""
    return [Probe(round(start + number * 0.02, 2), each == ".") for number, each in enumerate(answered)]


def outage(*found: Gap, repaired: float | None = None, never: tuple[str, ...] = ()) -> Repetition:
    return Repetition(repaired, 20.0, never, {WAY: found} if found else {})


def results(repetitions: Mapping[str, tuple[Repetition, ...]], strategy: str = PER_ZONE) -> Results:
    environment = {
        "date": "2026-01-02T03:04:05",
        "revision": "abc",
        "kernel": "6",
        "cpus": 2,
        "openvpn": "O",
        "bird": "B",
    }
    return Results(environment, {"cut": 20.0, "repetitions": 1}, {strategy: repetitions})


@pytest.mark.parametrize(
    ("answered", "found"),
    [
        ("", ()),
        ("....", ()),
        ("..x..", (Gap(0.04, 0.06),)),
        ("xx..", (Gap(0.0, 0.04),)),
        (".x.xx.", (Gap(0.02, 0.04), Gap(0.06, 0.1))),
        (".xx", (Gap(0.02, None),)),
        ("xxx", (Gap(0.0, None),)),
    ],
)
def test_a_gap_lasts_from_the_first_lost_probe_to_the_next_answered_one(answered: str, found: tuple[Gap, ...]) -> None:
    assert gaps(probes(answered)) == found


@pytest.mark.parametrize(
    ("repetition", "expected"),
    [
        (outage(), Loss(Kind.SECONDS, 0)),
        (outage(Gap(0.1, 0.6), Gap(3.0, 3.25)), Loss(Kind.SECONDS, 0.75)),
        (outage(Gap(0.1, 0.6), repaired=4.0), Loss(Kind.SECONDS, 0.5)),
        (outage(Gap(4.5, 5.0), repaired=4.0), Loss(Kind.SECONDS, 0.5)),  # the way home
        (outage(Gap(0.1, 5.5), repaired=4.0), Loss(Kind.UNTIL_REPAIRED, 1.5)),
        (outage(Gap(0.1, 2.0), Gap(3.0, 5.5), Gap(6.0, 6.5), repaired=4.0), Loss(Kind.UNTIL_REPAIRED, 2.0)),
        (outage(Gap(0.1, None), repaired=4.0), Loss(Kind.FOR_GOOD)),
        (outage(Gap(0.1, 0.2), Gap(0.4, None)), Loss(Kind.FOR_GOOD)),
        (outage(Gap(-1.0, None), never=(WAY,)), Loss(Kind.NEVER)),
    ],
)
def test_a_loss_that_ends_before_the_repair_has_its_seconds(repetition: Repetition, expected: Loss) -> None:
    assert loss(repetition, WAY) == expected


def test_losses_are_ordered_by_how_bad_they_are() -> None:
    ordered = [Loss(Kind.SECONDS, 0.5), Loss(Kind.SECONDS, 9), Loss(Kind.UNTIL_REPAIRED, 0), Loss(Kind.FOR_GOOD)]
    assert sorted(ordered) == ordered


@pytest.mark.parametrize(
    ("answered", "now", "quiet"),
    [
        ("." * 60, 1.2, True),
        ("." * 60, 1.6, False),  # nothing fresh: something is lost, and not known yet
        ("." * 20, 0.4, False),  # not long enough
        ("." * 40 + "x" + "." * 19, 1.2, False),
        ("x" * 20 + "." * 40, 1.2, True),
        ("", 0.0, False),
    ],
)
def test_quiet_is_half_a_second_without_a_loss(answered: str, now: float, quiet: bool) -> None:
    assert is_quiet(probes(answered), since=0.0, now=now) is quiet


def test_quiet_ignores_probes_before_its_start() -> None:
    assert not is_quiet(probes("." * 60), since=0.8, now=1.2)


def test_results_survive_being_saved(tmp_path: Path) -> None:
    kept = results({"nat-killed": (outage(Gap(0.1, 0.6), Gap(1.0, None), repaired=4.0, never=("x",)),)})
    losses.save(kept, tmp_path / "results.json")
    assert losses.load(tmp_path / "results.json") == kept


# --- what is expected -----------------------------------------------------------------------------------------------


def normal(strategy: str) -> Results:
    """Normal use, in which all is as it should be."""
    return results({"normal": (outage(never=tuple(NEVER[strategy])),)}, strategy)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_wrong_set_of_working_directions_is_a_deviation(strategy: str) -> None:
    assert check(normal(strategy)) == []
    assert check(results({"normal": (outage(never=(*NEVER[strategy], WAY)),)}, strategy))
    if strategy == SINGLE:
        assert len(check(results({"normal": (outage(),)}, strategy))) == len(NEVER[SINGLE])


def test_a_loss_that_is_too_long_deviates_and_so_does_one_that_is_missing() -> None:
    def deviations(detoured: Gap | None) -> list[str]:
        lost_until_repaired = (Gap(0.1, 5.0),)
        gaps = {"us-east-1a→desk": lost_until_repaired, "us-east-1a→internet": lost_until_repaired}
        repetition = outage(*([detoured] if detoured else []), repaired=4.0)
        return check(results({"nat-killed": (replace(repetition, gaps={**gaps, **repetition.gaps}),)}))

    assert deviations(Gap(0.1, 0.6)) == []
    [too_long] = deviations(Gap(0.1, 2.6))
    assert too_long == "per-zone, nat-killed, outage 1: desk→us-east-1a lost 2.5; expected: 0.10 to 1.0"
    [missing] = deviations(None)
    assert "desk→us-east-1a lost 0;" in missing


def test_another_zone_may_lose_nothing() -> None:
    other = replace(outage(), gaps={TO_ZONE.format("us-east-1c"): (Gap(0.1, 0.5),)})
    assert check(results({"partition": (other,)})) == [
        "per-zone, partition, outage 1: desk→us-east-1c lost 0.40; expected: 0 to 0.10"
    ]


def test_expectations_name_known_strategies_situations_and_directions() -> None:
    assert set(EXPECTED) == set(STRATEGIES)
    for situations in EXPECTED.values():
        assert set(situations) <= set(SITUATIONS)
        assert all(set(limits) <= set(DIRECTIONS) for limits in situations.values())


# --- how it is shown ------------------------------------------------------------------------------------------------


def seconds(*found: float) -> list[Loss]:
    return [Loss(Kind.SECONDS, each) for each in found]


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (seconds(0, 0, 0), "0"),
        (seconds(0.52, 0.48, 0.58), "0.52 (0.48–0.58)"),
        (seconds(7.34, 6.81, 9.1), "7.3 (6.8–9.1)"),
        (seconds(9.9, 10.4, 0.02), "9.9 (0.02–10)"),
        ([Loss(Kind.UNTIL_REPAIRED, 1.5), Loss(Kind.UNTIL_REPAIRED, 1.1)], "until repaired + 1.1 (1.1–1.5)"),
        ([*seconds(7.0), Loss(Kind.FOR_GOOD)], "7.0 (7.0–for good)"),
        ([Loss(Kind.NEVER)], "never works"),
    ],
)
def test_several_losses_are_printed_as_median_and_range(found: list[Loss], text: str) -> None:
    assert report.spread(found) == text


def test_zones_with_similar_losses_share_a_line() -> None:
    gaps = {f"desk→us-east-1{letter}": (Gap(0.0, end),) for letter, end in (("a", 6.0), ("b", 2.0), ("c", 2.2))}
    repetition = replace(outage(repaired=4.0), gaps=gaps)
    assert report.cell([repetition], TO_ZONE) == "a: until repaired + 2.0<br>b, c: 2.0 (2.0–2.2)"


def test_chart_and_table_show_the_same_figures() -> None:
    shown = results({"nat-killed": (outage(Gap(0.1, 0.63)),), "internet-cut": (outage(Gap(0.1, 22.0), repaired=20.0),)})
    labels = [element.text for element in ElementTree.fromstring(report.chart(shown)).iter() if element.text]
    assert "0.53" in labels
    assert "+2.0" in labels
    assert "office: internet cut for 20 s" in labels
    table = report.table(shown)
    assert "| NAT a: host killed | a: 0.53 |" in table
    assert "| office: internet cut for 20 s | a: until repaired + 2.0 |" in table


def test_the_document_shows_the_saved_results() -> None:
    kept, text = losses.load(FULL), DOCUMENT.read_text(encoding="utf-8")
    assert document.insert(text, SECTION, report.table(kept)) == text
    assert CHART.read_text(encoding="utf-8") == report.chart(kept)
    assert not kept.settings["quick"]
    assert check(kept) == []
