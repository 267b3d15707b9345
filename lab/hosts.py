"""A host's disk, power and console."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterable
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

from lab import cgroups, machine, namespaces, network, state
from lab.disk import ADMIN_HOME, ROOT_HOME, files, links
from lab.layout import Host, Layout
from lab.state import KNOWN_HOSTS, REPOSITORY, SSH_KEY, WEB_ROOT
from lab.system import LabError, require_room, run, wait_until

BOOT_SECONDS = 60


def make_ssh_key() -> None:
    SSH_KEY.parent.mkdir(mode=0o700)
    _generate_key(SSH_KEY, "vpc-openvpn lab")


def make_disk(host: Host) -> None:
    """A blank disk: the base system, a name, a new ssh host key, and who may log in."""
    disk = state.disk(host.name)
    if host.machine:
        disk.folder.mkdir(parents=True)
        _generate_key(disk.host_key, f"root@{host.name}")
        machine.make_disk(host, SSH_KEY.with_suffix(".pub").read_text())
        return
    for folder in (disk.upper, disk.work, disk.root):
        folder.mkdir(parents=True)
    ssh = disk.upper / "etc/ssh"
    ssh.mkdir(parents=True)
    _generate_key(ssh / "ssh_host_ed25519_key", f"root@{host.name}")
    _write(disk.upper / "etc/machine-id", f"{uuid.uuid4().hex}\n")
    for name, text in files(host).items():
        _write(disk.upper / name, text)
    for name, target in links(host).items():
        (disk.upper / name).parent.mkdir(parents=True, exist_ok=True)
        (disk.upper / name).symlink_to(target)
    _authorize(disk.upper / (ROOT_HOME if host.kind == "office" else ADMIN_HOME))
    _give(disk.upper / ROOT_HOME, owner=0, mode=0o700)
    _give(disk.upper / ADMIN_HOME, owner=1000, mode=0o755)


def remove_disk(host: Host) -> None:
    shutil.rmtree(state.disk(host.name).folder, ignore_errors=True)


def power_on(hosts: Iterable[Host]) -> None:
    """Plug in and boot hosts that are off, all at once; returns when they serve."""
    hosts = list(hosts)
    require_room(sum(host.real and not host.machine for host in hosts))
    network.plug_in(hosts)
    started = [(host, _start(host)) for host in hosts]
    for host, process in started:
        if process is not None:
            _wait_until_serving(host, process)


def power_off(hosts: Iterable[Host]) -> None:
    """Cut the power: no process gets a signal, kernel state is lost, disks are kept."""
    hosts = list(hosts)
    groups = sorted(set(cgroups.ours()) & {host.name for host in hosts})
    cgroups.kill(groups)
    namespaces.kill_processes(host.name for host in hosts)
    for host in hosts:
        network.unplug(host)
    for group in groups:
        cgroups.remove(group)


def is_on(host: Host, processes: dict[str, list[int]]) -> bool:
    """`processes` is what namespaces.processes() has just returned."""
    if host.machine:
        return bool(processes.get(host.name))
    if host.real:
        return namespaces.init_pid(processes.get(host.name, [])) is not None
    return namespaces.exists(host.name)


def ssh_fingerprint(host: Host) -> str | None:
    """SHA256:… of the host's ssh key; None for a host without an ssh server."""
    key = _public_host_key(host)
    return run(["ssh-keygen", "-l", "-f", key]).split()[1] if key else None


def trust(lab: Layout) -> None:
    """Write known_hosts as it is right now: the lab has made the hosts' keys, so it need not ask the hosts."""
    lines = [
        f"{reached_at(host)} {' '.join(key.read_text().split()[:2])}\n"
        for host in lab.real_hosts
        if (key := _public_host_key(host))
    ]
    fresh = KNOWN_HOSTS.with_suffix(".new")
    fresh.write_text("".join(lines))
    fresh.replace(KNOWN_HOSTS)


def reached_at(host: Host) -> IPv4Address:
    """Where the operator reaches its ssh server."""
    return host.mapped[0] if host.mapped else host.addresses[0]


def _public_host_key(host: Host) -> Path | None:
    disk = state.disk(host.name)
    key = (disk.host_key if host.machine else disk.upper / "etc/ssh/ssh_host_ed25519_key").with_suffix(".pub")
    return key if host.real and key.exists() else None


def enter(host: Host, command: list[str]) -> int:
    """Run `command` on the host; its exit status, as a shell gives it."""
    if not host.real:
        _become(["nsenter", f"--net={namespaces.path(host.name)}", "--", *command])
    processes = namespaces.processes()
    if not is_on(host, processes):
        raise LabError(f"{host.name} is off; `python -m lab start {host.name}` boots it")
    environment = ["HOME=/root", "USER=root", "LOGNAME=root", "LANG=C.UTF-8"]
    environment += ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    environment += [f"TERM={os.environ.get('TERM', 'dumb')}"]
    words = ["/usr/bin/env", "-i", *environment, *command]
    if host.machine:
        return machine.enter(host, words)
    pid = namespaces.init_pid(processes[host.name])
    assert pid is not None
    return namespaces.run_beside(pid, words)


def _become(command: list[str]) -> None:
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise LabError(f"cannot run {command[0]}: {error}") from error


def _generate_key(path: Path, comment: str) -> None:
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path])


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _authorize(home: Path) -> None:
    """Let the lab's key log in to the account with this home directory."""
    folder = home / ".ssh"
    folder.mkdir(mode=0o700)
    keys = folder / "authorized_keys"
    keys.write_text(SSH_KEY.with_suffix(".pub").read_text())
    keys.chmod(0o600)


def _give(home: Path, owner: int, mode: int) -> None:
    """Make this directory, and what is in it, a user's home."""
    home.chmod(mode)
    for path in (home, *home.rglob("*")):
        os.chown(path, owner, owner)


def _start(host: Host) -> subprocess.Popen[bytes] | None:
    """Start the process that runs the host, if it takes one; it outlives this command."""
    if host.real:
        cgroups.create(host.name)
        with state.disk(host.name).console.open("ab") as console:
            program = "lab.machine" if host.machine else "lab.supervisor"
            return _start_detached([sys.executable, "-m", program, host.name], console.fileno())
    if host.kind == "web":
        enter = ["nsenter", f"--net={namespaces.path(host.name)}"]
        return _start_detached([*enter, sys.executable, "-m", "lab.web", str(WEB_ROOT)], subprocess.DEVNULL)
    return None


def _start_detached(command: list[str], output: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


def _wait_until_serving(host: Host, process: subprocess.Popen[bytes]) -> None:
    """Wait for the host's address and its own server, asked from within, so that no firewall or cut cable matters."""
    port = 22 if host.real else 80
    clue = f"its console says, in {state.disk(host.name).console}:" if host.real else "it has no console"

    def serving() -> bool:
        if process.poll() is not None:
            raise LabError(f"{host.name} did not boot; {clue}\n{_console_tail(host)}")
        if host.machine:
            return machine.serves(host)
        return namespaces.inside(
            host.name,
            lambda: _has(host.cables[0].address.ip) and _answers(IPv4Address("127.0.0.1"), port),
        )

    seconds = machine.BOOT_SECONDS if host.machine else BOOT_SECONDS
    wait_until(serving, seconds, f"{host.name} to boot; {clue}")


def _console_tail(host: Host) -> str:
    console = state.disk(host.name).console
    return "\n".join(console.read_text(errors="replace").splitlines()[-5:]) if console.exists() else ""


def wait_until_reachable(lab: Layout) -> None:
    """Wait until the operator's workstation gets an answer from every ssh server: the whole way works."""
    for host in lab.real_hosts:
        if host.machine:
            wait_until(partial(machine.is_set_up, host), machine.BOOT_SECONDS, f"cloud-init of {host.name} to end")
        address = reached_at(host)
        wait_until(
            partial(namespaces.inside, "operator", partial(_answers, address, 22)),
            BOOT_SECONDS,
            f"{host.name} to answer the operator's workstation at {address} port 22",
        )


def _has(address: IPv4Address) -> bool:
    """Whether the address is one of this network namespace's."""
    with socket.socket() as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
        return True


def _answers(address: IPv4Address, port: int) -> bool:
    """Whether a server greets (ssh) or at least accepts (others) a connection."""
    try:
        with socket.create_connection((str(address), port), timeout=2) as connection:
            return port != 22 or connection.recv(4) == b"SSH-"
    except OSError:
        return False
