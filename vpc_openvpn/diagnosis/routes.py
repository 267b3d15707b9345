"""The kernel's routes and routing rules, as `ip -json` and `ip route get` print them."""

import json
from collections import defaultdict
from collections.abc import Collection, Container, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from itertools import pairwise
from typing import Any

FOREIGN_PRIORITY = 30000  # behind ours, before the main table


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the host's own, to a network through an interface."""

    network: IPv4Network
    interface: str


def inside(
    routes: str, networks: Iterable[IPv4Network], own: Collection[str], own_addresses: Collection[IPv4Address]
) -> list[tuple[Route, IPv4Network]]:
    """The routes of `ip -json route` to a part of one of `networks`, each with that network. Those by an interface of
    `own`, or with an address of ours as source (a tunnel that was renamed), are ours.
    """
    found = []
    for each in _parsed(routes):
        if each.get("dst", "default") == "default" or each.get("type", "unicast") != "unicast":
            continue
        if each.get("dev") in own or each.get("prefsrc") in [str(address) for address in own_addresses]:
            continue
        route = Route(IPv4Network(each["dst"]), each.get("dev", "several interfaces"))
        found += [(route, whole) for whole in networks if route.network.subnet_of(whole)]
    return found


@dataclass(frozen=True, slots=True)
class Way:
    """What the kernel answered when it was asked for a packet's way: an interface and a table, or an error."""

    interface: str
    table: str
    said: str


def way(said: str) -> Way:
    """The answer of `ip route get`."""
    words = said.split()
    after = dict(pairwise(words))
    if "RTNETLINK" in words or "dev" not in after:
        return Way("", "", said.strip())
    return Way(after["dev"], after.get("table", "main"), said.strip())


def rule_ahead(
    rules: str, taken: Way, before: int, ours: Container[object], source: IPv4Address, destination: IPv4Address
) -> str:
    """The first foreign rule of `ip -json rule` before priority `before` that may have sent a packet by `taken`: its
    priority, and then what `ip rule add` takes. Empty: there is none. `ours`: how `ip` calls the protocol of our rules.
    """
    for rule in _parsed(rules):
        priority = int(rule["priority"])
        if not 0 < priority < before or rule.get("protocol") in ours:
            continue
        if not _covers(rule, "src", source) or not _covers(rule, "dst", destination):
            continue
        if taken.interface and rule.get("table", taken.table) != taken.table:
            continue
        return f"{priority} {_words(rule)}"
    return ""


def _covers(rule: dict[str, Any], key: str, address: IPv4Address) -> bool:
    text = rule.get(key, "all")
    return text == "all" or address in IPv4Network(f"{text}/{rule.get(key + 'len', 32)}")


def _words(rule: dict[str, Any]) -> str:
    words = []
    for key, name in (("src", "from"), ("dst", "to")):
        if key in rule:
            length = f"/{rule[key + 'len']}" if key + "len" in rule else ""
            words.append(f"{name} {rule[key]}{length}")
    if "fwmark" in rule:
        words.append(f"fwmark {rule['fwmark']}" + (f"/{rule['fwmask']}" if "fwmask" in rule else ""))
    words += [f"{key} {rule[key]}" for key in ("iif", "oif", "ipproto") if key in rule]
    words.append(f"lookup {rule['table']}" if "table" in rule else str(rule.get("action", "")))
    return " ".join(words)


def default_interface(routes: str) -> str:
    """The interface of the default route that counts; empty where there is none, or several share the packets."""
    return next((str(each.get("dev", "")) for each in _defaults(routes)), "")


def default_routes(routes: str) -> list[str]:
    """The gateways of the default routes that serve at the same time: those of the lowest metric."""
    hops = [hop for each in _defaults(routes) for hop in each.get("nexthops", [each])]
    return [f"{hop.get('gateway', 'no gateway')} ({hop.get('dev')})" for hop in hops]


def _defaults(routes: str) -> list[dict[str, Any]]:
    """The default routes of the lowest metric."""
    by_metric: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for each in _parsed(routes):
        if each.get("dst") == "default":
            by_metric[int(each.get("metric", 0))].append(each)
    return by_metric[min(by_metric)] if by_metric else []


def _parsed(text: str) -> list[dict[str, Any]]:
    return [each for each in json.loads(text or "[]") if each]
