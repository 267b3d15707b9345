"""Hosts' first ssh host keys, compared and accepted: no other verb sends anything to a host before that."""

from collections.abc import Sequence
from typing import TextIO

import click

from vpc_openvpn.command import ERROR, MATCH
from vpc_openvpn.command.names import ALL, Machine
from vpc_openvpn.site.load import this_run
from vpc_openvpn.site.plan import HostPlan, NatPlan


@click.command()
@click.argument("machines", nargs=-1, type=Machine(), metavar="[HOST|ZONE|all…]")
@click.option(
    "--fingerprints",
    "file",
    type=click.File(encoding="utf-8", errors="replace"),
    metavar="FILE",
    help="Ask nothing; accept the keys that FILE (- for standard input) lists, and no others.",
)
def trust(machines: Sequence[str], file: TextIO | None) -> int:
    """Compare the ssh host keys of new hosts.

    Shows the key of each host that has none in known_hosts, asks once whether they are those that the hosts' consoles
    show, and writes them to known_hosts, beside the site file. Commit that file: then no colleague is asked again.

    A line of FILE is a fingerprint, SHA256:…, with or without its host's name or zone before it, or what ssh-keygen -l
    prints. The key of a machine that replaces another is for `rebuild`.
    """
    site, plans = this_run()
    hosts = {name: plan for name, plan in plans.items() if not machines or ALL in machines or name in machines}
    from vpc_openvpn.ssh import (
        acceptance,
        connection,
        fingerprints,
    )  # takes half a second, which --help need not wait for

    connection.check(site)
    try:
        listed = fingerprints.read(file, _names(plans)) if file else None
    except fingerprints.ListError as error:
        assert file is not None
        raise click.ClickException(f"{'standard input' if file.name == '<stdin>' else file.name}: {error}") from None
    try:
        return MATCH if acceptance.trust(hosts, plans, listed) else ERROR
    except acceptance.AcceptanceError as error:
        raise click.ClickException(str(error)) from None


def _names(plans: dict[str, HostPlan]) -> dict[str, str]:
    """What a list may call a host: by its name, its zone's, its address."""
    zones = {plan.zone: name for name, plan in plans.items() if isinstance(plan, NatPlan)}
    return {**{name: name for name in plans}, **zones, **{plan.ssh.host: name for name, plan in plans.items()}}
