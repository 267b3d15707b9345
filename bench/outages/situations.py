"""What is compared: four kinds of site, in eleven situations, by the packets of twelve directions. Data only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ZONES = ("us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d")
HIT, CUT_FROM = ZONES[:2]  # the zone that every fault is in, and, in a partition, the other one
DESK_ADDRESS, WEB_ADDRESS = "192.168.50.10", "198.51.100.200"
APP_ADDRESSES = {zone: f"10.0.{number}.10" for number, zone in enumerate(ZONES, 21)}

# Who speaks to whom, and how the direction is called for a zone.
TO_ZONE, TO_DESK, TO_INTERNET = "desk→{}", "{}→desk", "{}→internet"
KINDS = {
    TO_ZONE: "from a desk to each zone",
    TO_DESK: "from each zone to the desk",
    TO_INTERNET: "from each zone to the internet",
}
DIRECTIONS = tuple(kind.format(zone) for kind in KINDS for zone in ZONES)

SINGLE, DETOUR_OFF, PER_ZONE, NO_PROBE = "single", "per-zone, detour: off", "per-zone", "per-zone, no probe"
STRATEGIES: Mapping[str, Mapping[str, Any]] = {  # what the site says
    SINGLE: {"strategy": "single"},
    DETOUR_OFF: {"strategy": "per-zone", "detour": "off"},
    PER_ZONE: {"strategy": "per-zone"},
    NO_PROBE: {"strategy": "per-zone"},
}
UNPROBED = (NO_PROBE,)  # their zones have no `probe`, as in the example file
SINGLE_UNIT, SINGLE_INTERFACE = "openvpn-client@vpc", "tun-vpc"
# With one tunnel for all zones, a packet to the office leaves by its own zone's nat, which has no tunnel unless it is
# the active one: HIT's, in every repetition.
NEVER: Mapping[str, frozenset[str]] = {
    SINGLE: frozenset(TO_DESK.format(zone) for zone in ZONES if zone != HIT),
    DETOUR_OFF: frozenset(),
    PER_ZONE: frozenset(),
    NO_PROBE: frozenset(),
}


@dataclass(frozen=True)
class Situation:
    """One kind of outage. `fault`, `repair` and `restore` are what follows `python -m lab`, as typed in a shell.

    `patience` is how many seconds those who can recover by themselves get before `repair`, under `single` and
    otherwise. Without a `repair` the situation ends by itself. `restore` is done when the measurement is over. A
    `fault` that `ends_with_the_host` fails when the host goes down, which programs may delay by seconds.
    """

    title: str
    fault: str = ""
    repair: str = ""
    restore: str = ""
    patience: tuple[float, float] = (14, 4)
    ends_with_the_host: bool = False


_REBOOT = "sh -c 'systemctl reboot && sleep 60'"
_NAT = f"exec nat-{HIT} --"
_ADDRESS = (
    "ip address flush dev wan && ip address add 198.51.100.{}/29 dev wan && ip route add default via 198.51.100.9"
)
CUT = "internet-cut"
SITUATIONS: Mapping[str, Situation] = {
    "normal": Situation("normal use"),
    "isolated": Situation("zone a isolated", f"isolate {HIT}", "heal"),
    "partition": Situation("zones a and b partitioned", f"partition {HIT} {CUT_FROM}", "heal", patience=(5, 4)),
    "nat-killed": Situation("NAT a: host killed", f"kill nat-{HIT}", f"start nat-{HIT}"),
    "openvpn-killed": Situation("NAT a: OpenVPN kill -9", f"{_NAT} systemctl kill -s KILL openvpn-server@office"),
    "openvpn-stopped": Situation(
        "NAT a: OpenVPN stopped",
        # Disabled as well: the keeper starts again what is only stopped.
        f"{_NAT} systemctl disable --quiet --now openvpn-server@office",
        f"{_NAT} systemctl enable --quiet --now openvpn-server@office",
    ),
    "no-forwarding": Situation(
        "NAT a: up, forwards nothing",
        # A rule of another program's: what is ours the keeper puts back.
        f"{_NAT} iptables -I FORWARD -j DROP",
        f"{_NAT} iptables -D FORWARD -j DROP",
        patience=(5, 7),  # only the monitor sees it, after some seconds
    ),
    "nat-rebooted": Situation("NAT a: rebooted", f"{_NAT} {_REBOOT}", ends_with_the_host=True),
    CUT: Situation(
        "office: internet cut for {:g} s",  # as the results' settings say
        "exec internet -- ip link set office down",
        "exec internet -- ip link set office up",
    ),
    "address-changed": Situation(
        "office: new public address",
        f"exec office -- sh -c '{_ADDRESS.format(11)}'",
        restore=f"exec office -- sh -c '{_ADDRESS.format(10)}'",
    ),
    "office-rebooted": Situation("office: router rebooted", f"exec office -- {_REBOOT}", ends_with_the_host=True),
}
CUT_SECONDS, QUICK_CUT_SECONDS = 20.0, 5.0
