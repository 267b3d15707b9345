"""A host's report on itself, from files of the test's own and this machine's own kernel."""

import json
import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from vpc_openvpn_monitor import host
from vpc_openvpn_monitor.site import Site

UNIT = "no-such.service"
SITE = Site("nat-a", "nat", "per-zone", (UNIT,), (), (), 7900, *[Path("/nowhere")] * 5)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("run/vpc-openvpn", "etc/vpc-openvpn/identity", "proc/sys/net/netfilter", "proc/sys/net/ipv4"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "proc/sys/net/netfilter/nf_conntrack_count").write_text("12\n")
    (tmp_path / "proc/sys/net/netfilter/nf_conntrack_max").write_text("65536\n")
    (tmp_path / "proc/sys/net/ipv4/ip_forward").write_text("1\n")
    return tmp_path


def test_an_empty_host_has_a_report(tmp_path: Path) -> None:
    found = host.report(SITE, monitor=False, root=tmp_path)
    unknown = ("deploy", "identity", "conntrack", "monitor", "hears_office")
    assert [found[key] for key in unknown] == [None] * len(unknown)
    assert (found["outdated"], found["repairs"], found["forwards"]) == ([], [], False)
    assert json.loads(json.dumps(found)) == found


def test_the_report_has_the_kernels_numbers(root: Path) -> None:
    found = host.report(SITE, monitor=False, root=root)
    assert found["forwards"] is True and found["conntrack"] == {"count": 12, "max": 65536}
    assert 0 < found["disk"]["free"] < found["disk"]["size"]


def test_only_a_host_with_a_monitor_tells_of_it(root: Path) -> None:
    office = replace(SITE, role="office", units=(host.MONITOR_UNIT,))
    assert host.report(office, monitor=True, root=root)["monitor"] == {"running": True}
    assert host.report(office, monitor=False, root=root)["monitor"] == {"running": False}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ("{sum}  /etc/a.conf\n", False),
        ("{sum}  /etc/a.conf\n*mangle\n:vpc-openvpn-forward - [0:0]\n", False),  # the firewall's: more than sums
        ("{other}  /etc/a.conf\n", True),
        ("{sum}  /etc/a.conf\n{sum}  /etc/gone.conf\n", True),
        ("", True),
        (None, True),
    ],
)
def test_a_units_record_says_whether_it_runs_what_is_on_the_disk(
    root: Path, record: str | None, expected: bool
) -> None:
    (root / "etc/a.conf").write_text("a\n")
    if record is not None:
        sums = {"sum": sha256(b"a\n").hexdigest(), "other": sha256(b"b\n").hexdigest()}
        (root / f"run/vpc-openvpn/{UNIT}.record").write_text(record.format(**sums))
    assert host.outdated(UNIT, root) is expected


def test_a_unit_that_systemd_does_not_know_is_stopped(root: Path) -> None:
    states = host.active([UNIT])
    found = host.report(SITE, monitor=False, root=root)
    assert found["stopped"] == ([UNIT] if states else []) and found["outdated"] == []


def test_a_deploy_that_came_to_its_end_has_its_time(root: Path) -> None:
    assert host.deploy(root) is None
    signed, later = root / host.DEPLOYED, root / "etc/vpc-openvpn/bird.conf"
    signed.parent.mkdir(parents=True)
    signed.write_text("2 anna@desk\n")
    os.utime(signed, (1000, 1000))
    assert host.deploy(root) == {"by": "anna@desk", "at": 1000.0, "release": 2, "changed": None}
    later.write_text("")
    os.utime(later, (2000, 2000))
    assert host.deploy(root) == {"by": "anna@desk", "at": 1000.0, "release": 2, "changed": 2000.0}
    signed.write_text("x anna\n")
    found = host.deploy(root)
    assert found and found["release"] is None
    signed.write_text("nonsense")
    assert host.deploy(root) is None


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"repairs": 7}', '{"version": 1}'])
def test_a_state_that_the_keeper_has_not_written_is_no_repairs(root: Path, text: str | None) -> None:
    if text is not None:
        (root / host.REPAIRS).write_text(text)
    assert host.repairs(root) == []


def test_the_report_has_repairs_as_the_keeper_has_written_them(root: Path) -> None:
    repairs = [{"what": "firewall", "count": 3, "first": 1.0, "last": 2.0, "looping": False, "gone": "a chain"}]
    (root / host.REPAIRS).write_text(json.dumps({"version": 1, "repairs": repairs}))
    assert host.repairs(root) == repairs
