"""Real hosts as virtual machines, with what containers cannot show: a kernel, an initramfs, udev, a boot of their own.

QEMU runs in the host's control group and in its network namespace, which is empty: the machine's interfaces are taps
in the lab's networks, plugged in where a container's cables are. `python -m lab.machine HOST` becomes QEMU.

What it prints while it boots is in its console.log; commands run by its guest agent, which needs no network.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from lab import agent, cgroups, namespaces, state
from lab.disk import files
from lab.layout import Cable, Host
from lab.state import CACHE, Disk
from lab.system import LabError, run

BOOT_SECONDS = 300  # emulated, a boot takes one minute, and three where hosts and other work share two cores
KVM_DEVICE = Path("/dev/kvm")
PROBE_SECONDS = 10  # the kernel alone takes one second where KVM works, three emulated
PAUSE = 1  # seconds until a host is asked again: each question costs an emulated one half a second of its boot
MEMORY = "512M"
KVM, EMULATION = "kvm", "tcg,thread=multi"
_CPUS = {KVM: "host", EMULATION: "qemu64"}  # what a CPU can do beyond that is emulated more slowly

# <linux/if_tun.h>
_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000


def fitting_accelerator(build: Path) -> str:
    """QEMU's -accel for this machine: KVM where a kernel boots under it, emulation elsewhere.

    That /dev/kvm is there, opens and answers does not say so: there are machines on which a guest then hangs.
    """
    if KVM_DEVICE.exists():
        command = ["qemu-system-x86_64", "-accel", KVM, *_NO_DEVICES, "-no-reboot", "-serial", "stdio"]
        command += ["-m", MEMORY, "-kernel", str(build / "kernel"), "-append", "console=ttyS0 panic=-1"]
        try:
            # Without a root file system it panics, reboots and so ends.
            said = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=PROBE_SECONDS,
                check=True,
            ).stdout
        except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
            said = b""
        if b"Linux version" in said:
            return KVM
    return EMULATION


# --- disk and seed ---------------------------------------------------------------------------------------------------


def make_disk(host: Host, authorized_key: str) -> None:
    """A blank disk over the base image, and for its first boot a name, a host key, addresses and who may log in.

    The office's router lets root log in, a NAT `admin`. The router's own rules and sysctls are in force when cloud-init
    has done its work.
    """
    disk = state.disk(host.name)
    disk.seed.mkdir(parents=True)
    lab = state.load()
    assert lab is not None
    base = CACHE / lab.base / "disk.img"
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", disk.device])
    user: dict[str, Any] = {"name": "root"} if host.kind == "office" else _ADMIN
    user_data = {
        "users": [user | {"ssh_authorized_keys": [authorized_key]}],
        "disable_root": host.kind != "office",
        "manage_etc_hosts": True,
        "locale": "C.UTF-8",  # it would generate another one, for a minute
        "ssh_keys": {
            "ed25519_private": disk.host_key.read_text(),
            "ed25519_public": disk.host_key.with_suffix(".pub").read_text(),
        },
        "write_files": [
            {"path": f"/{path}", "content": text} for path, text in files(host).items() if path not in _CLOUD_INITS
        ],
        "runcmd": _ROUTER_COMMANDS if host.kind == "office" else [],
    }
    documents = {
        "meta-data": {"instance-id": f"i-{uuid.uuid4().hex}", "local-hostname": host.hostname},
        "network-config": {"version": 2, "ethernets": dict(_interfaces(host))},
        "user-data": user_data,
    }
    for name, document in documents.items():
        head = "#cloud-config\n" if name == "user-data" else ""
        (disk.seed / name).write_text(f"{head}{json.dumps(document, indent=2)}\n")  # JSON is YAML


# Those of the host's files that cloud-init writes by itself.
_CLOUD_INITS = ("etc/hostname", "etc/hosts", "etc/netplan/50-cloud-init.yaml")
_ROUTER_COMMANDS = ["systemctl enable --now nftables.service", "sysctl --quiet --system"]
_ADMIN = {"name": "admin", "shell": "/bin/bash", "sudo": "ALL=(ALL) NOPASSWD:ALL", "lock_passwd": True}


def _interfaces(host: Host) -> Iterator[tuple[str, object]]:
    """Netplan's words for the host's cables."""
    for cable in host.cables:
        interface: dict[str, object] = {
            "match": {"macaddress": cable.mac},
            "set-name": cable.interface,
            "addresses": [str(cable.address)],
            "accept-ra": False,  # networkd would wait for one, for 12 s
        }
        if host.gateway is not None and host.gateway in cable.address.network:
            interface["routes"] = [{"to": "default", "via": str(host.gateway)}]
        yield cable.interface, interface


# --- power -----------------------------------------------------------------------------------------------------------


def main(host_name: str) -> None:
    """Become the QEMU that runs the host."""
    cgroups.join(host_name)
    lab = state.load()
    if lab is None:
        return  # `down` was here between our start and this line
    assert lab.accelerator is not None
    host, disk = lab.layout.hosts[host_name], state.disk(host_name)
    taps = [namespaces.inside(cable.fabric, partial(_tap, cable)) for cable in host.cables]
    command = ["nsenter", f"--net={namespaces.path(host.name)}", "--"]
    command += [*_qemu(host, disk, CACHE / lab.base, lab.accelerator, taps)]
    os.execvp(command[0], command)


_NO_DEVICES = ("-nodefaults", "-no-user-config", "-display", "none")


def _qemu(host: Host, disk: Disk, build: Path, accelerator: str, taps: list[int]) -> Iterator[str]:
    """QEMU's command line; `taps` are open files of the host's cables, in order."""
    yield from ("qemu-system-x86_64", "-name", namespaces.full_name(host.name), *_NO_DEVICES)
    yield from ("-accel", accelerator, "-cpu", _CPUS[accelerator], "-m", MEMORY)
    yield from ("-kernel", str(build / "kernel"), "-initrd", str(build / "initramfs"))
    yield from ("-append", "root=/dev/vda ro console=ttyS0")
    yield from ("-serial", f"file:{disk.console}")
    yield from ("-device", "virtio-rng-pci")
    yield from ("-blockdev", f"driver=qcow2,file.driver=file,file.filename={disk.device},node-name=disk")
    yield from ("-device", "virtio-blk-pci,drive=disk")  # the first is /dev/vda
    # NoCloud finds it by its label. QEMU makes a FAT file system of a folder, so that no tool has to.
    yield from ("-blockdev", f"driver=vvfat,dir={disk.seed},label=cidata,read-only=on,node-name=seed")
    yield from ("-device", "virtio-blk-pci,drive=seed")
    yield from ("-device", "virtio-serial-pci", "-chardev", f"socket,id=agent,path={disk.agent},server=on,wait=off")
    yield from ("-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0")
    for cable, tap in zip(host.cables, taps, strict=True):
        yield from ("-netdev", f"tap,id={cable.interface},fd={tap}")
        yield from ("-device", f"virtio-net-pci,netdev={cable.interface},mac={cable.mac}")


def _tap(cable: Cable) -> int:
    """The file of the cable's tap, which must exist in this network namespace; QEMU inherits it."""
    file = os.open("/dev/net/tun", os.O_RDWR)
    flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
    fcntl.ioctl(file, _TUNSETIFF, struct.pack("16sH22x", cable.port.encode(), flags))
    os.set_inheritable(file, True)
    return file


# --- console ---------------------------------------------------------------------------------------------------------


def enter(host: Host, command: list[str]) -> int:
    """Run `command` on the host as root; its exit status. What it prints appears when it has ended."""
    ended = agent.run(state.disk(host.name).agent, command)
    for text, stream in ((ended.output, sys.stdout.buffer), (ended.errors, sys.stderr.buffer)):
        stream.write(text)
        stream.flush()
    return ended.status


def serves(host: Host) -> bool:
    """Its ssh server has started."""
    return _succeeds(host, "/usr/bin/systemctl", "is-active", "--quiet", "ssh.service")


def is_set_up(host: Host) -> bool:
    """cloud-init has done its work, which goes on for a while after the ssh server has started."""
    return _succeeds(host, "/usr/bin/test", "-e", "/run/cloud-init/result.json")


def _succeeds(host: Host, *command: str) -> bool:
    try:
        done = agent.run(state.disk(host.name).agent, list(command)).status == 0
    except LabError:
        done = False
    if not done:
        time.sleep(PAUSE)
    return done


if __name__ == "__main__":
    main(sys.argv[1])
