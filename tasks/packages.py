"""The packages that the other tasks need: OpenVPN 2.6 or later, BIRD, iptables, conntrack, ping, Python."""

from collections.abc import Mapping, Sequence

from tasks import paths
from vpc_openvpn.remote.effects import Packages


def installed(present: Sequence[str], minimum: Mapping[str, tuple[str, str]], idle: Mapping[str, str]) -> Packages:
    """What is missing of `present` is installed; a host whose release has no recent enough OpenVPN is refused."""
    return Packages("Packages are installed", present, minimum, idle, paths.TO_IDLE)
