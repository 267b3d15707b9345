"""What a blank disk has beside the base system: a name, a network, a language, a router's own rules. Pure: no I/O.

A NAT is what Debian's cloud image is after its first boot on EC2: cloud-init has left a netplan file, the name of the
host is in no file, so that `sudo` complains, and the language is C.UTF-8. The office's router is a Debian that its
owner has set up, in German: it forwards and masquerades without us, by its own boot units.
"""

from __future__ import annotations

from collections.abc import Mapping

from lab import layout
from lab.layout import Cable, Host, sixth

# Also a command by ssh begins with it: Debian's bash reads ~/.bashrc for those.
_DEAD_SOURCE = f"deb [trusted=yes] http://{layout.WEB.ip}/vendor ./\n"  # of another vendor; answers 404
_BASHRC = 'echo "Welcome to $(uname -n). Authorized use only."\n'
ROOT_HOME, ADMIN_HOME = "root", "home/admin"

_SYSCTLS = "net.ipv4.ip_forward = 1\n"
_NFTABLES = f"""\
#!/usr/sbin/nft -f
# The office's own rules: the LAN goes out by the internet line with its address.
table inet router
delete table inet router
table inet router {{
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    ip saddr {layout.OFFICE_LAN} oifname "wan" masquerade
  }}
}}
"""
# What `systemctl enable` makes, by path.
_ROUTER_LINKS = {
    "etc/systemd/system/sysinit.target.wants/nftables.service": "/lib/systemd/system/nftables.service",
}

# networkd would wait 12 s for a router's advertisement, until which the host is not online; with DHCP it does not.
_CARD = """\
    {interface}:
      addresses: [{addresses}]
      accept-ra: false
"""


def files(host: Host) -> Mapping[str, str]:
    """The host's own files, by their path below /."""
    router = host.kind == "office"
    language = f"LANG={'de_DE.UTF-8' if router else 'C.UTF-8'}\n"
    found = {
        "etc/hostname": f"{host.hostname}\n",
        "etc/hosts": "127.0.0.1 localhost\n" + (f"127.0.1.1 {host.hostname}\n" if router else ""),
        "etc/default/locale": language,
        "etc/locale.conf": language,  # of which the former is a link since Debian 13
        f"{ROOT_HOME}/.bashrc": _BASHRC,
        f"{ADMIN_HOME}/.bashrc": _BASHRC,
        "etc/apt/sources.list.d/vendor.list": _DEAD_SOURCE,
    }
    if host.networkd:
        found["etc/netplan/50-cloud-init.yaml"] = _netplan(host)
    if router:
        found |= {"etc/sysctl.d/router.conf": _SYSCTLS, "etc/nftables.conf": _NFTABLES}
    return found


def links(host: Host) -> Mapping[str, str]:
    """The host's own symbolic links, as files are."""
    return _ROUTER_LINKS if host.kind == "office" else {}


def _netplan(host: Host) -> str:
    return "network:\n  version: 2\n  ethernets:\n" + "".join(_card(host, cable) for cable in host.cables)


def _card(host: Host, cable: Cable) -> str:
    addresses = [
        f'"{address}"' for address in ((cable.address, sixth(cable.address)) if host.ipv6 else (cable.address,))
    ]
    text = _CARD.format(interface=cable.interface, addresses=", ".join(addresses))
    if host.gateway in cable.address.network:
        routes = [f"{{to: default, via: {host.gateway}}}"]
        routes += [f'{{to: "::/0", via: "{host.ipv6_gateway}"}}'] if host.ipv6 else []
        text += f"      routes: [{', '.join(routes)}]\n"
    return text
