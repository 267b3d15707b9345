"""Firewalls: rulesets as `nft -j list ruleset` and `iptables-save` print them, and a packet's way through them.

A condition that cannot be judged from outside (a mark, a set's content, a rate) is neither true nor false. So a verdict
is certain, where each such condition leads to the same end, or it is what happens while none of them holds. What is
asked about keeps its addresses: no packet here belongs to a connection that NAT has changed.
"""

import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Literal, TypeAlias

Hook = Literal["prerouting", "input", "forward", "output", "postrouting"]
Judgement: TypeAlias = bool | None
DEEPEST = 16  # jumps from chain to chain; the kernel allows as many


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet at one hook; `what` names it in a message. `port` is the destination's, None: any. `within` is the
    network of the destination, where a message names that.
    """

    what: str
    hook: Hook
    source: IPv4Address
    destination: IPv4Address
    protocol: str = "tcp"
    port: int | None = None
    iif: str = ""
    oif: str = ""
    state: str = "new"
    ttl: int = 64
    within: str = ""


Condition: TypeAlias = Callable[[Packet], Judgement]


@dataclass(frozen=True, slots=True)
class Rule:
    """`action`: accept, drop, nat (its source changes), return, jump, goto, next, or unknown; `target` is a chain."""

    conditions: tuple[Condition, ...]
    action: str
    text: str
    target: str = ""


@dataclass(slots=True)
class Chain:
    """`hook` is empty for a chain that only others lead to; `nat`: it sets addresses, of connections that begin, and
    does not filter. `devices`: it judges what comes in by these alone.
    """

    name: str
    hook: str = ""
    nat: bool = False
    policy: str = "accept"
    devices: tuple[str, ...] = ()
    rules: list[Rule] = field(default_factory=list)

    def meets(self, packet: Packet) -> bool:
        """Whether the packet comes to this chain from the kernel."""
        if self.hook != packet.hook or (self.nat and packet.state != "new"):
            return False
        return not self.devices or packet.iif in self.devices


@dataclass(slots=True)
class Table:
    """`kind`: nftables, iptables or iptables-legacy."""

    kind: str
    name: str  # with the family
    chains: dict[str, Chain] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a base chain ends for a packet, and by which rule, or its policy. `certain`: whatever is not known."""

    table: Table
    chain: Chain
    outcome: str  # accept, drop or nat
    certain: bool
    by: str

    @property
    def where(self) -> str:
        """The chain, as a user finds it."""
        return f"{self.table.kind}, table {self.table.name}, chain {self.chain.name} ({self.by})"

    @property
    def verb(self) -> str:
        """What it does to packets that it ends badly for."""
        if self.outcome == "drop":
            return "drops"
        return "sends elsewhere" if self.chain.hook == "prerouting" else "gives another source address to"

    @property
    def owner(self) -> str:
        """Which program likely loads it: nftables, firewalld, ufw, Docker or iptables."""
        chains = {*self.table.chains, self.by}
        if "firewalld" in self.table.name or any(name.endswith("PUT_ZONES") for name in chains):  # nftables, iptables
            return "firewalld"
        for owner, mark in (("ufw", "ufw-"), ("Docker", "DOCKER")):
            if any(mark in name for name in chains):
                return owner
        return "nftables" if self.table.kind == "nftables" else "iptables"


def verdicts(tables: Iterable[Table], packet: Packet) -> Iterator[Verdict]:
    """The end of each base chain that the packet meets."""
    for table in tables:
        for chain in table.chains.values():
            if chain.meets(packet):
                possible, (outcome, by) = _walk(table, chain, packet, depth=0)
                if "return" in possible:
                    possible = possible - {"return"} | {chain.policy}
                if outcome == "return":
                    outcome, by = chain.policy, f"policy {chain.policy}"
                yield Verdict(table, chain, outcome, possible == {outcome}, by)


def _walk(table: Table, chain: Chain, packet: Packet, depth: int) -> tuple[set[str], tuple[str, str]]:
    """All ends that are possible, and the one where no unknown condition holds, with the rule that makes it."""
    possible: set[str] = set()
    end: tuple[str, str] | None = None
    for rule in chain.rules:
        matches = _all(condition(packet) for condition in rule.conditions)
        if matches is False or rule.action == "next":
            continue
        if rule.action == "unknown":
            possible |= {"accept", "drop"}
        elif rule.action in ("jump", "goto"):
            target = table.chains.get(rule.target)
            if target is None or depth > DEEPEST:
                continue
            ends, its_end = _walk(table, target, packet, depth + 1)
            stays = rule.action == "goto"
            possible |= ends if stays else ends - {"return"}
            if matches and end is None and (stays or its_end[0] != "return"):
                end = its_end
            if matches and end and (stays or "return" not in ends):
                return possible, end
        else:
            possible.add(rule.action)
            if matches:
                return possible, end or (rule.action, rule.text)
    return possible | {"return"}, end or ("return", "")


def _all(judgements: Iterable[Judgement]) -> Judgement:
    result: Judgement = True
    for each in judgements:
        if each is False:
            return False
        if each is None:
            result = None
    return result


def _any(judgements: Iterable[Judgement]) -> Judgement:
    result: Judgement = False
    for each in judgements:
        if each:
            return True
        if each is None:
            result = None
    return result


def _not(judgement: Judgement) -> Judgement:
    return None if judgement is None else not judgement


# --- nftables ----------------------------------------------------------------------------------------------------


def from_nft(text: str) -> list[Table]:
    """The tables of one `nft -j list …` that judge packets; those of other families than IPv4's are left out."""
    tables: dict[tuple[str, str], Table] = {}
    asleep: set[tuple[str, str]] = set()
    for item in json.loads(text)["nftables"] if text.strip() else []:
        [(kind, value)] = item.items()
        if kind == "table" and "dormant" in value.get("flags", ""):
            asleep.add((value["family"], value["name"]))
        if kind not in ("chain", "rule") or value["family"] not in ("ip", "inet", "netdev"):
            continue
        place = value["family"], value["table"]
        if place in asleep:
            continue
        table = tables.setdefault(place, Table("nftables", " ".join(place)))
        if kind == "chain":
            table.chains[value["name"]] = _nft_chain(value)
        else:
            table.chains[value["chain"]].rules += _nft_rules(value.get("expr", []))
    return list(tables.values())


def _nft_chain(value: Mapping[str, Any]) -> Chain:
    devices = value.get("dev", [])
    hook = value.get("hook", "")
    return Chain(
        value["name"],
        "prerouting" if hook == "ingress" else hook,  # before it, as early as a packet can be met
        value.get("type") == "nat",
        value.get("policy", "accept"),
        (devices,) if isinstance(devices, str) else tuple(devices),
    )


def _nft_rules(statements: list[Any]) -> Iterator[Rule]:
    """The rules that one rule of nftables stands for: a verdict map is one for each of its elements."""
    conditions: list[Condition] = []
    words: list[str] = []
    for statement in statements:
        if not isinstance(statement, dict):
            continue
        [(name, value)] = statement.items()
        if name == "match":
            conditions.append(_nft_condition(value["left"], value["op"], value["right"]))
            words.append(_nft_words(value))
        elif name == "vmap":
            data = value["data"]
            elements = data.get("set", []) if isinstance(data, dict) else None
            if elements is None:
                yield Rule(tuple(conditions), "unknown", "verdict map")
            for element in elements or []:
                key, verdict = element
                condition = _nft_condition(value["key"], "==", key)
                yield from (
                    Rule((*conditions, condition, *each.conditions), each.action, each.text, each.target)
                    for each in _nft_rules([verdict])
                )
        elif name in ("accept", "drop", "reject", "return", "masquerade", "snat", "dnat", "redirect"):
            ends = {"reject": "drop", **dict.fromkeys(("masquerade", "snat", "dnat", "redirect"), "nat")}
            yield Rule(tuple(conditions), ends.get(name, str(name)), " ".join([*words, name]))
        elif name in ("jump", "goto"):
            yield Rule(tuple(conditions), str(name), " ".join([*words, name, value["target"]]), value["target"])
        elif name in ("limit", "xt", "quota", "ct count"):
            conditions.append(_unknown)
        elif name in ("queue", "tproxy", "synproxy", "fwd"):
            yield Rule(tuple(conditions), "unknown", " ".join([*words, name]))


def _nft_words(match: Mapping[str, Any]) -> str:
    [(kind, what)] = match["left"].items() if isinstance(match["left"], dict) else [("", {})]
    name = (
        " ".join(str(what.get(key, "")) for key in ("protocol", "field", "key")).strip()
        if isinstance(what, dict)
        else ""
    )
    right = match["right"]
    if isinstance(right, dict) and "prefix" in right:
        right = f"{right['prefix']['addr']}/{right['prefix']['len']}"
    shown = right if isinstance(right, (str, int)) else "…"
    return " ".join(filter(None, [kind if kind == "ct" else "", name, "!=" if match["op"] == "!=" else "", str(shown)]))


def _unknown(_packet: Packet) -> Judgement:
    return None


def _nft_condition(left: Any, op: str, right: Any) -> Condition:
    if op not in ("==", "!=", "in") or not isinstance(left, dict):
        return _unknown
    [(kind, what)] = left.items()
    if not isinstance(what, dict):
        return _unknown
    key = what.get("key") or what.get("field")
    if kind == "ct" and key == "status":
        status = _not_changed(right)
        return lambda _packet: _not(status) if op == "!=" else status

    def judge(packet: Packet) -> Judgement:
        layers = ("ip6", "icmpv6", "icmp", "tcp", "udp", "sctp")
        if kind == "payload" and what.get("protocol") in layers and what["protocol"] != packet.protocol:
            return False
        if kind == "ct" and key == "status" and right == "dnat":
            return op == "!="  # no rule has changed its destination
        same = _compare(_value(packet, kind, what.get("protocol"), key), right)
        return _not(same) if op == "!=" else same

    return judge


def _not_changed(right: Any) -> Judgement:
    """Whether a connection has one of these status bits: those of NAT it has not, of others nothing is known."""
    bits = right.get("set", [None]) if isinstance(right, dict) else right if isinstance(right, list) else [right]
    return _any(False if bit in _CHANGED else None for bit in bits)


_CHANGED = ("dnat", "snat")


def _value(packet: Packet, kind: str, protocol: str | None, key: str | None) -> object:
    if kind == "meta":
        return {
            "iifname": packet.iif,
            "iif": packet.iif,
            "oifname": packet.oif,
            "oif": packet.oif,
            "l4proto": packet.protocol,
            "nfproto": "ipv4",
            "protocol": "ip",
        }.get(key or "")
    if kind == "ct":
        return packet.state if key == "state" else None
    if kind == "payload" and protocol == "ip":
        return {
            "saddr": packet.source,
            "daddr": packet.destination,
            "protocol": packet.protocol,
            "ttl": packet.ttl,
        }.get(key or "")
    if kind == "payload" and key == "dport":
        return packet.port
    return None


_NUMBERS = {"icmp": 1, "tcp": 6, "udp": 17}


def _compare(value: object, right: Any) -> Judgement:
    if value is None or (isinstance(right, str) and right.startswith("@")):
        return None
    if isinstance(right, list):
        return _any(_compare(value, each) for each in right)
    if isinstance(right, dict):
        if "set" in right:
            members = right["set"]
            return _any(_compare(value, each) for each in (members if isinstance(members, list) else [members]))
        if "elem" in right:
            return _compare(value, right["elem"].get("val"))
        if "prefix" in right and isinstance(value, IPv4Address):
            network = f"{right['prefix']['addr']}/{right['prefix']['len']}"
            return ":" not in network and value in IPv4Network(network)
        if "range" in right:
            low, high = right["range"]
            if isinstance(value, IPv4Address):
                return ":" not in str(low) and IPv4Address(low) <= value <= IPv4Address(high)
            return isinstance(value, int) and isinstance(low, int) and low <= value <= high
        return None
    if isinstance(value, str) and isinstance(right, str) and right.endswith("*"):
        return value.startswith(right[:-1])
    return str(value) == str(right) or (isinstance(value, str) and _NUMBERS.get(value) == right)


# --- iptables ----------------------------------------------------------------------------------------------------

_HOOKS = {hook.upper(): hook for hook in ("prerouting", "input", "forward", "output", "postrouting")}
_ACTIONS = {
    "ACCEPT": "accept",
    "DROP": "drop",
    "REJECT": "drop",
    "RETURN": "return",
    "MASQUERADE": "nat",
    "SNAT": "nat",
    "NETMAP": "nat",
    "DNAT": "nat",
    "REDIRECT": "nat",
    **dict.fromkeys(("QUEUE", "NFQUEUE", "TPROXY", "SYNPROXY"), "unknown"),
}


def from_iptables(text: str, kind: str = "iptables") -> list[Table]:
    """The tables of `iptables-save`."""
    tables: list[Table] = []
    for line in text.splitlines():
        if line.startswith("*"):
            tables.append(Table(kind, line[1:].strip()))
        elif line.startswith(":") and tables:
            name, policy = line[1:].split()[:2]
            nat = tables[-1].name == "nat"
            tables[-1].chains[name] = Chain(name, _HOOKS.get(name, ""), nat, "drop" if policy == "DROP" else "accept")
        elif line.startswith("-A ") and tables:
            try:
                words = shlex.split(line)
            except ValueError:
                continue
            table = tables[-1]
            if words[1] in table.chains:
                table.chains[words[1]].rules.append(_iptables_rule(words[2:], table, line))
    return tables


def _iptables_rule(words: list[str], table: Table, line: str) -> Rule:
    conditions: list[Condition] = []
    negated = False
    while words:
        option, *words = words
        if option == "!":
            negated = True
            continue
        if option in ("-j", "-g"):
            target = words[0]
            if target in _ACTIONS:
                return Rule(tuple(conditions), _ACTIONS[target], line)
            action = "next" if target not in table.chains else "goto" if option == "-g" else "jump"
            return Rule(tuple(conditions), action, line, target)
        arguments = []
        while words and not words[0].startswith("-") and words[0] != "!":
            arguments.append(words.pop(0))
        if option not in ("-m", "--comment"):
            condition = _iptables_condition(option, " ".join(arguments))
            conditions.append(_inverted(condition) if negated else condition)
        negated = False
    return Rule(tuple(conditions), "next", line)


def _inverted(condition: Condition) -> Condition:
    return lambda packet: _not(condition(packet))


def _iptables_condition(option: str, argument: str) -> Condition:
    if option in ("-s", "-d"):
        try:
            network = IPv4Network(argument, strict=False)
        except ValueError:  # a mask with holes
            return _unknown
        return lambda packet: (packet.source if option == "-s" else packet.destination) in network
    if option in ("-i", "-o"):
        wanted = argument.removesuffix("+") + "*" if argument.endswith("+") else argument
        return lambda packet: _compare(packet.iif if option == "-i" else packet.oif, wanted)
    if option == "-p":
        return lambda packet: argument in ("all", packet.protocol, str(_NUMBERS.get(packet.protocol)))
    if option in ("--ctstate", "--state"):
        return lambda packet: packet.state.upper() in argument.split(",")
    if option in ("--dport", "--dports"):
        return lambda packet: _any(_compare(packet.port, _ports(each)) for each in argument.split(","))
    if option == "--ttl-eq":
        return lambda packet: packet.ttl == int(argument)
    return _unknown


def _ports(text: str) -> Any:
    low, colon, high = text.partition(":")
    return {"range": [int(low or 0), int(high or 65535)]} if colon else int(low) if low.isdigit() else {}
