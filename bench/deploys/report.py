"""The results as tables in Markdown and as a chart in SVG. Pure."""

from collections.abc import Iterator, Sequence
from html import escape
from statistics import median

from bench.deploys.goals import verdicts
from bench.deploys.results import (
    COMMANDS,
    CONNECT,
    CONTENDERS,
    FAR_AWAY,
    FAR_REBUILD,
    FAR_UNCHANGED,
    FIRST,
    GROWTH_FIRST,
    GROWTH_UNCHANGED,
    REBUILD,
    STAGES,
    UNCHANGED,
    Results,
)
from bench.document import origin

SECONDS = {
    REBUILD: "NAT rebuilt",
    UNCHANGED: "nothing to change",
    FIRST: "first deploy",
    FAR_REBUILD: "NAT rebuilt, from far away",
    FAR_UNCHANGED: "nothing to change, from far away",
}
ROWS = {**{each: each for each in CONTENDERS}, CONNECT: "pyinfra's own start and connections"}
NOT_MEASURED = "–"


def tables(results: Results) -> str:
    """Goals, seconds, remote commands, growth: as far as they were measured."""
    parts = [_goals(results), _seconds(results), _commands(results), _growth(results), [_origin(results)]]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def stages(results: Results) -> str:
    """The end of a rebuild as it is printed, with the medians of each stage."""
    rows = [f"    {stage:24}{median(figures):7.1f} s" for stage, figures in results.measures[STAGES].items()]
    return "\n".join(["```", *rows, "```"])


def spread(figures: Sequence[float]) -> str:
    """`median (least–most)`, or less where these are the same."""
    middle, least, most = (_number(each) for each in (median(figures), min(figures), max(figures)))
    return middle if least == most else f"{middle} ({least}–{most})"


def _number(figure: float) -> str:
    return f"{figure:.0f}" if figure >= 20 else f"{figure:.1f}"


def _goals(results: Results) -> list[str]:
    rows = [
        f"| {each.goal} | {each.limit} | {each.measured} | {'met' if each.met else '**missed**'} |"
        for each in verdicts(results)
    ]
    return ["| goal | | measured | |", "|---|---|---|---|", *rows] if rows else []


def _seconds(results: Results) -> list[str]:
    measures = [measure for measure in SECONDS if measure in results.measures]
    if not measures:
        return []
    lines = [_row("seconds", *(SECONDS[measure] for measure in measures)), "|---" * (len(measures) + 1) + "|"]
    for who, words in ROWS.items():
        cells = [results.figures(measure, who) for measure in measures]
        if any(cells):
            lines.append(_row(words, *(spread(figures) if figures else NOT_MEASURED for figures in cells)))
    if round_trip := results.median(FAR_AWAY, "office"):
        lines += ["", f"From far away: with a round trip of {round_trip * 1000:.0f} ms between operator and hosts."]
    return lines


def _commands(results: Results) -> list[str]:
    measured = results.measures.get(COMMANDS, {})
    rows = [_row(who, f"{office:g}", f"{max(nats):g}") for who, (office, *nats) in measured.items()]
    return [_row("remote commands", "office router", "each NAT"), "|---|---|---|", *rows] if rows else []


def _growth(results: Results) -> list[str]:
    rows = [
        _row(zones, spread(first), spread(results.figures(GROWTH_UNCHANGED, zones)))
        for zones, first in sorted(results.measures.get(GROWTH_FIRST, {}).items(), key=lambda each: int(each[0]))
    ]
    head = _row("zones (cookbook, seconds)", SECONDS[FIRST], SECONDS[UNCHANGED])
    return [head, "|---|---|---|", *rows] if rows else []


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _origin(results: Results) -> str:
    counts = [
        len(figures)
        for measure, of in results.measures.items()
        if measure in SECONDS or measure == GROWTH_UNCHANGED
        for figures in of.values()
    ]
    runs = f"Medians (least–most) of up to {max(counts)} runs. " if counts else ""
    used = f"pyinfra {results.environment['pyinfra']}, ansible-core {results.environment['ansible']}"
    return f"{runs}{origin(results.environment)} With {used}."


# --- the chart: for each of SECONDS a bar per contender, all on one scale ---------------------------------------------

WIDTH, LEFT, RIGHT, TOP, HEAD, BAR, BETWEEN = 760, 96, 64, 44, 24, 20, 14  # pixels

_STYLE = """\
text{font-family:system-ui,-apple-system,"Segoe UI",sans-serif;font-size:12.5px;fill:#24292f}
.h{font-size:17px;font-weight:600}.p{font-size:14.5px;font-weight:600}.w{text-anchor:end}
.cookbook{fill:#1f7a4d}.floor{fill:#8c959f}.Ansible{fill:#d0743c}
"""


def chart(results: Results) -> str:
    """The medians as an SVG picture, on a ground of its own: it is readable in light and dark pages."""
    panels = {
        words: {who: results.median(measure, who) for who in CONTENDERS}
        for measure, words in SECONDS.items()
        if measure in results.measures
    }
    longest = max((seconds for panel in panels.values() for seconds in panel.values() if seconds), default=1.0)
    lines, top = [], TOP
    for words, panel in panels.items():
        lines.append(f'<text class="p" x="12" y="{top + 16}">{escape(words)}</text>')
        top += HEAD
        for who, seconds in panel.items():
            if seconds:
                lines += _bar(who, seconds, (WIDTH - LEFT - RIGHT) / longest, top)
                top += BAR
        top += BETWEEN
    return (
        "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" role="img" '
                'aria-label="Seconds that a rebuild and a deploy take, by contender">',
                f"<style>\n{_STYLE}</style>",
                f'<rect width="{WIDTH}" height="{top}" fill="#fff"/>',
                '<text class="h" x="12" y="28">How long it takes (seconds, medians)</text>',
                *lines,
                "</svg>",
            ]
        )
        + "\n"
    )


def _bar(who: str, seconds: float, scale: float, top: int) -> Iterator[str]:
    end = LEFT + seconds * scale
    yield f'<text class="w" x="{LEFT - 8}" y="{top + 14}">{who}</text>'
    yield f'<rect class="{who}" x="{LEFT}" y="{top + 2}" width="{seconds * scale:.1f}" height="{BAR - 4}" rx="2"/>'
    yield f'<text x="{end + 6:.1f}" y="{top + 14}">{_number(seconds)}</text>'
