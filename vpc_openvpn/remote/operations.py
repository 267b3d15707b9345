"""Operations on whole state: each reads what it needs in one fact, and acts on what differs from what should be.

Nothing here depends on what an earlier operation of the same run did: a deploy that died half-way and runs again finds
the rest of its work by looking.
"""

import re
from collections.abc import Callable, Container, Generator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import wraps
from pathlib import PurePosixPath
from shlex import quote
from typing import ParamSpec, Protocol, TypeAlias

from pyinfra import host, logger, state
from pyinfra.api import FunctionCommand, Host, StringCommand, operation
from pyinfra.api import State as PyinfraState
from pyinfra.api.arguments_typed import PyinfraOperation

from vpc_openvpn.remote import apt, lock
from vpc_openvpn.remote.commit_confirm import Trial, tried
from vpc_openvpn.remote.facts import (
    FileState,
    FirstLook,
    HostState,
    Installed,
    InstalledPackages,
    Probe,
    UnansweredError,
    UnitState,
    ask,
)
from vpc_openvpn.remote.files import Directory, File, Script, announce, changes, diff, sums, written

P = ParamSpec("P")
Commands: TypeAlias = Generator[StringCommand | FunctionCommand, None, None]


@dataclass(frozen=True, slots=True)
class Service:
    """A systemd unit and what it is started from.

    Whenever the unit starts it leaves in the file `record`, below /run, the sums of its `inputs` (`sums(inputs)`, which
    may be followed by more). So what it runs can be told from what is on disk, in this run or after one that died.
    """

    unit: str
    inputs: tuple[File, ...]
    record: str
    files: tuple[str, ...] = ()  # of the unit's own and its drop-ins, those that systemd must have read
    reload: bool = False  # it can take up new inputs without a restart


def failure(message: str) -> FunctionCommand:
    """A command that stops this host, and no other, with `message`."""

    def fail(state: PyinfraState, host: Host) -> bool:
        host.log_styled(message, fg="red", log_func=logger.error)
        return False

    return FunctionCommand(fail, (), {})


def effect(function: Callable[P, Commands]) -> PyinfraOperation[P]:
    """An operation that ends, before it changes anything, on a host that does not answer a question."""

    @operation()
    @wraps(function)
    def careful(*args: P.args, **kwargs: P.kwargs) -> Commands:
        try:
            yield from function(*args, **kwargs)
        except UnansweredError as error:
            if state.is_executing:
                yield failure(str(error))
            elif host not in state.failed_hosts:
                host.log_styled(str(error), fg="red", log_func=logger.error)
                state.fail_hosts({host.inventory.get_host(host.name)})

    return careful


def remind(notice: str) -> None:
    """Say, once in a run, what an operator should know although it fails nothing."""
    if not state.is_executing or not state.should_check_for_changes():
        host.log_styled(notice, fg="yellow", log_func=logger.warning)


@effect
def held(file: str) -> Commands:
    """No other run works on this host: it is locked (by `file`) until this run ends, however it ends."""
    if state.is_executing and (complaint := lock.hold(host, file)):
        yield failure(complaint)
    else:
        host.noop("no other run is here")


@effect
def all_held() -> Commands:
    """Nor does one on another host of this run. Follows `held`: a run that is refused one host gives up them all."""
    if state.is_executing and (complaint := lock.refused()):
        lock.give_way(host)
        yield failure(f"{complaint}, on another of these hosts. Nothing was changed")
    else:
        host.noop("no other run is in the way")


# What `first_look` has found, for the next `packages` on that host: it costs no remote command of its own.
_FIRST_LOOKS: dict[str, Installed] = {}  # by host's name


def first_look(present: Sequence[str], to_idle: str, record: str, show: str) -> tuple[str, str]:
    """The text of the file `record` and what the command `show` prints on this host, before its first operation."""
    look = ask(FirstLook(InstalledPackages(present, to_idle), HostState(records=[record], show=[show])))
    _FIRST_LOOKS[host.name] = look.installed
    return look.state.records.get(record, ""), look.state.shown.get(show, "")


@effect
def packages(
    present: Sequence[str], minimum: Mapping[str, tuple[str, str]], idle: Mapping[str, str], to_idle: str
) -> Commands:
    """Install what is missing of `present`, from the host's own apt sources.

    `idle` gives, by package, a unit that it starts when it is installed, and that nobody has asked for. The file
    `to_idle` lists those while an installation is under way, for the run that finds it cut short.

    `minimum` gives, by package, the lowest version that will do and who has it; a host whose release offers only less
    is refused before anything is installed. Waits for cloud-init and another apt to finish, five minutes at most.
    """
    now = _FIRST_LOOKS.pop(host.name, None) or ask(InstalledPackages(present, to_idle))
    old = [
        name for name, (version, _) in minimum.items() if name in now.versions and older(now.versions[name], version)
    ]
    missing = [name for name in present if name not in now.versions] + old
    units = sorted({*now.to_idle, *(idle[name] for name in idle.keys() & set(missing))})
    if not missing and not units:
        host.noop("packages are installed")
        return
    if missing:
        announce(f"Will install {', '.join(missing)}")
    if units:
        announce(f"Will have {', '.join(units)} not run, which nobody asked for")
    script = Script()
    if missing:
        if units:
            script = written([Directory(str(PurePosixPath(to_idle).parent)), File(to_idle, _lines(units))])
        script.steps.append(apt.install(missing, minimum))
    if units:
        # Without the variable, systemctl has the unit's SysV script, which nobody uses, disabled as well: for 0.3 s.
        disable = "SYSTEMCTL_SKIP_SYSV=1 systemctl disable --quiet --now"
        script.steps.append(f"{disable} {' '.join(map(quote, units))} && rm -f {quote(to_idle)}")
    yield from script.commands


def _lines(words: Sequence[str]) -> str:
    return "".join(f"{word}\n" for word in words)


def older(have: str, want: str) -> bool:
    """Whether a Debian package's version is below `want`, a dotted number: `2.5.1-3` is older than `2.6`."""
    upstream = have.rpartition(":")[2]
    numbers = [int(number) for number in re.findall(r"\d+", re.split(r"[-+~]", upstream)[0])]
    return numbers < [int(number) for number in want.split(".")]


@effect
def files(wanted: Sequence[File | Directory], owned: Sequence[str] = ()) -> Commands:
    """Files and directories as they should be, and nothing else at paths that match the shell patterns `owned`."""
    found = ask(HostState(files=[*(item.path for item in wanted), *owned])).files
    script = changes(wanted, owned, found)
    if not script.steps:
        host.noop("files are as they should be")
    yield from script.commands


@effect
def sysctls(file: File, values: Mapping[str, str], owned: Sequence[str]) -> Commands:
    """Kernel settings: `file` for the next boot, and `values` now (by path below /proc/sys; `*` stands for any).

    Files at paths that match the shell patterns `owned` go. A setting in another file that contradicts ours is named.
    """
    others = other_settings(values)
    now = ask(HostState(files=[file.path, *owned], sysctls=list(values), show=[others]))
    script = changes([file], owned, now.files)
    if not state.is_executing or not state.should_check_for_changes():
        for notice in contradictions(now.shown.get(others, ""), values, {file.path, *owned}):
            text = f"{notice}, and {file.path}, which the kernel's settings are made from last, says otherwise"
            host.log_styled(text, fg="yellow", log_func=logger.warning)
    drifted = [
        f"{path} = {have}, not {want}"
        for pattern, want in values.items()
        for path, have in now.sysctls.items()
        if re.fullmatch(pattern.replace("*", "[^/]+"), path) and have != want
    ]
    for difference in drifted:
        announce(f"Will correct {difference}")
    if script.steps or drifted:
        script.steps.append(f"/usr/lib/systemd/systemd-sysctl {quote(file.path)}")
    else:
        host.noop("kernel settings are as they should be")
    yield from script.commands


def other_settings(values: Mapping[str, str]) -> str:
    """A command that prints, as `FILE:LINE:TEXT`, the lines that may make one of the settings `values`."""
    names = "|".join(sorted({PurePosixPath(path).name for path in values}))
    folders = " ".join(f"{folder}/sysctl.d/*.conf" for folder in ("/etc", "/run", "/usr/local/lib", "/usr/lib"))
    return f"grep -sHnE '^[^#;=]*({names}) *=' {folders} /etc/sysctl.conf"


def contradictions(lines: str, values: Mapping[str, str], ours: Container[str]) -> list[str]:
    """Which of `lines`, as `other_settings` finds them, give a setting of `values` another value, outside of `ours`."""
    found = []
    for line in lines.splitlines():
        path, number, text = line.split(":", 2)
        key, _, value = (part.strip() for part in text.partition("="))
        name = key.removeprefix("-").replace(".", "/")
        concerned = any(
            want != value and (fnmatchcase(name, pattern) or fnmatchcase(pattern, name))
            for pattern, want in values.items()
        )
        if concerned and path not in ours:
            found.append(f"{path}, line {number}, has {key} = {value}")
    return found


@dataclass(frozen=True, slots=True)
class Reader:
    """Another program's file, whose service must read it: the shell command `read` has it do so, and succeeds where the
    service does not run; empty where the program reads the file whenever it needs it. The directory `home` is there
    where the program is installed.
    """

    file: File
    home: str
    read: str


def _unread(reader: Reader, folder: str) -> str:
    return f"{folder}/{PurePosixPath(reader.file.path).name}"


def _heeded(readers: Sequence[Reader], unread: str, found: Mapping[str, FileState]) -> Script:
    """What leaves each file as it should be, and read. A program that is not installed gets no file.

    Below `unread`, a directory in /run, a file says that a service has yet to read what was written, for the run that
    finds the last one cut short. A reboot has services read everything.
    """
    script = Script()
    for reader in readers:
        if reader.home not in found:
            continue
        change = changes([reader.file], [], found)
        if reader.file.path not in found:
            folder = quote(str(PurePosixPath(reader.file.path).parent))
            change.steps.insert(0, f"{{ [ -d {folder} ] || install -d -m 755 {folder}; }}")
        mark = _unread(reader, unread)
        if reader.read and (change.steps or mark in found):
            announce(f"Will have {reader.file.path} read")
            change.steps.insert(0, f"install -d {quote(unread)} && : > {quote(mark)}")
            change.steps += [f"{{ {reader.read}; }}", f"rm {quote(mark)}"]
        script.steps += change.steps
        script.contents += change.contents
    return script


@effect
def loaded(
    service: Service,
    keeper: Service,
    wanted: Sequence[File | Directory],
    show: str,
    trial: Trial,
    readers: Sequence[Reader],
    unread: str,
    routes: str,
    objection: Callable[[str], str],
) -> Commands:
    """A oneshot unit that loads `wanted` into the kernel, and a kernel that still holds what was loaded.

    The unit `keeper` loads it again where another program has removed it; the programs of `readers` are told not to.

    Whatever it loads has been tried first (`trial`), and a new ssh connection has reached the host: only then is
    anything written that outlives a reboot.

    `show` prints what the kernel holds; the unit leaves the same, as it was right after loading, in its record behind
    the inputs' sums. Comparing the two needs no opinion on how the kernel's tools spell a rule.

    Nothing is tried or loaded where `objection` finds a reason against it in what the command `routes` prints.
    """
    now = ask(
        HostState(
            files=[
                *(item.path for item in wanted),
                trial.pending,
                *(path for each in readers for path in (each.home, each.file.path, _unread(each, unread))),
            ],
            units=[service.unit, keeper.unit],
            records=[service.record, keeper.record],
            show=[show, routes],
        )
    )
    if reason := objection(now.shown.get(routes, "")):
        announce("Will not load", reason.splitlines())
        yield failure(reason)
        return
    script = _heeded(readers, unread, now.files)
    change = changes(wanted, [], now.files)
    script.steps += change.steps
    script.contents += change.contents
    expected = sums(service.inputs)
    record = now.records.get(service.record, "")
    shown = now.shown.get(show, "")
    drift = record.startswith(expected) and record.removeprefix(expected) != shown
    if drift:
        announce("Will load again what the kernel has lost or gained", diff(shown, record.removeprefix(expected)))
    # What an earlier run has tried, and died before it was kept, will be undone: it is no state to go by.
    stale = drift or not record.startswith(expected) or trial.pending in now.files
    unit = now.units.get(service.unit, UnitState())
    script.steps += _enable([service, keeper], now.units)
    script.steps += _start(service, unit, stale=stale)
    stale_keeper = now.records.get(keeper.record) != sums(keeper.inputs)
    script.steps += _start(keeper, now.units.get(keeper.unit, UnitState()), stale=stale_keeper)
    if not script.steps:
        host.noop("the kernel holds what it should")
    if stale or not unit.active:
        yield tried(trial)
    yield from script.commands


@effect
def daemons(
    services: Sequence[Service],
    wanted: Sequence[File | Directory],
    owned: Sequence[str],
    units: Mapping[str, Sequence[str]],
    notices: Mapping[str, str],
) -> Commands:
    """Units of our own, with the files that they run from (`wanted`), and nothing else of `owned` and `units`.

    `units` gives, by name, what a unit that is not wanted leaves behind. `notices` says what an operator should be
    reminded of, in every run, while a file (its key) exists.
    """
    now = ask(
        HostState(
            files=[
                *(item.path for item in wanted),
                *owned,
                *notices,
                *(path for paths in units.values() for path in paths),
            ],
            units=[*units],
            records=[service.record for service in services],
        )
    )
    for path, notice in notices.items():
        if path in now.files:
            remind(notice)
    kept = {service.unit for service in services}
    removed = []
    for unit, left in units.items():
        found = now.units.get(unit, UnitState())
        if unit not in kept and (found.active or found.enabled or any(path in now.files for path in left)):
            announce(f"Will stop and remove {unit}")
            leftovers = " ".join(map(quote, left))
            removed.append(f"{{ systemctl disable --quiet --now {quote(unit)}; rm -rf {leftovers}; }}")
    script = changes(wanted, owned, now.files)
    script.steps = removed + script.steps
    script.steps += _enable(services, now.units)
    for service in services:
        stale = now.records.get(service.record) != sums(service.inputs)
        script.steps += _start(service, now.units.get(service.unit, UnitState()), stale=stale)
    if not script.steps:
        host.noop("units run what is on disk")
    yield from script.commands


@effect
def services(
    wanted: Sequence[Service], marks: str, wanted_marks: Sequence[str], instance_files: Sequence[str]
) -> Commands:
    """Units enabled and running; instances of ours beyond `wanted` are gone. What runs, but from something else than is
    on disk, is left for `restarted`.

    `marks` is a shell pattern of drop-in files that only our instances have, `UNIT.d/NAME.conf`; those not among
    `wanted_marks` belong to an instance that left the site: it is disabled and stopped, and its drop-in removed with
    its own files, `instance_files` with `{unit}` for the unit's name and `{instance}` for what follows its `@`.
    """
    now = ask(
        HostState(
            files=[marks],
            units=[service.unit for service in wanted],
            records=[service.record for service in wanted],
        )
    )
    _OUTDATED[host.name] = {
        service.unit
        for service in wanted
        if now.units.get(service.unit, UnitState()).active and now.records.get(service.record) != sums(service.inputs)
    }
    script = Script()
    stale = sorted(now.files.keys() - set(wanted_marks))
    if stale and wanted and not now.files.keys() & set(wanted_marks) and not state.is_executing:
        text = "Each tunnel is replaced by another: no zone is reached for about 5 s"
        host.log_styled(text, fg="yellow", log_func=logger.warning)
    for mark in stale:
        folder = mark.rpartition("/")[0]
        unit = folder.rpartition("/")[2].removesuffix(".d")
        instance = unit.partition("@")[2].removesuffix(".service")
        announce(f"Will stop and remove {unit}")
        own_files = " ".join(quote(file.format(unit=unit, instance=instance)) for file in instance_files)
        script.steps.append(
            f"{{ systemctl disable --quiet --now {quote(unit)}; rm -f {own_files}; }} && rm -rf {quote(folder)}"
            " && systemctl daemon-reload"
        )
    script.steps += _enable(wanted, now.units)
    for service in wanted:
        script.steps += _start(service, now.units.get(service.unit, UnitState()), stale=False)
    if not script.steps:
        host.noop("services run")
    yield from script.commands


# Units that `services` has just found running from something else than is on disk, by host's name. `restarted` alone
# restarts one meanwhile; to ask again for each of them would cost a far operator a remote command each.
_OUTDATED: dict[str, set[str]] = {}
_RESTARTED: set[str] = set()  # groups of which an end was restarted in this run, and packets crossed before
_BROKEN: list[str] = []  # the group whose packets did not cross again


@effect
def restarted(group: str, service: Service | None, crosses: str, answers: str, complaint: str) -> Commands:
    """Restart `service` if `services` found that it runs something else than is on disk; go on when packets cross.

    Services of the same `group` are restarted one after the other, on whatever host: after each, if packets crossed
    before, the script `answers` waits until they cross again, and prints what keeps them from it. `crosses` is the
    same without the wait. Who comes last in the group waits for all; `answers` is empty for those that need not. Where
    packets do not cross again, nothing is restarted any more in this run, on any host.
    Whoever takes part in several groups must call this for all of them, with no service where it has none: that keeps
    them in order.
    """
    if service is not None and service.unit in _OUTDATED.get(host.name, ()):
        announce(f"Will restart {service.unit}")
        if _BROKEN:
            yield failure(f"{service.unit} was not restarted, because {_BROKEN[0]} carries no packets since it was")
            return
        if state.is_executing and group not in _RESTARTED and not ask(Probe(crosses)):
            _RESTARTED.add(group)
        yield StringCommand(_restart(service))
    if answers and group in _RESTARTED:
        causes = ask(Probe(answers))
        if causes:
            _BROKEN.append(group)
            yield failure(f"{complaint}:\n{causes.rstrip()}")
        else:
            _RESTARTED.discard(group)


def _restart(service: Service, *, reread: bool = True) -> str:
    """A shell command after which the service runs from what is on disk; systemd reads its unit again first."""
    name = quote(service.unit)
    verb = "reload-or-restart" if service.reload else "restart"
    read = "systemctl daemon-reload; " if reread else ""
    return (
        f"{{ {read}systemctl {verb} {name} || {{"
        f" journalctl --unit {name} --lines 15 --no-pager --output cat >&2;"
        f" echo {name} did not start >&2; false; }}; }}"
    )


def _enable(services: Sequence[Service], units: Mapping[str, UnitState]) -> list[str]:
    """The shell command that enables those of `services` that are not, all at once: systemd then reads all units again,
    which takes 0.2 s. Without that, systemd 257 calls each unit of the host outdated.
    """
    names = [service.unit for service in services if not units.get(service.unit, UnitState()).enabled]
    for name in names:
        announce(f"Will enable {name}")
    return [f"systemctl enable --quiet {' '.join(map(quote, names))}"] if names else []


def _start(service: Service, unit: UnitState, *, stale: bool) -> list[str]:
    """The shell commands that leave `service`, enabled, running from what is on disk; none if it is so already."""
    steps = []
    unread = unit.outdated or not set(service.files) <= set(unit.files)
    if unread:
        announce(f"Will have systemd read {service.unit} again")
    if not unit.active or stale:
        again = "reload" if service.reload else "restart"
        announce(f"Will {again if unit.active else 'start'} {service.unit}")
        # One that was not enabled has been read since.
        steps.append(_restart(service, reread=unit.enabled))
    elif unread:
        steps.append("systemctl daemon-reload")
    return steps


@effect
def switched(path: str, present: bool, command: str) -> Commands:
    """A state that a host keeps in the file `path`, and that `command` switches: there or not, as `present` says."""
    if (path in ask(HostState(files=[path])).files) == present:
        host.noop("so already")
        return
    yield StringCommand(command)


class Verdict(Protocol):
    """What a proof comes to: what is `wrong` fails the host, what is `unproved` is shown."""

    @property
    def wrong(self) -> Sequence[str]: ...
    @property
    def unproved(self) -> Sequence[str]: ...


@effect
def proof(script: str, quick_script: str, judge: Callable[..., Verdict], complaint: str) -> Commands:
    """Fail this host if what `script` prints, which waits for what needs time, means that something is wrong:
    `judge(output, patient=True)` says what. What it says is unproved is shown, and does not fail the host.

    A plan asks `quick_script` instead, which does not wait: what is broken now shows as work to be done.
    """
    patient = state.is_executing
    found = judge(ask(Probe(script if patient else quick_script)), patient=patient)
    for notice in found.unproved:
        remind(notice)
    if found.wrong:
        causes = "\n".join(found.wrong)
        announce(f"Not so now: {complaint}", causes.splitlines())
        yield failure(f"{complaint}:\n{causes}")
    else:
        host.noop("proved")
