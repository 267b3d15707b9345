"""What a site file may say: one frozen class per section, each value of the type that it stands for.

A section here is right in itself: its keys are known, its values well-formed. What must hold *between*
sections is in `rules`; a `Site` from `load` has passed both. Values are refused with a reason and with what
to write instead, in the words of the site file.

A field's `description` and first `examples` entry are shown to the user when it is missing.
"""

import re
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from vpc_openvpn.site.problem import KeyPath

# Sizes that AWS allows. Amazon VPC User Guide, "VPC CIDR blocks" and "Subnet CIDR blocks".
LARGEST, SMALLEST = 16, 28
MOST_ZONES = 16
MOST_SERVICES = 32
MOST_NETWORKS = 64  # in one list. Tried: with 100 LANs a deploy works, with 250 the NATs load their routes too slowly
TUNNELS_PREFIX = 16  # tunnel N is the /29 at N × 256
NUMBERS = range(1, 251)
DETECTION = (250, 10_000)  # milliseconds; BFD sends five times as often, and below 50 ms a busy host falls behind
NAT_INTERFACE = "tun-office"
"""The tunnel's interface on a nat. On the office router it would look like the office's own."""
SINGLE_INTERFACE = "tun-vpc"
"""The interface of the office's one connection under the strategy `single`."""

PRIVATE = {
    IPv4Network("10.0.0.0/8"): "private use",
    IPv4Network("172.16.0.0/12"): "private use",
    IPv4Network("192.168.0.0/16"): "private use",
    IPv4Network("100.64.0.0/10"): "carriers' NAT",
}
"""Private (RFC 1918) and shared (RFC 6598) address space, and what it is for."""
NOT_ROUTED = {
    IPv4Network("0.0.0.0/8"): '"this network"',
    IPv4Network("127.0.0.0/8"): "loopback",
    IPv4Network("169.254.0.0/16"): "link-local use",
    IPv4Network("192.0.2.0/24"): "examples",
    IPv4Network("224.0.0.0/3"): "multicast and reserved",
}
"""What no router forwards, and what it is for: IANA's IPv4 special-purpose address registry.

Of the three networks for documentation this has the example file's. The lab's internet and the tests are in the others.
"""


def refuse(why: str, instead: str = "", at: KeyPath = ()) -> PydanticCustomError:
    """An error for a validator to raise: `why` follows on from the value; `at` is a place below that, if any.

    Without `instead` the field's example is shown.
    """
    return PydanticCustomError("refused", "{why}", {"why": why, "instead": instead, "at": at})


# --- values -------------------------------------------------------------------------------------------------


def _text(value: object, wanted: str) -> str:
    """A scalar as text. Whatever else stands where `wanted` belongs is refused."""
    if value is None or value == "":
        raise refuse("has no value", f"write {wanted}")
    if isinstance(value, (dict, list, tuple)):
        raise refuse(f"is a {'mapping' if isinstance(value, dict) else 'list'}", f"write {wanted}")
    return str(value)


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Interface(text)
    except ValueError:
        return False
    return True


def _address(value: object) -> IPv4Address:
    text = _text(value, "an IPv4 address")
    try:
        return IPv4Address(text)
    except ValueError:
        pass
    if _is_ipv6(text):
        raise refuse("is IPv6, which is not supported", "write an IPv4 address")
    try:
        address = IPv4Interface(text).ip
    except ValueError:
        raise refuse("is not an IPv4 address", _four_numbers(text)) from None
    raise refuse("is a network where one address belongs", f"write {address}")


def _four_numbers(text: str) -> str:
    """What to write instead. Programs differ about leading zeros: some take such numbers for octal ones."""
    parts = text.split(".")
    if len(parts) == 4 and all(part.isdecimal() and part.isascii() and int(part) < 256 for part in parts):
        return f"write it without leading zeros: {'.'.join(str(int(part)) for part in parts)}"
    return "write four numbers, such as 10.0.1.10"


def _network(value: object) -> IPv4Network:
    text = _text(value, "an IPv4 network")
    if _is_ipv6(text):
        raise refuse("is IPv6, which is not supported", "write an IPv4 network")
    try:
        interface = IPv4Interface(text)
    except ValueError:
        raise refuse("is not an IPv4 network", "write an address and a size, such as 10.0.1.0/24") from None
    if "/" not in text:
        whole = "such as {}/24" if text.endswith(".0") else "or {}/32 for this address alone"
        raise refuse("has no size", f"write the size after a slash, {whole.format(text)}")
    if interface.ip != interface.network.network_address:
        why = "has host bits set: a network is written with its first address"
        raise refuse(why, f"write {interface.network}")
    if not text.endswith(f"/{interface.network.prefixlen}"):
        raise refuse("gives its size as a mask", f"write {interface.network}")
    return interface.network


def _private(network: IPv4Network) -> IPv4Network:
    if any(network.subnet_of(space) for space in PRIVATE):
        return network
    instead = f"write a network in one of {', '.join(map(str, PRIVATE))}"
    raise refuse("is not private: the office would lose this part of the internet", instead)


def _public(value: object) -> IPv4Address:
    """An address that the internet can see."""
    address = _address(value)
    for space, use in (NOT_ROUTED | PRIVATE).items():
        if address in space:
            why = f"is in {space}, which is for {use}: the internet cannot reach it"
            raise refuse(why, "write the nat's Elastic IP address; its private one belongs to private_address")
    return address


def _offices_public(value: object) -> IPv4Address:
    if value == "dynamic":
        raise refuse("is in a list", "write public_address: dynamic, or the addresses alone")
    try:
        return _public(value)
    except PydanticCustomError as error:
        instead = "write the address that the internet sees the office at, or `dynamic` if it changes"
        raise refuse(error.message(), instead) from None


def _lan(value: object) -> IPv4Network:
    network = _network(value)
    for space, use in NOT_ROUTED.items():
        if network.overlaps(space):
            verb = "is in" if network.subnet_of(space) else "holds"
            raise refuse(f"{verb} {space}, which is for {use}", "write a network of the office's own")
    return network


def _operators(value: object) -> IPv4Network:
    """A network that packets may come from; 0.0.0.0/0 is every one."""
    network = _network(value)
    for space, use in NOT_ROUTED.items():
        if network.subnet_of(space):
            why = f"is in {space}, which is for {use}: no operator has such an address"
            raise refuse(why, "write the networks as the nats see them, such as the office's public address with /32")
    return network


def _vpc_network(value: object) -> IPv4Network:
    """AWS also allows publicly routable networks ("VPC CIDR blocks"). They are refused here: the office sends what is
    for the VPC's networks into the tunnels or nowhere, so a wrong one would take a part of the internet from it.
    """
    network = _of_awss_size(value, "a VPC's network", "write the VPC's IPv4 CIDR, or a list of them")
    return _private(network)


def _subnet(value: object) -> IPv4Network:
    return _of_awss_size(value, "a subnet", "write the subnet's IPv4 CIDR (console: VPC → Subnets)")


def _of_awss_size(value: object, what: str, instead: str) -> IPv4Network:
    network = _network(value)
    if LARGEST <= network.prefixlen <= SMALLEST:
        return network
    than = "larger" if network.prefixlen < LARGEST else "smaller"
    raise refuse(f"is {than} than {what} can be: AWS allows /{LARGEST} to /{SMALLEST}", instead)


def _tunnels_network(value: object) -> IPv4Network:
    network = _network(value)
    if network.prefixlen != TUNNELS_PREFIX:
        larger = network.supernet(new_prefix=min(network.prefixlen, TUNNELS_PREFIX))
        why = f"must be a /{TUNNELS_PREFIX}: tunnel number N takes the /29 that starts at x.x.N.0"
        raise refuse(why, f"write {larger.network_address}/{TUNNELS_PREFIX}")
    return _private(network)


def _whole(lowest: int, highest: int) -> Callable[[object], int]:
    wanted = f"a whole number from {lowest} to {highest}"

    def parse(value: object) -> int:
        text = _text(value, wanted)
        if not re.fullmatch(r"[0-9]{1,9}", text):
            raise refuse("is not a whole number", f"write {wanted}")
        if not lowest <= int(text) <= highest:
            raise refuse("is out of range", f"write {wanted}")
        return int(text)

    return parse


def _zone_name(value: object) -> str:
    text = _text(value, "the zone's name, such as us-east-1a")
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,29}[a-z0-9])?", text):
        simpler = re.sub(r"[^a-z0-9]+", "-", text.lower())[:31].strip("-")
        why = "is not a zone name: 1 to 31 of a-z, 0-9 and -, with no - at either end"
        raise refuse(why, f"write {simpler}" if simpler else "write a name such as us-east-1a")
    if text in {"all", "office", "nat"}:
        raise refuse(f"is reserved: the inventory has a group `{text}` of its own", "choose another name")
    if text.startswith("nat-"):
        raise refuse("is reserved: names that start with `nat-` are hosts", "choose another name")
    return text


def _interface(value: object) -> str:
    text = _text(value, "an interface name such as tun-1")
    if text == NAT_INTERFACE:
        raise refuse("is reserved: it is the interface's name on the nats", "write another, such as tun-1")
    if text == SINGLE_INTERFACE:
        raise refuse("is reserved: strategy `single` has an interface of that name", "write another, such as tun-1")
    if not re.fullmatch(r"tun-[a-z0-9-]+", text):
        why = "is not a tunnel's name: on the office router ours are tun- and then a-z, 0-9 or -"
        raise refuse(why, "write a name such as tun-1")
    if len(text) > 15:
        shorter = text[:15].rstrip("-")
        raise refuse("is too long: Linux allows 15 characters in an interface's name", f"write {shorter}")
    return text


def _host(value: object) -> str:
    text = _text(value, "a host name or an address")
    if not text.isprintable():
        raise refuse("is not a host name or an address", "write one, such as 192.168.50.1")
    if "://" in text:
        raise refuse("is a URL", "write the host's name or address alone")
    if "@" in text:
        user, _, host = text.rpartition("@")
        raise refuse("holds a user as well", f"write host: {host}, and user: {user} beside it")
    if _is_ipv6(text):
        # ssh takes both, and a scope may hold anything.
        if "/" in text:
            raise refuse("is a network where one address belongs", f"write {text.partition('/')[0]}")
        if "%" in text:
            why = "has a scope, which is an interface of one machine alone"
            raise refuse(why, "write an address that each operator reaches, or a name")
        return text
    if ":" in text:
        host, _, port = text.rpartition(":")
        raise refuse("holds a port as well", f"write host: {host}, and port: {port} beside it")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text):
        raise refuse("is not a host name or an address", "write one, such as 192.168.50.1")
    return text


def _user(value: object) -> str:
    text = _text(value, "a user name")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", text):
        raise refuse("is not a user name", "write one such as root or admin")
    return text


def _file(value: object, info: ValidationInfo) -> Path:
    """A path as written or, with a `resolve` in the validation's context, as that function resolves it."""
    text = _text(value, "a file name")
    if not text.isprintable() or "PRIVATE KEY" in text:
        raise refuse("is not the name of a file", "write the file's name, such as ~/.ssh/id_ed25519")
    if '"' in text or "${" in text:
        why = 'has a " or ${, which ssh reads as no part of a name'
        raise refuse(why, "write the name itself, which may begin with ~/ and have blanks, or rename the file")
    path = Path(text)
    resolve: Callable[[Path], Path] = (info.context or {}).get("resolve", lambda path: path)
    return resolve(path)


def _nats_host(value: object) -> str:
    host = _host(value)
    if _is_ipv6(host):
        why = "is IPv6, by which a nat answers nothing"
        raise refuse(why, "leave it out for the nat's public address, or write another IPv4 address or a name")
    return host


class Service(NamedTuple):
    """What hosts of the VPC may ask of the office router itself: a port of `protocol` tcp or udp, or icmp: pings."""

    protocol: str
    port: int | None = None

    def __str__(self) -> str:
        return f"{self.port}/{self.protocol}" if self.port else PING


PING = "ping"


def _service(value: object) -> Service:
    text = _text(value, "a service such as 53/udp, or ping")
    if text == PING:
        return Service("icmp")
    parts = re.fullmatch(r"([0-9]{1,5})/(tcp|udp)", text)
    if parts is None:
        raise refuse("is no service: PORT/tcp, PORT/udp, or ping", "write one such as 53/udp")
    return Service(parts[2], _whole(1, 65535)(parts[1]))


def _program(value: object) -> str:
    text = _text(value, "the full path of a program on the office router")
    if not re.fullmatch(r"(/[A-Za-z0-9_+@-][A-Za-z0-9._+@-]*)+", text):
        why = "is not the full path of a program: / and then a-z, A-Z, 0-9, and . _ + @ -"
        raise refuse(why, "write the path of a program on the office router, such as /usr/local/bin/vpc-alert")
    return text


def _url(value: object) -> str:
    text = _text(value, "a URL")
    parts = re.fullmatch(r"https?://([!-~]*@)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([/?#][!-~]*)?", text)
    if not parts or not 0 < int((parts[3] or ":443")[1:]) < 1 << 16:
        raise refuse(
            "is not a URL that begins with https: or http:, of ASCII characters without blanks",
            "write it as your monitoring gives it, other characters as %XX",
        )
    return text


def _one_of(*words: str) -> Callable[[object], str]:
    wanted = " or ".join(words)

    def parse(value: object) -> str:
        text = _text(value, wanted)
        if text not in words:
            raise refuse(f"is neither {' nor '.join(words)}", f"write {wanted}")
        return text

    return parse


def _detour(value: object) -> tuple[str, ...]:
    """A zone's own order of detours; `off` is an empty one."""
    if isinstance(value, (list, tuple)):
        return tuple(_text(item, "the name of another zone") for item in value)
    text = _text(value, "off, or a list of zones")
    if text != "off":
        raise refuse("is neither `off` nor a list of zones", "write off, or [us-east-1c, us-east-1d]")
    return ()


def _listed(minimum: int, most: int = MOST_NETWORKS, instead: str = "") -> Callable[[object], object]:
    """A list of `minimum` to `most` items; `instead` is for one that is longer."""

    def check(value: object) -> object:
        if isinstance(value, dict):
            raise refuse("is a mapping where a list belongs", "start each item with a dash: `- `")
        if not isinstance(value, (list, tuple)):
            items = ", ".join(_text(value, "a list: [ ]").replace(",", " ").split())
            raise refuse("is not in a list", f"write [{items}]")
        if len(value) < minimum:
            raise refuse("is empty: at least one is needed")
        if len(value) > most:
            why = f"has {len(value)} items, more than the {most} that are supported"
            raise refuse(why, instead or f"keep {most} or fewer")
        return value

    return check


def _one_or_several(value: object) -> object:
    """A list, or one value that stands for a list of it."""
    return _listed(1)(value if isinstance(value, (list, tuple, dict)) else [value])


def _addresses_or_dynamic(value: object) -> object:
    return () if value == "dynamic" else _one_or_several(value)


Address = Annotated[IPv4Address, PlainValidator(_address)]
PublicAddress = Annotated[IPv4Address, PlainValidator(_public)]
OfficesAddress = Annotated[IPv4Address, PlainValidator(_offices_public)]
VpcNetwork = Annotated[IPv4Network, PlainValidator(_vpc_network)]
Lan = Annotated[IPv4Network, PlainValidator(_lan)]
Operators = Annotated[IPv4Network, PlainValidator(_operators)]
Port = Annotated[int, PlainValidator(_whole(1, 65535))]
File = Annotated[Path, PlainValidator(_file)]
User = Annotated[str, PlainValidator(_user)]
Subnet = Annotated[IPv4Network, PlainValidator(_subnet)]
FewNetworks = BeforeValidator(_listed(1, instead="write larger networks that hold several of these"))


# --- sections -----------------------------------------------------------------------------------------------


class Section(BaseModel):
    """A mapping of the site file. A key without a value counts as left out."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        # Defaults, and the sections that are defaults, pass through the context's `resolve` as well.
        validate_default=True,
        revalidate_instances="always",
    )

    @model_validator(mode="before")
    @classmethod
    def _is_mapping(cls, value: object) -> object:
        if isinstance(value, cls):
            return value
        if not isinstance(value, dict):
            kind = "empty" if value is None else "a list" if isinstance(value, (list, tuple)) else "a single value"
            raise refuse(f"is {kind} where keys belong", f"write lines of `key: value`; the keys are {cls.keys()}")
        return {key: item for key, item in value.items() if item is not None or key not in cls.model_fields}

    @classmethod
    def keys(cls) -> str:
        return quoted(cls.model_fields)


def quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


class SshDefaults(Section):
    """For all hosts. Without a `key`, ssh's agent and default keys are used."""

    key: File | None = None
    known_hosts: File = Path("known_hosts")


class OfficeSsh(Section):
    host: Annotated[str, PlainValidator(_host)] = Field(
        description="where the office router answers ssh", examples=["192.168.50.1"]
    )
    user: User = "root"
    port: Port = 22
    key: File | None = None


class NatSsh(Section):
    """`host` is the nat's public address unless given."""

    host: Annotated[str, PlainValidator(_nats_host)] | None = None
    user: User = "admin"
    port: Port = 22
    key: File | None = None


class Office(Section):
    """`public_address` has one address for each of the office's internet lines; none when they are dynamic.

    `services` is what the VPC's hosts may ask of the office router itself.
    """

    ssh: OfficeSsh = Field(description="how the office router is reached", examples=["{host: 192.168.50.1}"])
    public_address: Annotated[tuple[OfficesAddress, ...], BeforeValidator(_addresses_or_dynamic)] = Field(
        description="the address from which the nats see the office", examples=["192.0.2.10", "dynamic"]
    )
    lans: Annotated[tuple[Lan, ...], FewNetworks] = Field(
        description="the networks behind the office router", examples=["[192.168.50.0/24]"]
    )
    services: Annotated[
        tuple[Annotated[Service, PlainValidator(_service)], ...], BeforeValidator(_listed(0, MOST_SERVICES))
    ] = ()


class Vpc(Section):
    """`network` has each of the VPC's IPv4 CIDRs, the primary one first.

    `resolver` is the VPC's own (the primary network's address + 2) when left out.
    """

    network: Annotated[tuple[VpcNetwork, ...], BeforeValidator(_one_or_several)] = Field(
        description="the VPC's IPv4 CIDR", examples=["10.0.0.0/16"]
    )
    resolver: Address | None = None


class Tunnels(Section):
    """What all tunnels share.

    `mtu` in bytes: OpenVPN's own headers add 52, so a packet fits a path of 1492 by default. `detection` in
    milliseconds: a tunnel from which nothing has come for so long is dead.
    """

    network: Annotated[IPv4Network, PlainValidator(_tunnels_network)] = IPv4Network("10.200.0.0/16")
    mtu: Annotated[int, PlainValidator(_whole(1280, 1500))] = 1440
    detection: Annotated[int, PlainValidator(_whole(*DETECTION))] = 500


class Subnets(Section):
    public: Annotated[tuple[Subnet, ...], BeforeValidator(_listed(1))] = Field(
        description="the zone's subnets with a route to the internet gateway", examples=["[10.0.1.0/24]"]
    )
    private: Annotated[tuple[Subnet, ...], BeforeValidator(_listed(0))] = ()


class Nat(Section):
    private_address: Address = Field(description="the nat's address in a public subnet", examples=["10.0.1.10"])
    public_address: PublicAddress = Field(description="the nat's Elastic IP address", examples=["192.0.2.11"])
    ssh: NatSsh = NatSsh()


class TunnelOverrides(Section):
    """What a zone's tunnel may have otherwise than its zone's name implies."""

    number: Annotated[int, PlainValidator(_whole(NUMBERS[0], NUMBERS[-1]))] | None = None
    port: Port = 1194
    interface: Annotated[str, PlainValidator(_interface)] | None = None


class Zone(Section):
    """`detour`: the zones by which this one is reached while its nat is dead, best first; None for the site's order.

    `probe`: an address in the zone that answers pings, to see that the nat forwards; None to ask the nat itself.
    """

    name: Annotated[str, PlainValidator(_zone_name)] = Field(
        description="the availability zone's name", examples=["us-east-1a"]
    )
    subnets: Subnets = Field(description="the zone's subnets", examples=["{public: [10.0.1.0/24]}"])
    nat: Nat = Field(
        description="the zone's nat", examples=["{private_address: 10.0.1.10, public_address: 192.0.2.11}"]
    )
    tunnel: TunnelOverrides = TunnelOverrides()
    detour: Annotated[tuple[str, ...], PlainValidator(_detour)] | None = None
    probe: Address | None = None

    @property
    def number(self) -> int:
        """The tunnel's number: as given, or the last letter's place in the alphabet (us-east-1b → 2).

        It depends on this zone alone, so that zones may come and go around it.
        """
        return self.tunnel.number or ord(self.name[-1]) - ord("a") + 1

    @property
    def interface(self) -> str:
        """The tunnel's interface on the office router."""
        return self.tunnel.interface or f"tun-{self.number}"

    @model_validator(mode="after")
    def _has_a_number(self) -> Self:
        if self.tunnel.number is None and not self.name[-1].isalpha():
            why = f"is missing, and `{self.name}` does not end in a letter that would imply it"
            instead = f"write tunnel: {{number: N}}, with a number of its own from {NUMBERS[0]} to {NUMBERS[-1]}"
            raise refuse(why, instead, at=("tunnel", "number"))
        return self


class Alerts(Section):
    """What the office router does when a zone takes a detour or is lost.

    `command` is a program on the router, run as `user` (None: one that systemd makes); `heartbeat` a URL, fetched every
    minute while all is well. `after` in seconds: a detour that is shorter is not said. `identities` in days: one that
    is older is due; without it the site's `identities.max_age_days` counts.
    """

    command: Annotated[str, PlainValidator(_program)] | None = None
    user: User | None = None
    heartbeat: Annotated[str, PlainValidator(_url)] | None = Field(default=None, repr=False)
    after: Annotated[int, PlainValidator(_whole(5, 3600))] = 30
    identities: Annotated[int, PlainValidator(_whole(1, 3650))] = 365

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.command is None and self.heartbeat is None:
            raise refuse("has neither a command nor a heartbeat", "write one of them, or leave `alerts` out")
        if self.command is None and self.user is not None:
            raise refuse("is for the command, and there is none", "write alerts.command, or leave it out", at=("user",))
        return self


class Identities(Section):
    """What the site asks of its identities: a host's that is older than `max_age_days` is due for a new one."""

    max_age_days: Annotated[int, PlainValidator(_whole(1, 3650))] | None = None


class Site(Section):
    """Everything in `site.yml`."""

    ssh: SshDefaults = SshDefaults()
    office: Office = Field(
        description="the office router and its networks",
        examples=["{ssh: …, public_address: …, lans: …}, as in site.example.yml"],
    )
    vpc: Vpc = Field(description="the VPC as a whole", examples=["{network: 10.0.0.0/16}"])
    strategy: Annotated[Literal["per-zone", "single"], PlainValidator(_one_of("per-zone", "single"))] = "per-zone"
    detour: Annotated[Literal["on", "off"], PlainValidator(_one_of("on", "off"))] = "on"
    operators: Annotated[tuple[Operators, ...], FewNetworks] = Field(
        description="the networks that may ssh to the nats", examples=["[192.0.2.10/32]"]
    )
    tunnels: Tunnels = Tunnels()
    metrics: Annotated[Literal["on", "files", "off"], PlainValidator(_one_of("on", "files", "off"))] = "off"
    alerts: Alerts | None = None
    identities: Identities = Identities()
    zones: Annotated[tuple[Zone, ...], BeforeValidator(_listed(1, MOST_ZONES))] = Field(
        description="one block for each availability zone",
        examples=["[{name: …, subnets: …, nat: …}], as in site.example.yml"],
    )
