"""What a plan derives, and what it may not depend on."""

from ipaddress import IPv4Address, IPv4Network
from itertools import combinations
from pathlib import Path
from random import Random
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from tests.topology.strategies import Data, sites
from topology.load import ROOT, load
from topology.model import Site
from topology.plan import NatPlan, OfficePlan, Ssh, Tunnel, plan


def office_of(data: Data) -> OfficePlan:
    return cast(OfficePlan, plan(Site.model_validate(data))["office"])


def nats_of(data: Data) -> dict[str, NatPlan]:
    return {host: each for host, each in plan(Site.model_validate(data)).items() if isinstance(each, NatPlan)}


def test_the_example() -> None:
    hosts = plan(load(ROOT / "site.example.yml"))

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
        mtu=1420,
        subnets=(IPv4Network("10.0.2.0/24"), IPv4Network("10.0.22.0/24"), IPv4Network("10.0.32.0/24")),
    )
    assert nat.private_subnets == nat.subnets[1:]
    assert nat.ssh == Ssh("198.51.100.12", "admin", 22, None, ROOT / "known_hosts")


def test_a_host_without_a_key_has_the_sites(tmp_path: Path) -> None:
    example = (ROOT / "site.example.yml").read_text()
    site = tmp_path / "site.yml"
    site.write_text(example.replace("office:\n  ssh:\n", "ssh: {key: keys/all}\noffice:\n  ssh:\n    key: /office\n"))

    hosts = plan(load(site))

    assert hosts["office"].ssh.key == Path("/office")
    assert hosts["nat-us-east-1a"].ssh.key == tmp_path / "keys/all"
    assert hosts["nat-us-east-1a"].ssh.known_hosts == tmp_path / "known_hosts"


@given(sites())
def test_a_plan_is_the_same_each_time(data: Data) -> None:
    assert plan(Site.model_validate(data)) == plan(Site.model_validate(data))


@given(sites())
def test_every_zone_has_one_host_with_the_offices_tunnel(data: Data) -> None:
    office, nats = office_of(data), nats_of(data)

    assert list(nats) == [f"nat-{zone['name']}" for zone in data["zones"]]
    assert [nat.tunnel for nat in nats.values()] == list(office.tunnels)
    assert [nat.host for nat in nats.values()] == list(nats)


@given(sites())
def test_no_two_networks_overlap(data: Data) -> None:
    office = office_of(data)
    tunnels = [tunnel.network for tunnel in office.tunnels]

    for one, other in combinations([*tunnels, *office.lans, office.vpc], 2):
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
def test_a_zone_comes_or_goes_and_no_other_changes(data: Data, draw: st.DataObject) -> None:
    gone = draw.draw(st.integers(0, len(data["zones"]) - 1))
    without = {**data, "zones": data["zones"][:gone] + data["zones"][gone + 1 :]}

    after = nats_of(without)
    before = nats_of(data)
    del before[f"nat-{data['zones'][gone]['name']}"]

    assert after == before
    assert office_of(without).tunnels == tuple(nat.tunnel for nat in before.values())


@given(sites(min_zones=2), st.randoms(use_true_random=False))
def test_the_order_of_zones_does_not_matter(data: Data, random: Random) -> None:
    shuffled = {**data, "zones": random.sample(data["zones"], len(data["zones"]))}

    assert nats_of(shuffled) == nats_of(data)
