"""The verbs of `python -m lab`. Each is idempotent and says in one sentence what is wrong, if anything is."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lab import cgroups, hosts, image, machine, machine_image, namespaces, network, state, vpc
from lab.layout import MAX_ZONES, Host, Layout
from lab.site import site_text
from lab.state import (
    AGE_IDENTITY_FILE,
    IDENTITIES,
    KNOWN_HOSTS,
    REPOSITORY,
    SITE_FILE,
    SSH_KEY,
    STATE,
    WEB_ROOT,
    Lab,
)
from lab.system import MACHINE_TOOLS, TOOLS, LabError, require_kernel, require_room, require_tools

Verb = Callable[[argparse.Namespace], int]

OFFICES = ("static", "networkd")


@dataclass(frozen=True)
class Row:
    """What `list` says about a host; `list --json` has exactly these fields."""

    name: str
    kind: str
    zone: str | None
    addresses: list[str]
    state: str
    faults: list[str]
    ssh_host_key: str | None


def main(words: Sequence[str]) -> int:
    """Run one verb; the exit status."""
    arguments = _parser().parse_args(words)
    verb: Verb = arguments.verb
    try:
        if os.geteuid() != 0:
            raise LabError("the lab makes network namespaces and boots hosts: run it as root")
        os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # root by `su` has them not
        require_tools(TOOLS)
        if arguments.exclusive:
            os.umask(0o022)  # what ends up on hosts' disks must not depend on the user's
            with state.exclusive(f"{state.PREFIX}lab", "waiting for another lab command to finish"):
                return verb(arguments)
        return verb(arguments)
    except (LabError, OSError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab", description="An office, a VPC and the internet, on one machine."
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def add(name: str, verb: Verb, text: str, *, exclusive: bool = True) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text)
        sub.set_defaults(verb=verb, exclusive=exclusive)
        return sub

    booting = add("up", up, "build and boot")
    booting.add_argument("--zones", type=_zone_count, default=4, metavar="N", help=f"1 to {MAX_ZONES}, 4 by default")
    booting.add_argument("--release", metavar="NAME", help="of the hosts, as `trixie`; this machine's own by default")
    booting.add_argument(
        "--office",
        choices=OFFICES,
        default=OFFICES[0],
        help="what configures the router's interfaces: the lab, before it boots, or systemd-networkd by netplan",
    )
    booting.add_argument("--ipv6", action="store_true", help="global IPv6 addresses for the router and the NATs, too")
    booting.add_argument("--machines", action="store_true", help="hosts are virtual machines, not containers")
    add("down", down, "remove every trace")
    add("list", list_hosts, "hosts, addresses, state", exclusive=False).add_argument(
        "--json", action="store_true", help="for programs"
    )
    add("site", site, "print the lab's site.yml", exclusive=False)
    at_operator = add("run", run_at_operator, "run CMD at the operator's workstation, here", exclusive=False)
    at_operator.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD…")
    on_host = add("exec", exec_on_host, "run CMD on a host, as from its console", exclusive=False)
    on_host.add_argument("host", metavar="HOST")
    on_host.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD…")
    add("kill", kill, "power cut").add_argument("host", metavar="HOST")
    add("start", start, "power on, same disk").add_argument("host", metavar="HOST")
    add("replace", replace_host, "a blank disk and a new ssh host key, same addresses").add_argument(
        "host", metavar="HOST"
    )
    add("trust", trust, "write known_hosts again, with each host's ssh host key as it is now")
    add("isolate", isolate, "a zone loses everything outside it").add_argument("zone", metavar="ZONE")
    add("partition", partition, "two zones lose each other, internet stays").add_argument(
        "zones", nargs=2, metavar="ZONE"
    )
    aws = add("aws", set_aws, "get the VPC's own settings wrong, and right again")
    settings = aws.add_subparsers(metavar="SETTING", required=True)

    def add_setting(kind: str, text: str, *words: str) -> None:
        sub = settings.add_parser(kind, help=text, description=text)
        sub.set_defaults(setting=kind)
        for word in words:
            sub.add_argument("words", action="append", metavar=word)

    add_setting(vpc.CHECK, "are packets with an address of another's dropped at a host", "HOST", "on|off")
    add_setting(
        vpc.GROUP, f"what a host's group lets in, or out; RULE: {', '.join(vpc.RULES)}", "HOST", "RULE", "allow|deny"
    )
    add_setting(vpc.ROUTE, "a route of a subnet's table", "ZONE", "public|private", "internet|office", "on|off")
    add("heal", heal, "undo every isolate, partition and aws")
    return parser


def _zone_count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_ZONES:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to {MAX_ZONES}")
    return int(text)


def up(arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    present = state.load() if state.LAB_FILE.exists() else None
    if present is not None and present.ready:
        raise LabError(f"a lab of {_zones(present.zones)} is up; `python -m lab down` removes it")
    if present is not None or STATE.exists() or namespaces.ours():
        print("removing what an `up` that did not finish left behind", flush=True)
        _remove_everything()
    require_kernel()
    if arguments.machines:
        if (arguments.office, arguments.ipv6) != (OFFICES[0], False):
            raise LabError("virtual machines are set up by cloud-init, without IPv6: leave out --office and --ipv6")
        require_tools(MACHINE_TOOLS)
        base = machine_image.ensure(arguments.release)
        accelerator = machine.fitting_accelerator(base)
        print(f"hosts are virtual machines, run by QEMU with -accel {accelerator}", flush=True)
    else:
        require_room(arguments.zones + 1)  # the NATs and the office; said before anything is there to be removed
        base, accelerator = image.ensure(arguments.release), None
    lab = state.save(
        Lab(arguments.zones, base.name, office=arguments.office, ipv6=arguments.ipv6, accelerator=accelerator)
    )
    _write_operator_files(lab.layout)
    WEB_ROOT.mkdir()
    (WEB_ROOT / "debian").symlink_to(base / "packages")
    network.build_fabrics(lab)
    for host in lab.layout.real_hosts:
        hosts.make_disk(host)
    hosts.trust(lab.layout)
    hosts.power_on(host for host in lab.layout.hosts.values() if not host.fabric)
    hosts.wait_until_reachable(lab.layout)
    state.mark_ready(lab)
    seconds = time.monotonic() - started
    print(f"a lab of {_zones(lab.zones)} is up after {seconds:.1f} s; its site is {SITE_FILE}", flush=True)
    return _make_credentials()


def down(_: argparse.Namespace) -> int:
    nothing = not STATE.exists() and not namespaces.ours() and not cgroups.ours()
    image.remove_drafts()
    _remove_everything()
    print("no lab was up" if nothing else "the lab is gone")
    return 0


def list_hosts(arguments: argparse.Namespace) -> int:
    lab = state.load_ready()
    processes = namespaces.processes()
    rows = [_row(lab, host, processes) for host in lab.layout.hosts.values()]
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        _print_table(rows)
    return 0


def site(_: argparse.Namespace) -> int:
    lab = state.load_ready()
    print(site_text(lab.layout, SSH_KEY, KNOWN_HOSTS), end="")
    return 0


def run_at_operator(arguments: argparse.Namespace) -> int:
    lab = state.load_ready()
    command = _command(arguments)
    os.environ.update(_operator_environment())
    return hosts.enter(_host_that_is_on(lab, "operator"), command)


def exec_on_host(arguments: argparse.Namespace) -> int:
    lab = state.load_ready()
    command = _command(arguments)
    return hosts.enter(_host_that_is_on(lab, arguments.host), command)


def kill(arguments: argparse.Namespace) -> int:
    host = _host_with_power_button(state.load_ready(), arguments.host)
    hosts.power_off([host])
    return 0


def start(arguments: argparse.Namespace) -> int:
    host = _host_with_power_button(state.load_ready(), arguments.host)
    if not hosts.is_on(host, namespaces.processes()):
        hosts.power_off([host])  # one that powered itself off leaves its control group
        hosts.power_on([host])
    return 0


def replace_host(arguments: argparse.Namespace) -> int:
    host = _host_with_power_button(state.load_ready(), arguments.host)
    if not host.real:
        raise LabError(f"{host.name} has no disk of its own to replace; `kill` and `start` are all it knows")
    hosts.power_off([host])
    hosts.remove_disk(host)
    hosts.make_disk(host)
    hosts.power_on([host])
    return 0


def trust(_: argparse.Namespace) -> int:
    hosts.trust(state.load_ready().layout)
    return 0


def isolate(arguments: argparse.Namespace) -> int:
    lab = state.load_ready()
    zone = _zone(lab, arguments.zone)
    return _change(replace(lab, isolated=sorted({*lab.isolated, zone})))


def partition(arguments: argparse.Namespace) -> int:
    lab = state.load_ready()
    pair = sorted({_zone(lab, name) for name in arguments.zones})
    if len(pair) != 2:
        raise LabError("name two different zones")
    others = [other for other in lab.partitions if other != pair]
    return _change(replace(lab, partitions=[*others, pair]))


def set_aws(arguments: argparse.Namespace) -> int:
    lab = state.load_ready()
    kind: str = arguments.setting
    *words, value = arguments.words
    if kind == vpc.ROUTE:
        _zone(lab, words[0])
        _one_of(words[1], "subnet", vpc.SUBNETS)
        _one_of(words[2], "destination", vpc.DESTINATIONS)
    else:
        _one_of(_host(lab, words[0]).name, "instance", list(lab.vpc.instances))
    if kind == vpc.GROUP:
        _one_of(words[1], "rule", list(vpc.RULES))
    _one_of(value, "value", ("allow", "deny") if kind == vpc.GROUP else ("on", "off"))
    return _change(replace(lab, aws=lab.vpc.having(value, kind, *words)))


def heal(_: argparse.Namespace) -> int:
    return _change(replace(state.load_ready(), isolated=[], partitions=[], aws={}))


def _change(lab: Lab) -> int:
    network.apply_faults(lab)
    network.apply_vpc(lab)
    state.save(lab)
    return 0


def _remove_everything() -> None:
    """Remove whatever is there, found by its name rather than by what the lab remembers."""
    state.LAB_FILE.unlink(missing_ok=True)  # first: a supervisor that has just started then gives up
    cgroups.kill(cgroups.ours())
    names = namespaces.ours()
    namespaces.kill_processes(names)
    namespaces.delete(names)
    namespaces.remove_folder_if_unused()
    cgroups.remove_all()
    _remove_traces_of_nspawn()
    if STATE.exists():
        shutil.rmtree(STATE)


def _remove_traces_of_nspawn() -> None:
    """systemd-nspawn removes its run-time directories when it ends, but not when it is killed."""
    for folder in Path("/run/systemd/nspawn").glob(f"*/{state.PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _write_operator_files(lab: Layout) -> None:
    hosts.make_ssh_key()
    SITE_FILE.write_text(site_text(lab, SSH_KEY, KNOWN_HOSTS))


def _operator_environment() -> dict[str, str]:
    tools = Path(sys.executable).parent
    return {
        "SITE": str(SITE_FILE),
        "IDENTITIES": str(IDENTITIES),
        "AGE_IDENTITY_FILE": str(AGE_IDENTITY_FILE),
        "PATH": f"{tools}:{os.environ['PATH']}",
    }


def _make_credentials() -> int:
    """Do as a user would: create the identities that a deploy needs."""
    command = [str(REPOSITORY / "vpc"), "identities", "init"]
    environment = os.environ | _operator_environment()
    status = subprocess.run(command, cwd=REPOSITORY, env=environment, check=False).returncode
    if status != 0:
        raise LabError(
            "the lab is up, but has no identities: `./vpc identities init` failed. Try again with:\n"
            "  python -m lab run -- ./vpc identities init"
        )
    return 0


def _command(arguments: argparse.Namespace) -> list[str]:
    words: list[str] = arguments.command
    command = words[1:] if words[:1] == ["--"] else words
    if not command:
        raise LabError("what to run is missing: write it after `--`")
    return command


def _host(lab: Lab, name: str) -> Host:
    known = lab.layout.hosts
    if name not in known:
        raise LabError(f"there is no host {name}{_near_miss(name, known)}")
    return known[name]


def _host_that_is_on(lab: Lab, name: str) -> Host:
    host = _host(lab, name)
    if not namespaces.exists(host.name):
        raise LabError(f"{host.name} is off; `python -m lab start {host.name}` switches it on")
    return host


def _host_with_power_button(lab: Lab, name: str) -> Host:
    host = _host(lab, name)
    if host.fabric:
        raise LabError(f"{name} is one of the lab's networks and is always on")
    return host


def _zone(lab: Lab, name: str) -> str:
    known = [zone.name for zone in lab.layout.zones]
    if name not in known:
        raise LabError(f"there is no zone {name}{_near_miss(name, known)}")
    return name


def _one_of(word: str, what: str, known: Sequence[str]) -> None:
    if word not in known:
        raise LabError(f"there is no {what} {word}{_near_miss(word, known)}")


def _near_miss(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are: {', '.join(known)}"


def _zones(count: int) -> str:
    return "1 zone" if count == 1 else f"{count} zones"


def _row(lab: Lab, host: Host, processes: dict[str, list[int]]) -> Row:
    return Row(
        name=host.name,
        kind=host.kind,
        zone=host.zone,
        addresses=[str(address) for address in host.addresses],
        state="up" if hosts.is_on(host, processes) else "off",
        faults=lab.faults(host),
        ssh_host_key=hosts.ssh_fingerprint(host),
    )


def _print_table(rows: list[Row]) -> None:
    for row in rows:
        words = f"{row.name:16} {row.kind:9} {row.state:4} {', '.join(row.addresses):30} {', '.join(row.faults)}"
        print(words.rstrip())
