"""Do the hosts match the site? Plans a deploy, changes nothing, and answers with its exit status.

    python drift.py [--limit HOST|GROUP]…

0: every host is as the site says. 2: changes are pending, shown above as a diff. 1: it cannot be told, because a host
does not answer, the site file has errors, an identity cannot be read, … pyinfra itself exits 0 in the first two.
"""

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vpc_openvpn.output import outlive_reader

HERE = Path(__file__).parent
MATCH, ERROR, PENDING = 0, 1, 2


def main() -> int:
    """Run the plan and judge it."""
    parser = argparse.ArgumentParser(
        prog="drift.py", description="Exit status 0: hosts match the site; 2: changes pending."
    )
    parser.add_argument("--limit", action="append", default=[], metavar="HOST|GROUP", help="only these hosts")
    changes = pending(parser.parse_args().limit)
    if changes is None:
        print("Drift is unknown: see above for what is wrong.", file=sys.stderr)
        return ERROR
    for host, effects in sorted(changes.items()):
        print(f"{host}: not so now: {', '.join(effects)}")
    print("Changes are pending." if changes else "The hosts match the site.")
    return PENDING if changes else MATCH


def pending(limits: Sequence[str], options: Sequence[str] = (), *, quiet: bool = False) -> dict[str, list[str]] | None:
    """The names of the operations that would change something, by host; None where that cannot be told.

    Unless it is to be `quiet`, the diff is shown, and what is wrong if something is: on standard error.
    """
    options = [*options, *(word for limit in limits for word in ("--limit", limit))]
    plan = subprocess.run(
        [sys.executable, "-m", "pyinfra", "inventory.py", "deploy.py", "--dry", "--diff", "--json", *options],
        cwd=HERE,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if quiet else None,
        text=True,
        check=False,
    )
    return _changes(plan.stdout) if plan.returncode == 0 else None


def environment() -> dict[str, str]:
    """This process's, with SITE still right from another folder, and without the setting that hides all changes."""
    environment = {key: value for key, value in os.environ.items() if key != "PYINFRA_YES"}
    if "SITE" in environment:
        environment["SITE"] = str(Path(environment["SITE"]).absolute())
    return environment


def _changes(output: str) -> dict[str, list[str]] | None:
    operations: list[dict[str, Any]] = json.loads(output)["plan"] if output.strip() else []
    if not operations:
        return None
    changes = defaultdict(list)
    for operation in operations:
        for host in (*operation["hosts_with_change"], *operation["hosts_with_conditional_change"]):
            changes[host].append(operation["name"])
    return changes


if __name__ == "__main__":
    outlive_reader()
    sys.exit(main())
