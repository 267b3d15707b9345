"""The lab's office router and nats: blank, compared, counted, trusted. Needs a lab that is up."""

import difflib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from bench.lab import BenchError, Lab

OFFICE = "office"
SETTLING = 60.0  # seconds that everything gets to come to rest
POLL = 0.1  # seconds

# A cloud's image has Python, and lists of packages that are too old to install from. python3-apt is Ansible's, whose
# file transfers do not survive a shell that greets, nor its apt a source that answers 404.
_LIKE_A_CLOUDS = """
rm -f /root/.bashrc /home/admin/.bashrc /etc/apt/sources.list.d/vendor.list
apt-get -qq update
apt-get -qq install --yes --no-install-recommends python3 python3-apt
apt-get clean
rm -rf /var/lib/apt/lists/*
touch -d '2 days ago' /var/lib/apt/lists
"""

# Every file and link where the cookbook puts any, the units, settings and packages, and what the kernel holds of ours.
_MANIFEST = r"""
cd /
places="etc/vpc-openvpn etc/iproute2 etc/openvpn etc/sysctl.d etc/systemd/system usr/local/lib/vpc-openvpn"
find $places -printf '%p %y %m %u:%g %l\n' | sort
find $places -type f -exec sha256sum {} + | sort -k 2
systemctl show -p Id,ActiveState,UnitFileState bird.service $(ls etc/systemd/system/multi-user.target.wants)
grep -H . proc/sys/net/ipv4/ip_forward proc/sys/net/ipv4/conf/*/rp_filter proc/sys/net/ipv4/conf/*/send_redirects
dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\n'
usr/local/lib/vpc-openvpn/firewall show
"""
_STARTS = "systemctl show -p Id,InvocationID $(ls /etc/systemd/system/multi-user.target.wants)"

_SESSION = "Starting session:"  # what sshd says at VERBOSE of each command, shell or subsystem that it begins
_VERBOSE = "/etc/ssh/sshd_config.d/bench.conf"
_COUNT = f"journalctl --sync; journalctl --quiet --output cat --identifier sshd | grep -c '^{_SESSION}'"


class Hosts:
    """The office router and the nats of `lab`, by name."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.site = lab.site()
        zones = self.site["zones"]
        self.nats = {zone["name"]: f"nat-{zone['name']}" for zone in zones}
        self.names = (OFFICE, *self.nats.values())
        office = self.site["office"]["ssh"]
        self.logins = {OFFICE: (office["user"], office["host"])} | {
            self.nats[zone["name"]]: (zone["nat"]["ssh"]["user"], zone["nat"]["public_address"]) for zone in zones
        }

    def probe_address(self, zone: str) -> str:
        """A host's, in the zone."""
        [address] = [each["probe"] for each in self.site["zones"] if each["name"] == zone]
        return str(address)

    def tunnel_address(self, zone: str) -> str:
        """The nat's, in the zone's own tunnel."""
        said = self.asked(self.nats[zone], "ip -4 -o address show dev tun-office")
        return said.partition(" inet ")[2].partition("/")[0]

    def asked(self, host: str, script: str) -> str:
        """What the shell script prints there."""
        return self._lab.must("exec", host, "--", "sh", "-c", script)

    def blank(self, hosts: Sequence[str]) -> None:
        """Replace these by blank ones, as a cloud provides them, with new host keys."""
        for host in hosts:
            self._lab.must("replace", host)
        self.prepare(hosts)
        self._lab.must("trust")

    def prepare(self, hosts: Sequence[str]) -> None:
        """Have on blank hosts what a cloud's image has."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda host: self.asked(host, f"set -e\n{_LIKE_A_CLOUDS}"), hosts))

    def trusted(self) -> None:
        """Wait until the office sends new connections by each zone's own tunnel; no outage is held against any."""
        # The monitor is the more careful to trust a nat the more outages it has seen.
        self.asked(OFFICE, "rm -f /run/vpc-openvpn/monitor.memory; systemctl kill -s KILL vpc-openvpn-monitor")
        deadline = time.monotonic() + SETTLING
        show = "/usr/local/lib/vpc-openvpn/vpc-openvpn-monitor show"
        while self.asked(OFFICE, show).count(": by its own tunnel\n") < len(self.nats):
            if time.monotonic() > deadline:
                raise BenchError(f"not every tunnel is trusted after {SETTLING:g} s")
            time.sleep(POLL)

    # --- what they are -----------------------------------------------------------------------------------------------

    def manifests(self) -> dict[str, str]:
        """All that the cookbook manages on each host."""
        return {host: self.asked(host, _MANIFEST) for host in self.names}

    def come_to(self, manifests: dict[str, str], who: str) -> None:
        """Wait until the hosts are as in `manifests`. Raises BenchError with the difference."""
        deadline = time.monotonic() + SETTLING
        for host, manifest in manifests.items():
            while (found := self.asked(host, _MANIFEST)) != manifest:
                if time.monotonic() > deadline:
                    lines = difflib.unified_diff(manifest.splitlines(), found.splitlines(), "cookbook", who, n=0)
                    raise BenchError("\n".join([f"{who} leaves {host} different:", *lines]))
                time.sleep(POLL)

    @contextmanager
    def nothing_starts(self) -> Iterator[None]:
        """No unit is started while the block lasts. Raises BenchError otherwise."""
        before = {host: self.asked(host, _STARTS) for host in self.names}
        yield
        for host, starts in before.items():
            if self.asked(host, _STARTS) != starts:
                raise BenchError(f"a run that should change nothing has restarted something on {host}")

    # --- commands ----------------------------------------------------------------------------------------------------

    @contextmanager
    def counting(self) -> Iterator[None]:
        """sshd counts while the block lasts."""
        for host in self.names:
            self.asked(host, f"echo LogLevel VERBOSE > {_VERBOSE} && systemctl reload ssh")
        yield
        for host in self.names:
            self.asked(host, f"rm {_VERBOSE} && systemctl reload ssh")

    def commands(self) -> list[int]:
        """How many commands sshd has begun on each host so far."""
        return [int(self.asked(host, f"{_COUNT} || true")) for host in self.names]
