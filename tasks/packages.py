"""The packages that the rest needs: OpenVPN 2.6 or later, BIRD, iptables, conntrack, ping."""

from collections.abc import Mapping, Sequence

from tasks import paths
from vpc_openvpn.remote import operations


def install(present: Sequence[str], minimum: Mapping[str, tuple[str, str]], idle: Mapping[str, str]) -> None:
    """Install what is missing of `present`; refuse a host whose release has no recent enough OpenVPN."""
    operations.packages(
        name="Packages are installed", present=present, minimum=minimum, idle=idle, to_idle=paths.TO_IDLE
    )
