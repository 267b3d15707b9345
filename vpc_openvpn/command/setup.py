"""Verbs that another program does: the script `vpc` itself, and make."""

import os
import subprocess

import click

from vpc_openvpn.command import ERROR, MATCH
from vpc_openvpn.site.load import ROOT


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("options", nargs=-1)
def setup(options: tuple[str, ...]) -> None:
    """Create .venv, which the other verbs need.

    Needs no root.
    """
    os.execv(ROOT / "vpc", ["./vpc", "setup", *options])


@click.command()
def demo() -> int:
    """Boot a lab of hosts on this machine.

    An office, a VPC and their tunnels, with a tour of what they do. Needs Debian or Ubuntu, and root.
    """
    click.echo("+ make demo", err=True)
    done = subprocess.run(["make", "--no-print-directory", "-C", str(ROOT), "demo"], check=False)
    return MATCH if done.returncode == 0 else ERROR
