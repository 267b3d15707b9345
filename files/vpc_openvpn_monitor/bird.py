"""What the monitor has decided, written for BIRD, and BIRD told to read it."""

import re
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address
from pathlib import Path

from vpc_openvpn_monitor.machine import Verdict, Way

_TIMEOUT = 2.0  # seconds; BIRD answers within milliseconds
_ENOUGH = 65536  # bytes of an answer
_UP = re.compile(r"^(?:\d{4}-| )([0-9.]+)\s+\S+\s+Up\s", re.MULTILINE)  # in the answer to `show bfd sessions`


class BirdError(Exception):
    """BIRD did not take what was written."""


def text(verdict: Verdict) -> str:
    """As BIRD includes it. A set may not be empty: (0, 0) is no way. (0, N) stands for all that tunnel N leads to."""
    avoided = verdict.avoided | {Way(0, tunnel) for tunnel in verdict.leaving}
    return f"define avoided_ways = {_pairs(avoided)};\ndefine dead_ways = {_pairs(verdict.dead)};\n"


def publish(verdict: Verdict, paths: Path, control: Path) -> None:
    """Write it, in one piece, and have BIRD read it if it differs from what stood there.

    Raises OSError where it cannot be written, as on a full /run (then nothing has changed), and BirdError.
    """
    wanted = text(verdict)
    try:
        if paths.read_text(encoding="ascii") == wanted:
            return
    except OSError:
        pass
    write(paths, wanted)
    if control.exists():
        configure(control)


def write(path: Path, content: str) -> None:
    """In one piece: readers see the old content or the new."""
    beside = path.with_name(f"{path.name}.new")
    try:
        beside.write_text(content, encoding="utf-8")
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def configure(control: Path) -> None:
    """`birdc configure`. Raises BirdError."""
    last = ask(control, "configure").splitlines()[-1:]
    if not last or last[0][:1] in "89":  # doc/reply_codes: errors of a command and of its syntax
        raise BirdError(f"BIRD said: {' '.join(last) or 'nothing'}")


def hears(control: Path) -> set[IPv4Address] | None:
    """The far ends that BFD hears: those of sessions that are up. None where BIRD does not answer."""
    try:
        return {IPv4Address(each) for each in _UP.findall(ask(control, "show bfd sessions"))}
    except BirdError:
        return None


def ask(control: Path, command: str) -> str:
    """A command to BIRD's control socket, and BIRD's answer, with the codes of its lines (doc/reply_codes in BIRD's
    sources). Raises BirdError where BIRD does not answer.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(_TIMEOUT)
            line.connect(str(control))
            _answer(line)  # its greeting
            line.sendall(f"{command}\n".encode())
            return _answer(line)
    except OSError as error:
        raise BirdError(f"no answer from BIRD at {control}: {error}") from None


def _answer(line: socket.socket) -> str:
    said = b""
    while not _complete(said) and len(said) < _ENOUGH:
        more = line.recv(4096)
        if not more:
            break
        said += more
    return said.decode("utf-8", "replace")


def _complete(said: bytes) -> bool:
    """The last line of an answer has a blank after its code; the ones before it a hyphen."""
    return said.endswith(b"\n") and said.rstrip(b"\n").rpartition(b"\n")[2][4:5] == b" "


def _pairs(ways: Iterable[Way]) -> str:
    return f"[ {', '.join(f'({zone}, {tunnel})' for zone, tunnel in ((0, 0), *sorted(ways)))} ]"
