"""What each strategy may lose in each situation, and what it must lose if the fault was there at all.

The limits hold for every single outage, also on a machine that is busy. What is not mentioned may lose nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from bench.outages.losses import Kind, Loss, Results, loss
from bench.outages.situations import (
    CUT,
    CUT_FROM,
    DETOUR_OFF,
    DIRECTIONS,
    HIT,
    NEVER,
    NO_PROBE,
    PER_ZONE,
    SINGLE,
    TO_DESK,
    TO_INTERNET,
    TO_ZONE,
    ZONES,
)


class Limits(NamedTuple):
    """The least and the most that a direction loses in one outage."""

    least: Loss
    most: Loss

    def __str__(self) -> str:
        return str(self.least) if self.least == self.most else f"{self.least} to {self.most}"


def itself(least: float, most: float) -> Limits:
    """It recovers by itself after so many seconds."""
    return Limits(Loss(Kind.SECONDS, least), Loss(Kind.SECONDS, most))


def repaired(most: float) -> Limits:
    """It recovers at most so many seconds after the repair, and not before."""
    return Limits(Loss(Kind.UNTIL_REPAIRED), Loss(Kind.UNTIL_REPAIRED, most))


def worse(least: Kind) -> Limits:
    """Anything from `least` on; `single` may come back in another zone, and stays there."""
    return Limits(Loss(least), Loss(Kind.FOR_GOOD))


NOTHING = itself(0, 0.1)  # a busy machine loses a few packets by itself
AT_ONCE = 2.0  # seconds after a repair, where no tunnel has to be made anew
TUNNEL = 10.0  # seconds after a repair, where one has to
BOOT = 6.0  # seconds for a nat's boot
FAILOVER = itself(1, 15)  # `single`, to the next zone


def _limits(*parts: tuple[str, Sequence[str], Limits]) -> Mapping[str, Limits]:
    return {kind.format(zone): limits for kind, zones, limits in parts for zone in zones}


_A, _B, _OTHERS = (HIT,), (CUT_FROM,), ZONES[1:]
_ISOLATED = _limits(
    (TO_ZONE, _A, repaired(TUNNEL)), (TO_DESK, _A, repaired(TUNNEL)), (TO_INTERNET, _A, repaired(AT_ONCE))
)
_NAT_KILLED = ((TO_DESK, _A, repaired(TUNNEL)), (TO_INTERNET, _A, repaired(BOOT)))
_REBOOTED = ((TO_DESK, _A, itself(0.3, TUNNEL)), (TO_INTERNET, _A, itself(0.1, BOOT)))
_NOT_FORWARDED = ((TO_DESK, _A, repaired(AT_ONCE)), (TO_INTERNET, _A, repaired(AT_ONCE)))
_CUT = _limits((TO_ZONE, ZONES, repaired(TUNNEL)), (TO_DESK, ZONES, repaired(TUNNEL)))
_OFFICE_REBOOTED = _limits((TO_ZONE, ZONES, itself(0.2, TUNNEL)), (TO_DESK, ZONES, itself(0.2, TUNNEL)))

_WITH_DETOURS = {
    "isolated": _ISOLATED,
    "nat-killed": _limits((TO_ZONE, _A, itself(0.1, 1.0)), *_NAT_KILLED),
    "openvpn-killed": _limits((TO_ZONE, _A, itself(0.1, 1.0)), (TO_DESK, _A, itself(0.3, TUNNEL))),
    "openvpn-stopped": _limits((TO_DESK, _A, repaired(TUNNEL))),
    "no-forwarding": _limits((TO_ZONE, _A, itself(1, 6)), *_NOT_FORWARDED),
    "nat-rebooted": _limits(*_REBOOTED),
    CUT: _CUT,
    "office-rebooted": _OFFICE_REBOOTED,
}
EXPECTED: Mapping[str, Mapping[str, Mapping[str, Limits]]] = {
    SINGLE: {
        "isolated": _limits(
            (TO_ZONE, _A, repaired(AT_ONCE)),
            (TO_ZONE, _OTHERS, FAILOVER),
            (TO_DESK, _A, worse(Kind.FOR_GOOD)),
            (TO_INTERNET, _A, repaired(AT_ONCE)),
        ),
        "partition": _limits((TO_ZONE, _B, repaired(AT_ONCE))),
        "nat-killed": _limits(
            (TO_ZONE, ZONES, FAILOVER), (TO_DESK, _A, worse(Kind.FOR_GOOD)), (TO_INTERNET, _A, repaired(BOOT))
        ),
        "openvpn-killed": _limits((TO_ZONE, ZONES, FAILOVER), (TO_DESK, _A, worse(Kind.SECONDS))),
        "openvpn-stopped": _limits((TO_ZONE, ZONES, FAILOVER), (TO_DESK, _A, worse(Kind.FOR_GOOD))),
        "no-forwarding": _limits((TO_ZONE, ZONES, repaired(AT_ONCE)), *_NOT_FORWARDED),
        "nat-rebooted": _limits((TO_ZONE, ZONES, itself(0.3, 15)), (TO_DESK, _A, worse(Kind.SECONDS)), _REBOOTED[1]),
        CUT: _limits((TO_ZONE, ZONES, repaired(15)), (TO_DESK, _A, worse(Kind.UNTIL_REPAIRED))),
        "office-rebooted": _limits((TO_ZONE, ZONES, itself(0.2, TUNNEL)), (TO_DESK, _A, itself(0.2, TUNNEL))),
    },
    DETOUR_OFF: {
        "isolated": _ISOLATED,
        "nat-killed": _limits((TO_ZONE, _A, repaired(TUNNEL)), *_NAT_KILLED),
        "openvpn-killed": _limits((TO_ZONE, _A, itself(0.3, TUNNEL)), (TO_DESK, _A, itself(0.3, TUNNEL))),
        "openvpn-stopped": _limits((TO_ZONE, _A, repaired(TUNNEL)), (TO_DESK, _A, repaired(TUNNEL))),
        "no-forwarding": _limits((TO_ZONE, _A, repaired(AT_ONCE)), *_NOT_FORWARDED),
        "nat-rebooted": _limits((TO_ZONE, _A, itself(0.3, TUNNEL)), *_REBOOTED),
        CUT: _CUT,
        "office-rebooted": _OFFICE_REBOOTED,
    },
    PER_ZONE: _WITH_DETOURS,
    NO_PROBE: _WITH_DETOURS,
}
DOES_NOT_WORK = Limits(Loss(Kind.NEVER), Loss(Kind.NEVER))


def check(results: Results) -> list[str]:
    """A line for each loss that is not as expected."""
    return list(_deviations(results))


def _deviations(results: Results) -> Iterator[str]:
    for strategy, situations in results.outages.items():
        for name, repetitions in situations.items():
            expected = EXPECTED[strategy].get(name, {})
            for number, repetition in enumerate(repetitions, 1):
                for direction in DIRECTIONS:
                    usual = DOES_NOT_WORK if direction in NEVER[strategy] else NOTHING
                    least, most = limits = expected.get(direction, usual)
                    seen = loss(repetition, direction)
                    if not least <= seen <= most:
                        yield f"{strategy}, {name}, outage {number}: {direction} lost {seen}; expected: {limits}"
