"""Sites that hypothesis may draw, as the data that a site file would hold."""

from ipaddress import IPv4Network
from itertools import zip_longest
from string import ascii_lowercase
from typing import Any

from hypothesis import strategies as st

Data = dict[str, Any]

VPCS = [
    [IPv4Network(network) for network in networks]
    for networks in (["10.0.0.0/16"], ["172.16.0.0/16"], ["10.64.0.0/18", "100.64.0.0/16"], ["192.168.128.0/17"])
]
LANS = [IPv4Network(network) for network in ("192.168.50.0/24", "192.168.51.0/25", "10.1.0.0/16", "172.31.0.0/20")]
TUNNELS = [IPv4Network(network) for network in ("10.200.0.0/16", "172.30.0.0/16", "10.255.0.0/16")]


@st.composite
def sites(draw: st.DrawFn, min_zones: int = 1) -> Data:
    """A valid site of up to 16 zones."""
    vpc = draw(st.sampled_from(VPCS))
    count = draw(st.integers(min_zones, 16))
    letters = draw(st.permutations(ascii_lowercase))[:count]
    size = draw(st.sampled_from([24, 26, 28]))
    parts = zip_longest(*(network.subnets(new_prefix=size) for network in vpc))
    subnets = (subnet for part in parts for subnet in part if subnet)
    site: Data = {
        "office": {
            "ssh": {"host": draw(st.sampled_from(["192.168.50.1", "router.example.com", "2001:db8::1"]))},
            "public_address": draw(
                st.sampled_from(["198.51.100.250", "dynamic", ["198.51.100.250", "198.51.100.251"]])
            ),
            "lans": draw(st.lists(st.sampled_from(LANS).map(str), min_size=1, unique=True)),
        },
        "vpc": {"network": str(vpc[0]) if len(vpc) == 1 else [str(network) for network in vpc]},
        "operators": draw(st.sampled_from([["0.0.0.0/0"], ["203.0.113.0/24", "198.51.100.250/32"]])),
        "zones": [draw(zones(index, letter, subnets)) for index, letter in enumerate(letters)],
    }
    site |= draw(st.sampled_from([{}, {"strategy": "single"}, {"detour": "off"}, {"detour": "on"}]))
    if draw(st.booleans()):
        site["tunnels"] = {
            "network": str(draw(st.sampled_from(TUNNELS))),
            "mtu": draw(st.integers(1280, 1500)),
        }
    return site


@st.composite
def zones(draw: st.DrawFn, index: int, letter: str, subnets: Any) -> Data:
    """A zone of its own subnets; half of them give their tunnel a number that no letter implies."""
    public = [next(subnets) for _ in range(draw(st.integers(1, 3)))]
    private = [next(subnets) for _ in range(draw(st.integers(0, 3)))]
    home = draw(st.sampled_from(public))
    zone: Data = {
        "name": f"{draw(st.sampled_from(['us-east-1', 'eu-west-3', 'z-']))}{letter}",
        "subnets": {
            "public": [str(subnet) for subnet in public],
            "private": [str(subnet) for subnet in private],
        },
        "nat": {
            "private_address": str(home[draw(st.integers(4, home.num_addresses - 2))]),
            "public_address": f"198.51.100.{index + 1}",
        },
    }
    if draw(st.booleans()):
        zone["tunnel"] = {"number": 100 + index, "port": draw(st.integers(1, 65535))}
    return zone
