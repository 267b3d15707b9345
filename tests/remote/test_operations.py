"""What an operation decides from a host's state. That its commands do it is for the scenarios to see."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from pyinfra.api import Config, FunctionCommand, Inventory, StringCommand
from pyinfra.api import State as PyinfraState
from pyinfra.context import ctx_host, ctx_state

from vpc_openvpn.remote import operations
from vpc_openvpn.remote.commit_confirm import Trial
from vpc_openvpn.remote.facts import FileState, State, UnitState
from vpc_openvpn.remote.files import File, sums
from vpc_openvpn.remote.operations import Service

SETTINGS = File("/etc/sysctl.d/x.conf", "net.ipv4.ip_forward = 1\n")
AS_WRITTEN = {SETTINGS.path: FileState("file", "644", "root", "root", SETTINGS.sha256)}
WANTED = {"net/ipv4/ip_forward": "1", "net/ipv4/conf/*/rp_filter": "2"}
CONF = File("/etc/x/conf", "text\n")
SERVICE = Service("x.service", (CONF,), "/run/x.record")
RUNS = UnitState(enabled=True, active=True)

Finds = Callable[[State], None]


@pytest.fixture
def finds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Finds]:
    """`finds(state)`: the host answers each question with `state`."""
    inventory = Inventory((["@local"], {}))
    with ctx_state.use(PyinfraState(inventory, Config())), ctx_host.use(inventory.get_host("@local")):
        yield lambda state: monkeypatch.setattr(operations, "ask", lambda _: state)


def text(commands: Iterable[object]) -> str:
    return "\n".join(command.get_raw_value() for command in commands if isinstance(command, StringCommand))


@pytest.mark.parametrize(
    ("now", "changed"),
    [
        ({"net/ipv4/ip_forward": "1", "net/ipv4/conf/tun-1/rp_filter": "2"}, False),
        ({"net/ipv4/ip_forward": "0", "net/ipv4/conf/tun-1/rp_filter": "2"}, True),
        ({"net/ipv4/ip_forward": "1", "net/ipv4/conf/tun-1/rp_filter": "1"}, True),
        # `*` stands for one name, not for two.
        ({"net/ipv4/ip_forward": "1", "net/ipv4/conf/tun/1/rp_filter": "1"}, False),
    ],
)
def test_kernel_settings_that_differ_are_made_again(finds: Finds, now: dict[str, str], changed: bool) -> None:
    finds(State(files=AS_WRITTEN, sysctls=now))
    done = text(operations.sysctls._inner(file=SETTINGS, values=WANTED, owned=[]))
    assert done == (f"/usr/lib/systemd/systemd-sysctl {SETTINGS.path}" if changed else "")


@pytest.mark.parametrize(
    ("unit", "left", "removed"),
    [
        (UnitState(), {}, False),
        (UnitState(active=True), {}, True),
        (UnitState(enabled=True), {}, True),
        (UnitState(), {"/run/old": FileState("file", "644", "root", "root", "0")}, True),
    ],
)
def test_a_unit_that_is_not_wanted_is_removed_whatever_is_there_of_it(
    finds: Finds, unit: UnitState, left: dict[str, FileState], removed: bool
) -> None:
    finds(State(files=left, units={"old.service": unit}))
    done = text(
        operations.daemons._inner(services=[], wanted=[], owned=[], units={"old.service": ["/run/old"]}, notices={})
    )
    assert ("systemctl disable --quiet --now old.service; rm -rf /run/old" in done) is removed


@pytest.mark.parametrize(
    ("unit", "record", "restarted"),
    [
        (RUNS, sums([CONF]), False),
        (RUNS, "other sums", True),
        (RUNS, None, True),
        (UnitState(enabled=True), "other sums", False),  # `services` has started it
    ],
)
def test_a_running_service_is_restarted_where_its_record_differs(
    finds: Finds, unit: UnitState, record: str | None, restarted: bool
) -> None:
    records = {} if record is None else {SERVICE.record: record}
    finds(State(units={SERVICE.unit: unit}, records=records))
    text(operations.services._inner(wanted=[SERVICE], marks="/none/*", wanted_marks=[], instance_files=[]))
    done = text(
        operations.restarted._inner(group="zone", service=SERVICE, crosses="", answers="", complaint="no packets")
    )
    assert ("systemctl restart x.service" in done) is restarted


LOADER = Service("load.service", (CONF,), "/run/load.record")
KEEPER = Service("keep.service", (CONF,), "/run/keep.record")
TRIAL = Trial((CONF,), begin="try", keep="keep", pending="/run/pending", seconds=1, advice="")
LOADED = sums([CONF]) + "rule\n"


LOADED_WITH: dict[str, Any] = {
    "service": LOADER,
    "keeper": KEEPER,
    "wanted": [CONF],
    "show": "show",
    "trial": TRIAL,
    "readers": [],
    "unread": "/run/unread",
    "routes": "routes",
}


@pytest.mark.parametrize(
    ("unit", "record", "shown", "pending", "again"),
    [
        (RUNS, LOADED, "rule\n", False, False),
        (RUNS, LOADED, "rule\nanother\n", False, True),
        (RUNS, LOADED, "", False, True),
        (RUNS, "", "rule\n", False, True),
        (RUNS, LOADED.replace(CONF.sha256, 64 * "0"), "rule\n", False, True),
        (RUNS, LOADED, "rule\n", True, True),  # a trial that died before it was kept will be undone
        (UnitState(enabled=True), LOADED, "rule\n", False, True),
    ],
)
def test_rules_are_tried_and_loaded_where_the_kernel_or_the_record_differs(
    finds: Finds, unit: UnitState, record: str, shown: str, pending: bool, again: bool
) -> None:
    here = FileState("file", "644", "root", "root", CONF.sha256)
    finds(
        State(
            files={CONF.path: here} | ({TRIAL.pending: here} if pending else {}),
            units={LOADER.unit: unit, KEEPER.unit: RUNS},
            records={LOADER.record: record, KEEPER.record: sums([CONF])},
            shown={"show": shown},
        )
    )
    done = list(operations.loaded._inner(**LOADED_WITH, objection=lambda _: ""))
    assert [isinstance(command, FunctionCommand) for command in done] == ([True, False] if again else [])
    assert ("restart load.service" in text(done)) is again


def test_nothing_is_tried_where_the_hosts_own_routes_are_against_it(finds: Finds) -> None:
    finds(State(units={KEEPER.unit: RUNS}, shown={"show": "", "routes": "docker0"}))
    [refusal] = operations.loaded._inner(**LOADED_WITH, objection=lambda routes: f"{routes.strip()} is cut off")
    assert isinstance(refusal, FunctionCommand)


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("wanted", [True, False])
def test_a_switch_is_turned_where_it_stands_otherwise(finds: Finds, there: bool, wanted: bool) -> None:
    finds(State(files={"/etc/x/on": FileState("file", "644", "root", "root", "0")} if there else {}))
    done = text(operations.switched._inner(path="/etc/x/on", present=wanted, command="turn"))
    assert done == ("" if there == wanted else "turn")
