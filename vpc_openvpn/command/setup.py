"""Verbs that another program does: the script `vpc` itself, and make."""

import os

import click

from vpc_openvpn.site.load import ROOT


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("options", nargs=-1)
def setup(options: tuple[str, ...]) -> None:
    """Make .venv, which the other verbs run in: no root."""
    os.execv(ROOT / "vpc", ["./vpc", "setup", *options])


@click.command()
def demo() -> None:
    """Boot a lab on this machine, and see all of it work there: Debian or Ubuntu, root."""
    click.echo("+ make demo", err=True)
    os.execvp("make", ["make", "--no-print-directory", "-C", str(ROOT), "demo"])
