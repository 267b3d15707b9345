"""What runs on the lab's desks and application hosts in a scenario: `python peers.py VERB ARGUMENT…`, stdlib only.

echo PORT                       answer every UDP datagram and every TCP connection with what it says
udp | tcp ADDRESS PORT          say something every 0.2 s, never give up; a line `sent` and a line `answer` for each
stream ADDRESS PORT             one TCP connection to `echo`, a word every 20 ms; a line `open`, a line `pause SECONDS`
                                whenever an answer has taken long, and at its end `broken SECONDS` after the last one
dial ADDRESS PORT               a new TCP connection to `echo` every 50 ms; a line `dialed SECONDS` for each, or
                                `failed SECONDS CAUSE`
mirror PORTS                    tell every UDP datagram and every TCP connection the address that it comes from
ask QUESTIONS                   all at once: `KIND,ADDRESS,PORT,OWN` by TCP, UDP or ping, from the address OWN if there
                                is one, with a `;` between two; a line for each: what `mirror` says, `answers` where
                                another program does, `refused`, or - within 2 s
listen PORT                     a line `from ADDRESS` for every UDP datagram
say ADDRESS PORT                one UDP datagram, no answer expected
connect ADDRESS PORT            one TCP connection, within 3 s; prints why it failed, if it did
store PORT                      a server for `send` and `receive`
send | receive ADDRESS PORT N   N megabytes of noise through one TCP connection; both ends' SHA-256 must agree
datagram ADDRESS PORT N         N bytes in one UDP datagram, said again until `echo` has answered it; 5 s at most
replay ADDRESS PORT HEX         these bytes in a UDP datagram; `answer` if one comes back within 2 s, or why none did
forge COUNT INTERFACE SOURCE SPORT DESTINATION DPORT HEX
                                as many UDP datagrams of any source, into an interface, or where routes lead: -
flood SOURCE DESTINATION FIRST COUNT RATE
                                as many UDP datagrams, each from another port; RATE: so many a second, 0: at once
error INTERFACE SOURCE OWN SPORT FAR FPORT
                                "port unreachable" from SOURCE, about a UDP datagram from OWN to FAR
hold FOLDERS                    lock all files and folders below that may be opened: `holds N`
hear ADDRESS PORT OWN SECONDS   send a datagram from port OWN every 0.1 s; `heard ADDRESS HEX` for each that comes,
                                and `refused` where the kernel has heard of an error
sniff INTERFACE                 a line for every IPv4 packet: SOURCE DESTINATION PROTOCOL LENGTH FRAGMENT PAYLOAD, and a
                                line `tick` every quarter of a second
"""

import contextlib
import fcntl
import hashlib
import inspect
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

MEGABYTE = 1_000_000
PAUSE = 0.2  # seconds between two tries
LONG = 0.1  # seconds without an answer to something said every 0.02 s
SENT, ANSWER, TICK = "sent", "answer", "tick"
ANSWERS, REFUSED, NONE = "answers", "refused", "-"
IPV4 = 0x0800
PORT_OF_NONE = 9  # "discard": no program of the lab's hears there


def echo(port: int) -> None:
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("", port))

    def serve_datagrams() -> NoReturn:
        while True:
            data, sender = datagrams.recvfrom(65536)
            with contextlib.suppress(OSError):
                datagrams.sendto(data, sender)

    def repeat(connection: socket.socket) -> None:
        while data := connection.recv(65536):
            connection.sendall(data)

    threading.Thread(target=serve_datagrams, daemon=True).start()
    _serve(port, repeat)


def udp(address: str, port: int) -> NoReturn:
    # One socket, hence one source port: to the routers on the way it is one and the same flow for ever.
    flow = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    flow.settimeout(PAUSE)
    flow.connect((address, port))
    while True:
        _ask(flow)
        time.sleep(PAUSE)


def tcp(address: str, port: int) -> NoReturn:
    while True:
        print(SENT, flush=True)
        with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=0.5) as flow:
            while _ask(flow):
                time.sleep(PAUSE)
        time.sleep(PAUSE)


def _ask(flow: socket.socket) -> bool:
    print(SENT, flush=True)
    with contextlib.suppress(OSError):
        flow.send(b"anybody there?")
        if flow.recv(100):
            print(ANSWER, flush=True)
            return True
    return False


def stream(address: str, port: int) -> None:
    with socket.create_connection((address, port), timeout=5) as flow:
        flow.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        flow.settimeout(None)
        print("open", flush=True)
        last = time.monotonic()

        def speak() -> None:
            with contextlib.suppress(OSError):
                while True:
                    flow.sendall(b"still there?")
                    time.sleep(0.02)

        threading.Thread(target=speak, daemon=True).start()
        try:
            while flow.recv(65536):
                now = time.monotonic()
                if now - last > LONG:
                    print(f"pause {now - last:.3f}", flush=True)
                last = now
            cause = "reset"  # the kernel says so only once, and has told `speak`
        except OSError as error:
            cause = error.strerror or type(error).__name__
        print(f"broken {time.monotonic() - last:.3f} {cause}", flush=True)
        threading.Event().wait()  # the caller ends this process


def dial(address: str, port: int) -> NoReturn:
    def one() -> None:
        began, done, cause = time.monotonic(), "connecting", "closed"
        try:
            with socket.create_connection((address, port), timeout=5) as flow:
                done = "asking"
                flow.sendall(b"anybody there?")
                answered = flow.recv(100)
        except OSError as error:
            answered, cause = b"", str(error)
        took = time.monotonic() - began
        print(f"dialed {took:.3f}" if answered else f"failed {took:.3f} {done}: {cause}", flush=True)

    while True:
        threading.Thread(target=one, daemon=True).start()
        time.sleep(0.05)


def mirror(ports: str) -> None:
    def tell(connection: socket.socket) -> None:
        connection.sendall(connection.getpeername()[0].encode())

    def tell_each(port: int) -> NoReturn:
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind(("", port))
        while True:
            sender = datagrams.recvfrom(65536)[1]
            with contextlib.suppress(OSError):
                datagrams.sendto(sender[0].encode(), sender)

    for port in map(int, ports.split(",")):
        threading.Thread(target=tell_each, args=(port,)).start()
        threading.Thread(target=_serve, args=(port, tell)).start()


def ask(questions: str) -> None:
    def answer(question: str) -> str:
        kind, address, port, own = question.split(",")
        if kind == "ping":
            command = ["ping", "-q", "-c", "2", "-i", "0.2", "-W", "2", *(["-I", own] if own else []), address]
            return ANSWERS if subprocess.run(command, capture_output=True, check=False).returncode == 0 else NONE
        kinds = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
        with socket.socket(socket.AF_INET, kinds[kind]) as flow:
            flow.settimeout(2)
            try:
                flow.bind((own, 0))
                flow.connect((address, int(port)))
                if kind == "udp":
                    flow.send(b"who?")
            except ConnectionRefusedError:
                return REFUSED
            except OSError:
                return NONE
            flow.settimeout(1 if kind == "tcp" else 2)
            try:
                said = flow.recv(100)
            except ConnectionRefusedError:
                return REFUSED
            except OSError:
                return ANSWERS if kind == "tcp" else NONE
            try:
                return socket.inet_ntoa(socket.inet_aton(said.decode()))
            except (OSError, ValueError):
                return ANSWERS

    with ThreadPoolExecutor(max_workers=64) as at_once:
        print("\n".join(at_once.map(answer, questions.split(";"))))


def listen(port: int) -> NoReturn:
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("", port))
    while True:
        print("from", datagrams.recvfrom(65536)[1][0], flush=True)


def say(address: str, port: int) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"hello", (address, port))


def connect(address: str, port: int) -> None:
    try:
        socket.create_connection((address, port), timeout=3).close()
    except OSError as error:
        sys.exit(error.strerror or "timed out")


def store(port: int) -> None:
    def handle(connection: socket.socket) -> None:
        seed, megabytes, wants = struct.unpack("!IIB", _exactly(connection, 9))
        digest = _send_noise(connection, seed, megabytes) if wants else _receive_noise(connection, megabytes)
        connection.sendall(digest)

    _serve(port, handle)


def send(address: str, port: int, megabytes: int) -> None:
    with socket.create_connection((address, port), timeout=10) as connection:
        connection.sendall(struct.pack("!IIB", 0, megabytes, 0))
        digest = _send_noise(connection, 1, megabytes)
        assert _exactly(connection, len(digest)) == digest, "not what was sent"


def receive(address: str, port: int, megabytes: int) -> None:
    with socket.create_connection((address, port), timeout=10) as connection:
        connection.sendall(struct.pack("!IIB", 2, megabytes, 1))
        digest = _receive_noise(connection, megabytes)
        assert _exactly(connection, len(digest)) == digest, "not what was sent"


def _send_noise(connection: socket.socket, seed: int, megabytes: int) -> bytes:
    # Every megabyte differs from the others, so that one lost, doubled or out of order is noticed.
    digest, noise = hashlib.sha256(), random.Random(seed).randbytes(MEGABYTE - 4)
    for number in range(megabytes):
        part = struct.pack("!I", number) + noise
        digest.update(part)
        connection.sendall(part)
    return digest.digest()


def _receive_noise(connection: socket.socket, megabytes: int) -> bytes:
    digest, left = hashlib.sha256(), megabytes * MEGABYTE
    while left:
        data = connection.recv(min(left, 262_144))
        assert data, f"the connection ended {left} bytes early"
        digest.update(data)
        left -= len(data)
    return digest.digest()


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := connection.recv(size - len(data))):
        data += more
    return data


def datagram(address: str, port: int, size: int) -> None:
    data, deadline = random.Random(3).randbytes(size), time.monotonic() + 5
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flow:
        flow.settimeout(0.5)
        flow.connect((address, port))
        while time.monotonic() < deadline:
            # The first one may be too big for the way, which is how a sender learns what fits.
            with contextlib.suppress(OSError):
                flow.send(data)
                if flow.recv(65536) == data:
                    return
    sys.exit(f"no datagram of {size} bytes came back")


def replay(address: str, port: int, content: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flow:
        flow.settimeout(2)
        flow.connect((address, port))
        flow.send(bytes.fromhex(content))
        try:
            flow.recv(65536)
            print(ANSWER)
        except OSError as error:
            print(error.strerror or "timed out")


def forge(count: int, interface: str, source: str, sport: int, destination: str, dport: int, content: str) -> None:
    payload = bytes.fromhex(content)
    datagram = struct.pack("!4H", sport, dport, 8 + len(payload), 0) + payload
    _emit(count, interface, source, destination, socket.IPPROTO_UDP, datagram)


def flood(source: str, destination: str, first: int, count: int, rate: int) -> None:
    began = time.monotonic()
    for number in range(count):
        datagram = struct.pack("!4H", first + number, PORT_OF_NONE, 8, 0)
        _emit(1, "-", source, destination, socket.IPPROTO_UDP, datagram)
        if rate:
            time.sleep(max(0.0, began + number / rate - time.monotonic()))


def error(interface: str, source: str, own: str, sport: int, far: str, fport: int) -> None:
    about = _header(own, far, socket.IPPROTO_UDP, 8, 64) + struct.pack("!4H", sport, fport, 8, 0)
    unsummed = struct.pack("!BBHI", 3, 3, 0, 0) + about
    message = unsummed[:2] + struct.pack("!H", _sum(unsummed)) + unsummed[4:]
    _emit(5, interface, source, own, socket.IPPROTO_ICMP, message)


def _emit(count: int, interface: str, source: str, destination: str, protocol: int, payload: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        if interface != "-":
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        for _ in range(count):
            # BFD believes a packet with this time to live alone.
            raw.sendto(_header(source, destination, protocol, len(payload), 255) + payload, (destination, 0))


def _header(source: str, destination: str, protocol: int, size: int, hops: int) -> bytes:
    ends = socket.inet_aton(source) + socket.inet_aton(destination)
    unsummed = struct.pack("!BBHHHBBH", 0x45, 0, 20 + size, 0, 0, hops, protocol, 0) + ends
    return unsummed[:10] + struct.pack("!H", _sum(unsummed)) + unsummed[12:]


def _sum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def hold(folders: str) -> None:
    held = []
    for folder in map(Path, folders.split(",")):
        for path in (folder, *folder.rglob("*")):
            with contextlib.suppress(OSError):
                held.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
                fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
    print(f"holds {len(held)}", flush=True)
    threading.Event().wait()  # the caller ends this process


def hear(address: str, port: int, own: int, seconds: float) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flow:
        flow.bind(("", own))
        flow.settimeout(0.1)
        # Errors come to a socket that asks for them (IP_RECVERR); one that is connected hears of one sender alone.
        flow.setsockopt(socket.IPPROTO_IP, 11, 1)
        print("hearing", flush=True)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                flow.sendto(b"q", (address, port))
                data, sender = flow.recvfrom(65536)
                print("heard", sender[0], data.hex(), flush=True)
            except TimeoutError:
                continue
            except OSError:
                print("refused", flush=True)
                time.sleep(0.1)


def sniff(interface: str) -> NoReturn:
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))  # every protocol, both directions
    tap.bind((interface, 3))
    tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * MEGABYTE)
    tap.settimeout(0.1)
    ticked = time.monotonic()
    print("sniffing", flush=True)
    while True:
        if time.monotonic() > ticked + 0.25:
            ticked = time.monotonic()
            print(TICK, flush=True)
        try:
            data, sender = tap.recvfrom(65536)
        except TimeoutError:
            continue
        if sender[1] == IPV4:
            length, fragment, protocol = (*struct.unpack_from("!H2xH", data, 2), data[9])
            source, destination = socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20])
            offset = (data[0] & 15) * 4
            # "Don't fragment" is a wish, not a fragment.
            print(
                source, destination, protocol, length, fragment & 0x3FFF, data[offset:length].hex()[:4096], flush=True
            )


def _serve(port: int, handle: Callable[[socket.socket], None]) -> NoReturn:
    server = socket.create_server(("", port))

    def handle_one(connection: socket.socket) -> None:
        with contextlib.suppress(OSError, AssertionError), connection:
            handle(connection)

    while True:
        threading.Thread(target=handle_one, args=(server.accept()[0],), daemon=True).start()


VERBS: dict[str, Callable[..., None]] = {
    verb.__name__: verb
    for verb in (
        *(echo, udp, tcp, stream, dial, mirror, ask, listen, say, connect, store, send, receive, datagram, replay),
        *(forge, flood, error, hold, hear, sniff),
    )
}

if __name__ == "__main__":
    verb = VERBS[sys.argv[1]]
    kinds = inspect.signature(verb).parameters.values()
    verb(*(kind.annotation(word) for kind, word in zip(kinds, sys.argv[2:], strict=True)))
