"""What the cookbook has put on the hosts, as input for the others. It has keys: only root may enter its folder."""

import tarfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

from bench.deploys.hosts import Hosts
from bench.lab import PATIENCE, BenchError, Lab

SSH_CONFIG, INVENTORY, KNOWN_HOSTS = "ssh_config", "inventory.yml", "known_hosts"

# All that is ours there: whole directories, and files among others'.
_PATHS = (
    "find etc/vpc-openvpn usr/local/lib/vpc-openvpn etc/sysctl.d/zz-vpc-openvpn.conf"
    " etc/openvpn/*/*.conf etc/systemd/system/vpc-openvpn-*.service etc/systemd/system/openvpn-*@*.service*"
    " etc/systemd/networkd.conf.d etc/systemd/network/0-vpc-openvpn.network etc/iproute2/rt_*.d/vpc-openvpn.conf"
)
_UNITS = "ls /etc/systemd/system/multi-user.target.wants | grep -e '^vpc-openvpn-' -e @"

# Where the playbook's roles have what: the first pattern that matches. (`*` matches slashes, too.)
_ROLES = (
    ("etc/vpc-openvpn", "identity"),
    ("etc/vpc-openvpn/identity*", "identity"),
    ("usr/local/lib/vpc-openvpn", "firewall"),
    ("*firewall*", "firewall"),
    ("*vpc-openvpn-again*", "firewall"),
    ("etc/vpc-openvpn/routes", "firewall"),
    ("etc/sysctl.d/*", "forwarding"),
    ("*openvpn-*@*", "tunnels"),
    ("etc/openvpn/*", "tunnels"),
    ("etc/vpc-openvpn/clients*", "tunnels"),
    ("*/tunnel-up", "tunnels"),
    ("*", "routing"),
)


def collect(lab: Lab, hosts: Hosts, folder: Path) -> None:
    """Fill `folder` with what floor.sh and the playbook deploy."""
    (folder / SSH_CONFIG).write_text(_ssh_config(hosts, folder / KNOWN_HOSTS), encoding="utf-8")
    variables = {}
    for host in hosts.names:
        place = folder / host
        place.mkdir()
        members = _fetch(lab, host, place / "files")
        units = hosts.asked(host, _UNITS).split()
        (place / "paths").write_text("".join(f"{member.name}\n" for member in members), encoding="utf-8")
        (place / "units").write_text("".join(f"{unit}\n" for unit in units), encoding="utf-8")
        variables[host] = by_role(members, units, place / "files")
    inventory = {"all": {"hosts": variables, "vars": _ansible_variables(folder)}}
    (folder / INVENTORY).write_text(yaml.safe_dump(inventory, sort_keys=False), encoding="utf-8")


def _fetch(lab: Lab, host: str, folder: Path) -> list[tarfile.TarInfo]:
    """The host's files and directories of ours, which are put into `folder` as they are there."""
    archive = folder.with_suffix(".tar")
    with archive.open("w") as file:
        command = f"cd / && {_PATHS} | sort | tar -c --no-recursion -T -"
        with lab.start("exec", host, "--", "sh", "-c", command, stdout=file) as process:
            status = process.wait(PATIENCE)
    if status != 0:
        raise BenchError(f"{host} did not give its files")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="fully_trusted")
        members = tar.getmembers()
    archive.unlink()
    return members


def by_role(members: list[tarfile.TarInfo], units: list[str], files: Path) -> dict[str, Any]:
    """A host's variables for the playbook: directories, files and units of each role."""
    roles: dict[str, Any] = {role: {"directories": [], "files": [], "units": []} for _, role in _ROLES}
    for member in members:
        item = {"path": f"/{member.name}", "mode": f"{member.mode:04o}"}
        if member.isdir():
            roles[_role(member.name)]["directories"].append(item)
        else:
            roles[_role(member.name)]["files"].append(item | {"src": str(files / member.name)})
    for unit in units:
        roles[_role(unit)]["units"].append(unit)
    return roles


def _role(path: str) -> str:
    return next(role for pattern, role in _ROLES if fnmatch(path, pattern))


def _ssh_config(hosts: Hosts, known_hosts: Path) -> str:
    return "\n".join(_ssh_lines(hosts, known_hosts)) + "\n"


def _ssh_lines(hosts: Hosts, known_hosts: Path) -> Iterator[str]:
    for host, (user, address) in hosts.logins.items():
        yield f"Host {host}\n  HostName {address}\n  User {user}"
    yield f"Host *\n  IdentityFile {hosts.site['ssh']['key']}\n  UserKnownHostsFile {known_hosts}"
    yield "  StrictHostKeyChecking accept-new\n  IdentitiesOnly yes\n  LogLevel ERROR"


def _ansible_variables(folder: Path) -> dict[str, str]:
    return {
        "ansible_ssh_common_args": f"-F {folder / SSH_CONFIG}",
        "ansible_python_interpreter": "/usr/bin/python3",
    }
