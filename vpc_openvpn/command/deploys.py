"""Verbs that are one run of pyinfra each."""

from collections.abc import Sequence

import click

from vpc_openvpn.command import pyinfra
from vpc_openvpn.command.names import Zone, as_json, limit
from vpc_openvpn.site.plan import OFFICE

yes = click.option("--yes", "-y", is_flag=True, help="Make the changes without a question.")


def _options(_context: click.Context, _parameter: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    if words and not words[0].startswith("-"):
        raise click.UsageError(f"{words[0]} is no option of pyinfra's. For one host, group or zone: --limit {words[0]}")
    return words


passed_on = click.argument("options", nargs=-1, metavar="[-- PYINFRA-OPTION…]", callback=_options)


@click.command()
@limit
@as_json
@passed_on
def plan(limits: Sequence[str], json_output: bool, options: Sequence[str]) -> int:
    """Show each line that a deploy would change.

    Changes nothing. Exits 0 also when changes are pending; `drift` exits 2 then.
    """
    more = ["--json"] if json_output else []
    return pyinfra.run(pyinfra.DEPLOY, "--dry", "--diff", *more, *options, limits=limits)


def _dry(_context: click.Context, _parameter: click.Parameter, dry: bool) -> None:
    if dry:
        raise click.UsageError("deploy changes hosts. To see what it would change: ./vpc plan")


@click.command()
@limit
@yes
@click.option("--dry", is_flag=True, hidden=True, expose_value=False, callback=_dry)
@passed_on
def deploy(limits: Sequence[str], yes: bool, options: Sequence[str]) -> int:
    """Change the hosts to match the site file.

    Asks before it changes something, and succeeds only when packets cross each tunnel. A second run changes nothing.
    """
    return pyinfra.run(pyinfra.DEPLOY, *(["-y"] if yes else []), *options, limits=limits)


@click.command()
@click.argument("zone", type=Zone())
@yes
def drain(zone: str, yes: bool) -> int:
    """Send new connections to ZONE by a detour.

    Type it before maintenance of the zone's NAT. Established connections stay on that NAT. The drain lasts until
    `undrain`, also through reboots of the office router and through deploys, which print a reminder. A zone without a
    working detour is not drained.
    """
    return _switch("deploys/drain.py", zone, yes=yes)


@click.command()
@click.argument("zone", type=Zone())
@yes
def undrain(zone: str, yes: bool) -> int:
    """Send new connections to ZONE by its own NAT."""
    return _switch("deploys/undrain.py", zone, yes=yes)


def _switch(deploy: str, zone: str, *, yes: bool) -> int:
    # The office router alone has a part in it: a NAT that is dead is no reason to wait.
    return pyinfra.run(deploy, "--data", f"zone={zone}", *(["-y"] if yes else []), limits=[OFFICE])
