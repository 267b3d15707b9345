"""A change on trial: how long a slow host is waited for."""

from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from pyinfra.api import Config, Host, Inventory, StringCommand
from pyinfra.api import State as PyinfraState
from pyinfra.connectors.util import CommandOutput

from vpc_openvpn.remote import commit_confirm
from vpc_openvpn.remote.commit_confirm import Trial

TRIAL = Trial(files=(), begin="begin", keep="keep", pending="/pending", seconds=2, advice="")


class SlowConnector:
    """A host that needs `seconds` for each command; what cannot wait so long ends with a TimeoutError."""

    seconds = 0.2

    def __init__(self, _state: object = None, _host: object = None) -> None:
        self.client = SimpleNamespace(close=lambda: None)

    def connect(self) -> None:
        pass

    def run_shell_command(self, _command: StringCommand, **_arguments: Any) -> tuple[bool, CommandOutput]:
        gevent.sleep(self.seconds)
        return True, CommandOutput([])


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(commit_confirm, "PATIENCE", 0.1)
    inventory = Inventory((["office"], {}))
    state = PyinfraState(inventory, Config())
    office: Host = inventory.get_host("office")
    office.state = state
    monkeypatch.setattr(office, "connector", SlowConnector())
    return office


def test_a_change_is_kept_by_a_host_that_is_slow_to_make_it(host: Host) -> None:
    assert commit_confirm._complaint(TRIAL, host.state, host) == ""


def test_a_change_that_is_not_kept_in_its_time_has_undone_itself(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SlowConnector, "seconds", TRIAL.seconds + 1)
    assert "has undone itself" in commit_confirm._complaint(TRIAL, host.state, host)
