"""What a run of pyinfra owes whoever typed it: options that do what they say, an exit status that is true, no idling.

pyinfra 3.10 exits 0 after Ctrl-C, after `--limit` with a name that is nobody's, and with `--no-wait` whatever fails;
with `--yes` a dry run finds no changes, ever; and without a terminal its questions end in a traceback. To know an
operation's line number it reads the source of every frame of its call, which for a site of many zones is most of a run
that changes nothing.
"""

import difflib
import inspect
import os
import signal
import sys
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from functools import partial
from pathlib import PurePath
from types import FrameType
from typing import Any, NoReturn

import click
from pyinfra import state
from pyinfra.api import util

from vpc_openvpn import ahead
from vpc_openvpn.output import outlive_reader

DEPLOY = "deploy.py"
INTERRUPTED = 130  # as a shell has it


def check(names: Iterable[str]) -> None:
    """End the run, before it connects anywhere, if its options make no sense; `names` are all hosts and groups.

    From here on Ctrl-C ends it with a status of its own, operations cost no reading of source files, the run goes on
    when the reader of its output is gone, and without a terminal a host that fails ends it instead of a question.
    """
    outlive_reader()
    context = click.get_current_context(silent=True)
    terminal = sys.stdin.isatty()
    if complaint := complaint_about(context.params if context else {}, list(names), terminal=terminal):
        sys.exit(complaint)
    if context and not terminal and state.should_raise_failed_hosts:
        state.should_raise_failed_hosts = lambda _state: True
    signal.signal(signal.SIGINT, _interrupted)
    if not ahead.may_go():
        sys.exit("Nothing was done.")
    vars(util).update(stack=partial(inspect.stack, context=0), getframeinfo=partial(inspect.getframeinfo, context=0))


def complaint_about(options: Mapping[str, Any], names: list[str], *, terminal: bool = True) -> str:
    """What is wrong with pyinfra's options, on a `terminal` or without one; empty if nothing is."""
    for option in ("limit", "exclude"):
        for pattern in options.get(option) or ():
            if not any(fnmatch(name, pattern) for name in names):
                near = difflib.get_close_matches(pattern, names, n=1)
                meant = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}."
                return f"--{option} {pattern}: no host or group is called so; {meant} Nothing was done."
    if options.get("dry") and options.get("yes"):
        return "--dry with --yes (or PYINFRA_YES) shows no changes, whatever would change: leave one of them out."
    words = options.get("operations") or ()
    asks = any(word.endswith(".py") for word in words) and not any(map(options.get, ("yes", "dry", "json_output")))
    if asks and not terminal:
        return (
            "There is no terminal to confirm the changes on. Type -y to make them without a question, or --dry --diff"
            " to see them and change nothing. Nothing was done."
        )
    is_deploy = any(PurePath(word).name == DEPLOY for word in words)
    for option in ("serial", "no_wait"):
        if is_deploy and options.get(option):
            return (
                f"--{option.replace('_', '-')}: tunnels are restarted one zone after the other, and for that the hosts"
                " go through a deploy side by side. Leave it out; --limit restricts a deploy to a zone."
            )
    return ""


def _interrupted(_number: int, _frame: FrameType | None) -> NoReturn:
    # Not by sys.stderr: the signal may have come in the middle of what is written there.
    os.write(2, b"\nInterrupted. Every host is left as far as it got; type the same again to go on from there.\n")
    sys.exit(INTERRUPTED)
