"""The arithmetic of rates and ratios, what is said to OpenVPN, and how figures are shown. No lab."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import document
from bench.throughput import figures, report
from bench.throughput.__main__ import CHART, DOCUMENT, FULL, SECTION, SWEEP_SECTION, SWEPT_FULLY
from bench.throughput.bare import Tunnel, configuration
from bench.throughput.figures import Results, Turn, Turns, costs, missed, rates, ratio
from bench.throughput.matrix import (
    AS_COOKBOOK,
    BARE,
    CLEAR,
    CONTENDERS,
    COOKBOOK,
    STRIPPED,
    SWEEP,
    SWEPT,
    WAYS,
    Options,
)
from bench.throughput.run import rotated, shuffled

TUNNEL = Tunnel(1, "nat-us-east-1a", "198.51.100.21", IPv4Network("10.0.21.0/24"), "10.0.21.10")
LAN = IPv4Network("192.168.50.0/24")


def turns(*rates: float) -> Turns:
    """So many megabits in a second each, at a CPU second."""
    return tuple(Turn(bytes=round(rate * 125_000), seconds=1.0, cpu=1.0, lost=2) for rate in rates)


def results(rates: Mapping[str, tuple[float, ...]]) -> Results:
    """Alike in each way."""
    environment = {
        "date": "2026-01-02T03:04:05",
        "revision": "abc",
        "kernel": "6",
        "cpus": 2,
        "openvpn": "O",
        "bird": "",
        "busy": 0.1,
    }
    settings = {"repetitions": 3, "warm_up": 1.0, "seconds": 4.0}
    return Results(environment, settings, {name: {way: turns(*each) for way in WAYS} for name, each in rates.items()})


def compared(cookbook: float, bare: float = 100, stripped: float = 120) -> Results:
    return results({COOKBOOK: (cookbook,), BARE: (bare,), STRIPPED: (stripped,), CLEAR: (9000,)})


def test_figures_of_a_turn() -> None:
    turn = Turn(bytes=250_000_000, seconds=4.0, cpu=8.0, lost=0)
    assert (turn.rate, turn.cost) == (500, 32)


def test_a_spread_is_median_least_and_most() -> None:
    assert rates(turns(300, 100, 140)) == (140, 100, 300)
    assert costs(turns(300, 100, 160)).median == 1 / 0.02


def test_a_ratio_is_that_of_medians() -> None:
    of = results({COOKBOOK: (80, 90, 1000), BARE: (99, 100, 101)})
    assert ratio(of, "desk→zone", BARE) == pytest.approx(0.9)
    assert ratio(of, "desk→zone", COOKBOOK, BARE) == pytest.approx(1 / 0.9)


@pytest.mark.parametrize(("cookbook", "in_ways"), [(94.9, list(WAYS)), (95.0, []), (130, [])])
def test_the_goal_is_missed_below_it(cookbook: float, in_ways: list[str]) -> None:
    assert list(missed(compared(cookbook), BARE)) == in_ways


def test_each_verdict_is_shown_also_the_one_that_is_missed() -> None:
    text = report.comparison(compared(100))
    assert "bare OpenVPN, in each way: **met**." in text
    assert "do not masquerade, in each way: **missed: desk → zone a, " in text


def test_the_comparison_shows_every_figure() -> None:
    text = report.comparison(results({COOKBOOK: (80, 90, 1000), BARE: (100,), STRIPPED: (120,), CLEAR: (9000,)}))
    cells = " | ".join
    assert f"| the cookbook | {cells(['90 (80–1,000)'] * 4)} |" in text
    assert f"| the cookbook ÷ bare OpenVPN | {cells(['0.90'] * 4)} |" in text
    assert f"| no tunnel | {cells(['0.9 (0.9–0.9)'] * 4)} |" in text
    assert f"| the cookbook | {cells(['6'] * 4)} |" in text
    assert "0.1 CPUs were at work" in text
    assert "O." in text


def test_the_sweep_compares_with_its_first_line() -> None:
    text = report.sweep(results({"plain": (100,), "fast": (104,)}))
    for cell in ("104 (104–104)", "1.04", "76.9 (76.9–76.9)", "2"):
        assert f"| fast |{f' {cell} |' * len(WAYS)}\n" in text


def test_the_chart_is_a_picture_with_a_bar_for_each_contender_that_has_a_tunnel() -> None:
    picture = ElementTree.fromstring(report.chart(compared(100)))
    bars = [each.get("class") for each in picture.iter("{http://www.w3.org/2000/svg}rect") if each.get("class")]
    assert bars == [COOKBOOK, BARE, STRIPPED] * len(WAYS)
    assert "without a tunnel 9,000" in "".join(picture.itertext())


def test_the_order_changes_from_round_to_round() -> None:
    assert [rotated("abc", number) for number in (0, 1, 3, 5)] == [list("abc"), list("bca"), list("abc"), list("cab")]
    orders = [shuffled("abcdefgh", number) for number in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[1]) == list("abcdefgh")


def test_both_ends_get_the_same_options() -> None:
    options = replace(AS_COOKBOOK, cipher="AES-128-GCM", buffers=1024, queue=1000, mssfix=1492, fast_io=True)
    for at_nat in (True, False):
        lines = configuration(TUNNEL, options, LAN, "AA:BB", at_nat=at_nat).splitlines()
        wanted = ("data-ciphers AES-128-GCM", "sndbuf 1024", "rcvbuf 1024", "txqueuelen 1000", "mssfix 1492", "fast-io")
        assert not set(wanted) - set(lines)


def test_options_left_to_openvpn_are_not_written() -> None:
    text = configuration(TUNNEL, Options(), LAN, "AA:BB", at_nat=True)
    assert not [word for word in ("sndbuf", "rcvbuf", "mssfix", "fast-io", "txqueuelen") if word in text]


@pytest.mark.parametrize(
    ("p2p", "at_nat", "wanted"),
    [
        (False, True, {"server 10.200.1.0 255.255.255.248", "route 192.168.50.0 255.255.255.0", "port 1194"}),
        (False, False, {"client", "route 10.0.21.0 255.255.255.0", "remote 198.51.100.21 1194"}),
        (True, True, {"tls-server", "ifconfig 10.200.1.1 10.200.1.2"}),
        (True, False, {"tls-client", "ifconfig 10.200.1.2 10.200.1.1"}),
    ],
)
def test_each_end_gets_its_own_options(p2p: bool, at_nat: bool, wanted: set[str]) -> None:
    text = configuration(TUNNEL, replace(AS_COOKBOOK, p2p=p2p), LAN, "AA:BB", at_nat=at_nat)
    assert not wanted - set(text.splitlines())


def test_the_sweep_has_the_cookbooks_options() -> None:
    golden = Path(__file__).parents[1] / "rendered/two-zones/nat-us-east-1a/etc/openvpn/server/office.conf"
    said = golden.read_text(encoding="utf-8").splitlines()
    varied = ("data-ciphers", "tun-mtu", "mssfix", "sndbuf", "rcvbuf", "txqueuelen", "fast-io")
    bare = configuration(TUNNEL, AS_COOKBOOK, LAN, "AA:BB", at_nat=True).splitlines()
    own, hand = ({line for line in lines if line.split(" ")[0] in varied} for lines in (said, bare))
    assert {line.split(":")[0] for line in own} == hand


def test_saved_results_load_unchanged(tmp_path: Path) -> None:
    kept = compared(100)
    figures.save(kept, tmp_path / "full.json")
    assert figures.load(tmp_path / "full.json") == kept


def test_the_document_shows_the_saved_results() -> None:
    full, swept = figures.load(FULL), figures.load(SWEPT_FULLY)
    assert set(full.turns) == set(CONTENDERS)
    assert set(full.ways) == set(WAYS)
    assert list(swept.turns) == list(SWEEP)
    assert set(swept.ways) == set(SWEPT)
    text = DOCUMENT.read_text(encoding="utf-8")
    assert document.insert(text, SECTION, report.comparison(full)) == text
    assert document.insert(text, SWEEP_SECTION, report.sweep(swept)) == text
    assert CHART.read_text(encoding="utf-8") == report.chart(full)
