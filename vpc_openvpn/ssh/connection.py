"""How pyinfra reaches a host, and what it says of it."""

import logging
from pathlib import Path

import click
from pyinfra import logger

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

    Asks for no passphrase, connects nowhere. From here on pyinfra reads those files as `ssh_keys` and `host_keys` do.
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
    ssh_keys.adopt()
    host_keys.adopt()


def adapt_messages(known_hosts: Path) -> None:
    """Make what pyinfra says of host keys true of `known_hosts`: it takes the file of the user's own for granted.

    And have it say nothing of hosts that an operation does not concern: where it goes zone by zone, that is most.
    """
    logger.addFilter(_OwnKnownHosts(known_hosts))
    logger.addFilter(_concerns)


def _concerns(record: logging.LogRecord) -> bool:
    return click.unstyle(record.getMessage()).rpartition("] ")[2].strip() != "Skipped"


class _OwnKnownHosts(logging.Filter):
    def __init__(self, known_hosts: Path) -> None:
        super().__init__()
        self._path = known_hosts

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if message.lstrip().startswith("ssh-keygen -R "):
            record.msg = (
                f"{message} -f {self._path}\n"
                "    after comparing the new key's fingerprint with the one on the host's (the cloud's) console.\n"
                "For a machine that replaces another, make rebuild does both, and goes on from there."
            )
            record.args = None
        return True
