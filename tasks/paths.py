"""Where things land on the hosts. Everything below `HOME`, `LIB` and `RUN` is ours alone."""

HOME = "/etc/vpc-openvpn"
LIB = "/usr/local/lib/vpc-openvpn"
RUN = "/run/vpc-openvpn"  # gone after a reboot: what is recorded here is about the running system

SITE = f"{HOME}/site"  # whose host this is: the record that a deploy leaves
TO_IDLE = f"{HOME}/to-idle"  # there while packages are being installed
DEPLOY_LOCK = f"{RUN}/deploy.lock"

IDENTITY = f"{HOME}/identity"
CLIENTS = f"{HOME}/clients"
CERTIFICATE = f"{IDENTITY}/host.crt"
PRIVATE_KEY = f"{IDENTITY}/host.key"

FIREWALL_RULES = f"{HOME}/firewall.rules"
GUARD_ROUTES = f"{HOME}/routes"
FIREWALL_LOADER = f"{LIB}/firewall"
IPROUTE = "/etc/iproute2"  # Debian 13 has its own names elsewhere
TABLE_NAMES = f"{IPROUTE}/rt_tables.d/vpc-openvpn.conf"
PROTOCOL_NAME = f"{IPROUTE}/rt_protos.d/vpc-openvpn.conf"
FIREWALL_UNIT = "vpc-openvpn-firewall.service"
KEEPER_UNIT = "vpc-openvpn-keeper.service"
AGAIN_UNIT = "vpc-openvpn-again.service"
TRIAL = f"{RUN}/trial"  # a change of the firewall that no new connection has confirmed yet
UNDO_UNIT = "vpc-openvpn-undo"
UNITS = "/etc/systemd/system"

BIRD_CONFIGURATION = f"{HOME}/bird.conf"
BIRD_UNIT = "vpc-openvpn-bird.service"
BIRD_SOCKET = f"{RUN}/bird.ctl"

# On the office router, about detours.
DETOUR = f"{LIB}/detour"
WATCH = f"{LIB}/watch"
TUNNEL_UP = f"{LIB}/tunnel-up"
WATCHES = f"{HOME}/watches"
WATCH_UNIT = "vpc-openvpn-watch.service"
DRAINED = f"{HOME}/drained"  # a file for each zone that an operator has drained
SEEN = f"{RUN}/seen"  # what the watch thinks of each tunnel
PATHS_FILE = f"{RUN}/paths.conf"  # the two together, as BIRD reads them

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


def record(unit: str) -> str:
    """Where a unit leaves the sums of what it was started from."""
    return f"{RUN}/{unit}.record"
