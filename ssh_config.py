"""Print an ssh_config for the site: the office router and every NAT by name, so that any NAT can be jumped over.

    python ssh_config.py > ~/.ssh/vpc.config      and in ~/.ssh/config: Include vpc.config

    ssh nat-us-east-1a                            a NAT
    ssh -J nat-us-east-1a admin@10.0.22.10        a host of any zone, by way of us-east-1a's NAT

The jump needs neither tunnel nor detour: only that NAT's public address, and an operators' network to come from.
"""

import sys

from vpc_openvpn.output import outlive_reader
from vpc_openvpn.site.load import SiteError, load
from vpc_openvpn.site.plan import HostPlan, NatPlan, OfficePlan, Tunnel, plan

HEAD = "# Printed by ssh_config.py from the site file: print it again when that changes.\n"
HOST = """
Host {host.host}
  HostName {host.ssh.host}
  User {host.ssh.user}
  Port {host.ssh.port}
  UserKnownHostsFile {host.ssh.known_hosts}
"""


def main() -> int:
    """Print the whole text, or what is wrong with the site file."""
    try:
        hosts = plan(load())
    except SiteError as error:
        print(error, file=sys.stderr)
        return 1
    print(ssh_config(hosts), end="")
    return 0


def ssh_config(hosts: dict[str, HostPlan]) -> str:
    """An ssh_config for these hosts. File names in it are absolute."""
    text = HEAD
    for host in hosts.values():
        if isinstance(host, NatPlan):
            text += f"\n# {host.zone}: {', '.join(map(str, host.subnets))}"
            jumps = [other.nat_host for other in _others(hosts, host.zone)]
            if jumps:
                text += f"\n# While its NAT is dead, over another zone's: ssh -J {jumps[0]} {host.subnets[-1][10]}"
        text += HOST.format(host=host)
        if host.ssh.key:
            text += f"  IdentityFile {host.ssh.key}\n"
    return text


def _others(hosts: dict[str, HostPlan], zone: str) -> tuple[Tunnel, ...]:
    """The tunnels of the other zones, the zone's first detour first."""
    [office] = [host for host in hosts.values() if isinstance(host, OfficePlan)]
    detours = [tunnel for watch in office.watches if watch.tunnel.zone == zone for tunnel in watch.others]
    return (*detours, *(tunnel for tunnel in office.tunnels if tunnel.zone != zone and tunnel not in detours))


if __name__ == "__main__":
    outlive_reader()
    sys.exit(main())
