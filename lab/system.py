"""Running other programs, and errors that a user reads."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# Program → the Debian and Ubuntu package that brings it.
TOOLS = {
    "ip": "iproute2",
    "nft": "nftables",
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "dpkg-deb": "dpkg",
    "ssh-keygen": "openssh-client",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "mount": "mount",
    # What a desk cannot be without; the lab itself does not use it.
    "ping": "iputils-ping",
}

# The same, where hosts are virtual machines.
MACHINE_TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "mke2fs": "e2fsprogs",
}


class LabError(Exception):
    """Something that the user must know; its text is the whole message."""


# Descriptors of the locks that this process holds. What `run` has begun holds them as well: it may outlive us.
HELD: set[int] = set()


def run(command: Sequence[str | Path], *, stdin: str | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a program and return what it printed; raise LabError with its complaint when it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, input=stdin, env=env, capture_output=True, text=True, check=False, pass_fds=[*HELD])
    if done.returncode != 0:
        complaint = (done.stderr or done.stdout).strip()
        raise LabError(f"`{shlex.join(words)}` failed with status {done.returncode}:\n{complaint}")
    return done.stdout


def require_tools(tools: Mapping[str, str]) -> None:
    """Raise LabError that names every missing tool and the command that installs them."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        packages = " ".join(sorted({tools[tool] for tool in missing}))
        raise LabError(f"this machine lacks {', '.join(missing)}. Install with:\n  apt-get install {packages}")
    if not Path("/dev/net/tun").exists():
        raise LabError("this machine has no /dev/net/tun, which OpenVPN needs. Try:\n  modprobe tun")


# What the lab needs of the kernel → a command that fails where it is lacking, in a network namespace of its own.
KERNEL = {
    "veth": "ip link add one type veth peer name other",
    "bridge": "ip link add switch type bridge",
    "policy routing": "ip rule add priority 1 lookup 1",
    "overlay": "grep -qw overlay /proc/filesystems || modprobe overlay",
    "nf_tables": "nft add table ip probe",
    "nf_tables' nat and connection tracking": (
        "nft 'add table ip probe; add chain ip probe nat { type nat hook postrouting priority 0; };"
        " add rule ip probe nat ct state new masquerade'"
    ),
}
_OWN_SYSCTL = Path("/proc/sys/net/ipv4/ip_forward")


def require_kernel() -> None:
    """Raise LabError that names what the lab may not do here, or what the kernel cannot."""
    if not os.access(_OWN_SYSCTL, os.W_OK):
        raise LabError(
            "/proc/sys is read-only here, as in a container, and the lab's hosts have to set sysctls of their own: use"
            " a machine, real or virtual, or a container with `--privileged`"
        )
    script = "\n".join(f"({command}) >/dev/null 2>&1 || echo {shlex.quote(what)}" for what, command in KERNEL.items())
    lacking = run(["unshare", "--net", "--mount", "sh", "-c", script]).splitlines()
    if lacking:
        raise LabError(f"this machine's kernel lacks {', '.join(lacking)}: load its modules, or boot another kernel")


INOTIFY_OF_A_HOST = 7  # instances: systemd has five, D-Bus and systemd-logind one each


def require_room(hosts: int) -> None:
    """Raise LabError where this machine cannot boot so many hosts more. One that finds no room hangs."""
    needed = hosts * INOTIFY_OF_A_HOST
    free = _free_inotify_instances(needed)
    if free < needed:
        raise LabError(
            f"to boot {hosts} hosts takes {needed} inotify instances, and this machine has {free} left. Stop another"
            " lab with `python -m lab down`, or allow more:\n  sysctl -w fs.inotify.max_user_instances=1024"
        )


def _free_inotify_instances(most: int) -> int:
    """How many the user may still make; `most` if it is so many or more. The kernel does not say: they are made."""
    libc = ctypes.CDLL(None)
    made: list[int] = []
    try:
        while len(made) < most and (file := libc.inotify_init1(os.O_CLOEXEC)) >= 0:
            made.append(file)
    finally:
        for file in made:
            os.close(file)
    return len(made)


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll `condition` until it holds; raise LabError that says `what` did not happen within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.02)
