"""Every file of every host, for each kind of site: `CASE/site.yml` and `CASE/HOST/PATH` beside this module.

`pytest tests/rendered --update-golden` writes them anew; a change of a template is reviewed as the diff of what it does
to the hosts. A kind of site is added by its site.yml alone.
"""

import subprocess
from pathlib import Path

import pytest
from pyinfra.api import HiddenValue

import templates
from lab.layout import Layout
from lab.site import site_text
from tasks import firewall, forwarding
from tests.conftest import EXAMPLE_SITE, Golden
from tests.rendered.branches import Tracing
from tests.rendered.cases import CASES, HERE, LAB, plans, rendered
from vpc_openvpn.site.load import EXAMPLE, ROOT
from vpc_openvpn.site.plan import OfficePlan


@pytest.mark.parametrize("case", CASES)
def test_each_file_equals_its_golden_file(case: str, golden: Golden) -> None:
    for path, file in rendered(case).items():
        if not isinstance(file.content, HiddenValue):
            golden(path, file.content)


@pytest.mark.parametrize("case", CASES)
def test_each_golden_file_is_a_file_of_a_host(case: str) -> None:
    there = {path for path in (HERE / case).rglob("*") if path.is_file()}
    assert there - set(rendered(case)) == {HERE / case / "site.yml"}


def test_the_labs_site_is_a_case(golden: Golden) -> None:
    golden(HERE / LAB / "site.yml", site_text(Layout(2), Path("/keys/id"), Path("/keys/known_hosts")))


def test_the_example_is_a_case(golden: Golden) -> None:
    golden(EXAMPLE_SITE, (ROOT / EXAMPLE).read_text(encoding="utf-8").replace("192.0.2.", "198.51.100."))


def test_each_branch_of_each_template_is_in_a_golden_file(monkeypatch: pytest.MonkeyPatch) -> None:
    tracing = Tracing(templates._ENVIRONMENT)
    monkeypatch.setattr(templates, "_ENVIRONMENT", tracing)
    for case in CASES:
        rendered(case)
    assert set(tracing.list_templates(extensions=["j2"])) - tracing.rendered == set()
    assert tracing.branches - tracing.taken == set(), "add a case, or a line to a case's site.yml"


@pytest.mark.parametrize("case", CASES)
def test_sh_can_read_each_script(case: str) -> None:
    scripts = [file.text for file in rendered(case).values() if file.text.startswith("#!/bin/sh\n")]
    assert len(scripts) >= len(plans(case)), "each host has its loader"
    for script in set(scripts):
        subprocess.run(["sh", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize("case", CASES)
def test_secrets_are_hidden_and_have_mode_600(case: str) -> None:
    found = list(rendered(case).values())
    secret = [file for file in found if isinstance(file.content, HiddenValue)]
    # A private key for each host; a tls-crypt key for each of the two ends of each tunnel.
    zones = len(plans(case)["office"].tunnels)
    office = plans(case)["office"]
    heartbeat = isinstance(office, OfficePlan) and office.alerts is not None and office.alerts.heartbeat is not None
    assert len(secret) == (1 + zones) + 2 * zones + heartbeat
    assert {file.mode for file in secret} == {"600"}
    shown = "".join(repr(file) for file in found)
    assert not [file.path for file in secret if file.text.strip() in shown]


@pytest.mark.parametrize("network", ["10.65.0.0/16", "10.66.0.0/16"])
def test_each_network_of_the_vpc_is_treated_alike(network: str) -> None:
    first = "10.64.0.0/16"
    for host in plans("dynamic-two-lans"):
        files = [file.text for path, file in rendered("dynamic-two-lans").items() if host in path.parts]
        lines = [line for text in files for line in text.splitlines()]
        of_the_first = [line for line in lines if first in line]
        assert of_the_first
        assert [line for line in lines if network in line] == [line.replace(first, network) for line in of_the_first]


@pytest.mark.attack
@pytest.mark.parametrize("case", CASES)
def test_what_begins_at_a_tunnels_far_end_is_counted(case: str) -> None:
    office = plans(case)["office"]
    rules = firewall.firewall(office).rules.text.splitlines()
    into = [line for line in rules if line.startswith(("-A vpc-openvpn-to-office ", "-A vpc-openvpn-to-router "))]
    answers = "-m conntrack --ctstate RELATED,ESTABLISHED"
    assert {line.rpartition(" ")[2] for line in into if answers not in line} == {
        "vpc-openvpn-begun",
        "vpc-openvpn-end-begun",
        "DROP",
    }
    # BFD and pings of the tunnel's end have their own count, whatever hosts behind it have begun.
    ends = [line for line in into if line.endswith("-j vpc-openvpn-end-begun")]
    assert len(ends) == 2 * len(office.tunnels)
    assert all(
        any(f"-s {each.nat_address} -d {each.office_address} " in line for each in office.tunnels) for line in ends
    )
    for chain in ("vpc-openvpn-begun", "vpc-openvpn-end-begun"):
        counted = [line for line in rules if line.startswith(f"-A {chain} -i ")]
        assert all(f"-i {each} " in line for each, line in zip(office.interfaces, counted, strict=True))
    said = (ROOT / "docs/site-file.md").read_text(encoding="utf-8")
    for figure in (firewall.BEGUN["a_second"], firewall.BEGUN["burst"], firewall.BEGUN["at_a_time"]):
        assert f" {figure:,} " in said, figure


def test_settings_of_the_running_kernel_are_those_of_the_file() -> None:
    nat = plans(LAB)["nat-us-east-1a"]
    assert forwarding.settings(forwarding.file(nat).text) == {
        "net/ipv4/ip_forward": "1",
        "net/ipv4/conf/*/forwarding": "1",
        "net/ipv4/conf/all/rp_filter": "2",
        "net/ipv4/conf/*/send_redirects": "0",
        "net/ipv4/icmp_ratemask": "4120",
        "net/ipv4/ip_nonlocal_bind": "1",
    }
