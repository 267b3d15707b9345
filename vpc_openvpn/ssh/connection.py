"""How pyinfra reaches a host."""

from pathlib import Path

from vpc_openvpn.site.load import SiteError, site_path
from vpc_openvpn.site.model import Site
from vpc_openvpn.site.plan import Ssh
from vpc_openvpn.site.problem import KeyPath, Problem, report
from vpc_openvpn.ssh import host_keys, ssh_keys

COMMAND_TIMEOUT = 900  # seconds; the longest is an installation that waits for two locks of apt, five minutes each


def data(ssh: Ssh) -> dict[str, str | int | bool]:
    """A host's connection as pyinfra's host data. A user other than root works through sudo without a password.

    The first key that a host shows is remembered in `ssh.known_hosts`; another one later is refused.
    """
    return {
        "ssh_hostname": ssh.host,
        "ssh_user": ssh.user,
        "ssh_port": ssh.port,
        **({"ssh_key": str(ssh.key)} if ssh.key else {}),
        "ssh_known_hosts_file": str(ssh.known_hosts),
        "ssh_strict_host_key_checking": "accept-new",
        "_sudo": ssh.user != "root",
        "_timeout": COMMAND_TIMEOUT,
    }


def check(site: Site) -> None:
    """Raise SiteError if a file that the site names for ssh cannot be used: private keys, known_hosts.

    Asks for no passphrase, connects nowhere.
    """
    files: dict[KeyPath, Path | None] = {
        ("ssh", "key"): site.ssh.key,
        ("office", "ssh", "key"): site.office.ssh.key,
        **{("zones", index, "nat", "ssh", "key"): zone.nat.ssh.key for index, zone in enumerate(site.zones)},
    }
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
