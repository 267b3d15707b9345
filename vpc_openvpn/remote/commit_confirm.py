"""A change that may lock its author out: it takes effect on trial, and stays if a new ssh connection says so.

A timer on the host, armed before the change, undoes it unless it is confirmed. The connection that made it
proves nothing: a firewall lets established connections live.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import gevent
from pyinfra import logger
from pyinfra.api import FunctionCommand, Host, StringCommand
from pyinfra.api import State as PyinfraState
from pyinfra.api.exceptions import ConnectError
from pyinfra.connectors.base import BaseConnector
from pyinfra.connectors.util import CommandOutput

from vpc_openvpn.remote.files import Directory, File, written
from vpc_openvpn.text import printable

PATIENCE = 12  # seconds for the change itself; one that cuts its own connection never answers
GLANCE = 3  # seconds for what is good to know


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried, as `files` on the host: the shell command `begin` makes the change and arms the timer, `keep`, run
    in time, lets it stay. Until then the file `pending` exists. `seconds`: until it is undone. `advice` ends the
    message for an operator who was locked out.
    """

    files: Sequence[File | Directory]
    begin: str
    keep: str
    pending: str
    seconds: int
    advice: str


def tried(trial: Trial) -> FunctionCommand:
    """The command that makes the change and sees whether a new connection reaches the host; it fails otherwise."""

    def try_out(state: PyinfraState, host: Host) -> bool:
        if complaint := _complaint(trial, state, host):
            host.log_styled(printable(complaint), fg="red", log_func=logger.error)
        return not complaint

    return FunctionCommand(try_out, (), {})


def _complaint(trial: Trial, state: PyinfraState, host: Host) -> str:
    change = written(trial.files)
    change.steps.append(trial.begin)
    [command] = change.commands
    try:
        begun = _run(host.connector, host, command, PATIENCE)
    except (OSError, EOFError):  # a TimeoutError is one
        begun = ""  # the change may have cut this connection; a new one tells
    if begun:
        return f"could not try the change out:\n{begun}"
    fresh = type(host.connector)(state, host)
    try:
        fresh.connect()
    except ConnectError as error:
        return (
            f"this change would lock you out: {error}. It undoes itself within {trial.seconds} s, and nothing on the"
            f" disk was changed.{_origin(host)} {trial.advice}"
        )
    try:
        # A slow host may still be at the change, which keeps this waiting; what undoes itself ends the wait.
        kept = _run(fresh, host, StringCommand(trial.keep), trial.seconds)
    except (OSError, EOFError) as error:
        kept = str(error) or "no answer"
    finally:
        fresh.client.close()  # type: ignore[attr-defined]
    return f"the change has undone itself: a new ssh connection could not keep it in time: {kept}" if kept else ""


def _origin(host: Host) -> str:
    """Where the host sees its operator, if the connection that was there before still knows."""
    asked = StringCommand('echo "${SSH_CONNECTION%% *}"')
    try:
        ok, output = _ask(host.connector, asked, GLANCE)
    except (OSError, EOFError):
        return ""
    return f" This host sees you come from {output.stdout}." if ok and output.stdout else ""


def _run(connector: BaseConnector, host: Host, command: StringCommand, seconds: int) -> str:
    """What is wrong; empty if the command succeeds."""
    ok, output = _ask(connector, command, seconds, _sudo=host.data.get("_sudo", False))
    return "" if ok else (output.stderr or output.stdout or "it failed without a word")


def _ask(
    connector: BaseConnector, command: StringCommand, seconds: int, **arguments: bool
) -> tuple[bool, CommandOutput]:
    # On a connection that is dead, even to begin a command takes for ever.
    with gevent.Timeout(seconds, TimeoutError):
        return connector.run_shell_command(
            command, print_output=False, print_input=False, **command.connector_arguments, **arguments
        )
