"""What each run of pyinfra begins with: options that do what they say, a true exit status, the hosts' keys, no idling.

pyinfra 3.10 exits 0 after Ctrl-C, after a refusal to change anything, after `--limit` with a name that no host has, and
with `--no-wait` whatever fails; with `--yes` a dry run finds no changes, ever; and without a terminal its questions end
in a traceback. To know an operation's line number it reads the source of every frame of its call, which for a site of
many zones is most of a run that changes nothing.
"""

import difflib
import inspect
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from fnmatch import fnmatch
from functools import partial
from pathlib import Path, PurePath
from shlex import quote
from types import FrameType
from typing import Any, NoReturn

import click
import gevent
from gevent.socket import wait_read
from pyinfra import inventory, logger, state
from pyinfra.api import util

from vpc_openvpn import terminal
from vpc_openvpn.output import outlive_reader
from vpc_openvpn.remote import shell
from vpc_openvpn.ssh import host_keys, ssh_keys

DEPLOY = "deploy.py"
INTERRUPTED = 130  # as a shell has it
ROOT = Path(__file__).resolve().parents[1]

_begun: list[bool] = []
_groups: dict[str, Collection[str]] = {}  # of the inventory's hosts


def begin() -> None:
    """End the run if its options make no sense, and set pyinfra up. `config.py` calls it, before there are hosts.

    From here on: Ctrl-C ends the run with status 130, and so does Ctrl-D at the question whether to make the changes;
    another refusal is status 1; a reader of its output that goes away does not end it; ssh keys and known_hosts are
    read as `vpc_openvpn.ssh` does; every remote command goes by `remote.shell`; operations read no source files; hosts
    that an operation does not concern are not listed.
    """
    outlive_reader()
    begun_by = terminal.take_over()
    if complaint := complaint_about(_options(), terminal=terminal.answers()):
        sys.exit(complaint)
    signal.signal(signal.SIGINT, _interrupted)
    from pyinfra_cli import cli as pyinfra_cli  # not for the tests: its import changes how a process waits

    vars(pyinfra_cli).update(_do_confirm=partial(agreed, pyinfra_cli._do_confirm))
    ssh_keys.adopt()
    host_keys.adopt()
    shell.install()
    vars(util).update(stack=partial(inspect.stack, context=0), getframeinfo=partial(inspect.getframeinfo, context=0))
    logger.addFilter(_concerns)
    logger.addFilter(_advice)
    logger.addFilter(_plain)
    if begun_by is not None:
        gevent.spawn(_end_with, begun_by)
    _begun.append(True)


def check(hosts: Mapping[str, Collection[str]]) -> None:
    """End the run if it has not begun by `begin`, or if an option names no host or group of `hosts`, each of which has
    its groups beside it.

    Without a terminal a host that fails ends the run from here on: only by now has pyinfra chosen to ask a question.
    """
    if not _begun:
        sys.exit(
            f"pyinfra has not read {ROOT / 'config.py'}. Type: cd {quote(str(ROOT))}    (or: pyinfra --chdir"
            f" {quote(str(ROOT))} …)"
        )
    if complaint := unknown_host(_options(), [*hosts, *{group for groups in hosts.values() for group in groups}]):
        sys.exit(complaint)
    _groups.update(hosts)
    if not terminal.answers() and state.should_raise_failed_hosts:
        state.should_raise_failed_hosts = lambda _state: True


def _options() -> Mapping[str, Any]:
    context = click.get_current_context(silent=True)
    return context.params if context else {}


def concerned(names: Iterable[str], options: Mapping[str, Any] | None = None) -> list[str]:
    """Those of the hosts `names`, which `check` has seen, that pyinfra's `options` let this run connect to: this run's,
    unless they are given.
    """
    options = _options() if options is None else options
    if [*(options.get("operations") or ())][:1] == ["debug-inventory"]:
        return []

    def named(name: str, option: str) -> bool:
        return any(fnmatch(each, word) for word in options.get(option) or () for each in (name, *_groups.get(name, ())))

    return [name for name in names if (not options.get("limit") or named(name, "limit")) and not named(name, "exclude")]


def unknown_host(options: Mapping[str, Any], names: list[str]) -> str:
    """Which of pyinfra's options names none of `names`; empty if all do."""
    for option in ("limit", "exclude"):
        for pattern in options.get(option) or ():
            if not any(fnmatch(name, pattern) for name in names):
                near = difflib.get_close_matches(pattern, names, n=1)
                meant = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}."
                return f"--{option} {pattern}: no host or group is called so; {meant} Nothing was done."
    return ""


def complaint_about(options: Mapping[str, Any], *, terminal: bool = True) -> str:
    """What is wrong with pyinfra's options, on a `terminal` or without one; empty if nothing is."""
    if options.get("dry") and options.get("yes"):
        return "--dry with --yes (or PYINFRA_YES) shows no changes, whatever would change: leave one of them out."
    words = options.get("operations") or ()
    asks = any(word.endswith(".py") for word in words) and not any(map(options.get, ("yes", "dry", "json_output")))
    if asks and not terminal:
        return (
            "There is no terminal to confirm the changes on. Type -y to make them without a question, or --dry --diff"
            " (./vpc plan) to see them and change nothing. Nothing was done."
        )
    is_deploy = any(PurePath(word).name == DEPLOY for word in words)
    for option in ("serial", "no_wait"):
        if is_deploy and options.get(option):
            return (
                f"--{option.replace('_', '-')}: tunnels are restarted one zone after the other, and for that the hosts"
                " go through a deploy side by side. Leave it out; --limit restricts a deploy to a zone."
            )
    return ""


def agreed(question: Callable[[str], bool], text: str) -> bool:
    """Whether the operator agrees to what pyinfra asks by `question`. A refusal to change anything ends the run."""
    try:
        agrees, status = question(text), 1
    except EOFError:
        agrees, status = False, INTERRUPTED
    if not agrees and text.startswith("Detected changes"):
        click.echo("\nNothing was changed. To make the changes, press Enter alone, or type -y.", err=True)
        sys.exit(status)
    return agrees


def _interrupted(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))  # a second one, while the run ends
    # Not by sys.stderr: the signal may have come in the middle of what is written there.
    os.write(2, b"\nInterrupted. Every host is left as far as it got; type the same again to go on from there.\n")
    sys.exit(INTERRUPTED)


def _end_with(begun_by: int) -> None:
    """As Ctrl-C, once the process that has begun this run is gone: kill -9 leaves it no time to say so."""
    wait_read(begun_by)
    os.kill(os.getpid(), signal.SIGINT)


def _concerns(record: logging.LogRecord) -> bool:
    """Not what pyinfra says of hosts that an operation passes over: where it goes zone by zone, that is most."""
    return click.unstyle(record.getMessage()).rpartition("] ")[2].strip() != "Skipped"


def _advice(record: logging.LogRecord) -> bool:
    """What pyinfra says of a changed host key takes the user's own known_hosts for granted."""
    message = record.getMessage()
    if message.lstrip().startswith("ssh-keygen -R "):
        file = next(iter(inventory)).data.ssh_known_hosts_file
        record.msg = (
            f"{message} -f {quote(str(file))}\n"
            "    after comparing the new key's fingerprint with the one on the host's (the cloud's) console.\n"
            "For a machine that replaces another, ./vpc rebuild does both, and goes on from there."
        )
        record.args = None
    return True


def _plain(record: logging.LogRecord) -> bool:
    """What ends a run begins with what is wrong, not with where in the cookbook that was found."""
    record.msg, record.args = re.sub(r"pyinfra error in \S+ line \d+", "Failed", record.getMessage()), None
    return True
