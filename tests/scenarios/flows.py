"""Traffic that goes on while a scenario breaks something, and what the networks in between saw of it.

Everything here runs on hosts that have the machine's own file system (desks, application hosts, networks): the office's
router and the NATs need not have Python.
"""

import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from tests.scenarios import peers
from tests.scenarios.harness import INSTANCE, ROOT, Host
from tests.scenarios.peers import ANSWER, SENT, TICK

PEERS = f"{sys.executable} {Path(__file__).with_name('peers.py')}"
LANS_LINE, VPCS_LINE = "to-office", "to-vpc"  # the internet's ends of the office's line and of the VPC's
PORT = 7000


class Background:
    """A command that runs on `host` until the `with` block ends."""

    def __init__(self, host: Host, command: str) -> None:
        self.host, self.command = host, command

    def __enter__(self) -> Self:
        self._output = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lab", "exec", self.host.name, "--", *self.command.split()],
            cwd=ROOT,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "VPC_OPENVPN_LAB": INSTANCE},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._output.close()

    def output(self) -> str:
        """What it has printed so far."""
        assert self._process.poll() is None, f"{self.host.name}: `{self.command}` has ended:\n{self._read()}"
        return self._read()

    def _read(self) -> str:
        # By a file of its own: the command's position in the file is shared with `self._output`.
        return Path(f"/proc/self/fd/{self._output.fileno()}").read_text(errors="replace")

    def waits_for(self, pattern: str, seconds: float = 10) -> str:
        """The first match of `pattern` in what it prints, which must come within `seconds`."""
        deadline = time.monotonic() + seconds
        while not (match := re.search(pattern, self.output(), re.MULTILINE)):
            assert time.monotonic() < deadline, f"{self.host.name}: `{self.command}` printed no {pattern}"
            time.sleep(0.05)
        return match[0]


class Flow(Background):
    """One and the same flow from a host to an address, for ever: `ping`, or `udp` or `tcp` to an `echo`."""

    def __init__(self, host: Host, kind: Literal["ping", "udp", "tcp"], address: str) -> None:
        super().__init__(host, f"ping -n -O -i 0.2 {address}" if kind == "ping" else f"{PEERS} {kind} {address} {PORT}")
        self.name = f"{kind} {host.name} → {address}"
        self._sent, self._answered = (
            (r"bytes from|no answer|nreachable|not permitted", "bytes from") if kind == "ping" else (SENT, ANSWER)
        )

    def answers(self) -> int:
        """How many answers have come so far."""
        return len(re.findall(self._answered, self.output()))

    def tries(self) -> int:
        """How many times something was sent, answered or not."""
        return len(re.findall(self._sent, self.output()))


class Arrivals(Background):
    """The packets from `source` to `destination` that `host` sees on an interface of its own."""

    def __init__(self, host: Host, source: str, destination: str, interface: str = "eth0") -> None:
        super().__init__(host, f"{PEERS} sniff {interface}")
        self._wanted = f"^{re.escape(f'{source} {destination} ')}"

    def __enter__(self) -> Self:
        super().__enter__()
        self.waits_for("^sniffing")
        return self

    def come(self, payload: str = "") -> None:
        """One is seen within 10 s; `payload` is a regular expression for its first bytes, in hexadecimal digits."""
        self.waits_for(rf"{self._wanted}\d+ \d+ \d+ {payload}")

    def have_not_come(self) -> None:
        """None was seen until half a second after whatever was sent last."""
        assert not self.seen(), self.output()

    def seen(self) -> bool:
        """Whether one was seen until half a second after whatever was sent last."""
        deadline, ticks = time.monotonic() + 10, self.output().count(TICK)
        while self.output().count(TICK) < ticks + 3:
            assert time.monotonic() < deadline, f"{self.host.name} sees nothing at all"
            time.sleep(0.05)
        return bool(re.search(self._wanted, self.output(), re.MULTILINE))


def all_recover(flows: list[Flow], seconds: float = 20) -> None:
    """Each flow is answered again, from now on, within `seconds`."""
    deadline = time.monotonic() + seconds
    # An answer that was under way already does not count.
    wanted = {flow: flow.answers() + 2 for flow in flows}
    while waiting := [flow.name for flow in flows if flow.answers() < wanted[flow]]:
        assert time.monotonic() < deadline, f"still no answer after {seconds} s: {waiting}"
        time.sleep(0.05)


def all_fall_silent(flows: list[Flow], tries: int = 4, seconds: float = 30) -> None:
    """Each flow comes to try `tries` times in a row without an answer."""
    deadline = time.monotonic() + seconds
    since = {flow: (flow.tries(), flow.answers()) for flow in flows}
    while since:
        for flow, (tried, answered) in list(since.items()):
            if flow.answers() != answered:
                since[flow] = flow.tries(), flow.answers()
            elif flow.tries() >= tried + tries:
                del since[flow]
        assert time.monotonic() < deadline, f"still answered after {seconds} s: {[flow.name for flow in since]}"
        time.sleep(0.05)


@contextmanager
def steady(host: Host, address: str, peer: Host) -> Iterator[list[Flow]]:
    """A ping, a UDP flow and TCP connections from `host` to `address`, which is `peer`'s."""
    with (
        Background(peer, f"{PEERS} echo {PORT}"),
        Flow(host, "ping", address) as ping,
        Flow(host, "udp", address) as udp,
        Flow(host, "tcp", address) as tcp,
    ):
        yield [ping, udp, tcp]


def strays(line: str) -> int:
    """Packets from or for private addresses that came to the internet by this line, since the lab is up."""
    table = Host("internet").succeeds("nft list table ip provider")
    found = re.findall(rf'iifname "{line}" .*counter packets (\d+)', table)
    assert len(found) == 2, table
    return sum(map(int, found))


@contextmanager
def changed(host: Host, change: str, undo: str) -> Iterator[None]:
    """`change` was run on `host` for as long as the block lasts."""
    host.succeeds(change)
    try:
        yield
    finally:
        host.succeeds(undo)


@contextmanager
def armed(*hosts: Host) -> Iterator[str]:
    """What runs the verbs of `peers` on hosts that have a file system of their own, the office's router and NATs."""
    program = "/run/peers.py"
    for host in hosts:
        host.succeeds(f"printf %s {shlex.quote(Path(peers.__file__).read_text())} > {program}")
    try:
        yield f"python3 {program}"
    finally:
        for host in hosts:
            host.succeeds(f"rm -f {program}")


@contextmanager
def writing_all(host: Host, unit: str) -> Iterator[None]:
    """The unit may write as many lines into the journal as it likes."""
    folder = f"/run/systemd/system/{unit}.service.d"
    write = f"mkdir -p {folder} && printf '[Service]\\nLogRateLimitBurst=100000\\n' > {folder}/writing-all.conf"
    anew = f"systemctl daemon-reload && systemctl stop {unit} && systemctl start {unit}"
    with changed(host, f"{write} && {anew}", f"rm -r {folder} && {anew}"):
        yield


@contextmanager
def permitting(host: Host, rule: str, table: str = "filter") -> Iterator[None]:
    """The iptables rule `CHAIN MATCH… -j TARGET` comes before all others for as long as the block lasts."""
    with changed(host, f"iptables -w -t {table} -I {rule}", f"iptables -w -t {table} -D {rule}"):
        yield


@contextmanager
def losing_nothing(host: Host, *addresses: str) -> Iterator[None]:
    """All the while, each of `addresses` answers every ping of `host`'s, ten a second."""
    with losing_at_most(0, host, *addresses):
        yield


@contextmanager
def losing_at_most(count: int, host: Host, *addresses: str) -> Iterator[None]:
    """All the while, each of `addresses` answers every ping of `host`'s, ten a second, but for so many."""
    with ExitStack() as stack:
        pings = [stack.enter_context(Background(host, f"ping -n -i 0.1 {address}")) for address in addresses]
        for ping in pings:
            ping.waits_for("icmp_seq=2 ttl=")
        yield
        for ping in pings:
            # One that was sent after the block counts too: it shows that the last of the block had their time.
            last = max(answered(ping.output()))
            ping.waits_for(f"icmp_seq={last + 2} ttl=")
            assert len(missing(ping.output())) <= count, f"`{ping.command}` lost {missing(ping.output())}"


def answered(output: str) -> set[int]:
    """The numbers of the pings that were answered."""
    return {int(number) for number in re.findall(r"icmp_seq=(\d+) ttl=", output)}


def missing(output: str) -> set[int]:
    """The numbers of the pings that were not answered, though later ones were."""
    return set(range(1, max(answered(output)))) - answered(output)
