"""Every strategy in every outage, once, in a lab of four zones of its own: nobody loses more than he may, or less.

What may be lost where is in bench/outages/expected.py; `make outages` measures the same, more often.
"""

import pytest

from bench.outages.expected import check
from bench.outages.run import run
from bench.outages.situations import SITUATIONS, STRATEGIES


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_outage_costs_what_it_may(strategy: str) -> None:
    results = run([strategy], list(SITUATIONS), repetitions=1, quick=True)
    assert list(results.outages[strategy]) == list(SITUATIONS)
    assert check(results) == []
