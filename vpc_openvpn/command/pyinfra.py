"""Runs of pyinfra, each typed as a user would type it, and shown."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

import click

from vpc_openvpn import terminal
from vpc_openvpn.command import ERROR, INTERRUPTED
from vpc_openvpn.identities.store import Store
from vpc_openvpn.site.load import ROOT
from vpc_openvpn.site.plan import HostPlan

INVENTORY, DEPLOY = "inventory.py", "deploy.py"
# Names of files in the environment, which stay right in another folder.
FILES = ("SITE", "IDENTITIES", "AGE_IDENTITY_FILE")


def words(deploy: str, *options: str, limits: Sequence[str] = ()) -> list[str]:
    """A command line of pyinfra's, for the cookbook's folder."""
    return ["pyinfra", INVENTORY, deploy, *options, *(word for limit in limits for word in ("--limit", limit))]


def run(deploy: str, *options: str, limits: Sequence[str] = ()) -> int:
    """Run it on the user's own terminal; its exit status, as ours: 0, 1 or 130."""
    command = words(deploy, *options, limits=limits)
    show(command)
    interrupted = False
    with begun() as how, subprocess.Popen(program(command), **how) as process:
        while True:
            try:
                status = process.wait()
            except KeyboardInterrupt:
                interrupted = True  # it has had the same signal, and says how far it got
                continue
            break
    if status and interrupted:
        return INTERRUPTED
    return status if status in (0, INTERRUPTED) else ERROR


@contextmanager
def begun() -> Iterator[dict[str, Any]]:
    """How a process that runs pyinfra is begun: where, with what environment, and with the passphrases of this line."""
    with terminal.handed_on() as (more, descriptors):
        yield {"cwd": ROOT, "env": {**environment(), **more}, "pass_fds": descriptors}


def ask_passphrases(store: Store, plans: Mapping[str, HostPlan]) -> None:
    """Ask for the passphrases that runs for these hosts need, so that none of those asks: several, or two at once."""
    from vpc_openvpn.ssh import ssh_keys  # takes half a second, which --help need not wait for

    store.ask_passphrases(plans)
    for key in {plan.ssh.key for plan in plans.values() if plan.ssh.key}:
        ssh_keys.load(key)
    terminal.asked_for_all()


def program(command: Sequence[str]) -> list[str]:
    """What the system runs for a command line that begins with `pyinfra`: this environment's."""
    return [sys.executable, "-m", *command]


def show(command: Sequence[str]) -> None:
    """Say what is run, on standard error, as it may be typed in the current folder."""
    typed = shlex.join(command if which("pyinfra") else [".venv/bin/pyinfra", *command[1:]])
    here = Path.cwd() == ROOT
    # In the same shell the others are as they were; a site file is often given to one command alone.
    given = {name: value for name, value in environment().items() if name in (FILES[:1] if here else FILES)}
    typed = "".join(f"{name}={shlex.quote(value)} " for name, value in given.items()) + typed
    if not here:
        typed = f"(cd {shlex.quote(str(ROOT))} && {typed})"
    click.echo(f"+ {typed}", err=True)


def environment() -> Mapping[str, str]:
    """This process's, with names of files still right in the cookbook's folder."""
    # Not resolve(): the folder of a link counts, for what a site file names relative to itself.
    found = {name: os.path.abspath(value) for name in FILES if (value := os.environ.get(name))}  # noqa: PTH100
    return {**os.environ, **found}
