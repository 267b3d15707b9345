"""How pyinfra reaches a host."""

from collections.abc import Collection, Mapping
from pathlib import Path

from vpc_openvpn.site.load import SiteError, site_path
from vpc_openvpn.site.model import Site
from vpc_openvpn.site.plan import HostPlan, Ssh
from vpc_openvpn.site.problem import KeyPath, Problem, report
from vpc_openvpn.ssh import host_keys, ssh_keys

STRICT = "yes"  # a host whose key is not in known_hosts is not connected to
COMMAND_TIMEOUT = 900  # seconds; the longest is an installation that waits for two locks of apt, five minutes each


def data(ssh: Ssh) -> dict[str, str | int | bool]:
    """A host's connection as pyinfra's host data. A user other than root works through sudo without a password.

    The host must show the key that `ssh.known_hosts` has for it: an unknown one is refused, and another one, too.
    """
    return {
        "ssh_hostname": ssh.host,
        "ssh_user": ssh.user,
        "ssh_port": ssh.port,
        **({"ssh_key": str(ssh.key)} if ssh.key else {}),
        "ssh_known_hosts_file": str(ssh.known_hosts),
        "ssh_strict_host_key_checking": STRICT,
        "_sudo": ssh.user != "root",
        "_timeout": COMMAND_TIMEOUT,
    }


def check(site: Site) -> None:
    """Raise SiteError if a file that is used for ssh cannot be: private keys and known_hosts, which the site names, and
    OpenSSH's configuration.

    Asks for no passphrase, connects nowhere.
    """
    files: dict[KeyPath, Path | None] = {
        ("ssh", "key"): site.ssh.key,
        ("office", "ssh", "key"): site.office.ssh.key,
        **{("zones", index, "nat", "ssh", "key"): zone.nat.ssh.key for index, zone in enumerate(site.zones)},
    }
    if why := host_keys.complaint_about_config():
        raise SiteError(f"~/.ssh/config cannot be read: {why}.\nSee: ssh -G x; correct it. Nothing was connected to.")
    problems = []
    for path, file in files.items():
        try:
            if file is not None:
                ssh_keys.find(file)
        except ssh_keys.UnusableKeyError as error:
            problems.append(Problem(path, str(file), error.why, error.instead))
    why, instead = host_keys.complaint_about(site.ssh.known_hosts)
    if why:
        problems.append(Problem(("ssh", "known_hosts"), str(site.ssh.known_hosts), why, instead))
    if problems:
        raise SiteError(f"{report(str(site_path()), problems, {})}\nNothing was connected to.")


class UntrustedError(Exception):
    """Hosts whose ssh host key has not been compared yet, or is revoked, for the operator."""


def check_trust(hosts: Mapping[str, HostPlan], site: Mapping[str, HostPlan]) -> None:
    """Raise UntrustedError if one of `hosts`, which are some or all of the `site`, has no key in known_hosts.

    Connects nowhere. That a host then shows that key is seen when it is connected to.
    """
    unknown = {name: host.ssh for name, host in hosts.items() if not host_keys.known(host.ssh)}
    if not unknown:
        return
    width, file = max(map(len, unknown)), next(iter(unknown.values())).known_hosts
    rows = {name: f"  {name:{width}}  {ssh.host}" for name, ssh in unknown.items()}
    revoked = [name for name, ssh in unknown.items() if host_keys.revoked(ssh)]
    lines = []
    if new := [name for name in unknown if name not in revoked]:
        lines += [f"{_these(new)} not trusted: {file} has no ssh host key of", *map(rows.__getitem__, new)]
        names = [] if new == [*site] else new
        lines.append(f"Compare and trust, by typing: {' '.join(['./vpc trust', *names])}")
    if revoked:
        lines += [
            f"{_these(revoked)} not trusted: {file} has only a revoked ssh host key of",
            *map(rows.__getitem__, revoked),
            "Its disk may be in other hands. Once a new machine is in its place, or this one has a new host key, type:"
            f" ./vpc rebuild {' '.join(revoked)}",
        ]
        if others := [name for name in hosts if name not in unknown]:
            lines.append(f"The others can do without: {' '.join(f'--limit {name}' for name in others)}")
    raise UntrustedError("\n".join([*lines, "Nothing was connected to."]))


def _these(hosts: Collection[str]) -> str:
    return "This host is" if len(hosts) == 1 else "These hosts are"
