"""What a deploy finds in the way of metrics and alerts, before it changes a host."""

from dataclasses import replace
from typing import cast

import pytest
from pyinfra.api.exceptions import DeployError

from tasks import alerts, metrics, paths, watching
from tests.conftest import EXAMPLE_SITE
from vpc_openvpn.remote.facts import State, UnitState
from vpc_openvpn.site.load import load
from vpc_openvpn.site.model import Alerts
from vpc_openvpn.site.plan import OfficePlan, plan

OFFICE = cast(OfficePlan, plan(load(EXAMPLE_SITE))["office"])
EXPORTING = replace(OFFICE, metrics="on")
RUNS = {metrics.OTHERS_UNIT: UnitState(active=True)}
COMMAND = Alerts(command="/usr/local/bin/vpc-alert")


def test_another_exporter_is_left_alone() -> None:
    with pytest.raises(DeployError, match=r"runs on office already[\s\S]*metrics: files[\s\S]*No host was changed"):
        metrics.check(EXPORTING, State(units=RUNS))
    metrics.check(EXPORTING, State(units={}))
    metrics.check(replace(OFFICE, metrics="files"), State(units=RUNS))
    # An installation that was cut short has started it: this deploy stops it.
    metrics.check(EXPORTING, State(units=RUNS, records={paths.TO_IDLE: f"{metrics.OTHERS_UNIT}\n"}))


def test_an_exporter_takes_a_package() -> None:
    assert watching.packages(EXPORTING, ["exporter"]) == ["exporter"]
    for word in ("off", "files"):
        assert watching.packages(replace(OFFICE, metrics=word), ["exporter"]) == []


@pytest.mark.parametrize(
    ("user", "said", "expected"),
    [
        (None, "", ""),
        (None, "file", "there is no file /usr/local/bin/vpc-alert on office"),
        (None, "mode", "a user without rights may not run /usr/local/bin/vpc-alert on office"),
        ("pager", "mode", "pager may not run"),
        ("pager", "user", "there is no user pager on office. Make it (adduser --system pager)"),
    ],
)
def test_a_command_that_cannot_be_run_is_said(user: str | None, said: str, expected: str) -> None:
    found = alerts.objection(COMMAND.model_copy(update={"user": user}), "office", said)
    assert expected in found and bool(found) == bool(expected)


def test_a_command_that_cannot_be_run_stops_the_deploy() -> None:
    alerting = replace(OFFICE, alerts=COMMAND)
    asked = alerts.question(alerting)
    with pytest.raises(DeployError, match="there is no file"):
        alerts.check(alerting, State(shown={asked: "file\n"}))
    alerts.check(alerting, State(shown={asked: ""}))
    only_heartbeat = replace(OFFICE, alerts=Alerts(heartbeat="https://example.com/x"))
    assert alerts.question(only_heartbeat) == alerts.question(OFFICE) == ""
    alerts.check(only_heartbeat, State())


def test_a_heartbeats_url_is_shown_nowhere() -> None:
    assert "secret" not in repr(replace(OFFICE, alerts=Alerts(heartbeat="https://example.com/secret")))
