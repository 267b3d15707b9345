"""What of a deploy is gone and what puts it back, from what a kernel and systemd have said; and repairs over time."""

import fcntl
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vpc_openvpn_monitor import keep, keeper
from vpc_openvpn_monitor.keep import (
    LOOP,
    LOUD_AGAIN,
    WITHIN,
    Interface,
    Link,
    Past,
    Repair,
    Setting,
    Unit,
    noted,
    sentence,
)

from tasks import keeper as task
from tests.rendered.cases import CASES, plans

FIREWALL = Unit("vpc-openvpn-firewall.service", "active", "enabled")
LOADED = "*nat\n-A POSTROUTING -j x\n*filter\n:x\n-A FORWARD -j x\n-A x -j DROP\n"
COMPLETED = "Initialization Sequence Completed"  # OpenVPN's word to systemd, once it has made its interface
TUNNEL = Unit("openvpn-server@office.service", "active", "enabled", 42, COMPLETED)
ROUTE = "192.168.50.0/24 via 10.200.1.2 dev tun-office"
END = Interface("tun-office", TUNNEL.name, 1440, "10.200.1.1/29", {"192.168.50.0/24": ROUTE})
WELL = Link(1440, True, {"10.200.1.1/29"}, {"10.200.1.0/29", "192.168.50.0/24"})


def test_what_is_as_deployed_needs_no_repair() -> None:
    assert keep.firewall(FIREWALL, LOADED, LOADED) is None
    assert keep.settings({"a/x": Setting("1", "1")}, "f") is None
    assert keep.interface(END, WELL, TUNNEL, 42) is None
    assert keep.unit(TUNNEL) is None


def test_a_firewall_is_compared_line_by_line() -> None:
    flushed = keep.firewall(FIREWALL, LOADED, "*nat\n*filter\n")
    assert flushed is not None and flushed.commands == (("systemctl", "restart", FIREWALL.name),)
    assert flushed.gone.splitlines() == [
        "gone: -A POSTROUTING -j x",
        "gone: :x",
        "gone: -A FORWARD -j x",
        "gone: -A x -j DROP",
    ]
    more = keep.firewall(FIREWALL, LOADED, f"{LOADED}-A x -j ACCEPT\n")
    assert more is not None and more.gone == "added: -A x -j ACCEPT"
    twice = keep.firewall(FIREWALL, LOADED, f"{LOADED}-A x -j DROP\n")
    assert twice is not None and twice.gone == "added: -A x -j DROP"
    turned = keep.firewall(FIREWALL, LOADED, "".join(reversed(LOADED.splitlines(keepends=True))))
    assert turned is not None and turned.gone == "our rules are in another order"


@pytest.mark.parametrize(
    ("unit", "repaired"),
    [
        (Unit("u", "failed", "enabled"), True),
        (Unit("u", "inactive", "enabled"), True),
        (Unit("u", "activating", "enabled"), False),  # systemd is at it
        (Unit("u", "inactive", "disabled"), False),  # an operator's word
        (Unit("u", "inactive", "masked"), False),
        (Unit("u", "inactive", "enabled", busy=True), False),  # as at a boot
        (Unit("u"), False),  # not there yet
    ],
)
def test_units_that_are_enabled_run(unit: Unit, repaired: bool) -> None:
    found = keep.unit(unit)
    assert (found is not None) is repaired
    if found:
        assert found.commands == (("systemctl", "start", "u"),)


def test_a_firewall_that_failed_at_boot_is_tried_again() -> None:
    failed = keep.firewall(Unit(FIREWALL.name, "failed", "enabled"), "", "")
    assert failed is not None and failed.gone == "vpc-openvpn-firewall.service is failed"
    assert keep.firewall(Unit(FIREWALL.name, "failed", "masked"), "", "") is None


@pytest.mark.parametrize(
    ("link", "gone", "commands"),
    [
        (
            Link(1440, False, WELL.addresses, ()),
            ["interface tun-office is down"],
            ["ip link set tun-office up", f"ip route replace {ROUTE}"],
        ),
        (
            Link(1440, True, (), ()),
            ["address 10.200.1.1/29 of tun-office", "route to 192.168.50.0/24 through tun-office"],
            ["ip address replace 10.200.1.1/29 dev tun-office", f"ip route replace {ROUTE}"],
        ),
        (
            replace(WELL, addresses={*WELL.addresses, "10.200.2.1/32"}),
            ["added: address 10.200.2.1/32 of tun-office"],
            ["ip address del 10.200.2.1/32 dev tun-office"],
        ),
        (
            replace(WELL, mtu=600),
            ["MTU 1440 of tun-office, which is 600"],
            ["ip link set tun-office mtu 1440"],
        ),
        (None, ["interface tun-office is not there"], ["systemctl restart openvpn-server@office.service"]),
    ],
)
def test_a_tunnels_interface_is_whole(link: Link | None, gone: list[str], commands: list[str]) -> None:
    found = keep.interface(END, link, TUNNEL, 42)
    assert found is not None and found.what == "tun-office"
    assert found.gone.splitlines() == gone
    assert [" ".join(command) for command in found.commands] == commands


def test_an_interface_that_openvpn_has_yet_to_make_is_not_gone() -> None:
    assert keep.interface(END, None, TUNNEL, 0) is None  # it may be making it anew
    assert keep.interface(END, None, TUNNEL, 41) is None  # an earlier process was without it
    assert keep.interface(END, None, replace(TUNNEL, active="activating"), 42) is None
    connecting = replace(TUNNEL, says="Pre-connection initialization successful")
    assert keep.interface(END, None, connecting, 42) is None
    assert (
        keep.interface(Interface("tun-vpc", "u", 1440, None, {}), Link(1440, True, {"10.200.3.2/29"}, ()), TUNNEL, 42)
        is None
    )


def test_settings_are_put_back_by_their_file() -> None:
    found = keep.settings({"net/ip_forward": Setting("0", "1")}, "/f")
    assert found == Repair("settings", "net/ip_forward = 0, not 1", (("/usr/lib/systemd/systemd-sysctl", "/f"),))


# --- repairs over time ---------------------------------------------------------------------------------------------


BEGAN = 1.8e9
REPAIR = Repair("firewall", "\n".join(f"gone: rule {number}" for number in range(9)), ())


def test_each_repair_is_said_once_with_what_was_gone() -> None:
    said, _ = sentence(REPAIR, noted(None, REPAIR, 1.0), 1.0)
    assert said.startswith("<5>put back: firewall, which another program has changed:\n  gone: rule 0\n")
    assert said.endswith("gone: rule 4\n  … and 4 more")


def test_a_loop_is_said_louder_and_not_each_time() -> None:
    past, heard = None, []
    for second in range(0, 200, 2):
        now = BEGAN + second
        said, past = sentence(REPAIR, noted(past, REPAIR, now), now)
        heard.append(said[:3])
    assert past is not None and past.count == 100
    assert heard[: LOOP - 1] == ["<5>"] * (LOOP - 1)
    loud = [number * 2 for number, each in enumerate(heard) if each == "<3>"]
    assert loud == [4, 4 + LOUD_AGAIN, 4 + 2 * LOUD_AGAIN, 4 + 3 * LOUD_AGAIN]
    assert set(heard[LOOP:]) == {"<3>", ""}
    assert past.looping(BEGAN + 200) and not past.looping(BEGAN + 200 + WITHIN)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60))
def test_repairs_are_counted_and_do_not_pile_up(gaps: list[float]) -> None:
    past: Past | None = None
    now = 0.0
    for gap in gaps:
        now += gap
        past = noted(past, REPAIR, now)
    assert past is not None
    assert past.count == len(gaps) and past.last == now and len(past.recent) <= LOOP
    [listed] = keep.listed({"firewall": past}, {}, now)
    recent = [sum(gaps[number + 1 :]) for number in range(len(gaps))]
    assert listed["looping"] == (sum(ago < WITHIN for ago in recent) >= LOOP) or len(gaps) > LOOP


# --- the shell around it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_what_a_deploy_writes_is_read(case: str, tmp_path: Path) -> None:
    for name, plan in plans(case).items():
        written = tmp_path / name
        written.write_text(task.site(plan, "/loader").text)
        deployed = keeper.Deployed(written)
        assert deployed.settings["net/ipv4/ip_forward"] == "1"
        assert {end.unit for end in deployed.interfaces} <= set(deployed.units)
        assert [end.name for end in deployed.interfaces] == list(plan.interfaces)


@pytest.fixture
def deployed(tmp_path: Path) -> keeper.Deployed:
    path = tmp_path / "keeper.json"
    found: Mapping[str, object] = {
        "loader": "/nowhere/firewall",
        "firewall": FIREWALL.name,
        "settings_file": "/nowhere",
        "settings": {},
        "units": [],
        "writes_metrics": False,
        "interfaces": [{"name": "tun-1", "unit": "u", "mtu": 1440, "address": None, "routes": {}}],
        **{name: str(tmp_path / name) for name in ("record", "trial", "lock", "state")},
    }
    path.write_text(json.dumps(found))
    return keeper.Deployed(path)


def test_a_deploys_lock_is_seen_and_not_touched(deployed: keeper.Deployed) -> None:
    kept = keeper.Keeper(deployed)
    assert not kept._deploying()
    with deployed.lock.open("w") as lock:
        assert not kept._deploying()
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert kept._deploying()
    assert not kept._deploying()
    # As a deploy takes it: by a process that ends, and leaves it to the shell that has the file open.
    with deployed.lock.open("w") as lock:
        subprocess.run(["flock", "-n", str(lock.fileno())], pass_fds=[lock.fileno()], check=True)
        assert kept._deploying()
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert not kept._deploying()


def test_no_firewall_is_judged_while_one_is_tried(deployed: keeper.Deployed) -> None:
    kept = keeper.Keeper(deployed)
    failed = Unit(FIREWALL.name, "failed", "enabled")
    assert kept._firewall(failed) is not None
    for mark in ("routes.before", "kept"):
        (deployed.trial / mark).touch()
        assert kept._firewall(failed) is None
        (deployed.trial / mark).unlink()
    with (deployed.trial / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert kept._firewall(failed) is None
    # Other files than were loaded keep nothing open: edited by hand, or a deploy has died.
    deployed.record.write_text(f"{'0' * 64}  {deployed.record}\n*nat\n")
    assert kept._firewall(FIREWALL) == Repair("firewall", "gone: *nat", (("systemctl", "restart", FIREWALL.name),))


def test_what_was_put_back_outlives_the_keeper(deployed: keeper.Deployed) -> None:
    said: list[str] = []
    kept = keeper.Keeper(deployed, said.append)
    kept._put_back(Repair("tun-1", "interface tun-1 is down", (("true",),)))
    kept._put_back(Repair("tun-2", "interface tun-2 is down", (("false",),)))
    kept._put_back(Repair("tun-2", "interface tun-2 is down", (("false",),)))
    kept._remember()
    assert [line[:3] for line in said] == ["<5>", "<3>"] and "cannot put back tun-2: false" in said[1]
    again = keeper.Keeper(deployed)
    assert again._past == kept._past and again._past["tun-1"].count == 1
    failing, listed = json.loads(deployed.state.read_text())["repairs"]
    assert (listed["what"], listed["count"], listed["looping"], listed["failing"]) == ("tun-1", 1, False, None)
    assert (failing["what"], failing["count"], failing["failing"]) == ("tun-2", 0, "false: it failed")
    # What has left the site since is forgotten.
    deployed.state.write_text(deployed.state.read_text().replace("tun-1", "tun-9"))
    assert keeper.Keeper(deployed)._past == {}
    for damaged in ("", "[]", '{"past": {"x": 1}}'):
        deployed.state.write_text(damaged)
        assert keeper.Keeper(deployed)._past == {}


def test_settings_are_the_kernels() -> None:
    found = keeper._settings({"kernel/ostype": "Linux", "net/ipv4/conf/*/forwarding": "1", "no/such": "1"})
    assert (
        found["kernel/ostype"] == Setting("Linux", "Linux")
        and "net/ipv4/conf/lo/forwarding" in found
        and "no/such" not in found
    )


def test_links_are_the_kernels() -> None:
    found = keeper._links(["lo", "no-such-0"])
    assert found.keys() == {"lo"} and found["lo"].up and "127.0.0.1/8" in found["lo"].addresses


def test_an_interface_is_gone_once_two_looks_have_missed_it(
    deployed: keeper.Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "_links", lambda _: {})
    kept = keeper.Keeper(deployed)

    def gone(process: int) -> list[str]:
        states = {name: Unit(name, "active", "enabled", process, COMPLETED) for name in (FIREWALL.name, "u")}
        return [repair.gone for repair in kept._found(states)]

    assert [gone(process) for process in (7, 8, 8)] == [[], [], ["interface tun-1 is not there"]]


def test_a_deploy_that_takes_long_is_said_once(deployed: keeper.Deployed) -> None:
    said: list[str] = []
    kept = keeper.Keeper(deployed, said.append)
    for now in (1.0, keeper.LONG, keeper.LONG + 2, keeper.LONG + 3):
        kept._wait_for_deploy(now)
    assert said == [
        f"<4>a deploy, or another program, has held {deployed.lock} for 10 min: nothing is put back meanwhile (lslocks)"
    ]


def test_an_ended_process_is_noticed(deployed: keeper.Deployed) -> None:
    kept = keeper.Keeper(deployed)
    kept._watch({"u": Unit("u", "active", "enabled", os.getpid())})
    assert list(kept._processes) == [os.getpid()]
    kept._watch({"u": Unit("u", "active", "enabled", 0)})
    assert not kept._processes
