"""Completion of verbs, options, zones and hosts, for a shell."""

import click
from click.shell_completion import get_completion_class

from vpc_openvpn.site.load import ROOT

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    It completes verbs, options, zones and hosts.

    \b
    bash, in ~/.bashrc:      eval "$(/path/to/vpc completion bash)"
    zsh, in ~/.zshrc:        eval "$(/path/to/vpc completion zsh)"
    fish, in config.fish:    /path/to/vpc completion fish | source
    """
    root = click.get_current_context().find_root()
    kind = get_completion_class(shell)
    assert kind is not None
    text = kind(root.command, {}, "vpc", "_VPC_COMPLETE").source()
    # A shell may be anywhere, and the command need not be on its PATH.
    click.echo(text.replace("_VPC_COMPLETE=bash_complete $1", f"_VPC_COMPLETE=bash_complete {ROOT / 'vpc'}"))
