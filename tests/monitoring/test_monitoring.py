"""`monitoring/`: dashboard and rules read metrics that there are, and each rule says what to do and has its tests."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from vpc_openvpn_monitor import metrics

MONITORING = Path(__file__).parents[2] / "monitoring"
EXPORTER = set((Path(__file__).parent / "node_exporter.txt").read_text().splitlines())
OURS = {f"{metrics.PREFIX}{name}" for name in metrics.NAMES}
# `up` is Prometheus' own.
THERE_ARE = OURS | EXPORTER | {"up"}
# What else is written like a name in an expression.
FUNCTIONS = {"avg_over_time", "increase", "rate", "time", "vector", "label_replace", "label_values"}
WORDS = FUNCTIONS | {"sum", "max", "count", "by", "on", "or", "and", "unless", "group_left", "group_right", "bool"}
LABELS = {
    "zone",
    "path",
    "instance",
    "device",
    "interface",
    "host",
    "file",
    "job",
    "mountpoint",
    "version",
    "to",
    "via",
}
LABELS |= {"what", "nat"}


def names(expression: str) -> set[str]:
    """The metrics in an expression; what is quoted, a range or a variable is none."""
    bare = re.sub(r'"[^"]*"|\[[^\]]*\]|\$\w+', " ", expression)
    words = set(re.findall(r"(?<![\w.])[a-z_]\w*", bare))
    return words - WORDS - LABELS


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text())
    return found


def expressions() -> Iterator[str]:
    """All that the dashboard asks."""
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel.get("targets", []))
    yield from (each["definition"] for each in dashboard()["templating"]["list"] if "definition" in each)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_rule_reads_metrics_that_there_are_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert names(rule["expr"]) <= THERE_ARE
    assert rule["alert"] == "Watchdog" or names(rule["expr"])
    assert rule["labels"]["severity"] in ("page", "ticket", "none")
    assert all(rule["annotations"][each].strip() for each in ("summary", "description", "type"))


def test_each_rule_has_a_case_that_fires_and_one_that_does_not() -> None:
    tests = [each["name"] for each in yaml.safe_load((MONITORING / "alerts.test.yml").read_text())["tests"]]
    for rule in rules():
        assert f"{rule['alert']} fires" in tests
        assert f"{rule['alert']} does not fire" in tests or rule["alert"] == "Watchdog", "which never stops"


def test_the_dashboard_reads_metrics_that_there_are() -> None:
    found = {name for expression in expressions() for name in names(expression)}
    assert found <= THERE_ARE, found - THERE_ARE
    assert {"vpcopenvpn_zone_path", "node_network_receive_bytes_total"} <= found


def test_an_unknown_metric_is_seen() -> None:
    assert names('sum by (zone) (rate(vpcopenvpn_no_such{a="b"}[5m])) > 3e0 * node_x') >= {
        "vpcopenvpn_no_such",
        "node_x",
    }


def test_each_metric_of_ours_is_on_the_dashboard_or_in_a_rule() -> None:
    read = {name for expression in (*expressions(), *(rule["expr"] for rule in rules())) for name in names(expression)}
    assert OURS - read == {"vpcopenvpn_tunnel_last_change_timestamp_seconds"}  # for people, who type it


def test_the_dashboard_can_be_imported() -> None:
    found = dashboard()
    assert found["schemaVersion"] >= 38 and "id" not in found  # Grafana 10 on; an id belongs to one installation
    panels = found["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    [source, _] = found["templating"]["list"]
    assert (source["name"], source["type"]) == ("datasource", "datasource")
    for panel in panels:
        for each in (panel, *panel.get("targets", [])):
            assert panel["type"] == "row" or each["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["type"] == "row" or panel["description"]


def test_panels_do_not_overlap() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
