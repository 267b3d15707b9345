"""Verbs that are one run of pyinfra each."""

from collections.abc import Sequence

import click

from vpc_openvpn.command import pyinfra
from vpc_openvpn.command.names import Zone, as_json, limit
from vpc_openvpn.site.plan import OFFICE

yes = click.option("--yes", "-y", is_flag=True, help="Make the changes without a question.")
passed_on = click.argument("options", nargs=-1, metavar="[-- PYINFRA-OPTION…]")


@click.command()
@limit
@as_json
@passed_on
def plan(limits: Sequence[str], json_output: bool, options: Sequence[str]) -> int:
    """Show each line that a deploy would change, and change nothing.

    Exits 0 whether there is something to change or not: `drift` tells by its status.
    """
    more = ["--json"] if json_output else []
    return pyinfra.run(pyinfra.DEPLOY, "--dry", "--diff", *more, *options, limits=limits)


@click.command()
@limit
@yes
@passed_on
def deploy(limits: Sequence[str], yes: bool, options: Sequence[str]) -> int:
    """Make the hosts as the site says. Again: no changes.

    It asks before it changes something, and succeeds only when packets cross each tunnel.
    """
    return pyinfra.run(pyinfra.DEPLOY, *(["-y"] if yes else []), *options, limits=limits)


@click.command()
@click.argument("zone", type=Zone())
@yes
def drain(zone: str, yes: bool) -> int:
    """Send new connections to ZONE by a detour, before maintenance of its NAT.

    Connections that began through the zone's own NAT stay there as long as they live. It holds until `undrain`: through
    reboots of the office router, and through deploys, which remind of it. A zone whose detours do not work is not
    drained.
    """
    return _switch("deploys/drain.py", zone, yes=yes)


@click.command()
@click.argument("zone", type=Zone())
@yes
def undrain(zone: str, yes: bool) -> int:
    """Send new connections to ZONE through its own NAT again."""
    return _switch("deploys/undrain.py", zone, yes=yes)


def _switch(deploy: str, zone: str, *, yes: bool) -> int:
    # The office router alone has a part in it: a NAT that is dead is no reason to wait.
    return pyinfra.run(deploy, "--data", f"zone={zone}", *(["-y"] if yes else []), limits=[OFFICE])
