"""A host's state, read in one remote command per task.

pyinfra 3.10 does not cache facts, and each remote command costs about three round trips. So a task asks for all that
it needs to know at once: `HostState(files=…, sysctls=…, units=…, show=…)`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from shlex import quote
from typing import Literal

from pyinfra.api import FactBase, StringCommand

SECTION = "@@ "  # starts the line that heads a section of the answer; no section's own lines begin so


@dataclass(frozen=True, slots=True)
class FileState:
    """One file as it is: `mode` is octal digits (`600`), `sha256` is None for what is not a regular file."""

    kind: Literal["file", "directory", "other"]
    mode: str
    user: str
    group: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class UnitState:
    """A systemd unit: enabled at boot, and running (or, for a oneshot, done).

    `drop_ins` are those that systemd has read; `outdated` is true when it knows that files have changed since. It does
    not know that of a drop-in whose directory is new.
    """

    enabled: bool = False
    active: bool = False
    outdated: bool = False
    drop_ins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """A host's answer. `records` and `shown` hold text as found, keyed by path and by command."""

    files: dict[str, FileState] = field(default_factory=dict)
    sysctls: dict[str, str] = field(default_factory=dict)
    units: dict[str, UnitState] = field(default_factory=dict)
    records: dict[str, str] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)


class HostState(FactBase[State]):
    """Files (paths or shell patterns), kernel settings (`net/ipv4/ip_forward`, patterns too), systemd units, small text
    files (`records`) and the output of commands (`show`). What does not exist is missing from the answer.
    """

    default = State

    def command(
        self,
        files: Sequence[str] = (),
        sysctls: Sequence[str] = (),
        units: Sequence[str] = (),
        records: Sequence[str] = (),
        show: Sequence[str] = (),
    ) -> StringCommand:
        return StringCommand("; ".join([*_script(files, sysctls, units, records, show), "true"]))

    def process(self, output: list[str]) -> State:
        state = State()
        for title, lines in _sections(output):
            kind, _, subject = title.partition(" ")
            if kind == "files":
                state.files.update(_parse_files(lines))
            elif kind == "sums":
                _add_sums(state.files, lines)
            elif kind == "sysctls":
                state.sysctls.update(_split_once(line, ":") for line in lines)
            elif kind == "units":
                state.units.update(_parse_units(lines))
            else:
                target = state.records if kind == "record" else state.shown
                target[subject] = "".join(f"{line}\n" for line in lines)
        return state


def _script(
    files: Sequence[str], sysctls: Sequence[str], units: Sequence[str], records: Sequence[str], show: Sequence[str]
) -> Iterator[str]:
    """Shell commands, each of which may fail without harm. Patterns are ours, not a user's: they stay unquoted."""
    if files:
        paths = " ".join(files)
        yield f"{_title('files')}; stat -c '%a|%U|%G|%F|%n' -- {paths} 2>/dev/null"
        yield f"{_title('sums')}; sha256sum -- {paths} 2>/dev/null"
    if sysctls:
        yield f"{_title('sysctls')}; (cd /proc/sys && grep -sH . -- {' '.join(sysctls)})"
    if units:
        names = " ".join(quote(unit) for unit in units)
        properties = "Id,UnitFileState,ActiveState,NeedDaemonReload,DropInPaths"
        yield f"{_title('units')}; systemctl show -p {properties} -- {names} 2>/dev/null"
    for path in records:
        yield f"[ ! -e {quote(path)} ] || {{ {_title(f'record {path}')}; cat {quote(path)}; }}"
    for command in show:
        yield f"{_title(f'show {command}')}; {command} 2>/dev/null"


def _title(title: str) -> str:
    return f"printf '%s\\n' {quote(SECTION + title)}"  # echo would take a backslash for more than it is


def _sections(output: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    title, lines = "", list[str]()
    for line in output:
        if line.startswith(SECTION):
            if title:
                yield title, lines
            title, lines = line.removeprefix(SECTION), []
        else:
            lines.append(line)
    if title:
        yield title, lines


def _parse_files(lines: Iterable[str]) -> Iterator[tuple[str, FileState]]:
    for line in lines:
        mode, user, group, kind, path = line.split("|", 4)
        if kind.startswith("regular"):  # "regular file", or "regular empty file"
            yield path, FileState("file", mode, user, group)
        else:
            yield path, FileState("directory" if kind == "directory" else "other", mode, user, group)


def _add_sums(files: dict[str, FileState], lines: Iterable[str]) -> None:
    for line in lines:
        path = line[66:]
        if path in files:
            known = files[path]
            files[path] = FileState(known.kind, known.mode, known.user, known.group, sha256=line[:64])


def _parse_units(lines: Iterable[str]) -> Iterator[tuple[str, UnitState]]:
    for block in "\n".join(lines).split("\n\n"):
        values = dict(_split_once(line, "=") for line in block.splitlines() if line)
        if "Id" in values:
            yield (
                values["Id"],
                UnitState(
                    enabled=values.get("UnitFileState") == "enabled",
                    active=values.get("ActiveState") == "active",
                    outdated=values.get("NeedDaemonReload") == "yes",
                    drop_ins=tuple(values.get("DropInPaths", "").split()),
                ),
            )


def _split_once(line: str, separator: str) -> tuple[str, str]:
    key, _, value = line.partition(separator)
    return key, value


@dataclass(frozen=True, slots=True)
class Installed:
    """Versions by package, of those that dpkg has fully installed; and units that an installation has yet to idle."""

    versions: dict[str, str] = field(default_factory=dict)
    to_idle: tuple[str, ...] = ()


class InstalledPackages(FactBase[Installed]):
    """Those of `packages` that are installed. The file `to_idle` lists units, where an installation did not end."""

    default = Installed

    def command(self, packages: Sequence[str], to_idle: str) -> StringCommand:
        names = " ".join(quote(package) for package in packages)
        return StringCommand(
            f"dpkg-query -W -f '${{Package}} ${{db:Status-Status}} ${{Version}}\\n' -- {names} 2>/dev/null;"
            f" cat {quote(to_idle)} 2>/dev/null || true"
        )

    def process(self, output: list[str]) -> Installed:
        rows = [line.split() for line in output]
        return Installed(
            versions={row[0]: row[2] for row in rows if len(row) == 3 and row[1] == "installed"},
            to_idle=tuple(row[0] for row in rows if len(row) == 1),
        )


@dataclass(frozen=True, slots=True)
class Look:
    """What is asked of a host before its first operation."""

    installed: Installed = field(default_factory=Installed)
    state: State = field(default_factory=State)


class FirstLook(FactBase[Look]):
    """InstalledPackages, a record and what a command shows, in one remote command."""

    default = Look

    def command(self, packages: Sequence[str], to_idle: str, record: str, show: str) -> StringCommand:
        installed = InstalledPackages().command(packages, to_idle).get_raw_value()
        return StringCommand(f"{installed}; {HostState().command(records=[record], show=[show]).get_raw_value()}")

    def process(self, output: list[str]) -> Look:
        begin = next((number for number, line in enumerate(output) if line.startswith(SECTION)), len(output))
        return Look(InstalledPackages().process(output[:begin]), HostState().process(output[begin:]))


class Probe(FactBase[str]):
    """What `script` prints. It is given to the host's shell on its own and must not change anything there."""

    default = str

    def command(self, script: str) -> StringCommand:
        return StringCommand(f"{script.rstrip().rstrip(';')}; true")

    def process(self, output: list[str]) -> str:
        return "".join(f"{line}\n" for line in output)
