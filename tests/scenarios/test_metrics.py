"""Metrics, and the alerts' command and heartbeat.

desk 192.168.50.10 ── office 192.168.50.1:9100 ══ tun-1 ══ nat-us-east-1a 10.0.1.10:9100
                        └── internet ── web 198.51.100.200, where heartbeats arrive
"""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tasks import monitor, paths, seamless
from tests.monitoring.test_monitoring import MONITORING, dashboard, expressions
from tests.rendered.test_sandboxes import LIMIT, WITH_A_USER
from tests.scenarios.flows import Background, changed, permitting
from tests.scenarios.harness import Host, Site, World, lab, spaceless
from tests.scenarios.states import MONITOR
from vpc_openvpn.site.load import load
from vpc_openvpn.site.plan import NatPlan, plan

SITE = {"metrics": "on"}
INSTALLS = True
pytestmark = pytest.mark.usefixtures("open_vpc")  # it is the hosts' own firewalls that judge

A, B = Host("nat-us-east-1a"), Host("nat-us-east-1b")
APP_A = Host("app-us-east-1a")
OFFICE_ASKED, A_ASKED = "192.168.50.1", "10.0.1.10"
WEB = "198.51.100.200"
FILE = "/run/vpc-openvpn/metrics/vpc-openvpn.prom"
GET = "curl -sS --fail --max-time 3 http://{}:9100/metrics"
HOOK = "/usr/local/bin/vpc-alert"
TOKEN = "e7c1a5d0-heartbeat"
AFTER = 5  # seconds
HEARTBEAT = 65  # seconds within which one comes
NOTICED = 30  # seconds: a detour, `after`, the command
OURS = r"\( -name 'vpc-openvpn-e*' -o -name exporter -o -name 'metrics*' -o -name '*.prom' \) ! -name metrics.py"
HEARD = "journalctl -u vpc-openvpn-alerts -o cat --no-pager | grep '^heard '"


@pytest.fixture(scope="session")
def promtool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of Debian's package of Prometheus, which is unpacked and not installed: no daemon starts."""
    folder = tmp_path_factory.mktemp("prometheus")
    folder.chmod(0o755)
    download = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", "prometheus"]
    if subprocess.run(download, cwd=folder, check=False).returncode != 0:  # no lists yet, or old ones
        subprocess.run(["apt-get", "-qq", "update"], check=True)
        subprocess.run(download, cwd=folder, check=True)
    [package] = folder.glob("prometheus_*.deb")
    subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
    return folder / "usr/bin/promtool"


def scraped(desk: Host, address: str) -> str:
    return desk.succeeds(GET.format(address))


def sees(sample: str) -> str:
    """A command on the desk that succeeds when the office router exports this; the exporter sorts labels by name."""
    return f"{GET.format(OFFICE_ASKED)} | grep -qxF '{sample}'"


def changes(desk: Host, zone: str, to: str) -> int:
    found = re.search(
        rf'^vpcopenvpn_tunnel_state_changes_total{{to="{to}",zone="{zone}"}} (\d+)$', scraped(desk, OFFICE_ASKED), re.M
    )
    assert found
    return int(found[1])


def test_desks_scrape_each_host_and_no_other_host_does(world: World, desk: Host, web: Host, office: Host) -> None:
    world.deploy()
    assert 'vpcopenvpn_zone_path{path="own",zone="us-east-1a"} 1' in scraped(desk, OFFICE_ASKED)
    assert "node_ethtool_info" in scraped(desk, A_ASKED)
    debians_own = office.succeeds("systemctl show -p UnitFileState -p ActiveState prometheus-node-exporter")
    assert "=disabled" in debians_own and "=inactive" in debians_own
    for host, addresses in ((web, ("198.51.100.10", "198.51.100.21")), (APP_A, (OFFICE_ASKED, A_ASKED, "10.0.2.10"))):
        for address in addresses:
            host.fails(GET.format(address))
    # It is the NAT's rule that keeps them out.
    with permitting(A, "INPUT -p tcp --dport 9100 -j ACCEPT"):
        web.succeeds(GET.format("198.51.100.21"))
        APP_A.succeeds(GET.format(A_ASKED))
    with permitting(office, "INPUT -p tcp --dport 9100 -j ACCEPT"):
        APP_A.succeeds(GET.format(OFFICE_ASKED))


def test_metrics_are_as_prometheus_wants_them(world: World, desk: Host, promtool: Path) -> None:
    ours = "".join(line for line in scraped(desk, OFFICE_ASKED).splitlines(keepends=True) if "vpcopenvpn_" in line)
    checked = subprocess.run([promtool, "check", "metrics"], input=ours, capture_output=True, text=True, check=False)
    assert checked.returncode == 0 and not checked.stderr, checked.stderr
    written = Host("office").succeeds(f"cat {FILE}")
    assert sorted(re.findall(r"^# HELP (\S+)", written, re.MULTILINE)) == sorted(
        re.findall(r"^# HELP (\S+)", ours, re.M)
    )


def test_rules_and_dashboard_are_as_prometheus_wants_them(promtool: Path, tmp_path: Path) -> None:
    for words in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]):
        done = subprocess.run([promtool, *words], cwd=MONITORING, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    asked = [each for each in expressions() if not each.startswith("label_values")]
    assert len(asked) > len(dashboard()["panels"]) / 2
    rules = [{"record": f"panel:{number}", "expr": concrete(each)} for number, each in enumerate(asked)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = subprocess.run([promtool, "check", "rules", tmp_path / "rules.yml"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    # A tunnel's bytes are joined with its zone.
    labels = 'instance="office:9100"'
    [traffic] = (concrete(each) for each in asked if "node_network_receive_bytes_total" in each)
    case = {
        "interval": "1m",
        "input_series": [
            {"series": f'node_network_receive_bytes_total{{{labels},device="tun-1"}}', "values": "0+60x9"},
            {"series": f'node_network_receive_bytes_total{{{labels},device="lan"}}', "values": "0+6000x9"},
            {"series": f'vpcopenvpn_tunnel_info{{{labels},zone="a",interface="tun-1",nat="nat-a"}}', "values": "1x9"},
        ],
        "promql_expr_test": [
            {
                "expr": traffic,
                "eval_time": "9m",
                "exp_samples": [{"labels": f'{{device="tun-1",{labels},zone="a"}}', "value": 8}],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "tests": [case]}))
    tested = subprocess.run([promtool, "test", "rules", tmp_path / "test.yml"], capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def concrete(expression: str) -> str:
    """As Grafana asks it, with all zones."""
    return expression.replace("$__rate_interval", "5m").replace("$zone", ".*")


def test_a_dead_nat_changes_the_series(world: World, desk: Host, office: Host) -> None:
    before = changes(desk, "us-east-1a", "detour")
    assert lab("kill", A.name).status == 0
    desk.eventually(sees('vpcopenvpn_zone_path{path="detour",zone="us-east-1a"} 1'))
    assert changes(desk, "us-east-1a", "detour") == before + 1
    for sample in (
        'vpcopenvpn_zone_detour_info{via="us-east-1b",zone="us-east-1a"} 1',
        'vpcopenvpn_zone_path{path="own",zone="us-east-1a"} 0',
        'vpcopenvpn_tunnel_bfd_up{zone="us-east-1a"} 0',
        'vpcopenvpn_tunnel_bfd_up{zone="us-east-1b"} 1',
    ):
        desk.eventually(sees(sample))
    # What is counted outlives the monitor.
    office.succeeds("systemctl restart vpc-openvpn-monitor")
    desk.eventually(sees('vpcopenvpn_zone_path{path="detour",zone="us-east-1a"} 1'))
    assert changes(desk, "us-east-1a", "detour") == before + 1
    assert lab("start", A.name).status == 0
    desk.eventually(sees('vpcopenvpn_zone_path{path="own",zone="us-east-1a"} 1'), 60)


def test_the_age_of_the_metrics_is_seen(world: World, desk: Host, office: Host) -> None:
    written = f"stat -c %Y {FILE}"
    first = office.succeeds(written)
    office.eventually(f"[ $({written}) != {first.strip()} ]", 15)
    with changed(office, "systemctl stop vpc-openvpn-monitor", "systemctl start vpc-openvpn-monitor"):
        stopped = office.succeeds(written)
        time.sleep(12)
        assert office.succeeds(written) == stopped
        assert f'node_textfile_mtime_seconds{{file="{FILE}"}}' in scraped(desk, OFFICE_ASKED)


def test_metrics_that_left_the_site_leave_no_trace(world: World, desk: Host, office: Host) -> None:
    site = world.copy_of_site()
    site["metrics"] = "off"
    world.use(site)
    world.deploy()
    for host in (office, A):
        host.succeeds("! ss -Hltn | grep 9100")
        host.succeeds("! iptables-save | grep -e 9100 -e exporter")
        host.succeeds("! systemctl cat vpc-openvpn-exporter 2>/dev/null")
        assert host.succeeds(f"find /etc /usr/local /run {OURS}") == ""


# --- alerts -----------------------------------------------------------------------------------------------------------


def site_with_alerts(world: World, **more: object) -> Site:
    return world.copy_of_site() | {"alerts": {"command": HOOK, "after": AFTER, **more}}


@contextmanager
def hook(office: Host, script: str) -> Iterator[None]:
    """The operator's command is there, for as long as the block lasts."""
    with changed(office, f"printf '%s\\n' '#!/bin/sh' '{script}' > {HOOK}; chmod 755 {HOOK}", f"rm {HOOK}"):
        yield


SAYS = 'echo "heard $VPC_OPENVPN_EVENT $VPC_OPENVPN_ZONE $VPC_OPENVPN_STATE ${VPC_OPENVPN_WAY:--} $VPC_OPENVPN_WHY"'


def awake(office: Host) -> None:
    """The alerts say something: their time after a boot is over."""
    office.succeeds('sed -i \'s/"began": [0-9.]*/"began": 0/\' /run/vpc-openvpn-alerts/memory')
    office.succeeds("systemctl kill -s KILL vpc-openvpn-alerts; journalctl --rotate; journalctl --vacuum-time=1s")
    office.eventually("systemctl is-active vpc-openvpn-alerts")


def test_the_command_hears_of_a_detour_and_of_the_return_and_not_of_a_restart(world: World, office: Host) -> None:
    with hook(office, SAYS):
        world.use(site_with_alerts(world))
        world.deploy()
        awake(office)
        office.succeeds("systemctl restart openvpn-client@vpc-us-east-1a vpc-openvpn-monitor vpc-openvpn-alerts")
        time.sleep(3 * AFTER)
        office.fails(HEARD)
        assert lab("kill", A.name).status == 0
        office.eventually(HEARD, NOTICED)
        time.sleep(2 * AFTER)
        assert office.succeeds(HEARD) == "heard detour us-east-1a detour us-east-1b its NAT is silent\n"
        assert lab("start", A.name).status == 0
        office.succeeds("ps -e -o user= -o args= | grep 'monitor alerts$' | grep -v -e '^root' -e grep")
        office.eventually(f"{HEARD} | grep back", 60 + NOTICED)
        time.sleep(2 * AFTER)
        assert office.succeeds(f"{HEARD} | tail -n +2").split() == ["heard", "back", "us-east-1a", "own", "us-east-1a"]
    world.use(world.baseline)
    world.deploy()
    assert office.succeeds("find / -xdev -name '*alert*' -path '*vpc*' ! -path '/usr/local/*'; ls /run/private") == ""


def test_a_command_that_fails_is_counted_and_tried_again(world: World, desk: Host, office: Host) -> None:
    with hook(office, "exit 3"):
        world.use(site_with_alerts(world))
        world.deploy()
        awake(office)
        assert lab("kill", A.name).status == 0
        desk.eventually(sees("vpcopenvpn_alert_hook_failures_total 2"), 60)
        office.succeeds("journalctl -u vpc-openvpn-alerts | grep 'failed with status 3; tried again: us-east-1a'")
    assert lab("start", A.name).status == 0


BECOME = "/usr/local/bin/become"  # root, for any user; a mail program becomes another user, too
# What a command may need: the internet, a file for a moment, programs.
FETCH = f'python3 -c "import urllib.request as web; print(web.urlopen(\\"http://{WEB}/\\", timeout=5).read().decode())"'
NEEDS = f'file=$(mktemp) && {FETCH} > $file && echo "heard by $(cat $file) as $(id -u) $({BECOME} -u)"'


def test_the_command_may_use_the_internet_and_as_the_sites_own_user_become_another(world: World, office: Host) -> None:
    drained = [f"{MONITOR} {verb} us-east-1a" for verb in ("drain", "give-back")]
    with hook(office, NEEDS), changed(office, f"install -m 4755 /usr/bin/id {BECOME}", f"rm {BECOME}"):
        for user, users in ({}, r"\([1-9][0-9]*\) \1"), ({"user": "daemon"}, "1 0"):
            world.use(site_with_alerts(world, **user))
            world.deploy()
            awake(office)
            with changed(office, *drained):
                office.eventually(f"{HEARD} | grep -x 'heard by 198.51.100.10 as {users}'", NOTICED)
        assert exposure(office, "vpc-openvpn-alerts.service") < WITH_A_USER


def exposure(host: Host, unit: str) -> float:
    """By systemd-analyze: 10 is everything."""
    [found] = re.findall(
        r"Overall exposure level for \S+: ([\d.]+)", host.succeeds(f"systemd-analyze security --no-pager {unit}")
    )
    return float(found)


@pytest.mark.attack
def test_our_units_may_do_little(world: World, office: Host) -> None:
    """Each that there is, alerts, exporter and the one that a rotation starts among them."""
    listed = "cd /etc/systemd/system && ls -d *openvpn-*.service; systemctl list-units --plain --no-legend '*openvpn-*'"
    with hook(office, SAYS):
        world.use(site_with_alerts(world))
        world.deploy()
        plans = plan(load(world.site_file))
        a = plans[A.name]
        assert isinstance(a, NatPlan)
        with changed(A, seamless._held(a), f"systemctl stop {seamless.HOLD_UNIT}"):
            for host, more in ((office, []), (A, [seamless.HOLD_UNIT])):
                units = {line.split()[0] for line in host.succeeds(listed).splitlines() if ".service" in line}
                assert {*monitor.units(plans[host.name]), paths.AGAIN_UNIT, *more} <= units
                found = {unit: exposure(host, unit) for unit in units}
                assert {unit: value for unit, value in found.items() if value >= LIMIT} == {}


def test_the_heartbeat_stops_with_the_monitor(world: World, web: Host, office: Host) -> None:
    server = Path(__file__).with_name("heartbeats.py")
    site = world.copy_of_site() | {"alerts": {"heartbeat": f"http://{WEB}:8080/{TOKEN}"}}
    with Background(web, f"{sys.executable} {server} 8080") as heartbeats:
        world.use(site)
        deployed = world.deploy()
        assert TOKEN not in deployed.output
        heartbeats.waits_for(f"^heard /{TOKEN}$", HEARTBEAT)
        assert TOKEN not in office.succeeds(
            "journalctl --no-pager; ps -e -o args=; cat /etc/systemd/system/vpc*.service"
        )
        assert office.succeeds("stat -c '%a %U' /etc/vpc-openvpn/heartbeat") == "600 root\n"
        with changed(office, "systemctl stop vpc-openvpn-monitor", "systemctl start vpc-openvpn-monitor"):
            time.sleep(31)
            heard = heartbeats.output().count("heard")
            time.sleep(HEARTBEAT)
            assert heartbeats.output().count("heard") == heard
        deadline = time.monotonic() + HEARTBEAT
        while heartbeats.output().count("heard") == heard:
            assert time.monotonic() < deadline
            time.sleep(0.5)


@pytest.mark.parametrize(
    ("alerts", "prepare", "said"),
    [
        ({"command": HOOK}, "true", f"there is no file {HOOK} on office"),
        ({"command": HOOK}, f"touch {HOOK}", f"a user without rights may not run {HOOK}"),
        ({"command": HOOK, "user": "pager"}, f"touch {HOOK}", "there is no user pager on office"),
    ],
)
def test_a_command_that_cannot_be_run_is_refused(
    world: World, office: Host, alerts: dict[str, str], prepare: str, said: str
) -> None:
    world.use(world.copy_of_site() | {"alerts": alerts})
    with changed(office, prepare, f"rm -f {HOOK}"):
        refused = spaceless(world.deploy_fails())
        assert said in refused and "No host was changed." in refused


def test_a_node_exporter_of_the_hosts_own_is_left_alone(world: World, office: Host) -> None:
    own = "systemctl stop vpc-openvpn-exporter; systemctl start prometheus-node-exporter"
    with changed(office, own, "systemctl stop prometheus-node-exporter"):
        refused = spaceless(world.deploy_fails())
        assert "prometheus-node-exporter.service runs on office already" in refused and "metrics: files" in refused
        world.use(world.copy_of_site() | {"metrics": "files"})
        world.deploy()
        office.succeeds(f"grep -q vpcopenvpn_build_info {FILE}; systemctl is-active prometheus-node-exporter")
        office.succeeds("! systemctl cat vpc-openvpn-exporter 2>/dev/null")
