"""The results as a table in Markdown and as a chart in SVG. Pure."""

from collections.abc import Iterator, Sequence
from html import escape
from statistics import median_low

from bench.document import origin
from bench.outages.losses import Kind, Loss, Repetition, Results, loss
from bench.outages.situations import CUT, KINDS, SITUATIONS, ZONES


def title(results: Results, name: str) -> str:
    """A situation's, as the run had it."""
    words = SITUATIONS[name].title
    return words.format(results.settings["cut"]) if name == CUT else words


def table(results: Results) -> str:
    """A table for each kind of direction: situations down, strategies across."""
    strategies = list(results.outages)
    names = list(results.outages[strategies[0]])
    lines = []
    for kind, words in KINDS.items():
        lines += [f"### {words[0].upper()}{words[1:]}", ""]
        lines += ["| | " + " | ".join(strategies) + " |", "|---" * (len(strategies) + 1) + "|"]
        for name in names:
            cells = [cell(results.outages[strategy][name], kind) for strategy in strategies]
            lines.append("| " + " | ".join([title(results, name), *cells]) + " |")
        lines.append("")
    return "\n".join([*lines, _origin(results)]) + "\n"


def cell(repetitions: Sequence[Repetition], kind: str) -> str:
    """What each zone lost: `median (least–most)`, together for zones that fared alike; `0` where none lost anything."""
    alike: dict[tuple[Kind, bool], list[str]] = {}
    losses = {zone: [loss(each, kind.format(zone)) for each in repetitions] for zone in ZONES}
    for zone, found in losses.items():
        alike.setdefault((median_low(found).kind, max(found) > Loss(Kind.SECONDS)), []).append(zone)
    parts = [
        f"{_letters(zones)}: {spread([each for zone in zones for each in losses[zone]])}"
        for (_, lost), zones in alike.items()
        if lost
    ]
    return "<br>".join(parts) or "0"


def spread(losses: Sequence[Loss]) -> str:
    """`median (least–most)`, or less where these are the same."""
    middle, least, most = median_low(losses), min(losses), max(losses)
    if str(least) == str(most):
        return str(middle)
    if least.kind == most.kind:
        return f"{middle} ({_amount(least)}–{_amount(most)})"
    return f"{middle} ({least}–{most})"


def _amount(loss: Loss) -> str:
    return str(Loss(Kind.SECONDS, loss.seconds))


def _letters(zones: Sequence[str]) -> str:
    return "all" if len(zones) == len(ZONES) else ", ".join(zone[-1] for zone in zones)


def _origin(results: Results) -> str:
    return f"Repetitions of each outage: {results.settings['repetitions']}. {origin(results.environment)}"


# --- the chart: one panel per kind of direction; situations down, strategies and their zones across -------------------

LEFT, COLUMN, BETWEEN, ROW, HEAD, TOP, BOTTOM = 196, 46, 14, 23, 72, 32, 92  # pixels

_STYLE = """\
text{font-family:system-ui,-apple-system,"Segoe UI",sans-serif;font-size:12.5px;fill:#24292f}
.h{font-size:17px;font-weight:600}.p{font-size:14.5px;font-weight:600}.s{font-weight:600}.z{fill:#57606a}
.v{text-anchor:middle}rect{rx:3}
.none{fill:#e3f4e6}.brief{fill:#ffe58a}.long{fill:#f9a65a}.repair{fill:#c8322b}.good{fill:#6e1423}.never{fill:#dfe3e8}
.none+text{fill:#5f8a68}.never+text{fill:#57606a}.repair+text,.good+text{fill:#fff;font-weight:600}
"""
_LEGEND = (
    ("none", "0", "nothing"),
    ("repair", "+1.2", "until repaired, and so many seconds more"),
    ("brief", "0.52", "less than a second, then back by itself"),
    ("good", "gone", "for good: the repair did not bring it back"),
    ("long", "7.3", "a second or more, then back by itself"),
    ("never", "never", "does not work in normal use, either"),
)


def chart(results: Results) -> str:
    """The medians as an SVG picture, on a ground of its own: it is readable in light and dark pages."""
    strategies = list(results.outages)
    names = list(results.outages[strategies[0]])
    panel = HEAD + len(names) * ROW
    group = len(ZONES) * COLUMN
    width = LEFT + len(strategies) * (group + BETWEEN)
    height = TOP + len(KINDS) * panel + BOTTOM
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'aria-label="Seconds without packets, by situation, strategy and zone">',
        f"<style>\n{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text class="h" x="12" y="28">Who loses packets, and for how long (seconds, median of '
        f"{results.settings['repetitions']})</text>",
    ]
    for number, (kind, words) in enumerate(KINDS.items()):
        top = TOP + number * panel
        lines.append(f'<text class="p" x="12" y="{top + 28}">{escape(words)}</text>')
        for place, strategy in enumerate(strategies):
            left = LEFT + place * (group + BETWEEN)
            lines.append(f'<text class="s v" x="{left + group // 2}" y="{top + 48}">{escape(strategy)}</text>')
            lines += (
                f'<text class="z v" x="{left + COLUMN * at + COLUMN // 2}" y="{top + 66}">{zone[-1]}</text>'
                for at, zone in enumerate(ZONES)
            )
            for row, name in enumerate(names):
                repetitions = results.outages[strategy][name]
                for at, zone in enumerate(ZONES):
                    middle = median_low([loss(each, kind.format(zone)) for each in repetitions])
                    lines += _box(left + COLUMN * at, top + HEAD + row * ROW, *_look(middle))
        lines += (
            f'<text x="12" y="{top + HEAD + row * ROW + 16}">{escape(title(results, name))}</text>'
            for row, name in enumerate(names)
        )
    for number, (look, label, words) in enumerate(_LEGEND):
        left, top = 12 + number % 2 * width // 2, height - BOTTOM + 14 + number // 2 * ROW
        lines += [*_box(left, top, look, label), f'<text x="{left + COLUMN + 4}" y="{top + 16}">{words}</text>']
    return "\n".join([*lines, "</svg>"]) + "\n"


def _look(loss: Loss) -> tuple[str, str]:
    """A box's class and label."""
    amount = _amount(loss)
    if loss.kind == Kind.SECONDS:
        return "none" if loss.seconds == 0 else "brief" if loss.seconds < 1 else "long", amount
    return {
        Kind.UNTIL_REPAIRED: ("repair", f"+{amount}"),
        Kind.FOR_GOOD: ("good", "gone"),
        Kind.NEVER: ("never", "never"),
    }[loss.kind]


def _box(left: int, top: int, look: str, label: str) -> Iterator[str]:
    yield f'<rect class="{look}" x="{left + 1}" y="{top + 1}" width="{COLUMN - 2}" height="{ROW - 2}"/>'
    yield f'<text class="v" x="{left + COLUMN // 2}" y="{top + 16}">{label}</text>'
