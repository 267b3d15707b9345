"""Where things land on the hosts. Everything below `HOME`, `LIB` and `RUN` is ours alone."""

HOME = "/etc/vpc-openvpn"
LIB = "/usr/local/lib/vpc-openvpn"
RUN = "/run/vpc-openvpn"  # gone after a reboot: what is recorded here is about the running system

SITE = f"{HOME}/site"  # whose host this is: the record that a deploy leaves
PINS = f"{HOME}/pins"  # whom it trusts, and whom it trusted: another
TO_IDLE = f"{HOME}/to-idle"  # there while packages are being installed
DEPLOY_LOCK = f"{RUN}/deploy.lock"
DEPLOYED = "/var/lib/vpc-openvpn/deployed"  # by the last deploy that came to its end: its release, and whose it was

IDENTITY = f"{HOME}/identity"
CLIENTS = f"{HOME}/clients"
CERTIFICATE = f"{IDENTITY}/host.crt"
PRIVATE_KEY = f"{IDENTITY}/host.key"

FIREWALL_RULES = f"{HOME}/firewall.rules"
FIREWALL_RULES6 = f"{HOME}/firewall6.rules"
GUARD_ROUTES = f"{HOME}/routes"
FIREWALL_LOADER = f"{LIB}/firewall"
IPROUTE = "/etc/iproute2"  # Debian 13 has its own names elsewhere
TABLE_NAMES = f"{IPROUTE}/rt_tables.d/vpc-openvpn.conf"
PROTOCOL_NAME = f"{IPROUTE}/rt_protos.d/vpc-openvpn.conf"
FIREWALL_UNIT = "vpc-openvpn-firewall.service"
KEEPER_UNIT = "vpc-openvpn-keeper.service"
KEEPER_SITE = f"{HOME}/keeper.json"
KEEPER_STATE = f"{RUN}/keeper.state"  # what it has put back
AGAIN_UNIT = "vpc-openvpn-again.service"
TRIAL = f"{RUN}/trial"  # a change of the firewall that no new connection has confirmed yet
UNDO_UNIT = "vpc-openvpn-undo"
SERVER_UNIT = "openvpn-server@office.service"  # a NAT's end of its tunnel
UNITS = "/etc/systemd/system"

BIRD_CONFIGURATION = f"{HOME}/bird.conf"
BIRD_UNIT = "vpc-openvpn-bird.service"
BIRD_SOCKET = f"{RUN}/bird.ctl"

MONITOR = f"{LIB}/vpc-openvpn-monitor"
MONITOR_SITE = f"{HOME}/monitor.json"

# On the office router, about detours.
TUNNEL_UP = f"{LIB}/tunnel-up"
MONITOR_UNIT = "vpc-openvpn-monitor.service"
MONITOR_SOCKET = f"{RUN}/monitor.socket"
MEMORY = f"{RUN}/monitor.memory"  # what it has to know after a restart
DRAINED = f"{HOME}/drained"  # a file for each zone that is drained
PATHS_FILE = f"{RUN}/paths.conf"  # what follows, as BIRD reads it
# Until 0.1.0 a shell script did the monitor's work.
EARLIER_WATCH_UNIT = "vpc-openvpn-watch.service"
EARLIER_WATCH = (f"{LIB}/detour", f"{LIB}/watch", f"{HOME}/watches")
EARLIER_SEEN = f"{RUN}/seen"

# For Prometheus. What a host's node exporter reads has a folder of its own.
METRICS_CONFIG = f"{HOME}/metrics.json"
METRICS = f"{RUN}/metrics"
METRICS_FILE = f"{METRICS}/vpc-openvpn.prom"
METRICS_MEMORY = f"{RUN}/metrics.memory"
EXPORTER = f"{LIB}/exporter"
EXPORTER_UNIT = "vpc-openvpn-exporter.service"

# On the office router, about alerts.
ALERTS_CONFIG = f"{HOME}/alerts.json"
HEARTBEAT = f"{HOME}/heartbeat"  # a URL, for root alone
ALERTS_UNIT = "vpc-openvpn-alerts.service"
ALERTS_RUN = "/run/vpc-openvpn-alerts"  # the unit's user owns it
ALERTS_PRIVATE = "/run/private/vpc-openvpn-alerts"  # where that leads with a user that systemd makes: systemd.exec(5)
ALERTS_MEMORY = f"{ALERTS_RUN}/memory"
ALERTS_SECRETS = "/etc/default/vpc-openvpn-alerts"  # the operator's: what the command needs in its environment
MONITOR_STATE = f"{RUN}/monitor.state"  # what `show --json` says, written for the alerts

# On the office router, about what it sends itself.
SOURCE = f"{LIB}/source"
SOURCE_FILE = f"{RUN}/source.conf"

# Read by others' services. `0-` sorts before the names that people give: of networkd's files the first match counts.
NETWORKD_SETTINGS = "/etc/systemd/networkd.conf.d/vpc-openvpn.conf"
NETWORKD_INTERFACES = "/etc/systemd/network/0-vpc-openvpn.network"
NETWORK_MANAGER = "/etc/NetworkManager/conf.d/vpc-openvpn.conf"
NEEDRESTART = "/etc/needrestart/conf.d/vpc-openvpn.conf"
UNREAD = f"{RUN}/unread"  # a file for each of those that was written and that its service has not read yet

# The last file that has a setting counts, at boot and for `sysctl --system`; hardening guides name theirs 99-.
SYSCTLS = "/etc/sysctl.d/zz-vpc-openvpn.conf"
EARLIER_SYSCTLS = "/etc/sysctl.d/60-vpc-openvpn.conf"  # its name before


def tls_crypt(zone: str) -> str:
    """The key that both ends of a zone's tunnel wrap their first packets with."""
    return f"{IDENTITY}/tunnel-{zone}.key"


def drained(zone: str) -> str:
    """Exists while an operator has new connections to `zone` go by a detour."""
    return f"{DRAINED}/{zone}"


def client_unit(connection: str) -> str:
    """The office's end of a connection."""
    return f"openvpn-client@{connection}.service"


def record(unit: str) -> str:
    """Where a unit leaves the sums of what it was started from."""
    return f"{RUN}/{unit}.record"
