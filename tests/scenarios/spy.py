"""Sees every command that a host runs and every file that it writes: what a leak of key material would show in.

It traces the host's processes from outside, all of them and all that they start, so that nothing is too short-lived to
be seen: `strace` reports each execve with its arguments and environment, each write with its content, and each umask,
creation mode and chmod, from which follows who could read a file at any instant.
"""

import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tests.scenarios.harness import Host

_CALLS = (
    "execve,openat,open,creat,umask,chmod,fchmod,fchmodat,rename,renameat,renameat2,"
    "write,writev,pwrite64,sendto,sendmsg,clone,clone3,fork,vfork"
)
_USUAL_UMASK = 0o022  # of processes that were there before
_CALL = re.compile(r"^(\d+) +(\w+)\((.*)$")
_CHILD = re.compile(r"^(\d+) .*\b(?:clone3?|v?fork)\b.* = \d+ /\* (\d+) in strace's PID NS \*/$")
_CREATED = re.compile(r'^(?:AT_FDCWD|\d+)<([^>]*)>, "([^"]*)", [^"]*O_CREAT[^"]*, (0\d*)')
_CHMOD = re.compile(r'^(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?(?:"([^"]*)", )?(0\d+)')
_RENAME = re.compile(r'^(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"([^"]*)", (?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"([^"]*)"')
_FILE = re.compile(r"^\d+<(/[^>]*)>")


@dataclass
class Sightings:
    """Where a secret was seen.

    In the arguments or the environment of `commands`, in `messages` to other processes, and in files, by path, with
    every mode that the file ever had.
    """

    commands: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    modes: dict[str, set[int]] = field(default_factory=dict)

    def open_to_others(self) -> list[str]:
        """The files that, at some instant, others than their owner could read."""
        return [path for path, modes in self.modes.items() if any(mode & 0o077 for mode in modes)]


class Trace:
    """What a host did while it was watched."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        self._parents = {int(m[2]): int(m[1]) for line in self.lines if (m := _CHILD.match(line))}
        self._umasks: dict[int, int] = {}

    def sightings(self, secrets: Sequence[str]) -> Sightings:
        """Every place that any of `secrets` was in."""
        seen, modes = Sightings(), dict[str, set[int]]()
        holding = set[str]()
        self._umasks = {}
        for line in self.lines:
            match = _CALL.match(line)
            if not match:
                continue
            pid, call, rest = int(match[1]), match[2], match[3]
            umask = self._umask(pid)
            if call == "umask":
                self._umasks[pid] = int(rest[:5].rstrip(") <"), 8)
            elif call in ("open", "openat", "creat") and (created := _CREATED.match(rest)):
                path = _path(created[1], created[2])
                modes[path] = {int(created[3], 8) & ~umask}
            elif call in ("chmod", "fchmod", "fchmodat") and (changed := _CHMOD.match(rest)):
                fd = _FILE.match(rest)
                path = _path(changed[1], changed[2]) if changed[2] else fd[1] if fd else ""
                modes.setdefault(path, set()).add(int(changed[3], 8))
            elif call.startswith("rename") and (moved := _RENAME.match(rest)):
                old, new = _path(moved[1], moved[2]), _path(moved[3], moved[4])
                # What the file becomes under its new name counts for the old one too, and the reverse.
                modes[new] = modes.setdefault(old, set())
                if old in holding:
                    holding.add(new)
            if any(secret in line for secret in secrets):
                self._note(seen, holding, call, rest)
        seen.modes = {path: modes.get(path, set()) for path in holding}
        return seen

    @staticmethod
    def _note(seen: Sightings, holding: set[str], call: str, rest: str) -> None:
        file = _FILE.match(rest)
        if call == "execve":
            seen.commands.append(rest)
        elif file:
            holding.add(file[1])
        elif "<pipe:" not in rest[:20]:
            seen.messages.append(rest)

    def _umask(self, pid: int) -> int:
        if pid not in self._umasks:
            parent = self._parents.get(pid)
            self._umasks[pid] = self._umask(parent) if parent is not None else _USUAL_UMASK
        return self._umasks[pid]


@contextmanager
def watching(host: Host) -> Iterator[list[Trace]]:
    """Trace all that `host` does until the block ends; then the list holds the trace."""
    traces: list[Trace] = []
    namespace = host.succeeds("readlink /proc/self/ns/net").strip()
    pids = _processes_in(namespace)
    assert pids, f"{host.name} has no processes"
    with tempfile.TemporaryDirectory() as folder:
        output, messages = Path(folder, "trace"), Path(folder, "messages")
        command = ["strace", "-f", "-y", "-v", "-s", "100000", "--pidns-translation", "-o", str(output)]
        command += ["-e", f"trace={_CALLS}", *(f"--attach={pid}" for pid in pids)]
        with messages.open("w") as file:
            tracer = subprocess.Popen(command, stdout=file, stderr=file)
        try:
            deadline = time.monotonic() + 10
            while messages.read_text().count(" attached") < len(pids):
                assert tracer.poll() is None and time.monotonic() < deadline, messages.read_text()
                time.sleep(0.05)
            yield traces
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(timeout=30)
        traces.append(Trace(output.read_text(errors="replace")))


def _path(folder: str | None, name: str) -> str:
    """What a call names, seen from the directory that it names it from."""
    return str(PurePosixPath(folder or "/") / name)


def _processes_in(namespace: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str((entry / "ns/net").readlink()) == namespace:
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended
    return found
