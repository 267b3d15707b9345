"""Turn blank machines into the hosts of the site that they replace; say how long each stage took.

    python rebuild.py HOST… [--host-key [HOST=]SHA256:…]… [--wait SECONDS]
    make rebuild ZONE=us-east-1b [HOST_KEY=SHA256:…]

HOST is `nat-ZONE`, `office`, or `all`. Each gets its old identity, so that no other host needs a change; where the site
file gives a NAT another public address than before, the office router does, and is deployed to as well.

Exits 0 when packets for each rebuilt zone cross the zone's own tunnel again. Type the same again after a failure: it
goes on from there.
"""

import argparse
import io
import queue
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import paramiko

import drift
from credentials.errors import CredentialsError
from credentials.store import Store
from remote import host_keys
from topology.load import SiteError, load, site_path
from topology.plan import OFFICE, SINGLE, HostPlan, NatPlan, plan

HERE = Path(__file__).parent
DEPLOY, HOME = "deploy.py", "home.py"
BOOT = 300  # seconds for a machine that still boots …
GLANCE, RETRY = 3.0, 1.0  # … for one look whether it does, and until the next
QUIET = 15.0  # seconds after which pyinfra's silence is explained
CONSOLE = "the machine's console output (EC2: Actions → Monitor and troubleshoot → Get system log)"


class RebuildError(Exception):
    """Why it ends here, in words for the person at the screen."""


def main() -> int:
    """All stages in order; the exit status."""
    arguments = _parser().parse_args()
    # In order with what is said on standard error, also where this is no terminal.
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(line_buffering=True)
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
    plans = plan(load())
    hosts = _chosen(words, plans)
    keys = _expected(expected_keys, hosts)
    Store.from_environment(site_path()).check(hosts)
    stages = Stages()
    with ThreadPoolExecutor(1) as beside:
        accepted: queue.Queue[bool] = queue.Queue()
        office = None if OFFICE in hosts else beside.submit(_see_to_office, accepted)
        try:
            with stages.timed("ssh answers"):
                shown = _wait_for_ssh(hosts, time.monotonic() + wait)
            with stages.timed("host key accepted"):
                for name, key in shown.items():
                    _judge(name, hosts[name], key, keys.get(name))
            accepted.put(True)
            with stages.timed("deployed"):
                _pyinfra(DEPLOY, "-y", limits=list(hosts))
        finally:
            accepted.put(False)
            if office:
                with stages.timed("office router seen to"):
                    office_done = office.result()
    if office and not office_done:
        raise RebuildError("the office router could not be brought up to date; see above for the cause.")
    zones = _zones(plans if OFFICE in hosts else hosts)
    if plans[OFFICE].strategy == SINGLE:
        zones = []
    if zones:
        with stages.timed("traffic home"):
            _pyinfra(HOME, "-y", "--data", f"zones={','.join(zones)}", limits=[OFFICE])
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
            raise RebuildError(f"{word} is no fingerprint of a host key. Write it as {CONSOLE} has it: SHA256:…")
        if not name and len(hosts) != 1:
            raise RebuildError(f"which host's key is {word}? Write: {next(iter(hosts))}={word}")
        if name and name not in hosts:
            raise RebuildError(f"{word}: {name} is none of the hosts to rebuild: {', '.join(hosts)}")
        expected[name or next(iter(hosts))] = fingerprint.rstrip("=")
    return expected


# --- ssh ---------------------------------------------------------------------------------------------------------


def _wait_for_ssh(hosts: Mapping[str, HostPlan], deadline: float) -> dict[str, paramiko.PKey]:
    """The key that each host shows, once it shows one."""
    shown: dict[str, paramiko.PKey] = {}
    said, began = 0.0, time.monotonic()
    while missing := [name for name in hosts if name not in shown]:
        causes = []
        for name in missing:
            try:
                shown[name] = next(host_keys.shown(hosts[name].ssh, GLANCE))
                print(f"{name} answers ssh at {hosts[name].ssh.host}.")
            except (OSError, EOFError, paramiko.SSHException, StopIteration) as error:
                causes.append(f"{name} ({hosts[name].ssh.host}): {str(error) or type(error).__name__}")
        now = time.monotonic()
        if causes and now > deadline:
            raise RebuildError(
                f"no ssh after {now - began:.0f} s: {'; '.join(causes)}. Does the machine run, has it the address that"
                " the site file gives it, and does its security group admit you?"
            )
        if causes and now - said > 5:
            said = now
            print(f"waiting for ssh, {now - began:.0f} s of {deadline - began:.0f}: {'; '.join(causes)}")
        if causes:
            time.sleep(RETRY)
    return shown


def _judge(name: str, host: HostPlan, key: paramiko.PKey, expected: str | None) -> None:
    """Accept the key that a host shows, or raise."""
    known = host_keys.known(host.ssh)
    if expected:
        key = _of_fingerprint(name, host, expected)
        print(f"{name} has the expected host key: {host_keys.describe(key)}")
    elif key in known:
        print(f"{name} has the host key that it always had.")
        return
    else:
        _ask(name, host, key, new=not known)
    if [key] != known:
        host_keys.accept(host.ssh, key)


def _of_fingerprint(name: str, host: HostPlan, expected: str) -> paramiko.PKey:
    others = []
    for key in host_keys.shown(host.ssh):
        if key.fingerprint == expected:
            return key
        others.append(host_keys.describe(key))
    raise RebuildError(
        f"{name} does not have the host key {expected}. At {host.ssh.host} it shows: {'; '.join(others)}. Either that"
        " is another machine (the old one?), or the fingerprint is not this one's. Nothing was accepted."
    )


def _ask(name: str, host: HostPlan, key: paramiko.PKey, *, new: bool) -> None:
    which = "a host key, and none is known" if new else "another host key than before"
    print(f"\n{name} ({host.ssh.host}) shows {which}:\n\n    {host_keys.describe(key)}\n\nCompare it with {CONSOLE}.")
    if not sys.stdin.isatty():
        raise RebuildError(
            f"the host key of {name} is not accepted. If it is the one on the console, type:\n"
            f"    make rebuild {_wish(name)} HOST_KEY={key.fingerprint}"
        )
    if input("Is it the same? Type yes to accept it: ").strip().lower() != "yes":
        raise RebuildError(f"the host key of {name} is not accepted; nothing was changed")


def _wish(name: str) -> str:
    return f"ZONE={name.removeprefix('nat-')}" if name.startswith("nat-") else f"HOST={name}"


# --- what runs -----------------------------------------------------------------------------------------------


def _see_to_office(accepted: "queue.Queue[bool]") -> bool:
    """Look whether the office router is as the site says, and bring it up to date once the host keys are `accepted`.

    Runs beside the deploy to the NATs, whose proof waits for the office. Whether packets cross is not asked here: that
    is for the end, and most of the time they do not, as long as a NAT is dead. False where a deploy failed.
    """
    unproved = ("--data", "proof=no")
    changes = drift.pending([OFFICE], unproved, quiet=True)
    if changes is None:
        print("The office router could not be looked at. If the site file has a new public address, deploy to it, too.")
        return True
    if not changes:
        print("The office router needs no change.")
        return True
    if not accepted.get():
        return True
    print(f"The office router is not as the site says ({'; '.join(changes[OFFICE])}): it is deployed to as well.")
    command = _command(DEPLOY, "-y", *unproved, limits=[OFFICE])
    run = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=HERE,
        env=drift.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(f"\n$ {shlex.join(command)}\n{run.stdout}")
    return run.returncode == 0


def _command(*words: str, limits: Sequence[str]) -> list[str]:
    return ["pyinfra", "inventory.py", *words, *(word for limit in limits for word in ("--limit", limit))]


def _pyinfra(*words: str, limits: Sequence[str]) -> None:
    """Run pyinfra, and say now and then that it still does."""
    command = _command(*words, limits=limits)
    print(f"\n$ {shlex.join(command)}")
    with subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=HERE,
        env=drift.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        assert run.stdout is not None
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_read, args=[run.stdout, lines]).start()
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
    if run.returncode != 0:
        raise RebuildError("that failed; see above for host and cause. Type the same again when it is mended.")


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
    sys.exit(main())
