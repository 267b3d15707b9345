"""Asks every host for its report, at once: one ssh connection and one command each.

Host keys, keys and sudo are a deploy's; but a host key that is not known is not accepted, and nothing is written.
"""

import json
import queue
import threading
import time
from collections.abc import Callable, Mapping
from socket import gaierror
from typing import Any

from paramiko import AuthenticationException, BadHostKeyException, Channel, PKey, SSHException
from paramiko.ssh_exception import NoValidConnectionsError
from pyinfra.connectors.sshuserclient.client import SSHClient

from vpc_openvpn.remote.shell import Said, enclosed, interpreter
from vpc_openvpn.site.plan import HostPlan, Ssh
from vpc_openvpn.ssh import host_keys, ssh_keys
from vpc_openvpn.status.claims import readable
from vpc_openvpn.status.model import Answer, Refusal

PROGRAM = "/usr/local/lib/vpc-openvpn/vpc-openvpn-monitor"  # tasks/paths.py
RECORD = "/etc/vpc-openvpn/site"
SCRIPT = (
    f"if [ -e {PROGRAM} ]; then {PROGRAM} show --json;"
    f" elif [ -e {RECORD} ]; then echo {Refusal.OLDER.value}; else echo {Refusal.UNDEPLOYED.value}; fi"
)
# Seconds. A dead host costs the first one, and three round trips of a far one fit into it.
CONNECT = 1.0
STEP = 6.0  # for each step of a connection after that, and for the report
ALTOGETHER = 12.0
MOST = 1 << 22  # bytes of an answer; a report of 16 zones is 20 kB, and a router may have many rules


class Hosts:
    """The site's hosts, asked again and again: a connection is kept for as long as it answers."""

    def __init__(
        self,
        plans: Mapping[str, HostPlan],
        connect: float = CONNECT,
        *,
        script: str = "",
        reading: Callable[[str], Answer] | None = None,
    ) -> None:
        """By default each host is asked for its report. `script` is another question, which may change nothing, and
        `reading` makes an answer of what it prints.

        Raises UnusableKeyError. May ask for the passphrase of an ssh key.
        """
        host_keys.adopt()
        keys = {plan.ssh.key: ssh_keys.load(plan.ssh.key) for plan in plans.values() if plan.ssh.key}
        asked = (connect, script or SCRIPT, reading)
        self._lines = {
            name: _Line(plan.ssh, keys[plan.ssh.key] if plan.ssh.key else None, *asked) for name, plan in plans.items()
        }

    def answers(self) -> dict[str, Answer]:
        """Each host's, by its name. Waits for all, and no longer than `ALTOGETHER`."""
        came: queue.SimpleQueue[tuple[str, Answer]] = queue.SimpleQueue()
        for name, line in self._lines.items():
            # Not of an executor: what hangs must not keep the process from ending.
            threading.Thread(target=_put, args=(came, name, line.answer), daemon=True).start()
        found, deadline = dict[str, Answer](), time.monotonic() + ALTOGETHER
        while len(found) < len(self._lines) and (patience := deadline - time.monotonic()) > 0:
            try:
                name, answer = came.get(timeout=patience)
            except queue.Empty:
                break
            found[name] = answer
        late = Answer(None, f"it has not answered within {ALTOGETHER:g} s")
        return {name: found.get(name, late) for name in self._lines}

    def close(self) -> None:
        for line in self._lines.values():
            line.close()


def _put(came: "queue.SimpleQueue[tuple[str, Answer]]", name: str, ask: Callable[[], Answer]) -> None:
    came.put((name, ask()))


class _Client(SSHClient):
    """pyinfra's, which accepts no key, whatever ssh_config says."""

    def set_missing_host_key_policy(self, _policy: object) -> None:
        super().set_missing_host_key_policy(host_keys.Strict())


class _Line:
    """To one host. Used by one thread at a time."""

    def __init__(
        self,
        ssh: Ssh,
        key: PKey | None,
        connect: float,
        script: str = SCRIPT,
        reading: Callable[[str], Answer] | None = None,
    ) -> None:
        self._ssh, self._key, self._connect = ssh, key, connect
        self._script, self._reading = script, reading or read
        self._client: SSHClient | None = None
        self._busy = threading.Lock()

    def answer(self) -> Answer:
        if not self._busy.acquire(blocking=False):
            return Answer(None, "it has not answered the question before")
        try:
            return self._reading(self._ask())
        except _RefusedError as refused:
            return Answer(None, refused.args[0], refused.args[1])
        finally:
            self._busy.release()

    def close(self) -> None:
        if self._client:
            self._client.close()
        self._client = None

    def _ask(self) -> str:
        """What the host prints. Raises _RefusedError."""
        if self._client:
            try:  # one that was kept may be dead
                return self._run(self._client)
            except (OSError, EOFError, SSHException, _RefusedError):
                self.close()
        try:
            self._client = self._connected()
            try:
                return self._run(self._client)
            except TimeoutError:
                why_not = f"it lets us in, and gives no report within {STEP:g} s"
                raise _RefusedError(why_not, Refusal.OTHER) from None
        except _RefusedError:
            self.close()
            raise
        except Exception as error:  # whatever a host's bytes provoke in paramiko
            self.close()
            raise _RefusedError(*why(error, self._ssh)) from None

    def _connected(self) -> SSHClient:
        client: SSHClient = _Client()
        try:
            client.connect(
                self._ssh.host,
                _pyinfra_ssh_known_hosts_file=str(self._ssh.known_hosts),
                _pyinfra_ssh_strict_host_key_checking="yes",
                username=self._ssh.user,
                port=self._ssh.port,
                timeout=self._connect,
                banner_timeout=STEP,
                auth_timeout=STEP,
                channel_timeout=STEP,
                allow_agent=self._key is None,
                look_for_keys=self._key is None,
                **({"pkey": self._key} if self._key else {}),
            )
        except BaseException:
            client.close()
            raise
        return client

    def _run(self, client: SSHClient) -> str:
        transport = client.get_transport()
        if transport is None or not transport.is_active():
            raise EOFError
        channel = transport.open_session(timeout=STEP)
        try:
            # As pyinfra has it: root's, with sudo where the user is another.
            sudo = "" if self._ssh.user == "root" else "sudo -H -n "
            channel.settimeout(STEP)
            channel.set_combine_stderr(True)
            channel.exec_command(f"{sudo}{interpreter()} -c '{enclosed(self._script)}'")
            channel.shutdown_write()
            return _said(channel)
        finally:
            channel.close()


class _RefusedError(Exception):
    """Why a host gives no report: a sentence, and what kind of refusal it is."""


def _said(channel: Channel) -> str:
    """The script's own output. Raises _RefusedError where another program's stands in its place."""
    output, deadline = b"", time.monotonic() + STEP
    while chunk := channel.recv(1 << 16):
        output += chunk
        if len(output) > MOST:
            raise _RefusedError("its answer is longer than a report", Refusal.OTHER)
        if time.monotonic() > deadline:
            raise TimeoutError
    said = Said()
    for line in output.decode(errors="replace").splitlines():
        said.take("stdout", line)
    if said.begun and said.ended:
        return "\n".join(line.line for line in said.answer)
    noise = next((line.line for line in reversed(said.noise) if line.line.strip()), "")
    raise _RefusedError(f"it printed {readable(noise)!r}" if noise else "its answer ended early", Refusal.OTHER)


def read(text: str) -> Answer:
    """What a host has printed as its report."""
    if text.strip() == Refusal.UNDEPLOYED.value:
        return Answer(None, "nothing of this site is there yet", Refusal.UNDEPLOYED)
    if text.strip() == Refusal.OLDER.value:
        return Answer(None, "an older release is there, which gives no report", Refusal.OLDER)
    lines = [line for line in text.splitlines() if line.strip()]
    try:  # what else is printed is a complaint
        report: Any = json.loads(next(line for line in reversed(lines) if line.startswith("{")))
    except (StopIteration, ValueError, RecursionError):
        return Answer(None, f"its report cannot be read: {readable(' '.join(lines))!r}", Refusal.OTHER)
    return Answer(report)


def why(error: Exception, ssh: Ssh) -> tuple[str, Refusal]:
    """Why there is no connection, in words."""
    place = f"{ssh.host} port {ssh.port}"
    if isinstance(error, NoValidConnectionsError):
        error = next(iter(error.errors.values()))
    match error:
        case host_keys.UnknownKeyError() if error.revoked or host_keys.revoked(ssh):
            return f"its ssh host key is none that is trusted, and one of it is revoked: {error}", Refusal.KEY
        case host_keys.UnknownKeyError():
            return f"its ssh host key is not known: {error}", Refusal.UNKNOWN_KEY
        case BadHostKeyException():
            return f"its ssh host key is another than before: {host_keys.describe(error.key)}", Refusal.KEY
        case AuthenticationException():
            return f"{place} refuses your ssh key for the user {ssh.user}", Refusal.OTHER
        case TimeoutError():
            return f"no answer from {place}", Refusal.SILENT
        case gaierror():
            return f"the name {ssh.host} has no address: {error.strerror}", Refusal.OTHER
        case ConnectionRefusedError():
            return f"{place} refuses connections", Refusal.SILENT
        case OSError() if error.strerror:
            return f"{error.strerror[:1].lower()}{error.strerror[1:]}: {place}", Refusal.SILENT
        case _:
            return f"{readable(str(error) or type(error).__name__)}: {place}", Refusal.OTHER
