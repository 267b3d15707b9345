"""The VPC's own judgement of packets, as AWS makes it: route tables, source/destination checks, security groups. Pure.

It judges as README's prerequisites say until the operator of the lab types otherwise. What can be set, by words:

    source-dest-check HOST           on | off      on, but for NATs
    security-group    HOST RULE      allow | deny  RULE is one of RULES; a host's defaults are those of its kind
    route             ZONE SUBNET TO on | off      SUBNET: public | private; TO: internet | office; all on

A source/destination check drops what a host sends from, or is sent for, an address that is not its own. A security
group is stateful: it judges the first packet of a flow, and what belongs to a flow passes, also when a rule has gone.
No ICMP error reports a missing route: a packet takes a wider one, or none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lab import layout
from lab.layout import Host, Kind, Layout, Zone

CHECK, GROUP, ROUTE = "source-dest-check", "security-group", "route"

_OPERATORS = f"{layout.OFFICE_PUBLIC.ip}, {layout.OFFICE_LAN}"
# A security group's rules, by name: what an nft rule says of the packets that they let in, or, `outbound`, out.
RULES: Mapping[str, str] = {
    "ssh": f"ip saddr {{ {_OPERATORS} }} tcp dport 22",
    "tunnel": f"ip saddr {layout.OFFICE_PUBLIC.ip} udp dport 1194",
    "vpc": f"ip saddr {layout.VPC}",
    "office": f"ip saddr {layout.OFFICE_LAN}",
    "anywhere": "",
    "outbound": "",
}
_ALLOWED: Mapping[Kind, frozenset[str]] = {
    "nat": frozenset({"ssh", "tunnel", "vpc", "outbound"}),
    "app": frozenset({"vpc", "office", "outbound"}),
}

SUBNETS = ("public", "private")
DESTINATIONS = ("internet", "office")


@dataclass(frozen=True)
class Vpc:
    """The VPC of `layout`, where `changed` (setting → value) is not as the defaults are."""

    layout: Layout
    changed: Mapping[str, str]

    @property
    def instances(self) -> dict[str, Host]:
        """The hosts that AWS judges, by name."""
        return {name: host for name, host in self.layout.hosts.items() if host.kind in _ALLOWED}

    def setting(self, *words: str) -> str:
        """The value of a setting."""
        return self.changed.get(" ".join(words)) or self._default(*words)

    def having(self, value: str, *words: str) -> dict[str, str]:
        """What `changed` is with this value of a setting."""
        others = {setting: kept for setting, kept in self.changed.items() if setting != " ".join(words)}
        return others if value == self._default(*words) else {**others, " ".join(words): value}

    def mistakes(self, host: Host) -> list[str]:
        """What is not as it should be for this host, in words."""
        return [
            " ".join([kind, *words[1:], value])
            for setting, value in self.changed.items()
            for kind, *words in [setting.split()]
            if words[0] in (host.name, host.zone)
        ]

    def routes(self) -> Iterator[tuple[bool, str]]:
        """Each route of each subnet's table, as `ip route` takes it, and whether it is there."""
        for zone in self.layout.zones:
            for subnet in SUBNETS:
                table = route_table(zone, subnet)
                for to in DESTINATIONS:
                    network = "default" if to == "internet" else str(layout.OFFICE_LAN)
                    by_gateway = (subnet, to) == ("public", "internet")
                    via = layout.TRANSIT_INTERNET.ip if by_gateway else zone.nat_address
                    yield self.setting(ROUTE, zone.name, subnet, to) == "on", f"{network} via {via} table {table}"

    def rules(self) -> str:
        """The nft table that judges what the router passes on. Every bridge has one host."""
        bridges = {host.cables[0].bridge: host for host in self.instances.values()}
        checks = "\n    ".join(line for bridge, host in bridges.items() for line in self._check(bridge, host))
        inwards = ", ".join(f'"{bridge}" : jump {host.cables[0].port}' for bridge, host in bridges.items())
        outwards = "\n    ".join(
            f'iifname "{bridge}" drop'
            for bridge, host in bridges.items()
            if self.setting(GROUP, host.name, "outbound") == "deny"
        )
        groups = "".join(self._group(host) for host in bridges.values())
        return f"""
table ip judgement
delete table ip judgement
table ip judgement {{
{groups}
  chain forward {{
    type filter hook forward priority filter - 5;
    {checks}
    ct state established,related accept
    {outwards}
    oifname vmap {{ {inwards} }}
  }}
}}
"""

    def _default(self, kind: str, name: str, *words: str) -> str:
        if kind == ROUTE:
            return "on"
        host = self.instances[name]
        if kind == CHECK:
            return "off" if host.kind == "nat" else "on"
        return "allow" if words[0] in _ALLOWED[host.kind] else "deny"

    def _check(self, bridge: str, host: Host) -> Iterator[str]:
        if self.setting(CHECK, host.name) == "on":
            address = host.cables[0].address.ip
            yield f'iifname "{bridge}" ip saddr != {address} drop'
            yield f'oifname "{bridge}" ip daddr != {address} drop'

    def _group(self, host: Host) -> str:
        admitted = [
            f"{match} accept"
            for rule, match in RULES.items()
            if rule != "outbound" and self.setting(GROUP, host.name, rule) == "allow"
        ]
        return f"  chain {host.cables[0].port} {{\n    " + "\n    ".join([*admitted, "drop"]) + "\n  }\n"


def route_table(zone: Zone, subnet: str) -> int:
    """The number of the router's table for what comes from this subnet."""
    return zone.number + (100 if subnet == "public" else 200)
