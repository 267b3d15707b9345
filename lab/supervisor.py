"""The process that runs one real host: `python -m lab.supervisor HOST`.

It boots the host and, when the host reboots itself, first gives it a fresh network namespace, as a reboot
gives a fresh kernel. When the host powers itself off, its network goes and so does this process.

The host's disk is mounted only in a mount namespace that ends with the host, so that however it dies there is
nothing to unmount on the machine, and no dead mount that the next boot could share a layer with.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lab import cgroups, namespaces, network, state
from lab.layout import Host
from lab.state import CACHE, Disk

# systemd-nspawn's way to say that the host wants to be booted again.
_REBOOT = 133

# In a new mount namespace: mount the layers $1 at $2, then exec the remaining arguments.
_WITH_DISK = [
    "unshare",
    "--mount",
    "--propagation=slave",
    "sh",
    "-c",
    'mount -t overlay overlay -o "$1" "$2" && shift 2 && exec "$@"',
    "boot",
]

# What the host runs as its first process: Debian's initramfs has mounted /run so when it starts systemd.
_INIT = ["sh", "-c", "mount -o remount,nosuid,nodev,noexec /run && exec /sbin/init"]


def main(host_name: str) -> int:
    cgroups.join(host_name)
    lab = state.load()
    if lab is None:
        return 0  # `down` was here between our start and this line
    host, disk = lab.layout.hosts[host_name], state.disk(host_name)
    while (status := _boot(host, disk, CACHE / lab.base / "root")) == _REBOOT:
        _unplug(host)
        network.plug_in([host])
    _unplug(host)
    return status


def _unplug(host: Host) -> None:
    namespaces.kill_processes([host.name])
    network.unplug(host)


def _boot(host: Host, disk: Disk, base: Path) -> int:
    layers = f"lowerdir={base},upperdir={disk.upper},workdir={disk.work}"
    command = [
        "systemd-nspawn",
        "--quiet",
        f"--directory={disk.root}",
        f"--machine={namespaces.full_name(host.name)}",
        f"--hostname={host.hostname}",
        f"--network-namespace-path={namespaces.path(host.name)}",
        # The machine may have no systemd to register with, and its restart is ours to do.
        "--register=no",
        "--keep-unit",
        "--console=pipe",
        "--capability=CAP_NET_ADMIN,CAP_NET_RAW",
        "--bind=/dev/net/tun",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        *_INIT,
    ]
    environment = {
        "PATH": os.environ["PATH"],
        # A host may write its own net.* sysctls, and sees cgroup2 whatever the machine has.
        "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
        "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
    }
    words = [*_WITH_DISK, layers, str(disk.root), *command]
    return subprocess.run(words, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
