"""Network namespaces: made, entered and removed by the lab's own names for them.

Host `desk` is the namespace `vpclab-desk`, under /run/netns, where the usual tools see it.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from lab.state import PREFIX
from lab.system import run, wait_until

_FOLDER = Path("/run/netns")
# <linux/sched.h>, <linux/prctl.h>
_CLONE_NEWNS, _CLONE_NEWCGROUP, _CLONE_NEWUTS, _CLONE_NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
_CLONE_NEWPID, _CLONE_NEWNET = 0x20000000, 0x40000000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

T = TypeVar("T")


def full_name(host: str) -> str:
    return f"{PREFIX}{host}"


def path(host: str) -> Path:
    return _FOLDER / full_name(host)


def exists(host: str) -> bool:
    return path(host).exists()


def ours() -> list[str]:
    """Hosts that have a namespace, whatever the lab remembers."""
    if not _FOLDER.exists():
        return []
    return sorted(file.name.removeprefix(PREFIX) for file in _FOLDER.glob(f"{PREFIX}*"))


def create(hosts: Iterable[str]) -> None:
    run(["ip", "-batch", "-"], stdin="".join(f"netns add {full_name(host)}\n" for host in hosts))


def delete(hosts: Iterable[str]) -> None:
    """Forget namespaces; the kernel frees them, with rules and routes, when their last process is gone."""
    for host in hosts:
        if path(host).exists():
            run(["ip", "netns", "delete", full_name(host)])


def remove_folder_if_unused() -> None:
    """Undo what the first `ip netns add` on a machine does: /run/netns mounted on itself."""
    if not _FOLDER.exists() or any(_FOLDER.iterdir()):
        return
    while re.search(rf" {_FOLDER} ", Path("/proc/self/mountinfo").read_text()):
        run(["umount", _FOLDER])
    _FOLDER.rmdir()


def ip_batch(host: str, lines: Iterable[str]) -> None:
    """Run `ip` commands in the host's namespace, all or none of them reported."""
    run(["ip", "-n", full_name(host), "-batch", "-"], stdin="\n".join(lines) + "\n")


def ip_batch_forced(host: str, lines: Iterable[str]) -> None:
    """The same, going on after a line that fails: for removing what may be gone already."""
    script = "\n".join(lines) + "\n"
    run(["sh", "-c", 'ip -n "$0" -force -batch - 2>/dev/null || true', full_name(host)], stdin=script)


def inside(host: str, action: Callable[[], T]) -> T:
    """Call `action` in the host's namespace: the sockets that it opens are there, and so is /proc/sys/net.

    It runs in a thread of its own, because it is a thread that enters a namespace, and it cannot come back.
    """
    result: list[T] = []
    failure: list[BaseException] = []

    def enter_and_act() -> None:
        try:
            with path(host).open() as namespace:
                _setns(namespace.fileno(), _CLONE_NEWNET)
            result.append(action())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=enter_and_act)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def run_beside(pid: int, command: list[str]) -> int:
    """Run `command` in all the namespaces of process `pid`; its exit status, as a shell gives it.

    What nsenter does, but for one thing: a host that reboots stops every process before it kills it, and where its
    own child is stopped nsenter stops as well, for good. The child is then never reaped, and the kernel waits for that
    before it lets the host go.

    The host's first process hears of the child's end, as of its own children's: one that shuts down waits until
    none is left, and where it had looked just before that end it would look again only after ten seconds.
    """
    host = os.pidfd_open(pid)
    _setns(host, _CLONE_NEWPID)  # takes effect for children
    child = os.fork()
    if child == 0:
        try:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            _setns(host, _CLONE_NEWNS | _CLONE_NEWUTS | _CLONE_NEWIPC | _CLONE_NEWNET | _CLONE_NEWCGROUP)
            os.execv(command[0], command)
        except OSError as error:
            os.write(2, f"lab: {error}\n".encode())
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the command's to judge
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with suppress(ProcessLookupError):  # the host has gone
        signal.pidfd_send_signal(host, signal.SIGCHLD)
    os.close(host)
    return status if status >= 0 else 128 - status


def _setns(descriptor: int, kinds: int) -> None:
    if _libc.setns(descriptor, kinds) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"cannot enter a host's namespaces: {os.strerror(error)}")


def set_sysctls(host: str, values: dict[str, int]) -> None:
    """Write `net.*` values, by their path below /proc/sys/net."""

    def write() -> None:
        for name, value in values.items():
            Path("/proc/sys/net", name).write_text(f"{value}\n")

    inside(host, write)


def processes() -> dict[str, list[int]]:
    """The pids in each of our namespaces."""
    names: dict[int, str] = {}
    for host in ours():
        with suppress(FileNotFoundError):  # deleted since it was listed
            names[path(host).stat().st_ino] = host
    found: dict[str, list[int]] = defaultdict(list)
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            inode = (entry / "ns/net").stat().st_ino
        except OSError:
            continue  # it has ended meanwhile, or is a zombie
        if inode in names:
            found[names[inode]].append(int(entry.name))
    return found


def kill_processes(hosts: Iterable[str]) -> None:
    """kill -9 everything in these namespaces but this very process, and wait until it is gone."""
    wanted = set(hosts)

    def none_left() -> bool:
        found = [pid for host, pids in processes().items() if host in wanted for pid in pids]
        left = [pid for pid in found if pid != os.getpid()]
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    wait_until(none_left, 10, f"the processes of {', '.join(sorted(wanted))} to end")


def init_pid(pids: Iterable[int]) -> int | None:
    """Among a host's pids, that of its init: the one that is 1 in a pid namespace of its own."""
    for pid in pids:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        numbers = re.search(r"^NSpid:\s+(.*)$", status, re.MULTILINE)
        if numbers and len(inner := numbers[1].split()) > 1 and inner[-1] == "1":
            return pid
    return None
