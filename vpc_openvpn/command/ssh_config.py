"""An ssh_config for the site: the office router and every NAT by name, so that any NAT can be jumped over."""

import click

from vpc_openvpn.site.load import this_run
from vpc_openvpn.site.plan import HostPlan, NatPlan, OfficePlan, Tunnel

HEAD = "# Printed by `./vpc ssh-config` from the site file: print it again when that changes.\n"
HOST = """
Host {host.host}
  HostName {host.ssh.host}
  User {host.ssh.user}
  Port {host.ssh.port}
  UserKnownHostsFile {host.ssh.known_hosts}
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
    """An ssh_config for these hosts. File names in it are absolute."""
    lines = HEAD
    for host in hosts.values():
        if isinstance(host, NatPlan):
            lines += f"\n# {host.zone}: {', '.join(map(str, host.subnets))}"
            jumps = [other.nat_host for other in _others(hosts, host.zone)]
            if jumps:
                lines += f"\n# While its NAT is dead, over another zone's: ssh -J {jumps[0]} {host.subnets[-1][10]}"
        lines += HOST.format(host=host)
        if host.ssh.key:
            lines += f"  IdentityFile {host.ssh.key}\n"
    return lines


def _others(hosts: dict[str, HostPlan], zone: str) -> tuple[Tunnel, ...]:
    """The tunnels of the other zones, the zone's first detour first."""
    [office] = [host for host in hosts.values() if isinstance(host, OfficePlan)]
    detours = [tunnel for check in office.health_checks if check.tunnel.zone == zone for tunnel in check.others]
    return (*detours, *(tunnel for tunnel in office.tunnels if tunnel.zone != zone and tunnel not in detours))
