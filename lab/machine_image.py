"""What virtual machines boot: Debian as its cloud images have it, with its own kernel and initramfs.

A build has `disk.img` (an ext4 file system, made without mounting anything), `kernel`, `initramfs`, and `packages`, as
a container's has. Hosts have layers of their own over `disk.img`.
"""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

from lab import image
from lab.image import BASE_PACKAGES, Recipe
from lab.system import LabError, run

DISK_SIZE = "4G"  # of which a blank host takes 0.6

# What Debian's cloud images have beside; the guest agent is the lab's, for a console of a machine without network.
PACKAGES = (
    *BASE_PACKAGES,
    "cloud-initramfs-growroot",
    "initramfs-tools",
    "libnss-resolve",
    "libpam-systemd",
    "linux-image-cloud-amd64",
    "qemu-guest-agent",
    "systemd-resolved",
)

_FILES = {
    "etc/fstab": "/dev/vda / ext4 errors=remount-ro 0 1\n",
    # Asking for other clouds' data takes time, and answers nothing here.
    "etc/cloud/cloud.cfg.d/90_lab.cfg": "datasource_list: [NoCloud]\n",
}


def ensure(release: str | None = None) -> Path:
    """The directory of the build; makes it when there is none (two minutes or so)."""
    if platform.freedesktop_os_release().get("ID") != "debian" or platform.machine() != "x86_64":
        raise LabError(
            "virtual machines boot Debian's kernel, from apt: they take Debian on amd64. Without --machines:\n"
            "  python -m lab up"
        )
    return image.ensure(release, Recipe(Path(__file__), PACKAGES, _finish))


def _finish(build: Path) -> None:
    root = build / "root"
    for name, text in _FILES.items():
        (root / name).write_text(text)
    (root / "etc/machine-id").write_text("")  # each host makes its own
    for name, pattern in (("kernel", "vmlinuz-*"), ("initramfs", "initrd.img-*")):
        [found] = (root / "boot").glob(pattern)
        shutil.copy(found, build / name)
    disk = build / "disk.img"
    run(["mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", root, disk, DISK_SIZE])
    shutil.rmtree(root)
