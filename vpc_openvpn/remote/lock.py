"""One run at a time on each host.

A run holds a lock on every host that it works on, from a channel of its own ssh connection. It is released when that
closes, however the run ended; and, where the host cannot see that it ended (the operator's line was cut), when nothing
was heard of it for a while. Of two runs that meet, each with some of the hosts, the one that began first goes on.
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
from vpc_openvpn.remote.shell import Connector

KEEP_ALIVE, SILENCE = 5, 30  # seconds: how often a host hears of the run; how long it keeps its lock without that
YIELD = 10  # seconds that a run gets which began later and has to give way
ANSWER = 20  # seconds within which a host says whether it is free

OPERATOR = f"{getpass.getuser()}@{socket.gethostname()}"
_TOKEN = f"{time.time_ns():020} {OPERATOR}"  # ordered by the beginning of the run


class Locks:
    """The locks of one run: `held` by host's name (pyinfra's `host`, one object for them all, is no key), and why the
    run was `refused` one, if it was.
    """

    def __init__(self) -> None:
        self.held: dict[str, Channel] = {}
        self.refused = ""

    def hold(self, host: Host, file: str) -> str:
        """Take the host's lock, which is `file` there; why that cannot be, or an empty string.

        The lock is kept until the process ends, or until `give_way`.
        """
        script = _HOLD.format(lock=quote(file), token=quote(_TOKEN), seconds=YIELD, silence=SILENCE)
        assert isinstance(host.connector, Connector)
        try:
            with gevent.Timeout(ANSWER, TimeoutError):
                channel = host.connector.begin(
                    StringCommand(script), _sudo=host.data.get("_sudo", False), _shell_executable="bash"
                )
                said = _answer(host, channel)
        except (OSError, EOFError, SSHException) as error:
            return f"cannot tell whether another deploy is under way: {str(error) or f'no answer within {ANSWER} s'}"
        if said == "held":
            if not self.held:
                gevent.spawn(self._keep_alive)
                atexit.register(self._release)
            self.held[host.name] = channel
            return ""
        if said.startswith("busy "):
            began, _, who = said.removeprefix("busy ").partition(" ")
            self.refused = f"another deploy is under way: {who}, since {_clock(began)}"
            return f"{self.refused}. Nothing was changed; type the same again when that is over"
        return f"cannot tell whether another deploy is under way: {said}"

    def give_way(self, host: Host) -> None:
        """Release the host's lock, for the run that goes on."""
        if channel := self.held.pop(host.name, None):
            channel.close()

    def _release(self) -> None:
        # The end of the process would do; but then paramiko tidies up when the interpreter is half gone, and complains.
        for channel in self.held.values():
            channel.close()

    def _keep_alive(self) -> None:
        while self.held:
            for name, channel in list(self.held.items()):
                try:
                    channel.sendall(b"\n")
                except OSError:
                    self.held.pop(name, None)
            gevent.sleep(KEEP_ALIVE)


def _answer(host: Host, channel: Channel) -> str:
    """The first line of the script's own; where it ends without one, why."""
    said = shell.Said()
    for line in shell.decoded(channel.makefile("rb")):
        said.take("stdout", line)
        if said.answer:
            shell.warn(host, said)
            return said.answer[0].line
    for line in shell.decoded(channel.makefile_stderr("rb")):
        said.take("stderr", line)
    return "; ".join(line.line for line in shell.answer(host, said, succeeded=False))


def _clock(began: str) -> str:
    return f"{datetime.fromtimestamp(int(began) / 1e9, UTC):%H:%M:%S} UTC" if began.isdecimal() else "just now"


# The file holds the token of the run that has, or last had, the lock. Bash, for `read -t`.
_HOLD = """
install -d "$(dirname {lock})" && exec 9>> {lock} || exit
if ! flock -n 9; then
    [[ $(cat {lock}) > {token} ]] && flock -w {seconds} 9 || {{ echo "busy $(cat {lock})"; exit; }}
fi
echo {token} > {lock} || exit
echo held
while read -r -t {silence} _; do :; done
"""
