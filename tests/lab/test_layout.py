"""The lab's addresses: unique, in their networks, the same whatever the number of zones, and fit for the kernel."""

from collections import Counter

import pytest

from lab import layout
from lab.layout import MAX_ZONES, Layout

SIZES = range(1, MAX_ZONES + 1)


@pytest.mark.parametrize("size", SIZES)
def test_no_two_hosts_share_an_address_or_a_socket_of_a_network(size: int) -> None:
    hosts = Layout(size).hosts.values()
    addresses = Counter(address for host in hosts for address in host.addresses)
    ports = Counter((cable.fabric, cable.port) for host in hosts for cable in host.cables)
    assert {*addresses.values(), *ports.values()} == {1}


def test_hosts_keep_their_addresses_when_zones_are_added() -> None:
    largest = Layout(MAX_ZONES).hosts
    for size in SIZES:
        assert all(host == largest[name] for name, host in Layout(size).hosts.items())


def test_a_host_reaches_its_gateway_by_one_of_its_cables() -> None:
    for host in Layout(MAX_ZONES).hosts.values():
        if host.gateway is not None:
            assert any(host.gateway in cable.address.network for cable in host.cables), host.name


def test_zones_lie_in_the_vpc_and_do_not_overlap() -> None:
    networks = [network for zone in Layout(MAX_ZONES).zones for network in (zone.public, zone.private)]
    assert all(network.subnet_of(layout.VPC) for network in networks)
    assert len(set(networks)) == 2 * MAX_ZONES
    for zone in Layout(MAX_ZONES).zones:
        assert zone.nat_address in zone.public
        assert zone.app_address in zone.private


def test_a_nat_sees_only_its_private_address() -> None:
    nat = Layout(1).hosts["nat-us-east-1a"]
    assert [str(cable.address) for cable in nat.cables] == ["10.0.1.10/24"]
    assert [str(address) for address in nat.addresses] == ["10.0.1.10", "198.51.100.21"]


def test_interface_names_fit_the_kernel() -> None:
    lab = Layout(MAX_ZONES)
    names = [name for zone in lab.zones for name in (zone.public_bridge, zone.private_bridge)]
    cables = [cable for host in lab.hosts.values() for cable in host.cables]
    names += [name for cable in cables for name in (cable.interface, cable.bridge, cable.port)]
    assert all(len(name) <= 15 for name in names)


def test_no_zones_bridges_are_taken_for_anothers() -> None:
    """Faults find a zone's bridges by what their names begin with: zone 1 is not zone 11."""
    zones = Layout(MAX_ZONES).zones
    for one in zones:
        found = [other for other in zones if other.public_bridge.startswith(one.bridges)]
        assert found == [one]


def test_a_mac_address_follows_from_the_address() -> None:
    (cable,) = Layout(1).hosts["desk"].cables
    assert cable.mac == "02:00:c0:a8:32:0a"


def test_each_network_has_a_prefix_of_its_own_in_ipv6() -> None:
    cables = [cable for host in Layout(MAX_ZONES).hosts.values() for cable in host.cables]
    addresses = [layout.sixth(cable.address) for cable in cables]
    assert len(set(addresses)) == len(addresses)
    networks = {layout.sixth(cable.address).network: cable.address.network for cable in cables}
    assert len(networks) == len({cable.address.network for cable in cables})
    for zone in Layout(MAX_ZONES, ipv6=True).zones:
        nat = Layout(MAX_ZONES, ipv6=True).hosts[f"nat-{zone.name}"]
        assert nat.ipv6_gateway in layout.VPC_IPV6
        assert Layout(MAX_ZONES).hosts[nat.name].ipv6_gateway is None
