"""How a benchmark's command ends. No lab."""

import signal
import time
from collections.abc import Iterator

import pytest

from bench.command import measured, since
from bench.lab import BenchError


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [(BenchError("no lab"), 1, "some: no lab\n"), (KeyboardInterrupt(), 130, "some: interrupted; nothing of this run")],
)
def test_an_unfinished_run_prints_its_error(
    capsys: pytest.CaptureFixture[str], error: BaseException, status: int, said: str
) -> None:
    def run() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        measured("some", run)
    assert ended.value.code == status
    assert capsys.readouterr().err.startswith(said)


def test_a_finished_run_returns_its_results() -> None:
    assert measured("some", lambda: 7) == 7
    assert since(time.monotonic() - 245) == " 4:05"
