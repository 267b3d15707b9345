"""What effects decide from a host's state, and how often a host is asked. That commands do it, scenarios see."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, cast

import pytest
from paramiko import Channel
from pyinfra.api import Config, FunctionCommand, Host, Inventory, StringCommand
from pyinfra.api import State as PyinfraState
from pyinfra.context import ctx_host, ctx_state

from vpc_openvpn.remote import operations
from vpc_openvpn.remote.commit_confirm import Trial
from vpc_openvpn.remote.effects import Commands, Daemons, Loaded, Service, Services, Sysctls
from vpc_openvpn.remote.facts import FileState, HostState, State, UnansweredError, UnitState, made_of
from vpc_openvpn.remote.files import File, sums
from vpc_openvpn.remote.lock import Locks
from vpc_openvpn.remote.per_run import of_run
from vpc_openvpn.remote.rollout import Rollout

SETTINGS = File("/etc/sysctl.d/x.conf", "net.ipv4.ip_forward = 1\n")
AS_WRITTEN = {SETTINGS.path: FileState("file", "644", "root", "root", SETTINGS.sha256)}
WANTED = {"net/ipv4/ip_forward": "1", "net/ipv4/conf/*/rp_filter": "2"}
CONF = File("/etc/x/conf", "text\n")
SERVICE = Service("x.service", (CONF,), "/run/x.record")
RUNS = UnitState(enabled=True, active=True)

Finds = Callable[[State], None]


@pytest.fixture(autouse=True)
def run() -> Iterator[None]:
    """A run of pyinfra, about one host."""
    inventory = Inventory((["@local"], {}))
    with ctx_state.use(PyinfraState(inventory, Config())), ctx_host.use(inventory.get_host("@local")):
        yield


@pytest.fixture
def finds(monkeypatch: pytest.MonkeyPatch) -> Finds:
    """`finds(state)`: the host answers each question with `state`."""
    return lambda state: monkeypatch.setattr(operations, "ask", lambda _: state)


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
def test_kernel_settings_that_differ_are_made_again(now: dict[str, str], changed: bool) -> None:
    done = text(Sysctls("", SETTINGS, WANTED, owned=[]).commands(State(files=AS_WRITTEN, sysctls=now)))
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
def test_an_unwanted_unit_is_removed_in_any_state(unit: UnitState, left: dict[str, FileState], removed: bool) -> None:
    none = Daemons("", services=[], wanted=[], owned=[], units={"old.service": ["/run/old"]}, notices={})
    done = text(none.commands(State(files=left, units={"old.service": unit})))
    assert ("systemctl disable --quiet --now old.service; rm -rf /run/old" in done) is removed


@pytest.mark.parametrize(
    ("unit", "record", "restarted"),
    [
        (RUNS, sums([CONF]), False),
        (RUNS, "other sums", True),
        (RUNS, None, True),
        (UnitState(enabled=True), "other sums", False),  # `Services` has started it
    ],
)
def test_a_running_service_is_restarted_where_its_record_differs(
    unit: UnitState, record: str | None, restarted: bool
) -> None:
    records = {} if record is None else {SERVICE.record: record}
    services = Services("", wanted=[SERVICE], marks="/none/*", wanted_marks=[], instance_files=[])
    text(services.commands(State(units={SERVICE.unit: unit}, records=records)))
    done = text(
        operations.restarted._inner(group="zone", service=SERVICE, crosses="", answers="", complaint="no packets")
    )
    assert ("systemctl restart x.service" in done) is restarted


LOADER = Service("load.service", (CONF,), "/run/load.record")
KEEPER = Service("keep.service", (CONF,), "/run/keep.record")
AGAIN = Service("again.service", (), "")
TRIAL = Trial((CONF,), begin="try", keep="keep", pending="/run/pending", seconds=1, advice="")
LOADED = sums([CONF]) + "rule\n"


LOADED_WITH: dict[str, Any] = {
    "name": "",
    "service": LOADER,
    "keeper": KEEPER,
    "again": AGAIN,
    "wanted": [CONF],
    "gone": [],
    "show": "show",
    "trial": TRIAL,
    "readers": [],
    "unread": "/run/unread",
    "facts": "facts",
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
    unit: UnitState, record: str, shown: str, pending: bool, again: bool
) -> None:
    here = FileState("file", "644", "root", "root", CONF.sha256)
    now = State(
        files={CONF.path: here} | ({TRIAL.pending: here} if pending else {}),
        units={LOADER.unit: unit, KEEPER.unit: RUNS, AGAIN.unit: UnitState(enabled=True)},
        records={LOADER.record: record, KEEPER.record: sums([CONF])},
        shown={"show": shown},
    )
    done = list(Loaded(**LOADED_WITH, objection=lambda _: "").commands(now))
    assert [isinstance(command, FunctionCommand) for command in done] == ([True, False] if again else [])
    assert ("restart load.service" in text(done)) is again


def test_the_unit_that_another_firewalls_start_pulls_in_is_enabled_and_not_started() -> None:
    units = {LOADER.unit: RUNS, KEEPER.unit: RUNS}
    here = FileState("file", "644", "root", "root", CONF.sha256)
    now = State(
        files={CONF.path: here},
        units=units,
        records={LOADER.record: LOADED, KEEPER.record: sums([CONF])},
        shown={"show": "rule\n"},
    )
    done = text(Loaded(**LOADED_WITH, objection=lambda _: "").commands(now))
    assert "systemctl enable --quiet again.service" in done and "start again.service" not in done
    now.units[AGAIN.unit] = UnitState(enabled=True, outdated=True)
    assert "daemon-reload" in text(Loaded(**LOADED_WITH, objection=lambda _: "").commands(now))


def test_routes_of_the_host_that_conflict_stop_the_trial() -> None:
    now = State(units={KEEPER.unit: RUNS}, shown={"show": "", "facts": "docker0"})
    [refusal] = Loaded(**LOADED_WITH, objection=lambda routes: f"{routes.strip()} is cut off").commands(now)
    assert isinstance(refusal, FunctionCommand)


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("wanted", [True, False])
def test_a_switch_is_turned_only_if_its_state_differs(finds: Finds, there: bool, wanted: bool) -> None:
    finds(State(files={"/etc/x/on": FileState("file", "644", "root", "root", "0")} if there else {}))
    done = text(operations.switched._inner(path="/etc/x/on", present=wanted, command="turn"))
    assert done == ("" if there == wanted else "turn")


@pytest.mark.parametrize("wanted", [True, False])
def test_a_switch_that_is_on_for_a_while_is_turned_on_to_stay(finds: Finds, wanted: bool) -> None:
    held = sha256(b"for a while\n").hexdigest()
    finds(State(files={"/etc/x/on": FileState("file", "644", "root", "root", held)}))
    turned = [
        text(operations.switched._inner(path="/etc/x/on", present=wanted, command="turn", passing=passing))
        for passing in ("for a while\n", "")
    ]
    assert turned == ["turn", "" if wanted else "turn"]


# --- how often a host is asked ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """An effect about one file; where it has something to do, it may disturb what is known of other effects."""

    name: str
    does: str = ""
    disturbs: bool = False

    @property
    def question(self) -> HostState:
        return HostState(files=[f"/etc/{self.name}"])

    def commands(self, now: State) -> Commands:
        assert set(now.files) == {f"/etc/{self.name}"}, "each has its own part of the answer"
        if self.does:
            yield StringCommand(self.does)


@pytest.mark.parametrize(
    ("steps", "asked"),
    [
        ([Step("a"), Step("b"), Step("c")], [["a", "b", "c"]]),
        ([Step("a", "do"), Step("b", "do"), Step("c")], [["a", "b", "c"]]),
        ([Step("a", "do", disturbs=True), Step("b"), Step("c")], [["a", "b", "c"], ["b", "c"]]),
        ([Step("a", disturbs=True), Step("b"), Step("c")], [["a", "b", "c"]]),
        ([Step("a"), Step("b"), Step("c", "do", disturbs=True)], [["a", "b", "c"]]),
    ],
)
@pytest.mark.parametrize("planned", [True, False])
def test_effects_share_one_command_until_one_disturbs_the_others(
    monkeypatch: pytest.MonkeyPatch, steps: list[Step], asked: list[list[str]], planned: bool
) -> None:
    said: list[list[str]] = []

    def answer(question: HostState) -> State:
        said.append([path.removeprefix("/etc/") for path in question.files])
        return State(files={path: FileState("other", "644", "root", "root") for path in question.files})

    def hold(locks: Locks, locked: Host, _file: str, question: HostState) -> State:
        assert locked.name not in locks.held
        locks.held[locked.name] = cast("Channel", None)
        return answer(question)

    def act() -> None:
        text(operations.locked._inner(file="lock", question=HostState().and_(step.question for step in steps)))
        for number, step in enumerate(steps):
            done.append(text(operations.brought_about._inner(effect=step, ahead=steps[number + 1 :])))

    monkeypatch.setattr(operations, "ask", answer)
    monkeypatch.setattr(Locks, "hold", hold)
    done: list[str] = []
    run = ctx_state.get()
    run.check_for_changes = planned
    operations.look("lock", steps)
    if planned:
        act()  # up to each effect's first command, in fact
        assert said == asked and not of_run(Locks).held
        operations.look("lock", steps)
        said.clear()
    run.is_executing = True
    act()
    # What was known when the run was planned is asked anew when it is executed, and only then is the host locked.
    assert said == asked
    assert "".join(done) == "".join(step.does for step in steps) * (2 if planned else 1)


@pytest.mark.parametrize("said", ["[" * 100000, "{}", "x", ""])
def test_nonsense_is_an_answer_that_is_missing(said: str) -> None:
    """What concludes from it may meet anything; a run goes on for the other hosts."""
    with pytest.raises(UnansweredError, match=r"what it prints makes no sense \(\w+Error: .*dpkg --verify"):
        made_of(lambda: json.loads(said)["nftables"])


def test_nonsense_in_what_keeps_a_firewall_from_being_loaded_is_no_traceback() -> None:
    def objection(_: str) -> str:
        raise ValueError("Expecting value")

    with pytest.raises(UnansweredError, match="makes no sense"):
        list(Loaded(**LOADED_WITH, objection=objection).commands(State()))


UNITS = {"@local": "x.service", "elsewhere": "y.service"}


def beside(monkeypatch: pytest.MonkeyPatch, said: str, **arguments: Any) -> tuple[list[object], list[str]]:
    """What `beside` yields while a run is under way and the host answers each question with `said`; what was asked."""
    asked: list[str] = []

    def answers(probe: Any) -> str:
        asked.append(probe.commands)
        return said

    monkeypatch.setattr(operations, "ask", answers)
    monkeypatch.setattr(PyinfraState, "is_executing", True)
    return list(operations.beside._inner(group="zone", **{"units": UNITS, "script": "do it", **arguments})), asked


@pytest.mark.parametrize(
    "outdated", [{}, {"@local": {"z.service"}}, {"@local": {"x.service"}}, {"elsewhere": {"y.service"}}]
)
def test_what_is_done_around_a_restart_is_done_for_a_restart_alone(
    monkeypatch: pytest.MonkeyPatch, outdated: dict[str, set[str]]
) -> None:
    of_run(Rollout).outdated = outdated
    concerned = any(outdated.get(host, set()) & {unit} for host, unit in UNITS.items())
    assert beside(monkeypatch, "") == ([], ["do it"] if concerned else [])
    assert beside(monkeypatch, "", script="") == ([], [])
    assert beside(monkeypatch, "", units=None) == ([], ["do it"])


def test_what_is_wrong_around_a_restart_ends_the_rollout(monkeypatch: pytest.MonkeyPatch) -> None:
    rollout = of_run(Rollout)
    commands, _ = beside(monkeypatch, "no way\n", units=None)
    assert [type(command) for command in commands] == [FunctionCommand] and rollout.failed == "zone"
    # Nothing more is done, but for what has to be undone.
    assert beside(monkeypatch, "", units=None) == ([], [])
    assert beside(monkeypatch, "", units=None, always=True) == ([], ["do it"])


def test_an_objection_comes_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    commands, asked = beside(
        monkeypatch, "shown", units=None, question="show", objection=lambda said: f"not with {said}"
    )
    assert len(commands) == 1 and asked == ["show"] and of_run(Rollout).failed == "zone"
