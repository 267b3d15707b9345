"""Completion of verbs, options, zones and hosts, for a shell."""

import re
import shlex

import click
from click.shell_completion import get_completion_class

from vpc_openvpn.command import COMPLETE
from vpc_openvpn.site.load import ROOT

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    It completes verbs, options, zones and hosts.

    \b
    bash, in ~/.bashrc:      eval "$(/path/to/vpc completion bash)"
    zsh, behind compinit:     eval "$(/path/to/vpc completion zsh)"
    fish, in config.fish:    /path/to/vpc completion fish | source
    """
    root = click.get_current_context().find_root()
    kind = get_completion_class(shell)
    assert kind is not None
    text = kind(root.command, {}, "vpc", COMPLETE).source()
    # click takes the command to be on the PATH, and asks whether it is.
    text = re.sub(r"(?m)^.*commands\[vpc\].*\n", "", text)
    click.echo(re.sub(r" (\$1|vpc)(?=[;)])", f" {shlex.quote(str(ROOT / 'vpc'))}", text))
