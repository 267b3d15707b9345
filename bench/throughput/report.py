"""The results as tables in Markdown and as a chart in SVG. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from html import escape

from bench.document import origin
from bench.throughput.figures import Results, Spread, Turns, costs, missed, rates, ratio
from bench.throughput.matrix import BARE, CLEAR, CONTENDERS, COOKBOOK, GOAL, STRIPPED, WAYS

AGAINST = (BARE, STRIPPED)


def comparison(results: Results) -> str:
    """The verdicts, then rates and ratios, costs, and losses: contenders down, ways across."""
    lines = [*(_verdict(results, against) for against in AGAINST), "", *_rates(results, CONTENDERS)]
    for against in AGAINST:
        ratios = [f"{ratio(results, way, against):.2f}" for way in results.ways]
        lines.append(_row(f"{CONTENDERS[COOKBOOK]} ÷ {CONTENDERS[against]}", ratios))
    return "\n".join([*lines, "", *_costs(results, CONTENDERS), "", _origin(results)]) + "\n"


def sweep(results: Results) -> str:
    """Rates, what they are as a part of the first, costs, and losses: options down, ways across."""
    names = {name: name for name in results.turns}
    first = next(iter(names))
    lines = [*_rates(results, names), "", f"Megabits per second, as a part of those of “{first}”:", "", *_head(results)]
    lines += (_row(name, [f"{ratio(results, way, first, name):.2f}" for way in results.ways]) for name in names)
    return "\n".join([*lines, "", *_costs(results, names), "", _origin(results)]) + "\n"


def _verdict(results: Results, against: str) -> str:
    wanting = list(missed(results, against))
    found = f"missed: {', '.join(WAYS[way].title for way in wanting)}" if wanting else "met"
    return f"- At least {GOAL:g} × {CONTENDERS[against]}, in each way: **{found}**."


def _rates(results: Results, names: Mapping[str, str]) -> Iterator[str]:
    yield from ("Megabits per second, median (least–most):", "", *_head(results))
    yield from _rows(results, names, lambda turns: _cell(rates(turns), "{:,.0f}"))


def _costs(results: Results, names: Mapping[str, str]) -> Iterator[str]:
    yield from ("CPU seconds per gigabyte, median (least–most):", "", *_head(results))
    yield from _rows(results, names, lambda turns: _cell(costs(turns), "{:.1f}"))
    yield from ("", "Datagrams that a receive buffer had no place for, in all turns together:", "", *_head(results))
    yield from _rows(results, names, lambda turns: f"{sum(turn.lost for turn in turns):,}")


def _head(results: Results) -> Iterator[str]:
    yield _row("", [WAYS[way].title for way in results.ways])
    yield "|---" * (len(results.ways) + 1) + "|"


def _rows(results: Results, names: Mapping[str, str], cell: Callable[[Turns], str]) -> Iterator[str]:
    for name, ways in results.turns.items():
        yield _row(names[name], [cell(turns) for turns in ways.values()])


def _row(title: str, cells: Iterable[str]) -> str:
    return "| " + " | ".join([title, *cells]) + " |"


def _cell(spread: Spread, digits: str) -> str:
    return f"{digits} ({digits}–{digits})".format(*spread)


def _origin(results: Results) -> str:
    settings = results.settings
    return (
        f"Turns of each: {settings['repetitions']}, of {settings['seconds']:g} s after {settings['warm_up']:g} s. "
        f"While nothing was measured, {results.environment['busy']:g} CPUs were at work. {origin(results.environment)}"
    )


# --- the chart: one group of bars per way -----------------------------------------------------------------------------

WIDTH, LEFT, ROW, HEAD, TOP, BOTTOM, LABEL = 760, 316, 24, 44, 40, 16, 190  # pixels

_STYLE = """\
text{font-family:system-ui,-apple-system,"Segoe UI",sans-serif;font-size:12.5px;fill:#24292f}
.h{font-size:17px;font-weight:600}.p{font-size:14.5px;font-weight:600}rect{rx:3}
.cookbook{fill:#2f6feb}.bare{fill:#8c959f}.stripped{fill:#c9d1d9}.goal{stroke:#c8322b;stroke-width:2}
"""


def chart(results: Results) -> str:
    """The medians as an SVG picture, on a ground of its own: it is readable in light and dark pages.

    CLEAR has no bar: it would leave no room for the others.
    """
    shown = [contender for contender in results.turns if contender != CLEAR]
    most = max(rates(results.turns[contender][way]).median for contender in shown for way in results.ways)
    height = TOP + len(results.ways) * (HEAD + len(shown) * ROW) + BOTTOM
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-label="Megabits per second by way and contender">',
        f"<style>\n{_STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text class="h" x="12" y="28">TCP through the tunnels (Mbit/s, median of '
        f"{results.settings['repetitions']}; the line: the goal)</text>",
    ]
    for number, way in enumerate(results.ways):
        top = TOP + number * (HEAD + len(shown) * ROW)
        clear = rates(results.turns[CLEAR][way]).median
        lines.append(
            f'<text class="p" x="12" y="{top + 32}">{escape(WAYS[way].title)}; without a tunnel {clear:,.0f}</text>'
        )
        scale = (WIDTH - LEFT - LABEL) / most
        goal = LEFT + rates(results.turns[BARE][way]).median * GOAL * scale
        for place, contender in enumerate(shown):
            middle = rates(results.turns[contender][way]).median
            y = top + HEAD + place * ROW
            part = "" if contender == COOKBOOK else f" (cookbook: {ratio(results, way, contender):.2f} of it)"
            lines += [
                f'<text x="12" y="{y + 16}">{escape(CONTENDERS[contender])}</text>',
                f'<rect class="{contender}" x="{LEFT}" y="{y + 2}" width="{middle * scale:.0f}" height="{ROW - 4}"/>',
                f'<text x="{max(LEFT + middle * scale, goal) + 6:.0f}" y="{y + 16}">{middle:,.0f}{part}</text>',
            ]
        foot = top + HEAD + len(shown) * ROW
        lines.append(f'<line class="goal" x1="{goal:.0f}" y1="{top + HEAD}" x2="{goal:.0f}" y2="{foot}"/>')
    return "\n".join([*lines, "</svg>"]) + "\n"
