"""What every host of the site gets. Nothing here depends on the site."""

packages = ["openvpn", "bird2", "iptables", "conntrack", "iputils-ping"]

# Pinned peers without a CA (peer-fingerprint) came with OpenVPN 2.6.
minimum_versions = {"openvpn": ("2.6", "Debian 12, Ubuntu 24.04 LTS and any later release")}

# Debian's own BIRD, which runs as soon as it is installed. Ours is an instance of its own; one that was there stays.
idle_services = {"bird2": "bird.service"}
