"""A control group per real host: one host's systemd never sees another's, and all of a host dies at once.

They are `vpclab-hosts/HOST` at the top of the cgroup2 hierarchy and, where a machine mixes both versions, of
systemd's own version 1 hierarchy. Resources are not limited.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from lab.state import PREFIX
from lab.system import LabError, wait_until

_OURS = f"{PREFIX}hosts"


def create(host: str) -> None:
    for hierarchy in _hierarchies():
        try:
            (hierarchy / _OURS / host).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LabError(f"cannot make a control group for {host}: {error}") from error


def join(host: str) -> None:
    """Move this process into the host's control group. Raises FileNotFoundError when that is gone."""
    for hierarchy in _hierarchies():
        (hierarchy / _OURS / host / "cgroup.procs").write_text("0")


def ours() -> list[str]:
    """Hosts that have a control group."""
    return sorted({path.name for top in _hierarchies() for path in (top / _OURS).glob("*/")})


def kill(hosts: list[str]) -> None:
    """kill -9 everything in these hosts' control groups, and wait until it is gone."""
    for host in hosts:
        for hierarchy in _hierarchies():
            switch = hierarchy / _OURS / host / "cgroup.kill"
            if switch.exists():
                switch.write_text("1")
    wait_until(lambda: not any(_populated(host) for host in hosts), 10, f"{', '.join(hosts)} to die")


def remove(host: str) -> None:
    for hierarchy in _hierarchies():
        _remove_tree(hierarchy / _OURS / host)


def remove_all() -> None:
    for hierarchy in _hierarchies():
        _remove_tree(hierarchy / _OURS)


def _hierarchies() -> Iterator[Path]:
    """Where cgroup2 and systemd's version 1 hierarchy are mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, folder, kind, options, *_ = line.split()
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(",")):
            yield Path(folder)


def _populated(host: str) -> bool:
    for hierarchy in _hierarchies():
        events = hierarchy / _OURS / host / "cgroup.events"
        if events.exists() and "populated 1" in events.read_text():
            return True
    return False


def _remove_tree(top: Path) -> None:
    """Remove a control group and those below it; files in there go with their directory."""
    for folder, _, _ in os.walk(top, topdown=False):
        Path(folder).rmdir()
