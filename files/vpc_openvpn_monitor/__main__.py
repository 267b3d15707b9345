"""`vpc-openvpn-monitor`: the monitor, and orders to it."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vpc_openvpn_monitor import (
    bird,
    drains,
    filters,
    hold,
    hooks,
    host,
    kernel,
    machine,
    memory,
    orders,
    report,
    site,
    unwatched,
)
from vpc_openvpn_monitor.daemon import Daemon
from vpc_openvpn_monitor.keeper import Deployed, Keeper
from vpc_openvpn_monitor.outbox import ALERTS

SITE, KEEPER = Path("/etc/vpc-openvpn/monitor.json"), Path("/etc/vpc-openvpn/keeper.json")
PATIENCE = 1.0  # seconds that a report waits for the monitor, which answers within milliseconds
USAGE = """usage: vpc-openvpn-monitor run             ask through every tunnel, decide, have BIRD follow; for its unit
       vpc-openvpn-monitor show [--json]   which way each zone is reached, and why; with --json, how the host is, too
       vpc-openvpn-monitor drain ZONE      new connections to ZONE take a detour, until it is given back
       vpc-openvpn-monitor give-back ZONE
       vpc-openvpn-monitor drain|give-back ZONE --for WORD
                                           the same for a program, which leaves an operator's drain as it is
       vpc-openvpn-monitor leaving NUMBER PROCESS
                                           this tunnel's process is about to end; for its unit
       vpc-openvpn-monitor restarting NUMBER
                                           the other end of this tunnel is restarted now; for a deploy
       vpc-openvpn-monitor hold INTERFACE NETWORK…
                                           what is for NETWORK and not from INTERFACE waits in this host's kernel, until
                                           SIGTERM, 30 s at most; for a rotation of identities
       vpc-openvpn-monitor settle          write what BIRD reads, before BIRD starts; for its unit
       vpc-openvpn-monitor keep            put back what another program removes of the last deploy; for its unit
       vpc-openvpn-monitor alerts          run the operator's command for what happens; for its unit"""


def main(arguments: list[str]) -> int:
    """Exit status: 0, 1 if it could not be done, 2 for a wrong line."""
    os.umask(0o022)  # BIRD reads what is written here as a user of its own
    try:
        if arguments == ["keep"]:
            return _keep()
        if arguments == ["alerts"]:
            return _alert()
        if arguments[:1] == ["unhold"] and len(arguments) == 2:
            hold.undo(arguments[1])
            return 0
        if arguments[:1] == ["hold"] and len(arguments) > 2:
            print(f"{hold.run(arguments[2:], arguments[1])} packets have waited, and go on")
            return 0
        found = site.read(SITE)
        return _do(found, arguments)
    except (OSError, orders.OrderError, orders.NoMonitor, bird.BirdError) as error:
        return _complain(str(error))
    except (ValueError, KeyError) as error:
        place = {"keep": KEEPER, "alerts": ALERTS}.get(" ".join(arguments), SITE)
        return _complain(f"{place} is not as a deploy writes it ({error!r}). Type at your workstation: ./vpc deploy")


def _do(found: site.Site, arguments: list[str]) -> int:
    match arguments:
        case ["run"]:
            daemon = Daemon(found, lambda line: print(line, flush=True))
            signal.signal(signal.SIGTERM, lambda *_: daemon.stop())
            daemon.run()
        case ["settle"]:
            _settle(found)
        case ["leaving", _, _] | ["restarting", _]:
            orders.give(found.control, *arguments)
        case ["drain", zone, *given] if not given or given[:-1] == ["--for"]:
            return _switch(found, zone, lambda: drains.drain(found, zone, *given[1:]))
        case ["give-back", zone, *given] if not given or given[:-1] == ["--for"]:
            return _switch(found, zone, lambda: drains.give_back(found, zone, *given[1:]))
        case ["show", "--json"]:
            told = _told(found)
            if found.role == site.OFFICE:  # for `status`; the proof asks in words, again and again
                told["host"]["filters"] = filters.held()
            print(json.dumps(told))
        case ["show"]:
            print(report.lines(_told(found)))
        case _:
            print(USAGE, file=sys.stderr)
            return 2
    return 0


def _keep() -> int:
    keeper = Keeper(Deployed(KEEPER), lambda line: print(line, flush=True))
    signal.signal(signal.SIGTERM, lambda *_: keeper.stop())
    keeper.run()
    return 0


def _told(found: site.Site) -> dict[str, Any]:
    """What the host says: of the zones, as the monitor has it where one answers, and of itself."""
    told: dict[str, Any] = {"version": report.VERSION, "zones": {}}
    monitor = False
    if host.MONITOR_UNIT in found.units:
        try:
            told = json.loads(orders.give(found.control, "show", patience=PATIENCE))
            monitor = True
        except orders.NoMonitor:
            runs = host.active([host.MONITOR_UNIT]).get(host.MONITOR_UNIT) == "active"
            why = unwatched.NOT_ANSWERING if runs else unwatched.NOT_RUNNING
            past = memory.recall(found.memory)[1]
            told["zones"] = unwatched.by_kernel(found, kernel.routes(found.table), past, why)
    elif found.strategy == site.SINGLE and found.tunnels:
        there = unwatched.address(found.tunnels[0].interface)
        told["zones"] = unwatched.single(found, kernel.routes(found.table), unwatched.asking(found), there)
    return {**told, "host": host.report(found, monitor=monitor)}


def _alert() -> int:
    working = hooks.Hooks(hooks.read(ALERTS), lambda line: print(line, flush=True))
    signal.signal(signal.SIGTERM, lambda *_: working.stop())
    working.run()
    return 0


def _settle(found: site.Site) -> None:
    """What the monitor would publish at its start."""
    state = machine.begin(found.zones(), 0.0, memory.recall(found.memory)[0])
    drained = frozenset(each.number for each in drains.drained(found))
    state, _ = machine.step(state, machine.Drained(drained), 0.0)
    bird.publish(machine.verdict(state), found.paths, found.bird)


def _switch(found: site.Site, zone: str, switch: Callable[[], None]) -> int:
    if found.named(zone) is None:
        listed = ", ".join(each.zone for each in found.tunnels)
        print(f"vpc-openvpn-monitor: there is no zone {zone}; there are {listed}", file=sys.stderr)
        return 2
    if found.strategy == site.SINGLE:
        return _complain("with the strategy `single` there is one connection, and no zone to drain")
    was = drains.purpose(found, zone)
    switch()
    try:
        try:
            orders.give(found.control, "look")
        except orders.NoMonitor:
            _settle(found)
    except (OSError, orders.OrderError, bird.BirdError):
        # What cannot be told to BIRD is not so: the file would say that it is.
        drains.restore(found, zone, was)
        raise
    return 0


def _complain(complaint: str) -> int:
    print(f"vpc-openvpn-monitor: {complaint}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
