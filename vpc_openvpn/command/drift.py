"""Do the hosts match the site? Plans a deploy, changes nothing, and answers with its exit status."""

import json
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import click

from vpc_openvpn.command import ERROR, MATCH, PENDING, pyinfra
from vpc_openvpn.command.names import as_json, limit


@click.command()
@limit
@as_json
def drift(limits: Sequence[str], json_output: bool) -> int:
    """Compare the hosts with the site file.

    Changes nothing. Exit status 0: every host matches. 2: changes are pending, shown as a diff. 1: unknown, because a
    host does not answer, the site file has errors, an identity cannot be read, …
    """
    changes = pending(limits)
    status = ERROR if changes is None else PENDING if changes else MATCH
    if json_output:
        word = {ERROR: "unknown", PENDING: "pending", MATCH: "match"}[status]
        click.echo(json.dumps({"status": word, "pending": changes or {}}, indent=2))
    elif changes is None:
        click.echo("Drift is unknown: see above for what is wrong.", err=True)
    else:
        for host, effects in sorted(changes.items()):
            click.echo(f"{host}: pending: {', '.join(effects)}")
        click.echo("Changes are pending." if changes else "The hosts match the site.")
    return status


def pending(limits: Sequence[str], options: Sequence[str] = (), *, quiet: bool = False) -> dict[str, list[str]] | None:
    """The names of the operations that would change something, by host; None where that is unknown.

    Unless it is to be `quiet`, the diff is shown, and what is wrong if something is: on standard error.
    """
    command = pyinfra.words(pyinfra.DEPLOY, "--dry", "--diff", "--json", *options, limits=limits)
    pyinfra.show(command)
    with pyinfra.begun() as how:
        how["env"].pop("PYINFRA_YES", None)  # with which pyinfra hides all changes
        plan = subprocess.run(
            pyinfra.program(command),
            **how,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None,
            text=True,
            check=False,
        )
    return _changes(plan.stdout) if plan.returncode == 0 else None


def _changes(output: str) -> dict[str, list[str]] | None:
    operations: list[dict[str, Any]] = json.loads(output)["plan"] if output.strip() else []
    if not operations:
        return None
    changes = defaultdict(list)
    for operation in operations:
        for host in (*operation["hosts_with_change"], *operation["hosts_with_conditional_change"]):
            changes[host].append(operation["name"])
    return dict(changes)
