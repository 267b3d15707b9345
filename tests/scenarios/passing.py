"""The table "What may pass" of docs/site-file.md as data: its rows, word for word, and what is asked to see each.

desk 192.168.50.10 ── office 192.168.50.1 ══ tun-N ══ nat-us-east-1X 10.0.N.10 ── app-us-east-1X 10.0.2N.10
                         └─────── internet ─────── 198.51.100.2N ──┘
                                     └── web 198.51.100.200

A fast test holds that the rows are those of the document (tests/test_what_may_pass.py), a scenario that they are so on
the hosts (test_what_may_pass.py). Pure.
"""

from typing import Any, Literal, NamedTuple

PORT, NAMED = 7100, 7101  # where each host hears; one more that `office.services` names
SSH, EXPORTER, TUNNEL, DNS = 22, 9100, 1194, 53
# What the site has beside the lab's own: each row is there to be seen.
SITE: dict[str, Any] = {
    "metrics": "on",
    "office": {"services": [f"{DNS}/udp", f"{NAMED}/tcp", "ping"]},
    "operators": ["198.51.100.10/32", "192.168.50.0/24", "10.0.22.10/32"],
}
DESK, ROUTER, OFFICE, WEB = "192.168.50.10", "192.168.50.1", "198.51.100.10", "198.51.100.200"
NATS = {zone: f"10.0.{number}.10" for number, zone in enumerate("abc", 1)}
APPS = {zone: f"10.0.2{number}.10" for number, zone in enumerate("abc", 1)}
PUBLIC = {zone: f"198.51.100.2{number}" for number, zone in enumerate("abc", 1)}
FAR = {zone: f"10.200.{number}.1" for number, zone in enumerate("abc", 1)}
NEAR = {zone: f"10.200.{number}.2" for number, zone in enumerate("abc", 1)}

Kind = Literal["tcp", "udp", "ping", "bfd", "tunnel", "through"]
ANSWERS = "answers"  # it passes, and the other end cannot say under which address
NOTHING = "nothing"


class Probe(NamedTuple):
    """What a host asks, from its address `own` if that is given. `seen`: the address under which the other end hears
    it; None: it does not.

    `bfd`: BIRD says that its session with `address` is up. `tunnel`: a datagram to a NAT's OpenVPN, which names its
    sender. `through`: a datagram that a NAT puts into its tunnel, with the address `own`.
    """

    host: str
    address: str
    seen: str | None
    port: int = PORT
    kind: Kind = "tcp"
    own: str = ""


class Way(NamedTuple):
    """How a row's packets pass in one state, in the document's words, and what is asked then."""

    text: str
    probes: tuple[Probe, ...]


class Row(NamedTuple):
    """A line of the table: from, to, and the way in each of the three states."""

    sender: str
    target: str
    home: Way
    detour: Way  # zone a's tunnel is down, and zone b's is its detour
    single: Way  # the one tunnel leads to NAT a

    @property
    def ways(self) -> dict[str, Way]:
        """By state."""
        return {"home": self.home, "detour": self.detour, "single": self.single}

    @property
    def text(self) -> tuple[str, ...]:
        """As the document has it."""
        return self.sender, self.target, *(way.text for way in self.ways.values())


def app(zone: str) -> str:
    return f"app-us-east-1{zone}"


def nat(zone: str) -> str:
    return f"nat-us-east-1{zone}"


def all_kinds(host: str, address: str, seen: str | None, port: int = PORT) -> tuple[Probe, ...]:
    """By TCP, UDP and ping."""
    return (
        Probe(host, address, seen, port),
        Probe(host, address, seen, port, "udp"),
        Probe(host, address, ANSWERS if seen else None, kind="ping"),
    )


def services(zone: str, *, passes: bool) -> tuple[Probe, ...]:
    """What the site names passes, if the zone's packets come at all; the like of it does not."""
    host, seen = app(zone), APPS[zone] if passes else None
    return (
        Probe(host, ROUTER, seen, DNS, "udp"),
        Probe(host, ROUTER, seen, NAMED),
        Probe(host, ROUTER, ANSWERS if passes else None, kind="ping"),
        Probe(host, ROUTER, None, DNS),
        Probe(host, ROUTER, None, NAMED, "udp"),
        Probe(host, ROUTER, None, SSH),
        Probe(host, NEAR[zone], None, NAMED),
        Probe(host, NEAR[zone], None, kind="ping"),
    )


def office_end(zone: str, *, passes: bool, bfd: bool = True) -> tuple[Probe, ...]:
    """Of a NAT's end of its tunnel."""
    seen = ANSWERS if passes else None
    return (
        Probe(nat(zone), NEAR[zone], seen, kind="ping", own=FAR[zone]),
        *((Probe(nat(zone), NEAR[zone], seen, kind="bfd"),) if bfd else ()),
        *(Probe(nat(zone), NEAR[zone], None, port) for port in (PORT, NAMED, SSH)),
        Probe(nat(zone), NEAR[zone], None, DNS, "udp"),
        Probe(nat(zone), ROUTER, None, kind="ping"),
        Probe(nat(zone), DESK, None),
    )


def nat_end(zone: str, *, passes: bool, bfd: bool = True) -> tuple[Probe, ...]:
    """Of the office's end of a tunnel."""
    own, seen = NEAR[zone], ANSWERS if passes else None
    return (
        Probe("office", FAR[zone], seen, kind="ping", own=own),
        *((Probe("office", FAR[zone], seen, kind="bfd"),) if bfd else ()),
        Probe("office", FAR[zone], own if passes else None, own=own),
        *(Probe("office", FAR[zone], None, port, own=own) for port in (SSH, EXPORTER)),
        Probe("desk", FAR[zone], None, kind="ping"),
    )


def checks(zone: str, far: str, seen: str | None) -> tuple[Probe, ...]:
    """Of the office's end of a zone's tunnel, at a zone's host."""
    host, own = "office", NEAR[zone]
    return (
        Probe(host, APPS[far], seen, kind="ping", own=own),
        Probe(host, APPS[far], None, own=own),
        Probe(host, APPS[far], None, kind="udp", own=own),
        Probe(app(far), own, None, kind="ping"),
    )


def tunnel_port(zone: str) -> tuple[Probe, ...]:
    return (
        Probe("web", PUBLIC[zone], OFFICE, TUNNEL, "tunnel", OFFICE),
        Probe("web", PUBLIC[zone], None, TUNNEL, "tunnel", WEB),
    )


def internet(*zones: str) -> tuple[Probe, ...]:
    """Private subnets' way out."""
    return tuple(
        each for zone in zones for each in (*all_kinds(app(zone), WEB, PUBLIC[zone]), Probe("web", APPS[zone], None))
    )


def within_vpc(*zones: str) -> tuple[Probe, ...]:
    return tuple(each for zone in zones for each in all_kinds(app(zone), NATS["a"], APPS[zone]))


def routers_exporter(zone: str) -> tuple[Probe, ...]:
    return Probe("desk", ROUTER, ANSWERS, EXPORTER), Probe(app(zone), ROUTER, None, EXPORTER)


STRANGERS = (
    *(each for zone in "ab" for each in all_kinds("web", APPS[zone], None)),
    *(each for zone in "ab" for each in all_kinds("web", PUBLIC[zone], None)),
    *(Probe("web", PUBLIC[zone], None, port) for zone in "ab" for port in (SSH, EXPORTER)),
)


def zone_to_zone(zone: str, *others: str) -> tuple[Probe, ...]:
    return tuple(Probe(nat(zone), APPS[other], None, kind="through", own=APPS[zone]) for other in others)


UNDER_ANOTHER = "another zone's tunnel, under the private address of that zone's NAT"

ROWS = (
    Row(
        "`office.lans`, and the router itself from an address there",
        "a zone's subnets",
        Way(
            "its tunnel, addresses unchanged",
            (
                *(each for zone in "abc" for each in all_kinds("desk", APPS[zone], DESK)),
                Probe("office", APPS["a"], ROUTER),
            ),
        ),
        Way(
            UNDER_ANOTHER,
            (
                *all_kinds("desk", APPS["a"], NATS["b"]),
                *all_kinds("desk", APPS["b"], DESK),
                Probe("office", APPS["a"], NATS["b"]),
            ),
        ),
        Way(
            "to zone N, addresses unchanged; to others under the private address of N's NAT",
            (
                *all_kinds("desk", APPS["a"], DESK),
                *(each for zone in "bc" for each in all_kinds("desk", APPS[zone], NATS["a"])),
                Probe("office", APPS["a"], ROUTER),
            ),
        ),
    ),
    Row(
        "a zone's subnets",
        "`office.lans`",
        Way(
            "its tunnel, addresses unchanged",
            tuple(each for zone in "abc" for each in all_kinds(app(zone), DESK, APPS[zone])),
        ),
        Way(NOTHING, all_kinds(app("a"), DESK, None)),
        Way(
            "of zone N, addresses unchanged; of others nothing",
            (*all_kinds(app("a"), DESK, APPS["a"]), *all_kinds(app("b"), DESK, None)),
        ),
    ),
    Row(
        "a zone's subnets",
        "on the office router, what `office.services` names, at its addresses in `office.lans`",
        Way("its tunnel", (*services("a", passes=True), *services("b", passes=True))),
        Way(NOTHING, services("a", passes=False)),
        Way("of zone N; of others nothing", (*services("a", passes=True), *services("b", passes=False))),
    ),
    Row(
        "a NAT's end of its tunnel",
        "the office's end: pings, and BFD (UDP 3784)",
        Way("that tunnel", office_end("a", passes=True)),
        Way(NOTHING, office_end("a", passes=False)),
        Way(
            "the tunnel, without BFD",
            (*office_end("a", passes=True, bfd=False), *office_end("b", passes=False, bfd=False)),
        ),
    ),
    Row(
        "the office's end of a tunnel",
        "the NAT's end: pings, BFD (UDP 3784; 3785 to itself and back); other ports by its own rules, but ssh and 9100",
        Way("that tunnel", nat_end("a", passes=True)),
        Way(NOTHING, nat_end("a", passes=False)),
        Way(
            "the tunnel, without BFD",
            (*nat_end("a", passes=True, bfd=False), *nat_end("b", passes=False, bfd=False)),
        ),
    ),
    Row(
        "the office's end of a tunnel",
        "a zone's subnets: pings, the monitor's and a deploy's",
        Way("that tunnel, masqueraded by its NAT", checks("a", "a", ANSWERS)),
        Way("another zone's tunnel, masqueraded by that zone's NAT", checks("b", "a", ANSWERS)),
        Way(
            "the tunnel, masqueraded by N's NAT",
            (*checks("a", "a", ANSWERS), *checks("a", "b", ANSWERS)),
        ),
    ),
    Row(
        "a zone's private subnets",
        "the internet",
        Way("that zone's NAT, masqueraded", internet("a", "b")),
        Way("that zone's NAT, masqueraded, if it lives", internet("a", "b")),
        Way("that zone's NAT, masqueraded", internet("a", "b")),
    ),
    Row(
        "`operators`",
        "ssh on a NAT",
        Way(
            "the internet, the VPC, or its tunnel",
            (
                *(Probe("operator", each["a"], ANSWERS, SSH) for each in (PUBLIC, NATS)),
                Probe(app("b"), NATS["a"], ANSWERS, SSH),
                Probe(app("a"), NATS["a"], None, SSH),
                Probe(nat("b"), NATS["a"], None, SSH),
            ),
        ),
        Way(
            "the internet or the VPC; by another zone's tunnel it comes from that zone's NAT, which is no operator",
            (
                Probe("operator", PUBLIC["a"], ANSWERS, SSH),
                Probe("operator", NATS["a"], None, SSH),
                Probe("operator", NATS["b"], ANSWERS, SSH),
                Probe(app("b"), NATS["a"], ANSWERS, SSH),
                Probe(app("a"), NATS["a"], None, SSH),
            ),
        ),
        Way(
            "the internet, the VPC, or to N's NAT the tunnel",
            (
                *(Probe("operator", PUBLIC[zone], ANSWERS, SSH) for zone in "ab"),
                Probe("operator", NATS["a"], ANSWERS, SSH),
                Probe("operator", NATS["b"], None, SSH),
                Probe(app("b"), NATS["a"], ANSWERS, SSH),
                Probe(app("a"), NATS["a"], None, SSH),
            ),
        ),
    ),
    Row(
        "the office's public addresses (any address, if they are `dynamic`)",
        "a NAT's UDP port of the tunnel",
        Way("the internet", tunnel_port("a")),
        Way("the internet", tunnel_port("b")),
        Way("the internet", tunnel_port("a")),
    ),
    Row(
        "`office.lans`, with `metrics: on`",
        "TCP 9100 on a NAT, and no other host asks there",
        Way(
            "its tunnel",
            (
                Probe("desk", NATS["a"], ANSWERS, EXPORTER),
                Probe(app("a"), NATS["a"], None, EXPORTER),
                Probe(nat("b"), NATS["a"], None, EXPORTER),
            ),
        ),
        Way(NOTHING, (Probe("desk", NATS["a"], None, EXPORTER),)),
        Way(
            "to N's NAT; to others nothing",
            (Probe("desk", NATS["a"], ANSWERS, EXPORTER), Probe("desk", NATS["b"], None, EXPORTER)),
        ),
    ),
    Row(
        "`office.lans`, with `metrics: on`",
        "TCP 9100 on the office router, and no other host asks there",
        Way("the LAN", routers_exporter("a")),
        Way("the LAN", routers_exporter("b")),
        Way("the LAN", routers_exporter("a")),
    ),
    Row(
        "`office.lans`",
        "a NAT's other ports, by its own rules",
        Way("its tunnel, addresses unchanged", (Probe("desk", NATS["a"], DESK),)),
        Way(UNDER_ANOTHER, (Probe("desk", NATS["a"], NATS["b"]), Probe("desk", NATS["b"], DESK))),
        Way(
            "to N's NAT, addresses unchanged; to others under the private address of N's NAT",
            (Probe("desk", NATS["a"], DESK), Probe("desk", NATS["b"], NATS["a"])),
        ),
    ),
    Row(
        "the VPC's networks",
        "a NAT's other ports, by its own rules and security groups",
        Way("the VPC", within_vpc("a", "b")),
        Way("the VPC", within_vpc("a", "b")),
        Way("the VPC", within_vpc("a", "b")),
    ),
    Row(
        "a zone's subnets",
        "another zone's, by the office",
        Way(NOTHING, zone_to_zone("a", "b", "c")),
        Way(NOTHING, zone_to_zone("b", "a", "c")),
        Way(NOTHING, zone_to_zone("a", "b", "c")),
    ),
    Row(
        "the internet",
        "a zone's subnets, by the office or a NAT; a NAT's other ports",
        Way(NOTHING, STRANGERS),
        Way(NOTHING, STRANGERS),
        Way(NOTHING, STRANGERS),
    ),
)
