"""What the kernel does with a desk's packet: its routing rules and settings count, and not our table of ways alone."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from itertools import product

from vpc_openvpn_monitor import kernel

Way = Callable[..., str]  # kernel.way
Home = Callable[[IPv4Address], str]  # kernel.home
Misled = Callable[[tuple[IPv4Network, ...], str, tuple[IPv4Network, ...]], str]


def misled(
    lans: tuple[IPv4Network, ...],
    interface: str,
    far: tuple[IPv4Network, ...],
    way: Way = kernel.way,
    home: Home = kernel.home,
) -> str:
    """Why a packet of some desk's to one of the networks `far` does not leave through `interface`, or its answer does
    not come back to the desk: with what shows it. Empty where both do.
    """
    hosts = [network[-2] if network.num_addresses > 1 else network[0] for network in far]
    desks = [(address, inside) for address, inside in (desk(lan, home) for lan in lans) if inside]
    for (address, inside), host in product(desks, hosts):
        if way(host, address, inside) != interface:
            return f"a desk's packets are sent elsewhere; ip route get {host} from {address} iif {inside}"
        if way(address, host, interface) != inside:
            return f"answers do not come back to desks; ip route get {address} from {host} iif {interface}"
    return ""


def desk(lan: IPv4Network, home: Home = kernel.home) -> tuple[IPv4Address, str]:
    """An address that a desk may have, not the router's own, and the interface behind which it is: empty where the
    router has no such network now.
    """
    for place in range(2, 5):
        if lan.num_addresses >= place:
            address = lan[-place]
            if (inside := home(address)) != "lo":
                return address, inside
    return lan[0], ""
