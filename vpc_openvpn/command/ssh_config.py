"""An ssh_config for the site: the office router and every NAT by name, so that any NAT can be jumped over."""

import re
from pathlib import Path

import click

from vpc_openvpn.site.load import SiteError, this_run
from vpc_openvpn.site.plan import HostPlan, NatPlan, OfficePlan, Tunnel

HEAD = "# Printed by `./vpc ssh-config` from the site file: print it again when that changes.\n"
HOST = """
Host {host.host}
  HostName {host.ssh.host}
  User {host.ssh.user}
  Port {host.ssh.port}
  UserKnownHostsFile {known_hosts}
"""


@click.command()
def ssh_config() -> None:
    """Print an ssh_config with every host.

    \b
    ./vpc ssh-config > ~/.ssh/vpc.config          and in ~/.ssh/config: Include vpc.config
    ssh nat-us-east-1a                            a NAT
    ssh -J nat-us-east-1a admin@10.0.22.10        a host of any zone, by way of us-east-1a's NAT

    The jump needs neither tunnel nor detour: only that NAT's public address, and an operators' network to come from.
    """
    click.echo(text(this_run()[1]), nl=False)


def text(hosts: dict[str, HostPlan]) -> str:
    """An ssh_config for these hosts. File names in it are absolute.

    Raises SiteError for one that ssh cannot read there.
    """
    lines = HEAD
    for host in hosts.values():
        if isinstance(host, NatPlan):
            lines += f"\n# {host.zone}: {', '.join(map(str, host.subnets))}"
            jumps = [other.nat_host for other in _others(hosts, host.zone)]
            if jumps:
                lines += f"\n# While its NAT is dead, over another zone's: ssh -J {jumps[0]} {host.subnets[-1][10]}"
        lines += HOST.format(host=host, known_hosts=_quoted(host.ssh.known_hosts))
        if host.ssh.key:
            lines += f"  IdentityFile {_quoted(host.ssh.key)}\n"
    return lines


def _quoted(file: Path) -> str:
    """As one word of ssh_config(5), where `%` begins a token."""
    text = str(file)
    if not text.isprintable() or '"' in text or "${" in text:  # of a folder above the site file
        raise SiteError(
            f'No ssh_config can name the file {text!r}: ssh reads a ", ${{ or a control character as no part of a'
            " name.\nRename the folder."
        )
    escaped = text.replace("\\", "\\\\").replace("%", "%%")
    return escaped if re.fullmatch(r"[A-Za-z0-9/._+@%,:=-]+", escaped) else f'"{escaped}"'


def _others(hosts: dict[str, HostPlan], zone: str) -> tuple[Tunnel, ...]:
    """The tunnels of the other zones, the zone's first detour first."""
    [office] = [host for host in hosts.values() if isinstance(host, OfficePlan)]
    detours = [tunnel for check in office.health_checks if check.tunnel.zone == zone for tunnel in check.others]
    return (*detours, *(tunnel for tunnel in office.tunnels if tunnel.zone != zone and tunnel not in detours))
