"""The kernel forwards, now and after a reboot."""

from tasks import paths
from tasks.views import view
from vpc_openvpn.remote.effects import Sysctls
from vpc_openvpn.remote.files import File
from vpc_openvpn.site.plan import HostPlan


def file(plan: HostPlan) -> File:
    """The settings for the next boot."""
    return view(paths.SYSCTLS, plan.role, plan=plan)


def settings(text: str) -> dict[str, str]:
    """The settings that a sysctl.d file makes, by path below /proc/sys: the file is the only place that states them."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key.strip().removeprefix("-").replace(".", "/"): value.strip() for key, value in pairs}


def enabled(plan: HostPlan) -> Sysctls:
    """The settings are made, and what has drifted is set right."""
    wanted = file(plan)
    return Sysctls("Forwarding is on", wanted, settings(wanted.text), owned=[paths.EARLIER_SYSCTLS])
