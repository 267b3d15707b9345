"""The monitor at work: sockets and a clock around the machine.

One process, one loop: packets and orders come in, the machine decides, questions go out, BIRD hears of it.
"""

import heapq
import os
import select
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address

from vpc_openvpn_monitor import bird, desks, drains, kernel, machine, memory, orders, report, sockets
from vpc_openvpn_monitor.desks import Misled
from vpc_openvpn_monitor.history import LOST, History, Path, noted, of_the_site
from vpc_openvpn_monitor.machine import (
    LIFE,
    LOOP,
    Action,
    Answered,
    Ask,
    Drained,
    Event,
    Gone,
    Leaving,
    Question,
    Restarting,
    Tick,
    Unanswered,
    Verdict,
)
from vpc_openvpn_monitor.outbox import Outbox
from vpc_openvpn_monitor.packets import Answer
from vpc_openvpn_monitor.site import Site, Tunnel
from vpc_openvpn_monitor.sockets import Asked, Line
from vpc_openvpn_monitor.watchdog import Watchdog

AGAIN = 1.0  # seconds until what could not be written is tried again
LATE = 2.1  # seconds for which the answer to a LIFE question is still news
SETTLES = 0.1  # seconds until the kernel's routes are looked at after a change: one seldom comes alone
UNASKED = 10.0  # seconds between two looks at them without a change
LOOKS = 1.0  # seconds between two looks at what is drained, in case an order was not heard


class Daemon:
    """The monitor of one office router, until `stop`."""

    def __init__(
        self,
        site: Site,
        say: Callable[[str], None] = print,
        routes: Callable[[int], Sequence[kernel.Route]] = kernel.routes,
        misled: Misled = desks.misled,
    ) -> None:
        self._site, self._say, self._routes, self._misled = site, say, routes, misled
        recalled, past = memory.recall(site.memory)
        # Zones that have left the site leave nothing behind.
        self._history: History = of_the_site(past, site.named)
        self._state = machine.begin(site.zones(), time.monotonic(), recalled)
        self._verdict = machine.verdict(self._state)
        self._published = False
        self._try_at = 0.0
        self._complained = ""
        self._lines = {tunnel.number: Line(tunnel) for tunnel in site.tunnels}
        self._leaving: dict[int, int] = {}  # by tunnel, the descriptor of its process, which is about to end
        self._pending: dict[bytes, Asked] = {}
        self._expiring: list[tuple[float, bytes]] = []  # a heap: kinds of question wait for different times
        self._round_trips: dict[int, float] = {}
        self._look_at = 0.0
        self._said: dict[str, str] = {}
        self._see_at = 0.0
        self._outbox = Outbox(site, say)
        self._running = True

    def run(self) -> None:
        """Until `stop`. Raises OSError where it may not listen for orders."""
        control = orders.listening(self._site.control)
        changes = kernel.Changes([kernel.ROUTES, kernel.RULES, kernel.SETTINGS])
        watchdog = Watchdog()
        try:
            while self._running:
                watchdog.hears()
                self._wait(control, changes)
                self._take(Tick())
                self._expire()
                self._look()
                self._see()
                self._publish()
        finally:
            changes.close()
            control.close()
            self._site.control.unlink(missing_ok=True)

    def stop(self) -> None:
        """End `run` within a second."""
        self._running = False

    def _wait(self, control: socket.socket, changes: kernel.Changes) -> None:
        lines = {descriptor: line for line in self._lines.values() if (descriptor := line.fileno()) is not None}
        ending = {descriptor: number for number, descriptor in self._leaving.items()}
        heard = [control.fileno(), changes.fileno(), *lines, *ending]
        ready, _, _ = select.select(heard, [], [], self._patience())
        for descriptor in ready:
            if descriptor in lines:
                self._read(lines[descriptor])
            elif descriptor in ending:
                self._left(ending[descriptor])
            elif descriptor == changes.fileno():
                if changes.heard():
                    self._see_at = min(self._see_at, time.monotonic() + SETTLES)
            else:
                orders.serve(control, self._order)

    def _patience(self) -> float:
        first = min(
            machine.wake(self._state),
            self._expiring[0][0] if self._expiring else float("inf"),
            self._look_at,
            self._see_at,
            float("inf") if self._published else self._try_at,
        )
        return max(0.0, first - time.monotonic())

    # --- the machine --------------------------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        self._state, actions = machine.step(self._state, event, time.monotonic())
        for action in actions:
            self._do(action)

    def _do(self, action: Action) -> None:
        match action:
            case Ask(question, within):
                self._ask(question, within)
            case Verdict():
                self._verdict, self._published, self._try_at = action, False, 0.0
                self._publish()
                self._see_at = min(self._see_at, time.monotonic() + SETTLES)

    def _ask(self, question: Question, within: float) -> None:
        tunnel = self._site.tunnel(question.tunnel)
        target = self._target(question, tunnel)
        source = sockets.source_in(self._site.lans) or tunnel.own
        packet, token = sockets.packet_for(question, tunnel, target, source)
        now = time.monotonic()
        self._lines[question.tunnel].send(packet)
        self._pending[token] = Asked(question, now, target)
        heapq.heappush(self._expiring, (now + (LATE if question.kind == LIFE else within), token))

    def _target(self, question: Question, tunnel: Tunnel) -> IPv4Address:
        if question.kind == LIFE:
            return tunnel.nat
        probe = None if question.kind == LOOP else self._site.tunnel(question.zone).probe
        return tunnel.own if probe is None else probe

    def _read(self, line: Line) -> None:
        for answer in line.answers():
            self._heard(line, answer)

    def _heard(self, line: Line, answer: Answer) -> None:
        asked = self._pending.get(answer.token)
        if asked is None or self._lines[asked.question.tunnel] is not line:
            return
        if answer.source != asked.target or answer.loop != (asked.question.kind == LOOP):
            return
        del self._pending[answer.token]
        if asked.question.kind == LIFE:
            self._round_trips[asked.question.tunnel] = time.monotonic() - asked.at
        self._take(Answered(asked.question, asked.at))

    def _expire(self) -> None:
        now = time.monotonic()
        while self._expiring and self._expiring[0][0] <= now:
            _, token = heapq.heappop(self._expiring)
            asked = self._pending.pop(token, None)
            if asked is not None and asked.question.kind != LIFE:
                self._take(Unanswered(asked.question, asked.at))

    # --- orders, and what is drained --------------------------------------------------------------------------------

    def _order(self, words: list[str]) -> str:
        match words:
            case ["show"]:
                self._see_at = 0.0
                self._see()
                return report.as_json(self._site, self._state, self._history, self._round_trips, time.time())
            case ["leaving", number, process] if self._is_tunnel(number) and process.isdecimal():
                self._leaves(int(number), int(process))
            case ["restarting", number] if self._is_tunnel(number):
                self._take(Restarting(int(number)))
            case ["look"]:
                self._look_at = 0.0
                self._look()
            case _:
                raise orders.OrderError(f"no such order: {' '.join(words)}")
        if self._complained:
            raise orders.OrderError(self._complained)
        return ""

    def _is_tunnel(self, number: str) -> bool:
        return number.isdecimal() and int(number) in self._lines

    def _leaves(self, number: int, process: int) -> None:
        """The tunnel is about to stop; it has when its process has ended."""
        try:
            descriptor = os.pidfd_open(process)
        except ProcessLookupError:
            return
        except OSError:  # then a time has to do
            self._take(Leaving(number))
            return
        self._left(number)
        self._leaving[number] = descriptor
        self._take(Leaving(number))

    def _left(self, number: int) -> None:
        if (descriptor := self._leaving.pop(number, None)) is not None:
            os.close(descriptor)
            self._take(Gone(number))

    def _look(self) -> None:
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOKS
        drained = frozenset(each.number for each in drains.drained(self._site))
        if drained != {number for number, tunnel in self._state.tunnels.items() if tunnel.drained}:
            self._take(Drained(drained))

    # --- what others hear ------------------------------------------------------------------------------------------

    def _publish(self) -> None:
        now = time.monotonic()
        if self._published or now < self._try_at:
            return
        try:
            memory.keep(self._site.memory, machine.memory(self._state), self._history)
            bird.publish(self._verdict, self._site.paths, self._site.bird)
        except (OSError, bird.BirdError) as error:
            self._try_at = now + AGAIN
            self._complain(f"cannot tell BIRD which ways to take: {error}")
        else:
            self._published = True
            self._complain("")

    def _complain(self, complaint: str) -> None:
        if complaint and complaint != self._complained:
            self._say(f"{complaint}; tried again every {AGAIN:g} s")
        self._complained = complaint

    # --- what is so -------------------------------------------------------------------------------------------------

    def _see(self) -> None:
        """By which way each zone's packets go now, and since when."""
        now = time.monotonic()
        if now < self._see_at:
            return
        self._see_at = now + UNASKED
        routes = self._routes(self._site.table)
        before = self._history
        paths = {tunnel: self._by_desks(tunnel, routes) for tunnel in self._site.tunnels}
        for tunnel, taken in self._explained(paths).items():
            self._history = noted(self._history, tunnel.zone, taken, time.time())
            said = report.words(tunnel, taken)
            if said != self._said.get(tunnel.zone):
                self._said[tunnel.zone] = said
                self._say(f"{tunnel.zone}: {said}")
        if self._history != before:
            self._published = False  # what has happened is written with it
        self._outbox.write(self._state, self._history, self._round_trips, time.time())

    def _by_desks(self, tunnel: Tunnel, routes: Sequence[kernel.Route]) -> Path:
        """The zone's path, as desks' packets take it: another program's rule may send them elsewhere."""
        taken = report.path(self._site, self._state, tunnel, routes)
        over = self._site.named(taken.via)
        if taken.state == LOST or over is None:
            return taken
        why = self._misled(self._site.lans, over.interface, tunnel.subnets)
        return Path(LOST, "", why) if why else taken

    def _explained(self, paths: Mapping[Tunnel, Path]) -> Mapping[Tunnel, Path]:
        """With BFD's reason where the monitor has none. BIRD is asked once, for all of them."""
        unexplained = [tunnel for tunnel, taken in paths.items() if taken.why == report.UNEXPLAINED]
        if not unexplained:
            return paths
        heard = bird.hears(self._site.bird)
        if heard is None:
            found = dict.fromkeys(unexplained, report.NO_BIRD)
        else:
            found = {tunnel: report.NOT_HEARD for tunnel in unexplained if tunnel.nat not in heard}
        return {tunnel: replace(taken, why=found.get(tunnel, taken.why)) for tunnel, taken in paths.items()}
