"""The lab's networks (office LAN, internet, the VPC's implicit router), the cables to them, and faults.

A network is a namespace (`lan`, `internet`, `vpc`) with one bridge per place where hosts are plugged in. A
cable is a veth pair made straight between two namespaces, so that the machine's own never sees it.

What is like AWS: every subnet has a route table of its own, chosen by the subnet that a packet leaves; the
VPC's own networks come first in each; a nat's public address is mapped 1:1 by the gateway between the VPC and
the internet; what has no public address does not pass that gateway; no ICMP error reports a dead host. Which
routes there are, and which packets pass, `vpc` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Interface

from lab import layout, namespaces
from lab.layout import Cable, Host, Layout, sixth
from lab.state import Lab
from lab.system import run
from lab.vpc import route_table

_MAPPING_TABLE = "gateway"
_FAULT_TABLE = "faults"

_ROUTER_SYSCTLS = {
    "ipv4/ip_forward": 1,
    "ipv4/conf/all/rp_filter": 0,
    "ipv4/conf/default/rp_filter": 0,
    "ipv4/conf/all/send_redirects": 0,
    "ipv4/conf/default/send_redirects": 0,
    "ipv4/conf/all/accept_redirects": 0,
    "ipv4/conf/default/accept_redirects": 0,
}

# The kernel's own defaults. A new namespace copies the machine's current values, whatever these are.
_HOST_SYSCTLS = {
    "ipv4/ip_forward": 0,
    "ipv4/conf/all/rp_filter": 0,
    "ipv4/conf/default/rp_filter": 0,
    "ipv4/conf/all/send_redirects": 1,
    "ipv4/conf/default/send_redirects": 1,
    "ipv4/conf/all/accept_redirects": 1,
    "ipv4/conf/default/accept_redirects": 1,
}

_IPV6_ROUTER = {"ipv6/conf/all/forwarding": 1}
_NO_IPV6 = {"ipv6/conf/all/disable_ipv6": 1, "ipv6/conf/default/disable_ipv6": 1}


def build_fabrics(state: Lab) -> None:
    """Make the office LAN's switch, the internet and the VPC's router, with nothing plugged in."""
    lab = state.layout
    names = [fabric.name for fabric in lab.fabrics]
    namespaces.create(names)
    for name in names:
        ipv6 = _IPV6_ROUTER if lab.ipv6 and name != "lan" else _NO_IPV6
        namespaces.set_sysctls(name, ipv6 | (_ROUTER_SYSCTLS if name != "lan" else {}))
    namespaces.ip_batch("lan", ["link set lo up", *_bridge("lan")])
    namespaces.ip_batch("vpc", _vpc_router(lab))
    namespaces.ip_batch("internet", _internet(lab))
    # What is for a host that is off is lost; the kernel would keep a hundred packets until the host answers.
    bridges = [bridge for zone in lab.zones for bridge in (zone.public_bridge, zone.private_bridge)]
    namespaces.set_sysctls("vpc", {f"ipv4/neigh/{bridge}/unres_qlen_bytes": 0 for bridge in bridges})
    namespaces.ip_batch("vpc", _way_to_the_internet(lab))
    _nft("vpc", _gateway_rules(lab))
    apply_vpc(state)
    if lab.ipv6:
        namespaces.ip_batch("vpc", _vpc_ipv6(lab))
        namespaces.ip_batch("internet", _internet_ipv6())
    # A gateway that maps addresses does not judge TCP windows. (There is no such file before the first rule.)
    namespaces.set_sysctls("vpc", {"netfilter/nf_conntrack_tcp_be_liberal": 1})
    _nft("internet", _PROVIDER_RULES)


def plug_in(hosts: Iterable[Host]) -> None:
    """Give each host a fresh network namespace with its cables, and with addresses and routes if the lab's to give.

    Of a virtual machine the namespace is empty, and its cables are taps for QEMU.
    """
    hosts = list(hosts)
    namespaces.create(host.name for host in hosts)
    ports: dict[str, list[str]] = {}
    for host in hosts:
        if not host.machine:
            namespaces.set_sysctls(host.name, _HOST_SYSCTLS)
            namespaces.ip_batch(host.name, _host_links(host))
        for cable in host.cables:
            lines = ports.setdefault(cable.fabric, [])
            if host.machine:
                lines.append(f"tuntap add mode tap name {cable.port}")
            lines.append(f"link set {cable.port} master {cable.bridge} up")
    for fabric, lines in ports.items():
        namespaces.ip_batch(fabric, lines)


def unplug(host: Host) -> None:
    """Take the host's cables and its namespace away. Its processes must be gone."""
    for cable in host.cables:
        # At once: the kernel frees a namespace in its own time, and the next cable has the same name.
        namespaces.ip_batch_forced(cable.fabric, [f"link delete {cable.port}"])
    namespaces.delete([host.name])


def apply_vpc(lab: Lab) -> None:
    """Make the VPC's router judge packets as the lab remembers."""
    routes = list(lab.vpc.routes())
    namespaces.ip_batch("vpc", [f"route replace {route}" for there, route in routes if there])
    namespaces.ip_batch_forced("vpc", [f"route delete {route}" for there, route in routes if not there])
    _nft("vpc", lab.vpc.rules())


def apply_faults(lab: Lab) -> None:
    """Make the faults in the VPC's router those that the lab remembers, in one step."""
    rules = "\n    ".join(_fault_rules(lab))
    _nft(
        "vpc",
        f"""
table inet {_FAULT_TABLE}
delete table inet {_FAULT_TABLE}
table inet {_FAULT_TABLE} {{
  chain forward {{
    type filter hook forward priority filter - 10;
    {rules}
  }}
}}
""",
    )


def _host_links(host: Host) -> Iterator[str]:
    yield "link set lo up"
    yield from map(_cable, host.cables)
    if host.networkd:
        return
    for cable in host.cables:
        yield f"address add {cable.address} broadcast + dev {cable.interface}"
        yield f"link set {cable.interface} up"
        if host.ipv6:
            yield f"address add {sixth(cable.address)} dev {cable.interface} nodad"
    if host.gateway is not None:
        yield f"route add default via {host.gateway}"
    if host.ipv6:
        yield f"route add default via {host.ipv6_gateway}"


def _cable(cable: Cable) -> str:
    peer = f"peer name {cable.port} mtu {layout.MTU} netns {namespaces.full_name(cable.fabric)}"
    return f"link add {cable.interface} address {cable.mac} mtu {layout.MTU} type veth {peer}"


def _bridge(name: str, address: object = None) -> Iterator[str]:
    yield f"link add {name} mtu {layout.MTU} type bridge mcast_snooping 0"
    if address is not None:
        yield f"address add {address} broadcast + dev {name}"
    yield f"link set {name} up"


def _internet(lab: Layout) -> Iterator[str]:
    yield "link set lo up"
    yield from _bridge("to-office", layout.OFFICE_PROVIDER)
    yield from _bridge("to-web", layout.WEB_PROVIDER)
    # The VPC's router exists already: it holds the other end.
    yield f"link add to-vpc mtu {layout.MTU} type veth peer name internet netns {namespaces.full_name('vpc')}"
    yield f"address add {layout.TRANSIT_INTERNET} dev to-vpc"
    yield "link set to-vpc up"
    for zone in lab.zones:
        yield f"route add {zone.nat_public_address} via {layout.TRANSIT_VPC.ip}"


def _vpc_ipv6(lab: Layout) -> Iterator[str]:
    """IPv6 as a VPC has it: public addresses, without a mapping. Nothing judges it."""
    for zone in lab.zones:
        address = sixth(IPv4Interface(f"{zone.public[1]}/{zone.public.prefixlen}"))
        yield f"address add {address} dev {zone.public_bridge} nodad"
    yield f"address add {sixth(layout.TRANSIT_VPC)} dev internet nodad"
    yield f"route add default via {sixth(layout.TRANSIT_INTERNET).ip}"


def _internet_ipv6() -> Iterator[str]:
    yield f"address add {sixth(layout.OFFICE_PROVIDER)} dev to-office nodad"
    yield f"address add {sixth(layout.TRANSIT_INTERNET)} dev to-vpc nodad"
    yield f"route add {layout.VPC_IPV6} via {sixth(layout.TRANSIT_VPC).ip}"


def _vpc_router(lab: Layout) -> Iterator[str]:
    yield "link set lo up"
    for zone in lab.zones:
        yield from _bridge(zone.public_bridge, f"{zone.public[1]}/{zone.public.prefixlen}")
        yield from _bridge(zone.private_bridge, f"{zone.private[1]}/{zone.private.prefixlen}")
    yield f"route add blackhole {layout.VPC}"
    yield f"rule add priority 100 to {layout.VPC} lookup main"


def _way_to_the_internet(lab: Layout) -> Iterator[str]:
    yield f"address add {layout.TRANSIT_VPC} dev internet"
    yield "link set internet up"
    for zone in lab.zones:
        yield f"rule add priority 200 iif {zone.public_bridge} lookup {route_table(zone, 'public')}"
        yield f"rule add priority 200 iif {zone.private_bridge} lookup {route_table(zone, 'private')}"


def _gateway_rules(lab: Layout) -> str:
    """The internet gateway. Connections are tracked, so that ICMP errors are mapped too."""
    inwards = ", ".join(f"{zone.nat_public_address} : {zone.nat_address}" for zone in lab.zones)
    outwards = ", ".join(f"{zone.nat_address} : {zone.nat_public_address}" for zone in lab.zones)
    instances = ", ".join(str(zone.nat_address) for zone in lab.zones)
    return f"""
table ip {_MAPPING_TABLE} {{
  chain inwards {{
    type nat hook prerouting priority dstnat;
    iifname "internet" dnat to ip daddr map {{ {inwards} }}
  }}
  chain outwards {{
    type nat hook postrouting priority srcnat;
    oifname "internet" snat to ip saddr map {{ {outwards} }}
  }}
  chain forward {{
    type filter hook forward priority filter;
    oifname "internet" ip saddr != {{ {instances} }} counter drop
  }}
  chain silence {{
    type filter hook output priority filter;
    icmp type destination-unreachable drop
  }}
}}
"""


# Private addresses do not travel on the internet. The counters say who tried.
_PROVIDER_RULES = """
table ip provider {
  set private {
    type ipv4_addr; flags interval
    elements = { 10.0.0.0/8, 100.64.0.0/10, 172.16.0.0/12, 192.168.0.0/16 }
  }
  chain forward {
    type filter hook forward priority filter;
    iifname "to-office" ip saddr @private counter drop
    iifname "to-vpc" ip saddr @private counter drop
  }
  chain strays {
    type filter hook prerouting priority filter;
    iifname "to-office" ip daddr @private counter
    iifname "to-vpc" ip daddr @private ip daddr != 100.64.0.0/30 counter
  }
}
"""


def _fault_rules(lab: Lab) -> Iterator[str]:
    for name in lab.isolated:
        bridges = lab.layout.zone(name).bridges
        yield f'iifname "{bridges}*" oifname != "{bridges}*" drop'
        yield f'iifname != "{bridges}*" oifname "{bridges}*" drop'
    for names in lab.partitions:
        first, second = (lab.layout.zone(name) for name in names)
        for here, there in ((first, second), (second, first)):
            yield f'iifname "{here.bridges}*" oifname "{there.bridges}*" drop'
            # Nor by way of the internet: the cut is between the zones, however they address each other.
            yield f'iifname "{here.bridges}*" oifname "internet" ip daddr {there.nat_public_address} drop'


def _nft(host: str, rules: str) -> None:
    run(["ip", "netns", "exec", namespaces.full_name(host), "nft", "-f", "-"], stdin=rules)
