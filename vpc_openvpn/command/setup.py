"""Verbs that another program does: the script `vpc` itself, and make."""

import os

import click

from vpc_openvpn.site.load import ROOT


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("options", nargs=-1)
def setup(options: tuple[str, ...]) -> None:
    """Create .venv, which the other verbs need.

    Needs no root.
    """
    os.execv(ROOT / "vpc", ["./vpc", "setup", *options])


@click.command()
def demo() -> None:
    """Boot a lab of hosts on this machine.

    An office, a VPC and their tunnels, with a tour of what they do. Needs Debian or Ubuntu, and root.
    """
    click.echo("+ make demo", err=True)
    os.execvp("make", ["make", "--no-print-directory", "-C", str(ROOT), "demo"])
