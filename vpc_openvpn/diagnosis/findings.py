"""What a proof comes to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address


@dataclass(slots=True)
class Findings:
    """`wrong` fails the deploy; `unproved` is what the deploy could not see, or what may be in the way."""

    wrong: list[str] = field(default_factory=list)
    unproved: list[str] = field(default_factory=list)


def printed(output: str, *, patient: bool) -> Findings:
    """For a script that prints nothing but what is wrong, whether it had time to wait or not."""
    return Findings(output.splitlines())


def answers(output: str) -> dict[str, list[str]]:
    """A proof's lines by their first word; each without it."""
    found: dict[str, list[str]] = {}
    for line in output.splitlines():
        tag, _, text = line.partition(" ")
        found.setdefault(tag, []).append(text)
    return found


def document(found: Mapping[str, list[str]], tag: str) -> str:
    """A list in JSON, as the one line with this `tag` has it; an empty list where the host could not give it."""
    return next(iter(found.get(tag, [])), "[]")


def complaints(found: Mapping[str, list[str]]) -> list[str]:
    """What the host's own script says is wrong: each with the lines that follow it."""
    said: list[str] = []
    for text in found.get("wrong", []):
        if text.startswith(" ") and said:
            said[-1] += f"\n{text}"
        else:
            said.append(text)
    return said


def in_order(causes: Iterable[str]) -> str:
    """Likely causes, as numbered lines."""
    return "".join(f"\n    {number}. {cause}" for number, cause in enumerate(causes, start=1))


def describe_interfaces(key: str, address: IPv4Address, fields: str) -> str:
    """What to type to see `fields` of the VPC's network interface whose `key` is `address`."""
    return (
        f"aws ec2 describe-network-interfaces --filters Name={key},Values={address}"
        f" --query 'NetworkInterfaces[].{fields}'"
    )
