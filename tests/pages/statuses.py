"""Statuses to draw: of sites with 1, 4 and 16 zones, with every state of a zone that there may be."""

from dataclasses import replace

from vpc_openvpn.status.model import DEGRADED, DETOUR, LOST, OWN, UNKNOWN, Host, Repair, Status, Zone

NOW = 1_795_765_950.0
LONG = "eu-central-1-frankfurt-number-9"  # as long as a name may be


def names(number: int) -> list[str]:
    found = [f"us-east-1{letter}" for letter in "abcdefghijklmnop"[:number]]
    return [*found[:-1], LONG] if number > 4 else found


def own(zone: str) -> Zone:
    return Zone(zone, OWN, zone, since=NOW - 11 * 3600, round_trip=0.0112)


def sample(number: int, *, well: bool = False) -> Status:
    """A site with `number` zones; unless all are `well`, the second is on a detour, and others are lost, drained, …"""
    zones = [own(name) for name in names(number)]
    if not well and number > 1:
        zones[1] = Zone(
            zones[1].zone,
            DETOUR,
            zones[0].zone,
            "its NAT is silent",
            NOW - 19 * 60,
            lost_meanwhile="its hosts begin no connection to the office; its private subnets (10.0.22.0/24) have no"
            " internet",
            type=f"./vpc rebuild {zones[1].zone}",
        )
    if not well and number > 8:
        zones[4] = Zone(zones[4].zone, LOST, None, "its NAT is silent", NOW - 30)
        zones[6] = Zone(zones[6].zone, DETOUR, zones[-1].zone, "drained", NOW - 99, drained_since=NOW - 99)
        zones[7] = Zone(zones[7].zone, UNKNOWN, None, "x" * 300)
        zones[8] = Zone(zones[8].zone, DETOUR, zones[0].zone, "its NAT does not forward", NOW - 5)
    hosts = [host("office", None), *(host(f"nat-{zone.zone}", zone) for zone in zones)]
    states = {zone.state for zone in zones}
    verdict = next((state for state in (LOST, UNKNOWN) if state in states), DEGRADED if DETOUR in states else OWN)
    return Status(NOW, "per-zone", verdict, tuple(zones), tuple(hosts))


def host(name: str, zone: Zone | None) -> Host:
    found = Host(
        name,
        "nat" if zone else "office",
        zone.zone if zone else None,
        reachable=True,
        deploy={"by": "anna@desk", "at": NOW - 86400 * 3, "release": 2, "changed": NOW - 86400 * 3},
        identity={"since": NOW - 12 * 86400},
        disk={"free": 5 << 30, "size": 8 << 30},
        conntrack={"count": 412, "max": 262144},
        forwards=True,
    )
    if zone and "silent" in (zone.why or ""):
        return Host(name, "nat", zone.zone, reachable=False, why="no answer from 198.51.100.12 port 22")
    if name.endswith("c"):
        gone = "the table mangle was empty"
        return replace(
            found, repairs=(Repair("firewall", 3, NOW - 900, NOW - 600, looping=False, gone=gone, failing=None),)
        )
    return found
