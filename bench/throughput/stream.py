"""What runs on the desk and on the application hosts: `python stream.py VERB ARGUMENT…`, stdlib only.

serve PORT                       for ever: take all that a connection sends, or give it all that it takes
await PORT                       until this host's `serve` is there
measure give|take WARM_UP SECONDS PORT ADDRESS…
                                 connect to each `serve`, give to or take from all at once, and print, as JSON, what
                                 crossed between WARM_UP seconds after that and SECONDS later: a Sample

Both ends move a megabyte per system call, so that they cost little next to what they measure.
"""

import json
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TypedDict

GIVE, TAKE = "give", "take"
CHUNK = 1 << 20
TICKS = os.sysconf("SC_CLK_TCK")  # of CPU time in a second
PATIENCE = 10.0  # seconds for a connection to be made
# <linux/tcp.h>, struct tcp_info: tcpi_bytes_acked and tcpi_bytes_received.
COUNTERS = struct.Struct("=120xQQ")


class Sample(TypedDict):
    """Bytes that arrived, as TCP counts them; seconds; CPU seconds of all that ran but for what `_others` ran."""

    bytes: int
    seconds: float
    cpu: float


def serve(port: int) -> NoReturn:
    with socket.create_server(("", port)) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def await_server(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _answer(connection: socket.socket) -> None:
    with connection, suppress(OSError):
        wish = connection.recv(4, socket.MSG_WAITALL).decode()
        (_take if wish == GIVE else _give)(connection)


def measure(wish: str, warm_up: float, seconds: float, port: int, *addresses: str) -> Sample:
    connections = [socket.create_connection((address, port), PATIENCE) for address in addresses]
    for connection in connections:
        connection.settimeout(None)
        connection.sendall(wish.encode())
        work = _give if wish == GIVE else _take
        threading.Thread(target=_until_it_ends, args=(work, connection), daemon=True).start()
    time.sleep(warm_up)
    began, cpu, others, crossed = time.monotonic(), cpu_seconds(), _others(), _crossed(connections, wish)
    time.sleep(seconds)
    return {
        "bytes": _crossed(connections, wish) - crossed,
        "seconds": time.monotonic() - began,
        "cpu": cpu_seconds() - cpu - sum(used - others.get(pid, 0.0) for pid, used in _others().items()),
    }


def _until_it_ends(work: Callable[[socket.socket], NoReturn], connection: socket.socket) -> None:
    try:
        work(connection)
    except OSError as error:
        os.write(2, f"{connection}: {error}\n".encode())
        os._exit(1)


def _give(connection: socket.socket) -> NoReturn:
    chunk = memoryview(bytes(CHUNK))
    while True:
        connection.sendall(chunk)


def _take(connection: socket.socket) -> NoReturn:
    buffer = bytearray(CHUNK)
    while connection.recv_into(buffer):
        pass
    raise ConnectionError("the other end has ended it")


def _crossed(connections: list[socket.socket], wish: str) -> int:
    """Bytes that have arrived at the other end, or here."""
    counters = (connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, COUNTERS.size) for connection in connections)
    return sum(COUNTERS.unpack(each)[0 if wish == GIVE else 1] for each in counters)


def cpu_seconds() -> float:
    """What all CPUs of the machine have worked, since it was booted."""
    user, nice, system, _, _, irq, softirq = map(int, Path("/proc/stat").read_text().split(maxsplit=8)[1:8])
    return (user + nice + system + irq + softirq) / TICKS


def _others() -> dict[str, float]:
    """CPU seconds of each process that is on no host of this lab, by its id.

    They have work of their own. Kernel threads, which have no command line, work for everybody.
    """
    namespaces = {path.stat().st_ino: path.name.partition("-")[0] for path in Path("/run/netns").iterdir()}
    lab = namespaces[Path("/proc/self/ns/net").stat().st_ino]
    used = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            if namespaces.get((process / "ns/net").stat().st_ino) != lab and (process / "cmdline").read_bytes():
                user, system = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
                used[process.name] = (int(user) + int(system)) / TICKS
    return used


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", port]:
            serve(int(port))
        case ["await", port]:
            await_server(int(port))
        case ["measure", wish, warm_up, seconds, port, *addresses]:
            print(json.dumps(measure(wish, float(warm_up), float(seconds), int(port), *addresses)), flush=True)
            os._exit(0)  # the threads never end
