"""Effects on a host as a whole: each says what it must know, and from that what differs from what should be.

Nothing here depends on what an earlier effect of the same run did: a deploy that died half-way and runs again looks for
what is left to do.
"""

import re
from collections.abc import Callable, Container, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from shlex import quote
from typing import Protocol, TypeAlias

from pyinfra import host, logger, state
from pyinfra.api import FunctionCommand, Host, StringCommand
from pyinfra.api import State as PyinfraState

from vpc_openvpn.remote import apt
from vpc_openvpn.remote.commit_confirm import Trial, tried
from vpc_openvpn.remote.facts import FileState, HostState, State, UnitState, made_of
from vpc_openvpn.remote.files import Directory, File, Script, announce, changes, diff, removed, sums, written
from vpc_openvpn.remote.per_run import of_run
from vpc_openvpn.remote.rollout import Rollout
from vpc_openvpn.text import printable

Commands: TypeAlias = Generator[StringCommand | FunctionCommand, None, None]


class Effect(Protocol):
    """Something that should be so on a host. `name` reads as an outcome. `disturbs`: when it changes the host, what
    earlier commands found about other effects no longer counts.
    """

    @property
    def name(self) -> str: ...
    @property
    def disturbs(self) -> bool: ...
    @property
    def question(self) -> HostState:
        """All that it must know."""

    def commands(self, now: State) -> Commands:
        """What makes it so, where `now` answers the question; nothing where it is so."""


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
        host.log_styled(printable(message), fg="red", log_func=logger.error)
        return False

    return FunctionCommand(fail, (), {})


def remind(notice: str) -> None:
    """Say, once in a run, what an operator should know although it fails nothing."""
    if not state.is_executing or not state.should_check_for_changes():
        host.log_styled(printable(notice), fg="yellow", log_func=logger.warning)


@dataclass(frozen=True, slots=True)
class Packages:
    """What of `present` is missing is installed, from the host's own apt sources.

    `idle` gives, by package, a unit that it starts when it is installed, and that the site has not asked for. The file
    `to_idle` lists those while an installation is under way, for the run that finds it cut short.

    `minimum` gives, by package, the lowest version that will do and who has it; a host whose release offers only less
    is refused before anything is installed. Waits for cloud-init and another apt to finish, five minutes at most.
    """

    name: str
    present: Sequence[str]
    minimum: Mapping[str, tuple[str, str]]
    idle: Mapping[str, str]
    to_idle: str
    disturbs = True

    @property
    def question(self) -> HostState:
        return HostState(packages=self.present, records=[self.to_idle])

    def commands(self, now: State) -> Commands:
        old = [
            name
            for name, (version, _) in self.minimum.items()
            if name in now.packages and older(now.packages[name], version)
        ]
        missing = [name for name in self.present if name not in now.packages] + old
        cut_short = now.records.get(self.to_idle, "").split()
        units = sorted({*cut_short, *(self.idle[name] for name in self.idle.keys() & set(missing))})
        if missing:
            announce(f"Will install {', '.join(missing)}")
        if units:
            announce(f"Will disable {', '.join(units)}: this site does not use it")
        script = Script()
        if missing:
            if units:
                folder = Directory(str(PurePosixPath(self.to_idle).parent))
                script = written([folder, File(self.to_idle, "".join(f"{unit}\n" for unit in units))])
            script.steps.append(apt.install(missing, self.minimum))
        if units:
            # Without the variable, systemctl disables the unit's SysV script as well, for 0.3 s: nothing uses that.
            disable = "SYSTEMCTL_SKIP_SYSV=1 systemctl disable --quiet --now"
            script.steps += [f"{disable} {' '.join(map(quote, units))}", _LINKS_KEPT, removed([self.to_idle])]
        yield from script.commands


def older(have: str, want: str) -> bool:
    """Whether a Debian package's version is below `want`, a dotted number: `2.5.1-3` is older than `2.6`."""
    upstream = have.rpartition(":")[2]
    numbers = [int(number) for number in re.findall(r"\d+", re.split(r"[-+~]", upstream)[0])]
    return numbers < [int(number) for number in want.split(".")]


@dataclass(frozen=True, slots=True)
class Files:
    """Files and directories as they should be, and nothing else at paths that match the shell patterns `owned`."""

    name: str
    wanted: Sequence[File | Directory]
    owned: Sequence[str] = ()
    disturbs: bool = False

    @property
    def question(self) -> HostState:
        return HostState(files=[*(item.path for item in self.wanted), *self.owned])

    def commands(self, now: State) -> Commands:
        yield from changes(self.wanted, self.owned, now.files).commands


@dataclass(frozen=True, slots=True)
class Sysctls:
    """Kernel settings: `file` for the next boot, and `values` now (by path below /proc/sys; `*` stands for any).

    Files at paths that match the shell patterns `owned` go. A setting in another file that contradicts ours is named.
    """

    name: str
    file: File
    values: Mapping[str, str]
    owned: Sequence[str]
    disturbs = False

    @property
    def question(self) -> HostState:
        return HostState(
            files=[self.file.path, *self.owned], sysctls=list(self.values), show=[other_settings(self.values)]
        )

    def commands(self, now: State) -> Commands:
        script = changes([self.file], self.owned, now.files)
        others = now.shown.get(other_settings(self.values), "")
        for notice in contradictions(others, self.values, {self.file.path, *self.owned}):
            remind(f"{notice}, and {self.file.path}, which the kernel's settings are made from last, says otherwise")
        drifted = [
            f"{path} = {have}, not {want}"
            for pattern, want in self.values.items()
            for path, have in now.sysctls.items()
            if re.fullmatch(pattern.replace("*", "[^/]+"), path) and have != want
        ]
        for difference in drifted:
            announce(f"Will correct {difference}")
        if script.steps or drifted:
            script.steps.append(f"/usr/lib/systemd/systemd-sysctl {quote(self.file.path)}")
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
        path, number, text = each if len(each := line.split(":", 2)) == 3 else ("", "", "")
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
    service does not run; empty where the program reads the file whenever it needs it.
    """

    file: File
    read: str


def _unread(reader: Reader, folder: str) -> str:
    return f"{folder}/{PurePosixPath(reader.file.path).name}"


def _heeded(readers: Sequence[Reader], unread: str, found: Mapping[str, FileState]) -> Script:
    """What leaves each file as it should be, and read. A program that is not installed has it from its first start.

    Below `unread`, a directory in /run, a file says that a service has yet to read what was written, for the run that
    finds the last one cut short. A reboot has services read everything.
    """
    script = Script()
    for reader in readers:
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


@dataclass(frozen=True, slots=True)
class Loaded:
    """A oneshot unit that loads `wanted` into the kernel, and a kernel that still holds what was loaded.

    Files at the paths `gone` are removed.

    The unit `keeper` loads it again where another program has removed it, and the unit `again`, which is enabled and
    not started here, where that program is one of its units; the programs of `readers` are configured not to.

    Whatever it loads has been tried first (`trial`), and a new ssh connection has reached the host: only then is
    anything written that outlives a reboot.

    `show` prints what the kernel holds; the unit leaves the same, as it was right after loading, in its record behind
    the inputs' sums. Comparing the two needs no opinion on how the kernel's tools spell a rule.

    Nothing is tried or loaded where `objection` finds a reason against it in what the command `facts` prints.
    """

    name: str
    service: Service
    keeper: Service
    again: Service
    wanted: Sequence[File | Directory]
    gone: Sequence[str]
    show: str
    trial: Trial
    readers: Sequence[Reader]
    unread: str
    facts: str
    objection: Callable[[str], str]
    disturbs = True  # readers' services may set interfaces up again

    @property
    def question(self) -> HostState:
        return HostState(
            files=[
                *(item.path for item in self.wanted),
                *self.gone,
                self.trial.pending,
                *(path for each in self.readers for path in (each.file.path, _unread(each, self.unread))),
            ],
            units=[self.service.unit, self.keeper.unit, self.again.unit],
            records=[self.service.record, self.keeper.record],
            show=[self.show, self.facts],
        )

    def commands(self, now: State) -> Commands:
        if reason := made_of(lambda: self.objection(now.shown.get(self.facts, ""))):
            announce("Will not load", printable(reason).splitlines())
            yield failure(reason)
            return
        script = _heeded(self.readers, self.unread, now.files)
        change = changes(self.wanted, self.gone, now.files)
        script.steps += change.steps
        script.contents += change.contents
        expected = sums(self.service.inputs)
        record = now.records.get(self.service.record, "")
        shown = now.shown.get(self.show, "")
        drift = record.startswith(expected) and record.removeprefix(expected) != shown
        if drift:
            announce("Will load again what the kernel has lost or gained", diff(shown, record.removeprefix(expected)))
        # What an earlier run has tried, and died before it was kept, will be undone: it is no state to go by.
        stale = drift or not record.startswith(expected) or self.trial.pending in now.files
        unit = now.units.get(self.service.unit, UnitState())
        script.steps += _enable([self.service, self.keeper, self.again], now.units)
        script.steps += _start(self.service, unit, stale=stale)
        stale_keeper = now.records.get(self.keeper.record) != sums(self.keeper.inputs)
        script.steps += _start(self.keeper, now.units.get(self.keeper.unit, UnitState()), stale=stale_keeper)
        pulled_in = replace(now.units.get(self.again.unit, UnitState()), active=True)
        script.steps += _start(self.again, pulled_in, stale=False)
        if stale or not unit.active:
            yield tried(self.trial)
        yield from script.commands


@dataclass(frozen=True, slots=True)
class Daemons:
    """Units of our own, with the files that they run from (`wanted`), and nothing else of `owned` and `units`.

    `units` gives, by name, what a unit that is not wanted leaves behind. `notices` says what an operator should be
    reminded of, in every run, while a file (its key) exists. `beside` is what is asked with it: for a check that comes
    before the host is changed.
    """

    name: str
    services: Sequence[Service]
    wanted: Sequence[File | Directory]
    owned: Sequence[str]
    units: Mapping[str, Sequence[str]]
    notices: Mapping[str, str]
    beside: HostState = field(default_factory=HostState)
    disturbs = False

    @property
    def question(self) -> HostState:
        own = HostState(
            files=[
                *(item.path for item in self.wanted),
                *self.owned,
                *self.notices,
                *(path for paths in self.units.values() for path in paths),
            ],
            units=[*self.units],
            records=[service.record for service in self.services],
        )
        return own.and_([self.beside])

    def commands(self, now: State) -> Commands:
        for path, notice in self.notices.items():
            if path in now.files:
                remind(notice)
        kept = {service.unit for service in self.services}
        stopped = []
        for unit, left in self.units.items():
            found = now.units.get(unit, UnitState())
            if unit not in kept and (found.active or found.enabled or any(path in now.files for path in left)):
                announce(f"Will stop and remove {unit}")
                leftovers = " ".join(map(quote, left))
                stopped += [f"{{ systemctl disable --quiet --now {quote(unit)}; rm -rf {leftovers}; }}", _LINKS_KEPT]
        script = changes(self.wanted, self.owned, now.files)
        script.steps = stopped + script.steps
        script.steps += _enable(self.services, now.units)
        for service in self.services:
            stale = now.records.get(service.record) != sums(service.inputs)
            script.steps += _start(service, now.units.get(service.unit, UnitState()), stale=stale)
        yield from script.commands


@dataclass(frozen=True, slots=True)
class Services:
    """Units enabled and running; instances of ours beyond `wanted` are gone. What runs, but from something else than is
    on disk, is noted for the `Rollout`.

    `marks` is a shell pattern of drop-in files that only our instances have, `UNIT.d/NAME.conf`; those not among
    `wanted_marks` belong to an instance that left the site: it is disabled and stopped, and its drop-in removed with
    its own files, `instance_files` with `{unit}` for the unit's name and `{instance}` for what follows its `@`.
    """

    name: str
    wanted: Sequence[Service]
    marks: str
    wanted_marks: Sequence[str]
    instance_files: Sequence[str]
    disturbs = False

    @property
    def question(self) -> HostState:
        return HostState(
            files=[self.marks],
            units=[service.unit for service in self.wanted],
            records=[service.record for service in self.wanted],
        )

    def commands(self, now: State) -> Commands:
        of_run(Rollout).outdated[host.name] = {
            service.unit
            for service in self.wanted
            if now.units.get(service.unit, UnitState()).active
            and now.records.get(service.record) != sums(service.inputs)
        }
        script = Script()
        stale = sorted(now.files.keys() - set(self.wanted_marks))
        if stale and self.wanted and not now.files.keys() & set(self.wanted_marks) and not state.is_executing:
            text = "Each tunnel is replaced by another: no zone is reached for about 5 s"
            host.log_styled(text, fg="yellow", log_func=logger.warning)
        for mark in stale:
            folder = mark.rpartition("/")[0]
            unit = folder.rpartition("/")[2].removesuffix(".d")
            instance = unit.partition("@")[2].removesuffix(".service")
            announce(f"Will stop and remove {unit}")
            own_files = " ".join(quote(file.format(unit=unit, instance=instance)) for file in self.instance_files)
            script.steps.append(
                f"{{ systemctl disable --quiet --now {quote(unit)}; rm -f {own_files}; }} && rm -rf {quote(folder)}"
                f" && {_LINKS_KEPT} && systemctl daemon-reload"
            )
        script.steps += _enable(self.wanted, now.units)
        for service in self.wanted:
            script.steps += _start(service, now.units.get(service.unit, UnitState()), stale=False)
        yield from script.commands


# systemctl makes and removes links, and leaves it to the kernel when the disk has them.
_LINKS_KEPT = "find /etc/systemd/system -type d -exec sync {} +"


def restart(service: Service, *, reread: bool = True) -> str:
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
    return [f"systemctl enable --quiet {' '.join(map(quote, names))}", _LINKS_KEPT] if names else []


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
        steps.append(restart(service, reread=unit.enabled))
    elif unread:
        steps.append("systemctl daemon-reload")
    return steps
