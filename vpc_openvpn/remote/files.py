"""Files that are wholly ours: what they should be, how that differs from what is there, and the commands that mend it.

A file appears under its name complete, with its owner and mode, or not at all, even if the power fails: it is written
beside its place with umask 077, flushed to the disk (a kernel may otherwise do so half a minute later, and a new name
before what it names) and moved there. Contents travel on standard input, never in an argument.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import PurePosixPath
from shlex import quote

from pyinfra import host, logger, state
from pyinfra.api import HiddenValue, StringCommand
from pyinfra.operations.util.files import generate_color_diff

from vpc_openvpn.remote.facts import FileState, Probe, ask, matches_any
from vpc_openvpn.text import printable


@dataclass(frozen=True, slots=True)
class File:
    """A file to be: `content` ends with a newline. A `HiddenValue` is never shown, in a diff or anywhere else."""

    path: str
    content: str | HiddenValue
    mode: str = "644"

    @property
    def text(self) -> str:
        return self.content.unmask() if isinstance(self.content, HiddenValue) else self.content

    @property
    def sha256(self) -> str:
        return sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory to be."""

    path: str
    mode: str = "755"


@dataclass(slots=True)
class Script:
    """Shell commands that travel as one remote command: each runs if all before it succeeded.

    Every remote command costs a far operator two or three round trips. `contents` is what files among them take from
    standard input, in order.
    """

    steps: list[str] = field(default_factory=list)
    contents: str = ""

    @property
    def commands(self) -> list[StringCommand]:
        """The remote command; none where there is nothing to do."""
        if not self.steps:
            return []
        script = " && ".join(self.steps)
        return [StringCommand(_PUT + script, _stdin=self.contents) if self.contents else StringCommand(script)]


def sums(files: Sequence[File]) -> str:
    """What `sha256sum` prints for `files` on a host where they are as they should be."""
    return "".join(f"{file.sha256}  {file.path}\n" for file in files)


def changes(wanted: Sequence[File | Directory], owned: Sequence[str], found: Mapping[str, FileState]) -> Script:
    """What makes `wanted` so, in order, and removes what `found` holds beyond it.

    `found` must cover the paths of `wanted` and the shell patterns `owned`, which match nothing but what is ours.
    Every difference is announced before this returns: pyinfra runs an operation only up to its first command
    when it plans, and a plan has to show them all.
    """
    script = Script()
    for item in wanted:
        have = found.get(item.path)
        if isinstance(item, Directory):
            if have is None or (have.kind, have.mode, have.user) != ("directory", item.mode, "root"):
                announce(f"Will make directory {item.path} (mode {item.mode})")
                script.steps.append(_make(item))
        elif have is None or have.kind != "file" or have.sha256 != item.sha256:
            _announce_content(item, have)
            script.steps.append(_put(item))
            script.contents += item.text
        elif (have.mode, have.user, have.group) != (item.mode, "root", "root"):
            announce(f"Will set {item.path} from {have.user}:{have.group} {have.mode} to root:root {item.mode}")
            script.steps.append(f"chown root:root {quote(item.path)} && chmod {item.mode} {quote(item.path)}")

    keep = {item.path for item in wanted}
    stale = sorted(path for path in found if path not in keep and matches_any(path, owned))
    if stale:
        announce(f"Will remove {', '.join(stale)}")
        script.steps.append(removed(stale))
    return script


def removed(paths: Sequence[str]) -> str:
    """The shell command that removes files, also for the boot after a power cut."""
    folders = sorted({str(PurePosixPath(path).parent) for path in paths})
    # A folder may be among what goes, with files that were in it.
    flush = f"for folder in {' '.join(map(quote, folders))}; do [ ! -d $folder ] || sync $folder; done"
    return f"rm -rf -- {' '.join(map(quote, paths))} && {flush}"


def written(items: Sequence[File | Directory]) -> Script:
    """What writes `items`, whatever is there."""
    return Script(
        [_make(item) if isinstance(item, Directory) else _put(item) for item in items],
        "".join(item.text for item in items if isinstance(item, File)),
    )


def announce(message: str, lines: Sequence[str] = ()) -> None:
    """With `--diff`, say what is about to change: once, when it is planned, or where nothing was planned (`--yes`).

    `lines` may have colours, and are printable otherwise.
    """
    if not state.config.DIFF or (state.is_executing and state.should_check_for_changes()):
        return
    host.log(printable(message), logger.info)
    for line in lines:
        logger.info("  %s", line)


def diff(old: str, new: str) -> list[str]:
    """The lines of a coloured diff of two texts, of which a host may have worded one."""
    both = (printable(text).splitlines(keepends=True) for text in (old, new))
    return list(generate_color_diff(*both))


def _announce_content(file: File, have: FileState | None) -> None:
    verb = "create" if have is None else "modify"
    if isinstance(file.content, HiddenValue):
        announce(f"Will {verb} {file.path} (secret, not shown)")
    elif state.config.DIFF:
        now = ask(Probe(f"cat -- {quote(file.path)}")) if have else ""
        announce(f"Will {verb} {file.path}", diff(now, file.content))


def _make(directory: Directory) -> str:
    return f"install -d -o root -g root -m {directory.mode} -- {quote(directory.path)}"


def _put(file: File) -> str:
    return f"put {quote(file.path)} {file.mode} {len(file.text.encode())}"


# Takes its part of standard input, and nothing of the next one's. A connection that breaks ends the input early: what
# has not its whole length is not put in place.
_PUT = """put() (
    [ -d "${1%/*}" ] || install -d -m 755 "${1%/*}"
    umask 077
    head -c "$3" > "$1.new" && [ "$(stat -c %s "$1.new")" = "$3" ] && chown root:root "$1.new" && chmod "$2" "$1.new" &&
        sync "$1.new" && mv -f "$1.new" "$1" && sync "${1%/*}" ||
        { rm -f "$1.new"; echo "could not write $1" >&2; exit 1; }
)
"""
