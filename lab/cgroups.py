"""A control group per real host: one host's systemd never sees another's, and all of a host dies at once.

They are `vpclab-hosts/HOST` at the top of the cgroup2 hierarchy and, where a machine mixes both versions, of
systemd's own version 1 hierarchy. Resources are not limited.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lab.state import PREFIX
from lab.system import LabError, wait_until

_OURS = f"{PREFIX}hosts"


def create(host: str) -> None:
    for hierarchy in hierarchies():
        try:
            (hierarchy / _OURS / host).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LabError(f"cannot make a control group for {host}: {error}") from error


def join(host: str) -> None:
    """Move this process into the host's control group. Raises FileNotFoundError when that is gone."""
    for hierarchy in hierarchies():
        (hierarchy / _OURS / host / "cgroup.procs").write_text("0")


def ours() -> list[str]:
    """Hosts that have a control group."""
    return sorted({path.name for top in hierarchies() for path in (top / _OURS).glob("*/")})


def kill(hosts: list[str]) -> None:
    """kill -9 everything in these hosts' control groups, and wait until it is gone."""
    groups = [hierarchy / _OURS / host for host in hosts for hierarchy in hierarchies()]
    wait_until(lambda: not [group for group in groups if _killed(group)], 10, f"{', '.join(hosts)} to die")


def remove(host: str) -> None:
    for hierarchy in hierarchies():
        _remove_tree(hierarchy / _OURS / host)


def remove_all() -> None:
    for hierarchy in hierarchies():
        _remove_tree(hierarchy / _OURS)


def hierarchies() -> Iterator[Path]:
    """Where cgroup2 and systemd's version 1 hierarchy are mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, folder, kind, options, *_ = line.split()
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(",")):
            yield Path(folder)


def _killed(top: Path) -> bool:
    """kill -9 all processes in and below a group; whether there were any."""
    switch, events = top / "cgroup.kill", top / "cgroup.events"
    if switch.exists():
        with suppress(FileNotFoundError):
            switch.write_text("1")
            return "populated 1" in events.read_text()
        return False
    found = False  # version 1 has no switch
    for folder, _, _ in os.walk(top):
        with suppress(FileNotFoundError, ProcessLookupError):
            for pid in (Path(folder) / "cgroup.procs").read_text().split():
                found = True
                os.kill(int(pid), signal.SIGKILL)
    return found


def _remove_tree(top: Path) -> None:
    """Remove a control group and those below it; files in there go with their directory.

    A host that was just starting may join one hierarchy's group when the other's has been killed.
    """
    wait_until(lambda: not _killed(top) and _removed(top), 10, f"the processes in {top} to die")


def _removed(top: Path) -> bool:
    for folder, _, _ in os.walk(top, topdown=False):
        try:
            Path(folder).rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return False
    return True
