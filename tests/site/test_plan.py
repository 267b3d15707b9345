"""What a plan derives, and what it may not depend on."""

from collections import defaultdict
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations
from pathlib import Path
from random import Random
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import EXAMPLE_SITE
from tests.site.strategies import Data, sites
from vpc_openvpn.site.load import load
from vpc_openvpn.site.model import NUMBERS, Alerts, Identities, Site
from vpc_openvpn.site.plan import (
    AVOIDED,
    DETOUR_PREFERENCE,
    PRIMARY_PREFERENCE,
    ROUTER,
    ZONES,
    NatPlan,
    OfficePlan,
    Ssh,
    Tunnel,
    plan,
)


def office_of(data: Data) -> OfficePlan:
    return cast(OfficePlan, plan(Site.model_validate(data))["office"])


def nats_of(data: Data) -> dict[str, NatPlan]:
    return {host: each for host, each in plan(Site.model_validate(data)).items() if isinstance(each, NatPlan)}


def test_the_example_is_planned() -> None:
    hosts = plan(load(EXAMPLE_SITE))

    assert list(hosts) == ["office", "nat-us-east-1a", "nat-us-east-1b"]
    office, nat = cast(OfficePlan, hosts["office"]), cast(NatPlan, hosts["nat-us-east-1b"])
    assert nat.tunnel is office.tunnels[1]
    assert nat.tunnel == Tunnel(
        zone="us-east-1b",
        number=2,
        network=IPv4Network("10.200.2.0/29"),
        nat_address=IPv4Address("10.200.2.1"),
        office_address=IPv4Address("10.200.2.2"),
        office_interface="tun-2",
        nat_interface="tun-office",
        nat_host="nat-us-east-1b",
        remote=IPv4Address("198.51.100.12"),
        port=1194,
        mtu=1440,
        detection=500,
        subnets=(IPv4Network("10.0.2.0/24"), IPv4Network("10.0.22.0/24"), IPv4Network("10.0.32.0/24")),
    )
    assert nat.private_subnets == nat.subnets[1:]
    assert nat.ssh == Ssh("198.51.100.12", "admin", 22, None, EXAMPLE_SITE.parent / "known_hosts")


def test_a_host_without_a_key_has_the_sites(tmp_path: Path) -> None:
    example = EXAMPLE_SITE.read_text()
    site = tmp_path / "site.yml"
    site.write_text(example.replace("office:\n  ssh:\n", "ssh: {key: keys/all}\noffice:\n  ssh:\n    key: /office\n"))

    hosts = plan(load(site))

    assert hosts["office"].ssh.key == Path("/office")
    assert hosts["nat-us-east-1a"].ssh.key == tmp_path / "keys/all"
    assert hosts["nat-us-east-1a"].ssh.known_hosts == tmp_path / "known_hosts"


@given(sites())
def test_every_zone_has_one_host_with_the_offices_tunnel(data: Data) -> None:
    office, nats = office_of(data), nats_of(data)

    assert list(nats) == [f"nat-{zone['name']}" for zone in data["zones"]]
    assert [nat.tunnel for nat in nats.values()] == list(office.tunnels)


@given(sites())
def test_each_tunnel_has_a_part_of_the_sites_network_for_itself(data: Data) -> None:
    networks = [tunnel.network for tunnel in office_of(data).tunnels]

    assert all(network.subnet_of(Site.model_validate(data).tunnels.network) for network in networks)
    for one, other in combinations(networks, 2):
        assert not one.overlaps(other)


@given(sites())
def test_a_tunnels_ends_are_two_hosts_of_its_network(data: Data) -> None:
    for tunnel in office_of(data).tunnels:
        ends = {tunnel.nat_address, tunnel.office_address}
        assert len(ends) == 2
        assert ends <= set(tunnel.network.hosts())


@given(sites())
def test_the_office_has_an_interface_for_each_tunnel(data: Data) -> None:
    interfaces = [tunnel.office_interface for tunnel in office_of(data).tunnels]

    assert len(set(interfaces)) == len(interfaces)
    assert all(len(interface) <= 15 for interface in interfaces)
    assert "tun-office" not in interfaces


@given(sites(min_zones=2), st.data())
def test_adding_or_removing_a_zone_changes_no_other(data: Data, draw: st.DataObject) -> None:
    """But in what it may carry as that zone's detour."""
    gone = draw.draw(st.integers(0, len(data["zones"]) - 1))
    name = data["zones"][gone]["name"]
    without = {**data, "zones": data["zones"][:gone] + data["zones"][gone + 1 :]}

    after = nats_of(without)
    before = nats_of(data)
    lost = before.pop(f"nat-{name}")

    assert {host: replace(nat, transit=()) for host, nat in after.items()} == {
        host: replace(nat, transit=()) for host, nat in before.items()
    }
    for host, nat in before.items():
        assert set(nat.transit) - set(after[host].transit) == set(lost.subnets if data_detours(data) else ())
        assert set(after[host].transit) <= set(nat.transit)
    assert office_of(without).tunnels == tuple(nat.tunnel for nat in before.values())


def data_detours(data: Data) -> bool:
    """Whether a zone of the drawn site may be reached through every other one's nat."""
    return data.get("strategy") == "single" or data.get("detour", "on") == "on"


@given(sites(min_zones=2), st.randoms(use_true_random=False))
def test_the_order_of_zones_does_not_matter_to_the_nats(data: Data, random: Random) -> None:
    shuffled = {**data, "zones": random.sample(data["zones"], len(data["zones"]))}

    assert nats_of(shuffled) == nats_of(data)


# --- detours ------------------------------------------------------------------------------------------------


@given(sites())
def test_every_subnet_has_its_own_tunnel_and_all_others_as_detours(data: Data) -> None:
    office = office_of(data)
    ways: dict[IPv4Network, list[int]] = defaultdict(list)
    for connection in office.connections:
        for route in connection.routes:
            ways[route.subnet].append(route.preference)

    assert set(ways) == {subnet for tunnel in office.tunnels for subnet in tunnel.subnets}
    others = len(office.tunnels) - 1 if office.strategy == "per-zone" and data.get("detour", "on") == "on" else 0
    for preferences in ways.values():
        home, *detours = sorted(preferences, reverse=True)
        assert home == PRIMARY_PREFERENCE
        assert detours == [DETOUR_PREFERENCE - place for place in range(others)]
        # A doubted home is behind every detour that is not doubted itself, and before every one that is.
        assert not detours or detours[0] - AVOIDED < home - AVOIDED < detours[-1]
        assert min([home, *detours]) - 2 * AVOIDED > 0  # BIRD's are not negative


@given(sites())
def test_a_nat_forwards_the_subnets_that_the_office_sends_it(data: Data) -> None:
    office, nats = office_of(data), nats_of(data)

    for connection in office.connections:
        for tunnel in connection.tunnels:
            nat = nats[tunnel.nat_host]
            assert set(connection.subnets) == {*nat.subnets, *nat.transit}
            assert not set(nat.subnets) & set(nat.transit)


def example(**changes: object) -> Data:
    """A site of four zones, each with these keys, `zones` being those of one zone by its last letter."""
    zones = changes.pop("zones", {})
    assert isinstance(zones, dict)
    return {
        "office": {"ssh": {"host": "r"}, "public_address": "dynamic", "lans": ["192.168.50.0/24"]},
        "vpc": {"network": "10.0.0.0/16"},
        "operators": ["203.0.113.0/24"],
        "zones": [
            {
                "name": f"zone-{letter}",
                "subnets": {"public": [f"10.0.{number}.0/24"], "private": [f"10.0.2{number}.0/24"]},
                "nat": {"private_address": f"10.0.{number}.10", "public_address": f"198.51.100.{number}"},
                **zones.get(letter, {}),
            }
            for number, letter in enumerate("abcd", start=1)
        ],
        **changes,
    }


def detours_of(data: Data) -> dict[str, list[str]]:
    """Each zone's detours, best first, as the office's routes say."""
    office = office_of(data)
    found = {}
    for home in office.tunnels:
        ways = [
            (route.preference, connection.tunnels[0].zone)
            for connection in office.connections
            for route in connection.routes
            if route.subnet == home.subnets[0] and connection.tunnels[0] is not home
        ]
        found[home.zone] = [zone for _, zone in sorted(ways, reverse=True)]
    return found


def test_detours_follow_the_sites_order() -> None:
    assert detours_of(example()) == {
        "zone-a": ["zone-b", "zone-c", "zone-d"],
        "zone-b": ["zone-a", "zone-c", "zone-d"],
        "zone-c": ["zone-a", "zone-b", "zone-d"],
        "zone-d": ["zone-a", "zone-b", "zone-c"],
    }


def test_a_zone_has_its_own_order_of_detours_or_none() -> None:
    zones = {"a": {"detour": ["zone-d", "zone-c"]}, "b": {"detour": "off"}}
    found = detours_of(example(zones=zones))

    assert (found["zone-a"], found["zone-b"]) == (["zone-d", "zone-c"], [])
    assert found["zone-c"] == ["zone-a", "zone-b", "zone-d"]
    # A NAT forwards no packets that the office does not send there.
    assert [str(subnet) for subnet in nats_of(example(zones=zones))["nat-zone-b"].transit] == [
        *("10.0.3.0/24", "10.0.4.0/24", "10.0.23.0/24", "10.0.24.0/24")
    ]


def test_detour_off_for_the_site_leaves_each_zone_its_own_tunnel() -> None:
    data = example(detour="off", zones={"a": {"detour": ["zone-b"]}})

    assert all(nat.transit == () for nat in nats_of(data).values())
    assert all(connection.subnets == connection.tunnel.subnets for connection in office_of(data).connections)


def test_a_health_check_pings_the_probe_or_an_address_beyond_the_nat() -> None:
    asked, derived, *_ = office_of(example(zones={"a": {"probe": "10.0.21.10"}})).health_checks

    assert (str(asked.target), asked.answers) == ("10.0.21.10", True)
    assert (str(derived.target), derived.answers) == ("10.0.22.3", False)
    assert [other.zone for other in asked.others] == ["zone-b", "zone-c", "zone-d"]


@given(sites())
def test_the_address_beyond_a_nat_is_in_its_subnets(data: Data) -> None:
    for nat in nats_of(data).values():
        assert any(nat.tunnel.beyond in subnet for subnet in nat.subnets)
        assert nat.tunnel.beyond != nat.private_address


def test_single_has_one_connection_with_every_nat_in_it() -> None:
    office = office_of(example(strategy="single"))
    [connection] = office.connections

    assert [tunnel.zone for tunnel in connection.tunnels] == ["zone-a", "zone-b", "zone-c", "zone-d"]
    assert connection.name == "vpc"
    assert office.health_checks == ()
    assert len(nats_of(example(strategy="single"))["nat-zone-a"].transit) == 6


def test_the_offices_table_numbers_are_unique() -> None:
    tunnel = office_of(example()).tunnels[0]
    tables = [table for number in NUMBERS for table in replace(tunnel, number=number).tables]
    ids = [table.id for table in tables] + [ROUTER, ZONES]
    assert len(set(ids)) == 4 * len(NUMBERS) + 2
    assert max(table.id for table in tables) < ROUTER < ZONES < 32766, "main comes after all of ours"
    assert max(ids) < 8600, "the release before had tables from there on, and both exist while a deploy changes them"
    assert replace(tunnel, number=250).mark == "0xfa000000/0xff000000"


def test_names_of_tables_say_what_they_are_for() -> None:
    named = {table.id: table.name for table in office_of(example()).tables}
    assert named[7001] == "hold-zone-a" and named[7900] == "vpc-zones"
    assert list(named) == sorted(named) and len(set(named.values())) == len(named)


def test_an_alert_goes_by_the_sites_own_age_of_an_identity_unless_it_has_one() -> None:
    site = load(EXAMPLE_SITE)
    days = {}
    for alerts in ({"command": "/bin/tell"}, {"command": "/bin/tell", "identities": 90}):
        for identities in ({}, {"max_age_days": 730}):
            data = site.model_copy(
                update={"alerts": Alerts.model_validate(alerts), "identities": Identities.model_validate(identities)}
            )
            found = cast(OfficePlan, plan(data)["office"]).alerts
            assert found is not None
            days["identities" in alerts, bool(identities)] = found.identities
    assert days == {(False, False): 365, (False, True): 730, (True, False): 90, (True, True): 90}
