"""What every host of the site gets. Nothing here depends on the site."""

packages = ["openvpn", "bird2", "iptables", "conntrack", "iputils-ping", "python3"]

# Pinned peers without a CA (peer-fingerprint) came with OpenVPN 2.6.
minimum_versions = {"openvpn": ("2.6", "Debian 12, Ubuntu 24.04 LTS and any later release")}

# What `metrics: on` needs beside.
metrics_packages = ["prometheus-node-exporter"]

# Debian's own, which run as soon as they are installed. Ours are instances of their own; one that was there stays.
idle_services = {"bird2": "bird.service", "prometheus-node-exporter": "prometheus-node-exporter.service"}
