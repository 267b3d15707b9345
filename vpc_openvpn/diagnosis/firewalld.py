"""firewalld: the zones that its ruleset has, and what to type so that packets pass.

Tunnels get a zone of their own, which admits what is typed for it, and no more; packets that pass from zone to zone
need a policy for each direction. Tried with firewalld 1.3 and 2.3, whose rulesets are not built alike.
"""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address

from vpc_openvpn.diagnosis.filters import Packet, Table

ZONE = "vpc-openvpn"  # of the tunnels, where they are in none; policies' names begin so
BEFORE_OTHERS = -100  # a policy's priority; a new one has -1, and the lowest comes first


def mend(outcome: str, table: Table, packets: Sequence[Packet], tunnels: Sequence[str]) -> str:
    """What lets all these packets pass, or keeps their source address, for each of the interfaces `tunnels`."""
    commands = dict.fromkeys(_commands(outcome, table, packets, tunnels))
    typed = [*(f"firewall-cmd --permanent {command}" for command in commands), "firewall-cmd --reload"]
    return "Type (NAME_CONFLICT says that it is there already):" + "".join(f"\n        {line}" for line in typed)


def _commands(outcome: str, table: Table, packets: Sequence[Packet], tunnels: Sequence[str]) -> Iterator[str]:
    concerned = [each for each in packets if {each.iif, each.oif} & {*tunnels}]
    zones = [_zone(table, tunnel, each.source) for each in concerned for tunnel in tunnels]
    # A zone that masquerades is not for tunnels; nor is the default one, which has each interface that is in no other.
    chosen = "" if outcome == "nat" else next((zone for zone, bound in zones if bound), "")
    own = chosen or ZONE
    if concerned:
        if not chosen:
            yield f"--new-zone={own}"
        yield " ".join([f"--zone={own}", *(f"--change-interface={tunnel}" for tunnel in tunnels)])
    for packet in packets:
        if outcome == "nat":
            if packet.oif not in tunnels:  # ours masquerades what has to be
                yield f"--zone={_zone(table, packet.oif, packet.destination)[0]} --remove-masquerade"
            continue
        ends = []
        for interface, address in ((packet.iif, packet.source), (packet.oif, packet.destination)):
            zone, bound = (own, True) if interface in tunnels else _zone(table, interface, address)
            ends.append(zone)
            if interface and not bound and packet.hook != "input":  # no policy holds for the default zone's others
                yield f"--zone={zone} --change-interface={interface}"
        comes, leaves = ends
        if packet.hook == "input":
            yield f"--zone={comes} --add-port={packet.port}/{packet.protocol}"
        elif packet.hook == "output":
            yield from _policy("host", "HOST", leaves)
        elif comes == leaves:
            yield f"--zone={comes} --add-forward"
        else:
            there, back = ("out", "in") if leaves == own else ("in", "out")
            yield from _policy(there, comes, leaves)
            yield from _policy(back, leaves, comes)


def _policy(name: str, comes: str, leaves: str) -> Iterator[str]:
    name = f"{ZONE}-{name}"
    yield f"--new-policy={name}"
    yield f"--policy={name} --add-ingress-zone={comes}"
    yield f"--policy={name} --add-egress-zone={leaves}"
    yield f"--policy={name} --set-priority={BEFORE_OTHERS}"
    yield f"--policy={name} --set-target=ACCEPT"


def _zone(table: Table, interface: str, address: IPv4Address) -> tuple[str, bool]:
    """The zone of what comes from `address` by `interface`, and whether it is bound to it: else it is the default."""
    asked = Packet("", "input", address, address, iif=interface)
    for name, chain in table.chains.items():
        if name.endswith(("INPUT_ZONES", "INPUT_POLICIES")):
            for rule in chain.rules:
                zone = rule.target.partition("IN_")[2]
                if zone and not zone.startswith("policy_") and all(condition(asked) for condition in rule.conditions):
                    return zone, bool(rule.conditions)
    return "public", False
