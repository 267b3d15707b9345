"""What a ping's output comes to."""

import pytest

from bench.lab import BenchError
from bench.rotation import Loss, losses


def ping(*numbers: int, slow: int = 0) -> str:
    return "".join(
        f"64 bytes from 10.0.21.10: icmp_seq={n} ttl=61 time={2500 if n == slow else 3.1} ms\n" for n in numbers
    )


def test_lost_pings_are_those_before_the_last_answer() -> None:
    assert losses([ping(1, 2, 3)]) == Loss(3, 0, 0.0, 0.0031)
    found = losses([ping(1, 2, 5, 9, 10, slow=9), ping(2, 3)])
    assert (found.sent, found.lost, found.slowest) == (13, 6, 2.5)
    assert found.longest == pytest.approx(0.06)


def test_answers_that_come_late_and_in_another_order_are_not_lost() -> None:
    assert losses([ping(1, 4, 2, 3, slow=2)]).lost == 0


def test_a_ping_without_an_answer_measures_nothing() -> None:
    with pytest.raises(BenchError, match="no answer at all"):
        losses(["From 192.168.50.1 icmp_seq=1 Destination Host Unreachable\n"])
