"""Blank hosts that do their job as an office's router and as NATs, and run an OpenVPN that was started by hand.

The office's router keeps its own masquerade, as in every lab. A NAT masquerades what leaves the VPC, with one rule:
without, it would be no NAT. So connections are tracked on all of them, as they are wherever tunnels like these end.
`strip` takes the NATs' rule, and with it the tracking, away.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from bench.lab import Lab
from bench.throughput.matrix import Options

OFFICE = "office"
FOLDER = "/root/bare"
PORT = 1194
START = 20  # seconds that a tunnel gets to carry its first packet

_PREPARE = f"""
export DEBIAN_FRONTEND=noninteractive
{{ apt-get update || :; apt-get install --yes --no-install-recommends openvpn; }} >/dev/null
sysctl -qw net.ipv4.ip_forward=1
mkdir -p {FOLDER}/clients && cd {FOLDER}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$(hostname)" \\
  -keyout key -out certificate 2>/dev/null
openssl x509 -in certificate -noout -fingerprint -sha256 | cut -d= -f2
"""
_STRIP = "nft 'add table ip nat; delete table ip nat'"


@dataclass(frozen=True)
class Tunnel:
    """One of them, by its zone's number, which counts from 1."""

    number: int
    nat: str
    public_address: str
    private_network: IPv4Network
    app: str

    @property
    def app_host(self) -> str:
        return self.nat.replace("nat-", "app-")

    @property
    def unit(self) -> str:
        return f"bare-{self.number}"

    @property
    def network(self) -> IPv4Network:
        return IPv4Network(f"10.200.{self.number}.0/29")


class BareHosts:
    """The lab's hosts, with OpenVPN installed and everything else as said above."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        site = lab.site()
        self.tunnels = [_tunnel(number, zone) for number, zone in enumerate(site["zones"], 1)]
        self._lan = IPv4Network(site["office"]["lans"][0])
        self._vpc = site["vpc"]["network"]
        self._fingerprints: Mapping[str, str] = {}

    def prepare(self) -> None:
        self._lab.admits_anybody(host for tunnel in self.tunnels for host in (tunnel.nat, tunnel.app_host))
        hosts = [OFFICE, *(tunnel.nat for tunnel in self.tunnels)]
        printed = self._everywhere(dict.fromkeys(hosts, _PREPARE))
        self._fingerprints = {host: text.strip() for host, text in printed.items()}

    def masquerade(self, port: int) -> None:
        """NATs as they are, and `port` of their public addresses for the zone's application host."""
        self._everywhere({tunnel.nat: nat_rules(tunnel, self._vpc, port) for tunnel in self.tunnels})

    def strip(self) -> None:
        """NATs that only forward."""
        self._everywhere({tunnel.nat: _STRIP for tunnel in self.tunnels})

    def start(self, options: Options, tunnels: Sequence[Tunnel]) -> None:
        """Returns when packets cross each of `tunnels`."""
        self._everywhere({tunnel.nat: self._start(tunnel, options, OFFICE) for tunnel in tunnels})
        self._everywhere({OFFICE: "".join(self._start(tunnel, options, tunnel.nat) for tunnel in tunnels)})
        for tunnel in tunnels:
            self._lab.must("exec", "desk", "--", "ping", "-q", "-i", "0.1", "-c", "1", "-w", f"{START}", tunnel.app)

    def stop(self, tunnels: Sequence[Tunnel]) -> None:
        """End what `start` began."""
        self._everywhere(
            {tunnel.nat: f"systemctl stop {tunnel.unit}" for tunnel in tunnels}
            | {OFFICE: f"systemctl stop {' '.join(tunnel.unit for tunnel in tunnels)}"}
        )

    def _start(self, tunnel: Tunnel, options: Options, peer: str) -> str:
        at_nat = peer == OFFICE
        text = configuration(tunnel, options, self._lan, self._fingerprints[peer], at_nat=at_nat)
        return f"""
cd {FOLDER}
echo 'iroute {self._lan.network_address} {self._lan.netmask}' > clients/{OFFICE}
cat > {tunnel.unit}.conf <<'END'
{text}END
systemd-run --quiet --collect --unit={tunnel.unit} openvpn --config {FOLDER}/{tunnel.unit}.conf
"""

    def _everywhere(self, scripts: Mapping[str, str]) -> dict[str, str]:
        return everywhere(self._lab, scripts)


def everywhere(lab: Lab, scripts: Mapping[str, str]) -> dict[str, str]:
    """Run a shell script on each host, at the same time; what they printed. Raises BenchError where one fails."""
    with ThreadPoolExecutor(len(scripts)) as pool:
        printed = pool.map(lambda host: lab.must("exec", host, "--", "sh", "-euc", scripts[host]), scripts)
        return dict(zip(scripts, printed, strict=True))


def nat_rules(tunnel: Tunnel, vpc: str, port: int) -> str:
    """The command that makes a blank host a NAT."""
    return f"""
nft -f - <<'END'
add table ip nat
delete table ip nat
table ip nat {{
  chain prerouting {{
    type nat hook prerouting priority dstnat;
    iifname "eth0" ip saddr != {vpc} tcp dport {port} dnat to {tunnel.app}
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    oifname "eth0" ip saddr {tunnel.private_network} ip daddr != {vpc} masquerade
  }}
}}
END
"""


def configuration(tunnel: Tunnel, options: Options, lan: IPv4Network, peer_fingerprint: str, *, at_nat: bool) -> str:
    """The tunnel's configuration at one end."""
    first, second = tunnel.network[1], tunnel.network[2]
    here, there = (first, second) if at_nat else (second, first)
    beyond = lan if at_nat else tunnel.private_network
    lines = [
        f"dev tun-{tunnel.number}",
        "dev-type tun",
        "proto udp4",
        f"port {PORT}" if at_nat else f"remote {tunnel.public_address} {PORT}\nnobind",
        f"cert {FOLDER}/certificate",
        f"key {FOLDER}/key",
        f'peer-fingerprint "{peer_fingerprint}"',
        f"data-ciphers {options.cipher}",
        f"cipher {options.cipher}",
        "keepalive 10 60",
        f"tun-mtu {options.tun_mtu}",
        f"route {beyond.network_address} {beyond.netmask}",
    ]
    if at_nat:
        lines += ["dh none"]
    if options.p2p:
        lines += ["tls-server" if at_nat else "tls-client", f"ifconfig {here} {there}"]
    elif at_nat:
        lines += ["topology subnet", f"server {tunnel.network.network_address} {tunnel.network.netmask}"]
        lines += [f"client-config-dir {FOLDER}/clients"]
    else:
        lines += ["client"]
    if options.mssfix:
        lines += [f"mssfix {options.mssfix}"]
    if options.buffers:
        lines += [f"sndbuf {options.buffers}", f"rcvbuf {options.buffers}"]
    if options.queue:
        lines += [f"txqueuelen {options.queue}"]
    if options.fast_io:
        lines += ["fast-io"]
    return "\n".join(lines) + "\n"


def _tunnel(number: int, zone: Mapping[str, Any]) -> Tunnel:
    [private] = zone["subnets"]["private"]
    nat = zone["nat"]["public_address"]
    return Tunnel(number, f"nat-{zone['name']}", nat, IPv4Network(private), zone["probe"])
