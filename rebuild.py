"""Turn blank machines into the hosts of the site that they replace; say how long each stage took.

    python rebuild.py HOST… [--host-key [HOST=]SHA256:…]… [--wait SECONDS]
    make rebuild ZONE=us-east-1b [HOST_KEY=SHA256:…]

HOST is `nat-ZONE`, `office`, or `all`. Each gets its old identity, so that no other host needs a change; where the site
file gives a NAT another public address than before, the office router does, and is deployed to as well.

Exits 0 when packets for each rebuilt zone cross the zone's own tunnel again. Type the same again after a failure: it
goes on from there.
"""

import argparse
import queue
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import drift
from vpc_openvpn import ahead
from vpc_openvpn.identities.errors import CredentialsError
from vpc_openvpn.identities.store import Store
from vpc_openvpn.output import outlive_reader
from vpc_openvpn.site.load import SiteError, load, site_path
from vpc_openvpn.site.plan import OFFICE, SINGLE, HostPlan, NatPlan, plan

HERE = Path(__file__).parent
DEPLOY, HOME = "deploy.py", "home.py"
BOOT = 300  # seconds for a machine that still boots
QUIET = 15.0  # seconds after which pyinfra's silence is explained


class RebuildError(Exception):
    """Why it ends here, in words for the person at the screen."""


def main() -> int:
    """All stages in order; the exit status."""
    arguments = _parser().parse_args()
    try:
        rebuild(arguments.hosts, arguments.host_key, arguments.wait)
    except (SiteError, CredentialsError) as error:
        print(f"{error}\nNo host was changed.", file=sys.stderr)
    except RebuildError as error:
        print(f"rebuild: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nrebuild: interrupted; type the same again to go on from there.", file=sys.stderr)
        return 130
    else:
        return 0
    return 1


def rebuild(words: Sequence[str], expected_keys: Sequence[str], wait: float) -> None:
    """Raises SiteError, CredentialsError or RebuildError; before the deploy begins, no host has been changed."""
    site = load()
    plans = plan(site)
    hosts = _chosen(words, plans)
    keys = _expected(expected_keys, hosts)
    Store.from_environment(site_path()).check(hosts)
    stages = Stages()
    with _pyinfra(DEPLOY, "-y", limits=list(hosts)) as deploy, ThreadPoolExecutor(1) as beside:
        # Imported here, as that takes as long as pyinfra takes to start; so they do it side by side.
        from vpc_openvpn.ssh import connection
        from vpc_openvpn.ssh.acceptance import AcceptanceError, judge, wait_for_ssh

        connection.check(site)

        try:
            with stages.timed("ssh answers"):
                shown = wait_for_ssh(hosts, time.monotonic() + wait)
            with stages.timed("host key accepted"):
                for name, key in shown.items():
                    judge(name, hosts[name], key, keys.get(name))
        except AcceptanceError as error:
            raise RebuildError(str(error)) from None
        office = None if OFFICE in hosts else beside.submit(_see_to_office)
        try:
            with stages.timed("deployed"):
                deploy.go()
        finally:
            if office:
                with stages.timed("office router seen to"):
                    office_done = office.result()
    if office and not office_done:
        raise RebuildError("the office router could not be brought up to date; see above for the cause.")
    zones = _zones(plans if OFFICE in hosts else hosts)
    if plans[OFFICE].strategy == SINGLE:
        zones = []
    if zones:
        where = f"zones={','.join(zones)}"
        with stages.timed("traffic home"), _pyinfra(HOME, "-y", "--data", where, limits=[OFFICE]) as home:
            home.go()
    print(f"\n{stages.table()}\n\n{_verdict(list(hosts), zones)}")


# --- what is asked for ---------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rebuild.py",
        description="Blank machines become the site's hosts that they replace, under their identities.",
    )
    parser.add_argument("hosts", nargs="*", metavar="HOST", help="nat-ZONE, office, or all")
    parser.add_argument(
        "--host-key",
        action="append",
        default=[],
        metavar="[HOST=]SHA256:…",
        help="the fingerprint of its new ssh host key, from its console; without it, you are asked",
    )
    parser.add_argument(
        "--wait", type=float, default=BOOT, metavar="SECONDS", help=f"for a machine that still boots ({BOOT})"
    )
    return parser


def _chosen(words: Sequence[str], plans: Mapping[str, HostPlan]) -> dict[str, HostPlan]:
    names = list(plans)
    if not words:
        raise RebuildError(f"which host? Write: make rebuild ZONE={_zones(plans)[0]} (the zones are {_listed(plans)})")
    unknown = [word for word in words if word not in plans and word != "all"]
    if unknown:
        raise RebuildError(
            f"there is no host {unknown[0]} in the site; there are: {', '.join(names)} (the zones are {_listed(plans)})"
        )
    return dict(plans) if "all" in words else {name: plans[name] for name in names if name in words}


def _zones(plans: Mapping[str, HostPlan]) -> list[str]:
    return [each.zone for each in plans.values() if isinstance(each, NatPlan)]


def _listed(plans: Mapping[str, HostPlan]) -> str:
    return ", ".join(_zones(plans))


def _expected(words: Sequence[str], hosts: Mapping[str, HostPlan]) -> dict[str, str]:
    """Fingerprints by host."""
    expected = {}
    for word in words:
        name, _, fingerprint = word.rpartition("=") if not word.startswith("SHA256:") else ("", "", word)
        if not fingerprint.startswith("SHA256:"):
            raise RebuildError(f"{word} is no fingerprint of a host key. Write it as its console shows it: SHA256:…")
        if not name and len(hosts) != 1:
            raise RebuildError(f"which host's key is {word}? Write: {next(iter(hosts))}={word}")
        if name and name not in hosts:
            raise RebuildError(f"{word}: {name} is none of the hosts to rebuild: {', '.join(hosts)}")
        expected[name or next(iter(hosts))] = fingerprint.rstrip("=")
    return expected


# --- what runs -----------------------------------------------------------------------------------------------


def _see_to_office() -> bool:
    """Look whether the office router is as the site says, and bring it up to date. False where that failed.

    Runs beside the deploy to the NATs, whose proof waits for the office. Whether packets cross is not asked here: that
    is for the end, and most of the time they do not, as long as a NAT is dead.
    """
    unproved = ("--data", "proof=no")
    changes = drift.pending([OFFICE], unproved, quiet=True)
    if changes is None:
        print("The office router could not be looked at. If the site file has a new public address, deploy to it, too.")
        return True
    if not changes:
        print("The office router needs no change.")
        return True
    print(f"The office router is not as the site says ({'; '.join(changes[OFFICE])}): it is deployed to as well.")
    command = _command(DEPLOY, "-y", *unproved, limits=[OFFICE])
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=HERE,
        env=drift.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(f"\n$ {shlex.join(command)}\n{done.stdout}")
    return done.returncode == 0


def _command(*words: str, limits: Sequence[str]) -> list[str]:
    return ["pyinfra", "inventory.py", *words, *(word for limit in limits for word in ("--limit", limit))]


class Ahead:
    """A run of pyinfra that has begun to start, and connects to nobody before it is told to go."""

    def __init__(self, command: Sequence[str], process: subprocess.Popen[str]) -> None:
        self._command, self._process = command, process

    def go(self) -> None:
        """Let it run, and say now and then that it still does. Raises RebuildError if it fails."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(f"\n$ {shlex.join(self._command)}")
        with suppress(BrokenPipeError):  # it has ended; what it said comes below
            self._process.stdin.write(f"{ahead.GO}\n")
            self._process.stdin.close()  # what asks without a terminal gets an end of file, and does not wait for ever
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_read, args=[self._process.stdout, lines]).start()
        began = time.monotonic()
        while True:
            try:
                line = lines.get(timeout=QUIET)
            except queue.Empty:
                print(f"    … still at it, {time.monotonic() - began:.0f} s")
                continue
            if not line:
                break
            print(line, end="")
        if self._process.wait() != 0:
            raise RebuildError("that failed; see above for host and cause. Type the same again when it is mended.")


@contextmanager
def _pyinfra(*words: str, limits: Sequence[str]) -> Iterator[Ahead]:
    """A run that starts now, which takes a second, and is told later to go. It ends with the block."""
    command = _command(*words, limits=limits)
    with subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=HERE,
        env={**drift.environment(), ahead.WAIT: "yes"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        yield Ahead(command, process)


def _read(output: Iterable[str], lines: "queue.Queue[str]") -> None:
    for line in output:
        lines.put(line)
    lines.put("")


# --- what is said of it ----------------------------------------------------------------------------------------


class Stages:
    """How long each stage took, in seconds."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """The block is the stage `name`."""
        began = time.monotonic()
        yield
        self._seconds[name] = time.monotonic() - began

    def table(self) -> str:
        """A line for each stage, and one for all of them."""
        rows = {**self._seconds, "altogether": sum(self._seconds.values())}
        return "\n".join(f"    {name:24}{seconds:7.1f} s" for name, seconds in rows.items())


def _verdict(hosts: Sequence[str], zones: Sequence[str]) -> str:
    back = f"{', '.join(hosts)}: rebuilt."
    if not zones:
        return f"{back} With the strategy `single` the office is connected to one NAT at a time, this one or another."
    return f"{back} What a desk sends to {', '.join(zones)} crosses the zone's own tunnel."


if __name__ == "__main__":
    outlive_reader()
    sys.exit(main())
