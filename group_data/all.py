"""What every host of the site gets. Nothing here depends on the site."""

packages = ["openvpn", "iptables", "conntrack", "iputils-ping"]

# Pinned peers without a CA (peer-fingerprint) came with OpenVPN 2.6.
minimum_versions = {"openvpn": ("2.6", "Debian 12, Ubuntu 24.04 LTS and any later release")}
