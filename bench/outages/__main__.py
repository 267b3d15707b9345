"""`python -m bench.outages`: all of it, or with --quick each outage once, in minutes.

Results that are full, of every strategy in every situation, are kept and written into the document. Those of any other
run are kept apart, and shown only.
"""

import argparse
import sys
import time
from pathlib import Path

from bench import document
from bench.command import measured, since
from bench.outages import losses, report
from bench.outages.expected import check
from bench.outages.losses import Repetition, Results
from bench.outages.run import run
from bench.outages.situations import KINDS, SITUATIONS, STRATEGIES
from vpc_openvpn.output import outlive_reader

HERE = Path(__file__).parent
FULL, TRIAL = HERE / "results" / "full.json", HERE / "results" / "trial.json"
DOCS = HERE.parents[1] / "docs"
DOCUMENT, CHART = DOCS / "outages.md", DOCS / "outages.svg"
SECTION = "table"
REPETITIONS = 5


def main() -> int:
    arguments = _parser().parse_args()
    if arguments.report:
        publish(losses.load(FULL))
        return 0
    repetitions = arguments.repetitions or (1 if arguments.quick else REPETITIONS)
    strategies, situations = arguments.strategy or list(STRATEGIES), arguments.situation or list(SITUATIONS)
    total = len(strategies) * len(situations) * repetitions
    started, done = time.monotonic(), 0

    def show(strategy: str, name: str, number: int, repetition: Repetition) -> None:
        nonlocal done
        done += 1
        lost = [f"{words} {cell}" for kind, words in KINDS.items() if (cell := report.cell([repetition], kind)) != "0"]
        summary = "; ".join(lost).replace("<br>", ", ") or "nothing lost"
        print(f"{since(started)} {done:3}/{total} {strategy} | {name} {number} | {summary}", flush=True)

    results = measured("outages", lambda: run(strategies, situations, repetitions, arguments.quick, show))
    full = (
        repetitions >= REPETITIONS and not arguments.quick and total == len(STRATEGIES) * len(SITUATIONS) * repetitions
    )
    losses.save(results, FULL if full else TRIAL)
    if full:
        publish(results)
    else:
        print(f"\n{report.table(results)}")
        TRIAL.with_suffix(".svg").write_text(report.chart(results), encoding="utf-8")
    deviations = check(results)
    for deviation in deviations:
        print(f"not as expected: {deviation}", file=sys.stderr)
    return 1 if deviations else 0


def publish(results: Results) -> None:
    """Write the table into the document, and the chart beside it."""
    document.publish(DOCUMENT, SECTION, report.table(results))
    CHART.write_text(report.chart(results), encoding="utf-8")
    print(f"written: {DOCUMENT}, {CHART}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.outages", description="What each strategy loses in outages.")
    parser.add_argument(
        "--quick", action="store_true", help="each outage once, shortened; shows the table, keeps the document"
    )
    parser.add_argument("--repetitions", type=int, metavar="N", help=f"of each outage; {REPETITIONS} by default")
    parser.add_argument("--strategy", action="append", choices=STRATEGIES, help="only this one; may be repeated")
    parser.add_argument("--situation", action="append", choices=SITUATIONS, help="only this one; may be repeated")
    parser.add_argument(
        "--report", action="store_true", help="write table and chart again, from the results that are kept"
    )
    return parser


if __name__ == "__main__":
    outlive_reader()
    sys.exit(main())
