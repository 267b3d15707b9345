"""One run at a time on each host.

A run holds a lock on every host that it works on, from a channel of its own ssh connection. It is released when that
closes, however the run ended; and, where the host cannot see that it ended (the operator's line was cut), when nothing
was heard of it for a while. Of two runs that meet, each with some of the hosts, the one that began first goes on.

The command that takes the lock also answers a question, which saves a far operator a remote command: what it says holds
for as long as the host is locked.
"""

import atexit
import getpass
import socket
import time
from datetime import UTC, datetime
from shlex import quote

import gevent
from paramiko import Channel, SSHException
from pyinfra.api import Host, StringCommand

from vpc_openvpn.remote import shell
from vpc_openvpn.remote.facts import SECTION, Answer, Question, UnansweredError, understood
from vpc_openvpn.remote.shell import Connector

KEEP_ALIVE, SILENCE = 5, 30  # seconds: how often a host hears of the run; how long it keeps its lock without that
YIELD = 10  # seconds that a run gets which began later and has to give way
ANSWER = 60  # seconds within which a host says whether it is free, and how it is

OPERATOR = f"{getpass.getuser()}@{socket.gethostname()}"
_TOKEN = f"{time.time_ns():020} {OPERATOR}"  # ordered by the beginning of the run


class RefusedError(Exception):
    """Another run has the host; whose it is, and since when."""


class Locks:
    """The locks of one run: `held` by host's name (pyinfra's `host`, one object for them all, is no key), and why the
    run was `refused` one, if it was.
    """

    def __init__(self) -> None:
        self.held: dict[str, Channel] = {}
        self.refused = ""
        # When each host last heard of the run, by the clock on the wall: others stand still while a machine sleeps.
        self._heard: dict[str, float] = {}

    def hold(self, host: Host, file: str, question: Question[Answer]) -> Answer:
        """Take the host's lock, which is `file` there, and then ask: the answer.

        The lock is kept until the process ends, or until `give_way`. Raises RefusedError, and UnansweredError.
        """
        script = _HOLD.format(
            lock=quote(file), token=quote(_TOKEN), seconds=YIELD, silence=SILENCE, question=question.script, held=_HELD
        )
        assert isinstance(host.connector, Connector)
        try:
            with gevent.Timeout(ANSWER, TimeoutError):
                channel = host.connector.begin(
                    StringCommand(script), _sudo=host.data.get("_sudo", False), _shell_executable="bash"
                )
                self._keep(host, channel)
                said = _answer(host, channel)
                if said[-1:] == [_HELD]:
                    host.connector.reserve()
        except (OSError, EOFError, SSHException) as error:
            self.give_way(host)
            raise UnansweredError(str(error) or _LATE) from None
        if said[-1:] == [_HELD]:
            return self._understood(host, question, said[:-1])
        self.give_way(host)
        if said and said[0].startswith(_BUSY):
            began, _, who = said[0].removeprefix(_BUSY).partition(" ")
            self.refused = f"another deploy is under way: {who}, since {_clock(began)}"
            raise RefusedError(f"{self.refused}. Nothing was changed; type the same again when that is over")
        if said and said[0].startswith(SECTION):  # it was held while the question was answered
            raise UnansweredError(_LOST)
        raise UnansweredError(f"its lock, {file}, cannot be taken: {'; '.join(said)}")

    def _understood(self, host: Host, question: Question[Answer], lines: list[str]) -> Answer:
        try:
            return understood(question, lines)
        except UnansweredError:
            self.give_way(host)
            raise

    def _keep(self, host: Host, channel: Channel) -> None:
        if not self.held:
            gevent.spawn(self._keep_alive)
            atexit.register(self._release)
        self.held[host.name] = channel
        self._heard[host.name] = time.time()

    def lost(self, host: Host) -> str:
        """Why the host is locked no more, if it was; an empty string while it is."""
        return _LOST if host.name in self._heard and not self._holds(host.name) else ""

    def _holds(self, name: str) -> bool:
        channel = self.held.get(name)
        return channel is not None and not channel.closed and time.time() - self._heard[name] < SILENCE

    def leave(self, host: Host, file: str, line: str) -> None:
        """Have the host write `line` to a `file`, and go on: no remote command of its own. A host whose lock is lost
        writes nothing.
        """
        if self._holds(host.name):
            self.held[host.name].sendall(f"{file} {line}\n".encode())

    def give_way(self, host: Host) -> None:
        """Release the host's lock, for the run that goes on."""
        self._heard.pop(host.name, None)
        if channel := self.held.pop(host.name, None):
            channel.close()

    def _release(self) -> None:
        # The end of the process would do; but then paramiko tidies up when the interpreter is half gone, and complains.
        for channel in list(self.held.values()):  # other hosts may still be asked
            channel.close()

    def _keep_alive(self) -> None:
        while self.held:
            for name, channel in list(self.held.items()):
                try:
                    if self._holds(name):
                        channel.sendall(b"\n")
                        self._heard[name] = time.time()
                except OSError:
                    self.held.pop(name, None)
            gevent.sleep(KEEP_ALIVE)


def _answer(host: Host, channel: Channel) -> list[str]:
    """The lines of the script's own, to the one that says that the lock is held or that it is not to be had; where it
    ends without one, why.
    """
    said = shell.Said()
    for line in shell.decoded(channel.makefile("rb")):
        said.take("stdout", line)
        if said.answer and (said.answer[-1].line == _HELD or said.answer[0].line.startswith(_BUSY)):
            shell.warn(host, said)
            lines = said.answer
            break
    else:
        for line in shell.decoded(channel.makefile_stderr("rb")):
            said.take("stderr", line)
        lines = shell.answer(host, said, succeeded=False)
    return [line.line for line in lines]


def _clock(began: str) -> str:
    try:
        return f"{datetime.fromtimestamp(int(began) / 1e9, UTC):%H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):  # no time
        return "just now"


_BUSY, _HELD = "busy ", f"{SECTION}held"
_LATE = f"no answer within {ANSWER} s. Is it busy? Type there: uptime; df /; systemctl list-jobs"
_LOST = (
    f"its lock is lost: it has heard nothing of this run for {SILENCE} s, as when this machine sleeps, and another"
    " deploy may have begun. Type the same again"
)

# The file holds the token of the run that has, or last had, the lock; who may read it could take it. Bash, for
# `read -t`. The keeper looks whether it is held by taking it, for microseconds: hence the wait. The question goes on
# beside: one that takes long does not keep the lock of a run that has ended. What the run says is empty, to be heard,
# or the name of a file and the line that it shall hold.
_HOLD = """
umask 077
install -d "$(dirname {lock})" && exec 9>> {lock} && chmod 600 {lock} || exit
umask 022
if ! flock -w 0.2 9; then
    [[ $(cat {lock}) > {token} ]] && flock -w {seconds} 9 || {{ echo "busy $(cat {lock})"; exit; }}
fi
echo {token} > {lock} || exit
( exec 9>&-; {question}; echo '{held}' ) &
while read -r -t {silence} file line; do
    [ -z "$file" ] || {{ install -d "$(dirname "$file")" && echo "$line" > "$file.new" && mv "$file.new" "$file"; }}
done
"""
