"""`python -m bench.throughput`: all contenders in all ways, or with --sweep what makes OpenVPN alone faster.

Results of a full run are kept and written into the document. Those of any other run are kept apart, and shown only.
"""

import argparse
import sys
import time
from pathlib import Path

from bench import document
from bench.command import measured, since
from bench.throughput import figures, report, run
from bench.throughput.figures import Results, Turn
from bench.throughput.matrix import BARE, CONTENDERS, SWEEP, SWEPT, WAYS
from vpc_openvpn.output import outlive_reader

HERE = Path(__file__).parent
FULL, SWEPT_FULLY, TRIAL = (HERE / "results" / f"{name}.json" for name in ("full", "sweep", "trial"))
DOCS = HERE.parents[1] / "docs"
DOCUMENT, CHART = DOCS / "performance.md", DOCS / "throughput.svg"
SECTION, SWEEP_SECTION = "throughput", "throughput-sweep"
REPETITIONS, ROUNDS = 5, 4


def main() -> int:
    arguments = _parser().parse_args()
    if arguments.report:
        publish(figures.load(FULL))
        publish_sweep(figures.load(SWEPT_FULLY))
        return 0
    least = ROUNDS if arguments.sweep else REPETITIONS
    repetitions = arguments.repetitions or (1 if arguments.quick else least)
    total = repetitions * (len(SWEEP) * len(SWEPT) if arguments.sweep else len(CONTENDERS) * len(WAYS))
    started, done = time.monotonic(), 0

    def show(contender: str, way: str, turn: Turn) -> None:
        nonlocal done
        done += 1
        what = f"{turn.rate:,.0f} Mbit/s, {turn.cost:.1f} CPU s/GB" + (f", {turn.lost} lost" if turn.lost else "")
        print(f"{since(started)} {done:3}/{total} {WAYS[way].title} | {contender} | {what}", flush=True)

    if arguments.sweep:
        pace = run.QUICK if arguments.quick else run.SWEEPING
        results = measured("throughput", lambda: run.sweep(repetitions, pace, show))
    else:
        pace = run.QUICK if arguments.quick else run.FULL
        results = measured("throughput", lambda: run.compare(repetitions, pace, show))
    if arguments.quick or repetitions < least:
        figures.save(results, TRIAL)
        print(f"\n{(report.sweep if arguments.sweep else report.comparison)(results)}")
        return 0
    if arguments.sweep:
        figures.save(results, SWEPT_FULLY)
        publish_sweep(results)
        return 0
    figures.save(results, FULL)
    publish(results)
    missed = [WAYS[way].title for way in figures.missed(results, BARE)]
    for title in missed:
        print(f"the goal is missed: {title}", file=sys.stderr)
    return 1 if missed else 0


def publish(results: Results) -> None:
    """Write the comparison into the document, and the chart beside it."""
    document.publish(DOCUMENT, SECTION, report.comparison(results))
    CHART.write_text(report.chart(results), encoding="utf-8")
    print(f"written: {DOCUMENT}, {CHART}")


def publish_sweep(results: Results) -> None:
    """Write what the sweep has found into the document."""
    document.publish(DOCUMENT, SWEEP_SECTION, report.sweep(results))
    print(f"written: {DOCUMENT}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.throughput",
        description="How much crosses a tunnel, beside OpenVPN alone and beside none.",
    )
    parser.add_argument(
        "--quick", action="store_true", help="each once, shortened; shows the table, keeps the document"
    )
    parser.add_argument("--sweep", action="store_true", help="try OpenVPN's options instead, through one bare tunnel")
    parser.add_argument(
        "--repetitions", type=int, metavar="N", help=f"of each; by default {REPETITIONS}, of a sweep {ROUNDS}"
    )
    parser.add_argument("--report", action="store_true", help="write tables and chart again, from the kept results")
    return parser


if __name__ == "__main__":
    outlive_reader()
    sys.exit(main())
