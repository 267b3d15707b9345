"""`./vpc --help` shows one whole sentence for each verb."""

import click
import pytest
from click.testing import CliRunner

from vpc_openvpn.command.__main__ import vpc
from vpc_openvpn.command.identities import identities
from vpc_openvpn.command.recipients import recipients

LONGEST = 45  # characters, after which click truncates


@pytest.mark.parametrize("group", [vpc, identities, recipients], ids=["vpc", "identities", "recipients"])
def test_help_truncates_no_sentence(group: click.Group) -> None:
    shown = CliRunner().invoke(group, ["--help"], terminal_width=80).output
    context = click.Context(group)
    for verb in group.list_commands(context):
        command = group.get_command(context, verb)
        assert command is not None and command.help is not None
        sentence = command.help.splitlines()[0]
        assert len(sentence) <= LONGEST and sentence.endswith(".") and f"{verb} " in shown and sentence in shown
