"""A host's state, read in one remote command.

Each remote command costs two or three round trips. So all that a run needs to know is asked for at once:
`ask(HostState(files=…, sysctls=…, units=…, show=…))`, and each effect takes its part of the answer. pyinfra 3.10's own
facts are not used: where a host does not answer, they give an empty answer to an operation, which then acts on it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import PurePosixPath
from shlex import quote
from typing import Literal, Protocol, TypeVar

from paramiko import SSHException
from pyinfra import host, state
from pyinfra.api import StringCommand
from pyinfra.api.exceptions import DeployError

Answer = TypeVar("Answer", covariant=True)
Conclusion = TypeVar("Conclusion")


class Question(Protocol[Answer]):
    """A script that changes nothing on a host, and what its output says."""

    @property
    def script(self) -> str:
        """What the host runs."""

    def parse(self, lines: Sequence[str]) -> Answer:
        """What the script printed, as an answer. Raises NonsenseError for what it never prints."""


class NonsenseError(ValueError):
    """A program on a host has printed what it never does: which program, and the line."""

    def __init__(self, program: str, line: str) -> None:
        super().__init__(
            f"its {program} prints {line[:80]!r}. Is it another program than Debian's? Type there: type -a {program}"
        )


class UnansweredError(DeployError):
    """The host did not answer, and why, for the operator."""

    def __init__(self, why: str) -> None:
        super().__init__(f"cannot tell how {host.name} is: {why}")


def ask(question: Question[Answer]) -> Answer:
    """The host's answer to `question`. Raises `UnansweredError` where there is none, and asks a host no more then."""
    if host in state.failed_hosts:
        raise UnansweredError("asked no more: it has not answered before")
    try:
        succeeded, said = host.run_shell_command(
            StringCommand(question.script),
            print_output=state.print_fact_output,
            print_input=state.print_fact_input,
            _sudo=host.data.get("_sudo", False),
            _timeout=host.data.get("_timeout"),
        )
    except TimeoutError:
        raise UnansweredError(f"no answer within {host.data.get('_timeout')} s") from None
    except (OSError, SSHException) as error:
        raise UnansweredError(str(error) or type(error).__name__) from None
    if not succeeded:
        raise UnansweredError(said.output or "the command failed and printed nothing")
    return understood(question, said.stdout_lines)


def understood(question: Question[Answer], lines: Sequence[str]) -> Answer:
    """The answer that a host's `lines` are. Raises `UnansweredError` where they are none."""
    try:
        return question.parse(lines)
    except NonsenseError as error:
        raise UnansweredError(str(error)) from None


def made_of(judge: Callable[[], Conclusion]) -> Conclusion:
    """What `judge` concludes from a host's words. Raises `UnansweredError` where they make no sense to it: a host that
    has fallen may print anything, and fails alone.
    """
    try:
        return judge()
    except DeployError:
        raise
    except Exception as error:  # whatever nonsense provokes
        raise UnansweredError(
            f"what it prints makes no sense ({type(error).__name__}: {str(error)[:80]!r}). Is a program there another"
            " than Debian's? Type there: dpkg --verify"
        ) from None


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

    `files`, the unit's own and its drop-ins, are those that systemd has read; `outdated` is true when it knows that
    they have changed since. It does not know of a drop-in whose directory is new, nor of a file that replaces Debian's.
    """

    enabled: bool = False
    active: bool = False
    outdated: bool = False
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """A host's answer. `records` and `shown` hold text as found, keyed by path and by command; `packages` versions, of
    those that dpkg has fully installed.
    """

    packages: dict[str, str] = field(default_factory=dict)
    files: dict[str, FileState] = field(default_factory=dict)
    sysctls: dict[str, str] = field(default_factory=dict)
    units: dict[str, UnitState] = field(default_factory=dict)
    records: dict[str, str] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HostState:
    """Packages, files (paths or shell patterns), kernel settings (`net/ipv4/ip_forward`, patterns too), systemd units,
    small text files (`records`) and the output of commands (`show`). What does not exist is missing from the answer.
    """

    packages: Sequence[str] = ()
    files: Sequence[str] = ()
    sysctls: Sequence[str] = ()
    units: Sequence[str] = ()
    records: Sequence[str] = ()
    show: Sequence[str] = ()

    @property
    def script(self) -> str:
        """Shell commands, each of which may fail without harm."""
        return "; ".join([*_packages(self.packages), *_script(*(getattr(self, part) for part in _PARTS)), "true"])

    def parse(self, lines: Sequence[str]) -> State:
        """The sections of the answer. Raises NonsenseError."""
        state = State()
        for title, body in _sections(lines):
            kind, _, subject = title.partition(" ")
            if kind == "packages":
                state.packages.update(_parse_packages(body))
            elif kind == "files":
                state.files.update(_parse_files(body))
            elif kind == "sums":
                _add_sums(state.files, body)
            elif kind == "sysctls":
                state.sysctls.update(_split_once(line, ":") for line in body)
            elif kind == "units":
                state.units.update(_parse_units(body))
            else:
                target = state.records if kind == "record" else state.shown
                target[subject] = "".join(f"{line}\n" for line in body)
        return state

    def and_(self, others: Iterable["HostState"]) -> "HostState":
        """The question that asks all that these ask, each thing once."""
        asked = [self, *others]
        parts = {part.name: [each for one in asked for each in getattr(one, part.name)] for part in fields(self)}
        return HostState(**{name: [*dict.fromkeys(words)] for name, words in parts.items()})

    def of(self, answer: State) -> State:
        """What an answer to more than this says of this."""
        return State(
            packages={name: version for name, version in answer.packages.items() if name in self.packages},
            files={path: found for path, found in answer.files.items() if matches_any(path, self.files)},
            sysctls={path: value for path, value in answer.sysctls.items() if matches_any(path, self.sysctls)},
            units={unit: found for unit, found in answer.units.items() if unit in self.units},
            records={path: text for path, text in answer.records.items() if path in self.records},
            shown={command: text for command, text in answer.shown.items() if command in self.show},
        )


_PARTS = ("files", "sysctls", "units", "records", "show")


_WILD = set("*?[")


def matches_any(path: str, patterns: Iterable[str]) -> bool:
    """Whether the shell would find the file `path` by one of `patterns`: `*` does not cross a slash."""
    return any(_matches(path, pattern) if set(pattern) & _WILD else path == pattern for pattern in patterns)


@cache
def _matches(path: str, pattern: str) -> bool:
    pure = PurePosixPath(path)
    return len(pure.parts) == len(PurePosixPath(pattern).parts) and pure.match(pattern)


def _packages(names: Sequence[str]) -> Iterator[str]:
    """Asks dpkg, not apt: that works whatever apt's sources are."""
    if names:
        words = "'${Package} ${db:Status-Status} ${Version}\\n'"
        yield f"{_title('packages')}; dpkg-query -W -f {words} -- {' '.join(map(quote, names))} 2>/dev/null"


def _parse_packages(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        if not (parts := re.fullmatch(r"(\S+) ([a-z-]+) (.*)", line)):
            raise NonsenseError("dpkg-query", line)
        name, status, version = parts.groups()
        if status == "installed":
            yield name, version


def _script(
    files: Sequence[str], sysctls: Sequence[str], units: Sequence[str], records: Sequence[str], show: Sequence[str]
) -> Iterator[str]:
    """Patterns are ours, not a user's: they stay unquoted."""
    if files:
        paths = " ".join(files)
        yield f"{_title('files')}; stat -c '%a|%U|%G|%F|%n' -- {paths} 2>/dev/null"
        yield f"{_title('sums')}; sha256sum -- {paths} 2>/dev/null"
    if sysctls:
        yield f"{_title('sysctls')}; (cd /proc/sys && grep -sH . -- {' '.join(sysctls)})"
    if units:
        names = " ".join(quote(unit) for unit in units)
        properties = "Id,UnitFileState,ActiveState,NeedDaemonReload,FragmentPath,DropInPaths"
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
        if not (parts := re.fullmatch(r"([0-7]{1,5})\|([^|]+)\|([^|]+)\|([a-z /()]+)\|(/.*)", line)):
            raise NonsenseError("stat", line)
        mode, user, group, kind, path = parts.groups()
        if kind.startswith("regular"):  # "regular file", or "regular empty file"
            yield path, FileState("file", mode, user, group)
        else:
            yield path, FileState("directory" if kind == "directory" else "other", mode, user, group)


def _add_sums(files: dict[str, FileState], lines: Iterable[str]) -> None:
    for line in lines:
        # A name with a backslash in it has one before the sum, and is none that is asked for.
        if not (parts := re.fullmatch(r"\\?([0-9a-f]{64}) [ *](.+)", line)):
            raise NonsenseError("sha256sum", line)
        sha256, path = parts.groups()
        if path in files:
            known = files[path]
            files[path] = FileState(known.kind, known.mode, known.user, known.group, sha256=sha256)


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
                    files=tuple(f"{values.get('FragmentPath', '')} {values.get('DropInPaths', '')}".split()),
                ),
            )


def _split_once(line: str, separator: str) -> tuple[str, str]:
    key, _, value = line.partition(separator)
    return key, value


@dataclass(frozen=True, slots=True)
class Probe:
    """What the shell commands `commands` print."""

    commands: str

    @property
    def script(self) -> str:
        """The commands may fail: what they print counts."""
        return f"{self.commands.rstrip().rstrip(';')}; true"

    def parse(self, lines: Sequence[str]) -> str:
        """The text."""
        return "".join(f"{line}\n" for line in lines)
