"""The table "What may pass" of docs/site-file.md, line by line and both ways, in three states: as deployed, while NAT a
has no tunnel, and under `strategy: single`.

desk 192.168.50.10 ── office ══ tun-N ══ nat-us-east-1X 10.0.N.10 ── app-us-east-1X 10.0.2N.10
                         └──── internet ── 198.51.100.2N ──┘
                                  └── web 198.51.100.200

Who answers says whom it has heard: so a line also says under which address something passes.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import pytest

from tests.scenarios.flows import PEERS, Background, changed
from tests.scenarios.harness import Host, World
from tests.scenarios.states import all_home

PORT = 7100
DESK, WEB, NAT_A = "192.168.50.10", "198.51.100.200", "10.0.1.10"
NAT_B, OPERATOR, ROUTER = "10.0.2.10", "192.168.50.20", "192.168.50.1"
PUBLIC = {"a": "198.51.100.21", "b": "198.51.100.22"}
APPS = {zone: f"10.0.2{number}.10" for number, zone in enumerate("abc", 1)}
pytestmark = pytest.mark.usefixtures("open_vpc")


class Line(NamedTuple):
    """A connection that a host begins. `seen`: the address under which its other end hears it; None: it does not."""

    host: str
    address: str
    seen: str | None
    port: int = PORT


def app(zone: str) -> str:
    return f"app-us-east-1{zone}"


# In each state.
ALWAYS = (
    *(Line(app(zone), WEB, PUBLIC[zone]) for zone in "ab"),  # private subnets → the internet, masqueraded
    Line("web", PUBLIC["a"], None),
    Line("web", PUBLIC["a"], None, port=22),
    Line("web", APPS["a"], None),
    Line("web", DESK, None),
    *(Line(app("a"), ROUTER, None, port=port) for port in (22, PORT)),  # office.services is empty
    Line("nat-us-east-1a", ROUTER, None, port=22),
    Line(app("a"), NAT_A, None, port=22),  # the VPC is not among the operators
    Line("desk", "10.200.1.1", None),
)
NORMAL = (
    *(Line("desk", address, DESK) for address in APPS.values()),
    *(Line(app(zone), DESK, address) for zone, address in APPS.items()),
    Line("nat-us-east-1a", DESK, None),  # under the tunnel's address, which is no zone's
)
DETOURED = (
    Line("desk", APPS["a"], NAT_B),
    Line("desk", APPS["b"], DESK),
    Line(app("a"), DESK, None),
    Line(app("b"), DESK, APPS["b"]),
)
SINGLE = (
    Line("desk", APPS["a"], DESK),
    Line("desk", APPS["b"], NAT_A),
    Line(app("a"), DESK, APPS["a"]),
    Line(app("b"), DESK, None),
)


@contextmanager
def ears() -> Iterator[None]:
    """Every end hears on PORT, and says from which address it is asked."""
    with ExitStack() as stack:
        for name in ("desk", "web", *map(app, "abc")):
            stack.enter_context(Background(Host(name), f"{PEERS} mirror {PORT}"))
        for name in ("desk", "web", *map(app, "abc")):
            Host(name).eventually(f"{PEERS} look 127.0.0.1 {PORT}")
        yield


def wrong(lines: Iterable[Line]) -> list[str]:
    """The lines that are not so."""
    found = []
    for line in lines:
        # By bash alone: the NATs have no more.
        ask = f"exec 3<>/dev/tcp/{line.address}/{line.port} && head -n 1 <&3"
        answer = Host(line.host).answers(f"timeout 2 bash -c '{ask}' 2> /dev/null")
        heard = answer.output.strip() if answer.status == 0 else None
        if heard != line.seen:
            found.append(f"{line}: heard {heard}")
    return found


def test_as_deployed(world: World) -> None:
    all_home()
    with ears():
        assert wrong((*ALWAYS, *NORMAL)) == []
        # Operators ssh to the NATs: by the internet, and through a tunnel.
        for address in (PUBLIC["a"], NAT_A):
            Host("operator").succeeds(f"{PEERS} connect {address} 22")


def test_while_a_zone_is_reached_by_a_detour(world: World) -> None:
    all_home()
    unit = "systemctl {} --quiet --now openvpn-server@office"
    with ears(), changed(Host("nat-us-east-1a"), unit.format("disable"), unit.format("enable")):
        Host("office").eventually("ip -4 route show table vpc-zones 10.0.21.0/24 | grep -q 'dev tun-2 '")
        assert wrong((*ALWAYS, *DETOURED)) == []
    all_home()


def test_under_one_connection_for_all_zones(world: World) -> None:
    site = world.copy_of_site()
    site["strategy"] = "single"
    world.use(site)
    world.deploy()
    try:
        with ears():
            assert wrong((*ALWAYS, *SINGLE)) == []
    finally:
        world.use(world.baseline)
        world.deploy()
        all_home()
