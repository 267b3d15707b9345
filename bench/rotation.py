"""What a rotation of identities costs, in time and in packets: `python -m bench.rotation [ZONES]`, as root, in the lab.

A ping every 20 ms goes on between a desk and a host of each zone, as each of them begins it, while `./vpc identities
rotate` runs: for one NAT, for all hosts, and for all with --seamless. Prints a table; keeps nothing.
"""

import os
import re
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO

from bench.command import measured
from bench.lab import BenchError, Lab
from lab.state import REPOSITORY

PINGS = str(REPOSITORY / "lab/pings.py")
BEAT = 0.02  # seconds between two pings
SETTLED = 3.0  # seconds before and after, for answers that are on their way
LINES = (("us-east-1a",), ("all",), ("all", "--seamless"))


@dataclass(frozen=True)
class Loss:
    """Of all pings of one direction: how many were sent, how many lost, and the most in a row, in seconds."""

    sent: int
    lost: int
    longest: float
    slowest: float  # seconds that an answer has taken


def losses(outputs: list[str]) -> Loss:
    """From what the pings have printed."""
    sent = lost = 0
    longest = slowest = 0.0
    for output in outputs:
        answers = [(int(n), float(ms)) for n, ms in re.findall(r"icmp_seq=(\d+) ttl.* time=([\d.]+) ms", output)]
        if not answers:
            raise BenchError(f"a ping had no answer at all:\n{output[-300:]}")
        numbers = sorted({number for number, _ in answers})
        gaps = [after - before - 1 for before, after in zip([0, *numbers], numbers, strict=False)]
        sent += numbers[-1]
        lost += sum(gaps)
        longest = max(longest, max(gaps) * BEAT)
        slowest = max(slowest, max(ms for _, ms in answers) / 1000)
    return Loss(sent, lost, longest, slowest)


def one(lab: Lab, zones: int, words: tuple[str, ...]) -> tuple[float, Loss, Loss]:
    """Seconds of one rotation, and what is lost from desks and from zones."""
    with ExitStack() as running:
        outputs: dict[str, list[IO[str]]] = {"desk": [], "app": []}
        for number in range(1, zones + 1):
            app = f"app-us-east-1{chr(ord('a') + number - 1)}"
            for kind, host, address in (("desk", "desk", f"10.0.{20 + number}.10"), ("app", app, "192.168.50.10")):
                output = running.enter_context(tempfile.TemporaryFile("w+"))
                ping = lab.start("exec", host, "--", sys.executable, PINGS, address, str(BEAT), stdout=output)
                running.callback(ping.wait)
                running.callback(ping.kill)
                outputs[kind].append(output)
        time.sleep(SETTLED)
        began = time.monotonic()
        lab.must("run", "--", "./vpc", "identities", "rotate", *words)
        took = time.monotonic() - began
        time.sleep(SETTLED)
        found = {kind: losses([_text(each) for each in files]) for kind, files in outputs.items()}
    return took, found["desk"], found["app"]


def _text(file: IO[str]) -> str:
    """All that is in it; the position is the ping's as well."""
    with open(f"/proc/self/fd/{file.fileno()}", encoding="utf-8", errors="replace") as again:  # noqa: PTH123
        return again.read()


def main(zones: int) -> None:
    """Measure, with a lab of its own."""
    with Lab(os.environ.get("BENCH_LAB", "benchrotation")) as lab:
        lab.must("up", "--zones", str(zones))
        lab.must("run", "--", "./vpc", "deploy", "-y")
        time.sleep(SETTLED)
        print(f"{zones} zones, {os.cpu_count()} processors; a ping every {BEAT * 1000:.0f} ms, each way, in each zone")
        for words in LINES:
            took, desk, app = one(lab, zones, words)
            print(f"rotate {' '.join(words):16} {took:6.1f} s", end="")
            for name, loss in (("desks → zones", desk), ("zones → desks", app)):
                row = f"{loss.lost} of {loss.sent} lost, {loss.longest:.2f} s in a row, slowest {loss.slowest:.1f} s"
                print(f" | {name}: {row}", end="")
            print(flush=True)


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdecimal() else 4
    if not 2 <= wanted <= 16:
        sys.exit("usage: python -m bench.rotation [ZONES], 2 to 16 of them; as root")
    measured("rotation", lambda: main(wanted))
