"""The managers of networks and services that a host may have leave alone what is ours, from their first start if they
are installed later.
"""

from tasks import paths
from tasks.views import view
from vpc_openvpn.remote.effects import Reader
from vpc_openvpn.site.plan import HostPlan

_IF_NETWORKD_RUNS = "! systemctl is-active --quiet systemd-networkd ||"
_IF_NETWORK_MANAGER_RUNS = "! systemctl is-active --quiet NetworkManager ||"

# By path: the command that has the program read the file.
_READERS = {
    # networkd reads its settings when it starts, and at no other time.
    paths.NETWORKD_SETTINGS: f"{_IF_NETWORKD_RUNS} systemctl restart systemd-networkd",
    paths.NETWORKD_INTERFACES: f"{_IF_NETWORKD_RUNS} networkctl reload",
    paths.NETWORK_MANAGER: f"{_IF_NETWORK_MANAGER_RUNS} systemctl reload NetworkManager",
    paths.NEEDRESTART: "",
}


def readers(plan: HostPlan) -> list[Reader]:
    """What each of these programs is to know, and how it comes to know it."""
    return [Reader(view(path, "any", interfaces=plan.interfaces), read) for path, read in _READERS.items()]
