"""The one door for remote commands: a script runs the same on every host, and its answer is apart from other output.

Whatever the user's login shell is (bash, zsh, fish, csh), the script arrives at `sh` as it was written. It runs with
LC_ALL=C, the system's PATH and umask 022. A line before the answer, on both streams, and a line after it separate the
answer from what shells and sudo print. Those lines hold a token of this run: nothing else on a host can print them.

What a host prints is printable from here on, so that it moves no terminal's cursor wherever it is shown.
"""

import socket
from collections.abc import Callable, Iterable, Iterator
from secrets import token_hex
from typing import Any, Unpack

import gevent
from gevent import Greenlet
from paramiko import Channel, ChannelException, SSHException
from pyinfra import logger
from pyinfra.api import HiddenValue, Host, StringCommand, inventory
from pyinfra.api.arguments import ConnectorArguments
from pyinfra.api.exceptions import ConnectError
from pyinfra.api.output import echo
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.connectors.util import (
    CommandOutput,
    OutputLine,
    extract_control_arguments,
    make_unix_command_for_host,
    read_output_buffers,
    write_stdin,
)

from vpc_openvpn.text import printable

_TOKEN = token_hex(4)
BEGIN, END = f"answer {_TOKEN} begins", f"answer {_TOKEN} ends"

NO_SESSION = (
    "sshd refuses a second session on this connection, and a deploy holds one for its lock."
    " Set `MaxSessions 10`, which is sshd's default, in the file that `grep -ri maxsessions /etc/ssh/sshd_config*`"
    " names there, and type: systemctl reload ssh"
)

DEAD = 60  # seconds; a change of the firewall that cuts its own connection has undone itself by then
# tcp(7). The first three for a connection that waits, the last for one that sends; in seconds, and milliseconds.
_KEEPALIVE = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": DEAD * 1000}

_ENVIRONMENT = "export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin; umask 022"

# Login shells disagree about these between single quotes: csh ends at a newline and expands `!`, fish unescapes `\\`.
# printf's own escapes stand for them; always four digits, so that a digit may follow.
_ESCAPES = str.maketrans({"\\": "\\0134", "'": "\\0047", "!": "\\0041", "\n": "\\n"})

_warned: set[tuple[str, object]] = set()


def enclosed(script: str) -> str:
    """`script` with its environment and marks, in the form that `interpreter` reads: one line, without a quote."""
    whole = f"{_ENVIRONMENT}\necho '{BEGIN}'; echo '{BEGIN}' >&2\n(\n{script}\n)\nstatus=$?; echo '{END}'; exit $status"
    return whole.translate(_ESCAPES)


def interpreter(shell: str = "sh") -> str:
    """What reads an `enclosed` script, for pyinfra's `_shell_executable`: pyinfra appends `-c` and the script."""
    return f"""{shell} -c 'eval "$(printf %b "$2")"' {shell}"""


class Said:
    """What a command prints, line by line: `noise` before the marks, `answer` between them."""

    def __init__(self) -> None:
        self.noise: list[OutputLine] = []
        self.answer: list[OutputLine] = []
        self.begun = self.ended = False
        self._open = set[str]()

    def take(self, stream: str, line: str) -> None:
        """The next line of `stream` (stdout or stderr). Text without a newline of its own stands before a mark."""
        text = line.removesuffix(BEGIN).removesuffix(END)
        if text == line or text:
            (self.answer if stream in self._open else self.noise).append(OutputLine(stream, text))
        if line.endswith(BEGIN):
            self._open.add(stream)
            self.begun = True
        elif line.endswith(END):
            self._open.discard(stream)
            self.ended = True


def answer(host: Host, said: Said, *, succeeded: bool) -> list[OutputLine]:
    """The lines of the script's own; says once per host what else came. `succeeded`: the command exited 0.

    Raises `OSError` where the answer is not whole.
    """
    if said.begun:
        warn(host, said)
        if not said.ended:
            raise OSError(f"the answer of {host.name} ended early: the connection or the command was cut")
        return said.answer
    if said.noise and not succeeded:
        return said.noise  # sudo or the login shell says why it runs nothing
    printed = f", but printed {said.noise[0].line!r}" if said.noise else ""
    raise OSError(
        f"{host.name} did not answer{printed}: the connection was cut, or the user's login shell (or a ForceCommand of"
        " sshd) runs something else"
    )


def warn(host: Host, said: Said) -> None:
    """Say, once in a run for each such line and user, that lines come before a host's answers, and what prints them."""
    first = next((line.line.strip() for line in said.noise if line.line.strip()), "")
    user = host.data.get("ssh_user")
    if not first or (first, user) in _warned:
        return
    _warned.add((first, user))
    if first.startswith("sudo: "):
        advice = (
            "sudo prints it before every command, and may wait for a name server first. If it cannot resolve the host,"
            ' type there: echo "127.0.1.1 $(hostname)" | sudo tee -a /etc/hosts'
        )
    else:
        advice = (
            f"a start-up file of {user}'s login shell prints it, for bash /etc/bash.bashrc or"
            " ~/.bashrc. Remove it there, or write before it: [ -t 1 ] || return"
        )
    host.log_styled(f"{first!r} precedes each answer and is ignored: {advice}", fg="yellow", log_func=logger.warning)


class Connector(SSHConnector):
    """pyinfra's own ssh connector, with every command through the door."""

    _ahead: Greenlet | None = None

    def connect(self) -> None:
        """As pyinfra does, and so that a connection over which nothing comes any more ends within `DEAD` seconds.

        Raises ConnectError, in printable words: what greets in sshd's place may be quoted.
        """
        try:
            super().connect()
        except ConnectError as error:
            raise ConnectError(printable(str(error))) from None
        transport = self.client.get_transport() if self.client else None
        if transport and isinstance(transport.sock, socket.socket):  # not where ssh itself is jumped through
            end_when_dead(transport.sock)
            # ssh writes several short messages for each command; the kernel would hold one until the last has arrived.
            transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def make_paramiko_kwargs(self) -> dict[str, Any]:
        """pyinfra's; no option of a run (`--data`) has a host accepted whose key is not known."""
        return super().make_paramiko_kwargs() | {"_pyinfra_ssh_strict_host_key_checking": "yes"}

    def begin(self, command: StringCommand, **arguments: Unpack[ConnectorArguments]) -> Channel:
        """Start a command; the channel of an ssh session to it. Raises `OSError` where sshd gives none."""
        raw = command.get_raw_value()
        text = enclosed(raw)
        arguments["_shell_executable"] = interpreter(arguments.get("_shell_executable") or "sh")
        whole = make_unix_command_for_host(
            self.state,
            self.host,
            StringCommand(text if raw == command.get_masked_value() else HiddenValue(text)),
            **arguments,
        )
        logger.debug("Running command on %s: %s", self.host.name, whole)
        channel = self._session()
        channel.exec_command(whole.get_raw_value())
        self._ahead = gevent.spawn(self._open_ahead)
        return channel

    def reserve(self) -> None:
        """Have a session for the next command. Raises `OSError` where sshd gives none."""
        session = self._session()
        self._ahead = gevent.spawn(lambda: session)

    def _session(self) -> Channel:
        """A session in which no command has run: the one that was opened while the last command ran, or another."""
        # Not by its truth: a greenlet that has done its work is false.
        ahead: Channel | None = None if self._ahead is None else self._ahead.get()
        self._ahead = None
        if ahead and not ahead.closed:
            return ahead
        try:
            return self._open()
        except ChannelException:
            raise OSError(NO_SESSION) from None

    def _open(self) -> Channel:
        transport = self.client.get_transport() if self.client else None
        assert transport is not None
        return transport.open_session()

    def _open_ahead(self) -> Channel | None:
        """Spares a far operator the next command's first round trip. None where sshd gives no session now."""
        try:
            return self._open()
        except (SSHException, EOFError, OSError):
            return None

    def run_shell_command(
        self,
        command: StringCommand,
        print_output: bool = False,
        print_input: bool = False,
        **arguments: Unpack[ConnectorArguments],
    ) -> tuple[bool, CommandOutput]:
        """Run a command; whether it exited 0, and what it printed between the marks.

        Raises `OSError` where the host did not run it or its answer is not whole.
        """
        if print_input:
            echo(f"{self.host.print_prefix}>>> {command}", err=True)
        try:
            return self._answered(command, print_output=print_output, **arguments)
        except (EOFError, SSHException) as error:  # as paramiko has it, where the connection ends at this moment
            raise OSError(
                f"the connection to {self.host.name} was cut: {str(error) or 'nothing comes any more'}"
            ) from None

    def _answered(
        self, command: StringCommand, *, print_output: bool, **arguments: Unpack[ConnectorArguments]
    ) -> tuple[bool, CommandOutput]:
        control = extract_control_arguments(arguments)
        channel = self.begin(command, **arguments)
        stdin = channel.makefile_stdin("wb")
        if text := control.get("_stdin"):
            write_stdin(text, stdin)
        stdin.close()
        output = read_output_buffers(
            decoded(channel.makefile("rb")),
            decoded(channel.makefile_stderr("rb")),
            timeout=control.get("_timeout"),
            print_output=print_output,
            print_prefix=self.host.print_prefix,
        )
        succeeded = channel.recv_exit_status() in (control.get("_success_exit_codes") or [0])
        said = Said()
        for line in output:
            said.take(line.buffer_name, line.line)
        return succeeded, CommandOutput(answer(self.host, said, succeeded=succeeded))


def end_when_dead(line: socket.socket) -> None:
    """Have the kernel close a TCP connection whose other end has been silent for `DEAD` seconds."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if option := getattr(socket, name, None):  # not each system has each
            line.setsockopt(socket.IPPROTO_TCP, option, value)


def decoded(lines: Iterable[bytes]) -> Iterator[str]:
    """Text of lines that may be of any encoding, printable."""
    return (printable(line.decode(errors="replace").rstrip("\n"), keep="\t") for line in lines)


def install() -> None:
    """Have pyinfra reach the hosts of the inventory by `Connector`. It knows only what installed packages register."""
    known: Callable[[], dict[str, type]] = inventory.get_execution_connectors
    vars(inventory).update(get_execution_connectors=lambda: {**known(), "ssh": Connector})
