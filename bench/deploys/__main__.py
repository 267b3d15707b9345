"""`python -m bench.deploys`: all of it, or with --quick each once, in minutes.

Results of all sections in full are kept and written into the documents. Those of any other run are kept apart, and
shown only.
"""

import argparse
import sys
import time
from pathlib import Path

from bench import document
from bench.command import measured, since
from bench.deploys import goals, report, results, sections
from bench.deploys.results import Results
from bench.deploys.sections import GROWTH, SECTIONS, Extent, run
from vpc_openvpn.output import outlive_reader

HERE = Path(__file__).parent
FULL, TRIAL = HERE / "results" / "full.json", HERE / "results" / "trial.json"
DOCS = HERE.parents[1] / "docs"
DOCUMENT, CHART, RUNBOOK = DOCS / "performance.md", DOCS / "performance.svg", DOCS / "rebuild-a-nat.md"
SECTION, RUNBOOK_SECTION = "deploys", "rebuild"
NAMES = (*SECTIONS, GROWTH)


def main() -> int:
    arguments = _parser().parse_args()
    if arguments.report:
        publish(results.load(FULL))
        return 0
    started = time.monotonic()

    def show(measure: str, what: str, figure: float) -> None:
        print(f"{since(started)} {measure} | {what} | {figure:.4g}", flush=True)

    found = measured("deploys", lambda: run(arguments.section or NAMES, _extent(arguments), show))
    full = not (arguments.quick or arguments.section or arguments.repetitions)
    results.save(found, FULL if full else TRIAL)
    if full:
        publish(found)
    else:
        print(f"\n{report.tables(found)}")
        TRIAL.with_suffix(".svg").write_text(report.chart(found), encoding="utf-8")
    missed = goals.missed(found)
    for goal in missed:
        print(f"missed: {goal}", file=sys.stderr)
    return 1 if full and missed else 0


def publish(found: Results) -> None:
    """Write the tables into the documents, and the chart beside them."""
    document.publish(DOCUMENT, SECTION, report.tables(found))
    document.publish(RUNBOOK, RUNBOOK_SECTION, report.stages(found))
    CHART.write_text(report.chart(found), encoding="utf-8")
    print(f"written: {DOCUMENT}, {RUNBOOK}, {CHART}")


def _extent(arguments: argparse.Namespace) -> Extent:
    extent = sections.QUICK if arguments.quick else sections.FULL
    return extent.repeated(arguments.repetitions) if arguments.repetitions else extent


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.deploys", description="What a deploy costs, and a rebuild.")
    parser.add_argument(
        "--quick", action="store_true", help="each once, shortened; shows the tables, keeps the documents"
    )
    parser.add_argument("--repetitions", type=int, metavar="N", help="of everything; 1 to 5 by default")
    parser.add_argument("--section", action="append", choices=NAMES, help="only this one; may be repeated")
    parser.add_argument(
        "--report", action="store_true", help="write the documents again, from the results that are kept"
    )
    return parser


if __name__ == "__main__":
    outlive_reader()
    sys.exit(main())
