"""What all tests share: expected outputs that live in files of their own, reviewed as diffs.

`pytest --update-golden` writes them anew; `git diff` then shows what changed.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from vpc_openvpn import terminal

# A machine that is busy is not a failure, and `make check` is run often.
settings.register_profile("project", deadline=None, max_examples=50)
settings.load_profile("project")

EXAMPLE_SITE = Path(__file__).parent / "rendered/example/site.yml"
"""The example file with public addresses that a site may have."""
Golden = Callable[[Path, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the expected outputs anew")


@pytest.fixture(autouse=True)
def nothing_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No passphrase is known, as at the beginning of a process."""
    monkeypatch.setattr(terminal, "_typed", terminal._Typed())


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """`golden(path, text)`: the file at `path` holds exactly `text`, or is made to with --update-golden."""

    def check(path: Path, text: str) -> None:
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        expected = path.read_text(encoding="utf-8") if path.exists() else None
        assert text == expected, f"differs from {path}; if it is meant to: pytest --update-golden, then git diff"

    return check


def pytest_unconfigure(config: pytest.Config) -> None:
    """What failed, as the very last line: it is what is left of a long log that was cut."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:  # a worker has none
        bad = [report for outcome in ("failed", "error") for report in reporter.stats.get(outcome, [])]
        if bad:
            reporter.write_line("FAILED: " + "; ".join(map(failure, bad)))


def failure(report: pytest.TestReport | pytest.CollectReport) -> str:
    """A test's name, and the first line of why it failed."""
    crash = getattr(report.longrepr, "reprcrash", None)
    why = (crash.message if crash else report.longreprtext).strip().split("\n")[0]
    return f"{report.nodeid.removeprefix('tests/')} ({getattr(report, 'when', 'collect')}: {why[:160]})"
