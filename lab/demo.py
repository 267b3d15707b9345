"""The whole of it on this machine: boot a lab, plan, deploy, see packets cross, lose a NAT, bring it back.

Run as root, by `make demo`. Types what you would type, and shows it. Leaves the lab up for you to go on with.
"""

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from vpc_openvpn.output import outlive_reader

HERE = Path(__file__).parents[1]
LAB = (sys.executable, "-m", "lab")
PLAN = ("pyinfra", "inventory.py", "deploy.py", "--dry")  # `./vpc plan` shows each line: of a first deploy, a thousand
STATUS = (*LAB, "run", "--", "./vpc", "status")
DEGRADED = 2  # its exit status while a zone is reached by a detour
DESK = "desk"


class DemoError(Exception):
    """What did not work, in words for the person at the screen."""


def main() -> int:
    """Every step in order; stops at the first that does not work."""
    started = time.monotonic()
    try:
        hosts = boot()
        zones = {host["zone"]: host["addresses"][0] for host in hosts if host["kind"] == "app"}
        plan_and_deploy()
        web = next(host["addresses"][0] for host in hosts if host["kind"] == "web")
        see_packets_cross(zones, web)
        # The second zone, where there is one: a lab that was up already may have fewer.
        lost = list(zones)[min(1, len(zones) - 1)]
        lose_and_rebuild(lost, zones[lost], web)
    except DemoError as error:
        print(f"\nThe demo stops here: {error}", file=sys.stderr)
        return 1
    print(f"\nDone in {time.monotonic() - started:.0f} s. The lab is still up. What to type next:\n{NEXT.rstrip()}")
    return 0


NEXT = """
  .venv/bin/python -m lab list                                        its hosts
  .venv/bin/python -m lab run -- ./vpc status --watch                 how each zone is reached, again and again
  .venv/bin/python -m lab run -- ./vpc deploy                         deploy again: nothing changes
  .venv/bin/python -m lab exec nat-us-east-1a -- iptables -F          it is back within seconds, and this says so:
  .venv/bin/python -m lab exec nat-us-east-1a -- journalctl -n 9 -u vpc-openvpn-keeper
  .venv/bin/python -m lab exec desk -- ping 10.0.21.10                from a desk to zone us-east-1a; while that runs:
  .venv/bin/python -m lab kill nat-us-east-1a                         cut its NAT's power (and `start` it again)
  .venv/bin/python -m lab down                                        remove every trace
  cp site.example.yml site.yml                                        your own office and VPC: see README.md
"""


def boot() -> list[dict[str, Any]]:
    """A lab that is up, this demo's or one that was there; its hosts."""
    heading("A lab: an office router, a NAT per zone, and hosts behind them, on this machine")
    listed = subprocess.run([*LAB, "list", "--json"], cwd=HERE, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        show(*LAB, "up")
        listed = subprocess.run([*LAB, "list", "--json"], cwd=HERE, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        raise DemoError(listed.stderr.strip())
    show(*LAB, "list")
    hosts: list[dict[str, Any]] = json.loads(listed.stdout)
    return hosts


def plan_and_deploy() -> None:
    """A dry run, then the deploy."""
    heading("What a deploy would do (./vpc plan: every line of it)")
    show(*LAB, "run", "--", *PLAN)
    heading("Deploy")
    show(*LAB, "run", "--", "./vpc", "deploy", "-y")
    show(*STATUS)


def see_packets_cross(zones: dict[str, str], web: str) -> None:
    """From a desk to every zone (by the address of a host there), and from every zone to `web` on the internet."""
    heading("From a desk in the office to an application host in each zone, through the zone's own tunnel")
    for address in zones.values():
        show(*LAB, "exec", DESK, "--", "ping", "-n", "-c", "1", "-W", "2", address, only="bytes from")
    heading("From each zone to a web server on the internet, which says who asked: the zone's own NAT")
    for zone in zones:
        show(*LAB, "exec", f"app-{zone}", "--", "curl", "-sS", "-m", "5", f"http://{web}/")


def fingerprint(zone: str) -> str:
    """Of the ssh host key of the zone's NAT, as its console shows it."""
    listed = subprocess.run([*LAB, "list", "--json"], cwd=HERE, capture_output=True, text=True, check=True).stdout
    return next(str(host["ssh_host_key"]) for host in json.loads(listed) if host["name"] == f"nat-{zone}")


def lose_and_rebuild(zone: str, app: str, web: str) -> None:
    """Cut the power of the zone's NAT, see the detour and what it cannot do; have a blank host rebuilt in its place."""
    ask = (*LAB, "exec", f"app-{zone}", "--", "curl", "-sS", "-m", "2", f"http://{web}/")
    heading(f"The NAT of {zone} loses its power")
    show(*LAB, "kill", f"nat-{zone}")
    heading("A desk reaches the zone all the same, within a second, by a detour through another zone's NAT")
    show(*LAB, "exec", DESK, "--", "ping", "-n", "-c", "4", "-i", "0.5", "-W", "2", app, only="bytes from")
    show(*STATUS, expect=DEGRADED)
    heading("The zone's own way to the internet is lost until its NAT is back")
    show(*ask, expect=28)
    heading("A blank host takes its place. Bring it back: under its old identity, so that nothing else needs a change")
    show(*LAB, "replace", f"nat-{zone}")
    print("Its ssh host key is new, and is accepted only because it is the one that its console shows.")
    show(*LAB, "run", "--", "./vpc", "rebuild", zone, "--host-key", fingerprint(zone))
    show(*ask)
    show(*STATUS)


def heading(text: str) -> None:
    """Say what comes next."""
    print(f"\n── {text}", flush=True)


def show(*command: str, only: str = "", expect: int = 0) -> None:
    """Type `command` and let its output be seen (`only`: the lines that hold this text). It must exit with `expect`."""
    typed = shlex.join(command).replace(sys.executable, ".venv/bin/python")
    print(f"$ {typed}", flush=True)
    done = subprocess.run(
        command,
        cwd=HERE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if only else None,
        text=True,
        check=False,
    )
    for line in (done.stdout or "").splitlines():
        if only in line:
            print(line)
    if done.returncode != expect:
        raise DemoError(f"`{typed}` exited with {done.returncode}")


if __name__ == "__main__":
    outlive_reader()
    sys.exit(main())
