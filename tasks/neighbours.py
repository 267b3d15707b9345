"""The managers of networks and services that a host may have leave alone what is ours."""

from tasks import paths
from templates import render
from vpc_openvpn.remote.effects import Reader
from vpc_openvpn.remote.files import File
from vpc_openvpn.site.plan import HostPlan

_IF_NETWORKD_RUNS = "! systemctl is-active --quiet systemd-networkd ||"
_IF_NETWORK_MANAGER_RUNS = "! systemctl is-active --quiet NetworkManager ||"

# By path: the directory that comes with the program, and the command that has it read the file.
_READERS = {
    # networkd reads its settings when it starts, and at no other time.
    paths.NETWORKD_SETTINGS: ("/etc/systemd", f"{_IF_NETWORKD_RUNS} systemctl restart systemd-networkd"),
    paths.NETWORKD_INTERFACES: ("/etc/systemd", f"{_IF_NETWORKD_RUNS} networkctl reload"),
    paths.NETWORK_MANAGER: ("/etc/NetworkManager", f"{_IF_NETWORK_MANAGER_RUNS} systemctl reload NetworkManager"),
    paths.NEEDRESTART: ("/etc/needrestart", ""),
}


def readers(plan: HostPlan) -> list[Reader]:
    """What each of these programs is to know, and how it comes to know it."""
    return [
        Reader(File(path, render(f"any{path}.j2", interfaces=plan.interfaces)), home, read)
        for path, (home, read) in _READERS.items()
    ]
