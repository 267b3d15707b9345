"""Where the lab keeps its things, what it remembers between two commands, and the lock that serialises them.

    STATE   lab.json, site.yml, known_hosts, ssh key, identities, hosts' disks; gone after `down`
    CACHE   base image and packages, the lock; kept by `down`

VPC_OPENVPN_LAB=NAME in the environment makes a second lab beside the first: another state directory, another
prefix. Nothing that belongs to one is ever found by the other.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from lab.layout import Host, Layout
from lab.system import HELD, LabError
from lab.vpc import Vpc

REPOSITORY = Path(__file__).resolve().parent.parent

INSTANCE = os.environ.get("VPC_OPENVPN_LAB", "")
if not re.fullmatch(r"[a-z0-9]{0,16}", INSTANCE):
    sys.exit("lab: VPC_OPENVPN_LAB must be at most 16 lower-case letters and digits")

# What the names of our network namespaces, control groups and machines begin with. "vpclab-" begins none of
# "vpclab.NAME-…" and the other way round.
PREFIX = f"vpclab.{INSTANCE}-" if INSTANCE else "vpclab-"
STATE = Path("/var/lib/vpc-openvpn-lab" + (f".{INSTANCE}" if INSTANCE else ""))
CACHE = Path("/var/cache/vpc-openvpn-lab")

LAB_FILE = STATE / "lab.json"
SITE_FILE = STATE / "site.yml"
KNOWN_HOSTS = STATE / "known_hosts"
SSH_KEY = STATE / "ssh" / "id_ed25519"
IDENTITIES = STATE / "identities"
AGE_IDENTITY_FILE = STATE / "age.key"
WEB_ROOT = STATE / "web"


@dataclass(frozen=True)
class Disk:
    """Where a real host's files are: its own layer, over the base image."""

    folder: Path

    @property
    def upper(self) -> Path:
        return self.folder / "upper"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def root(self) -> Path:
        """Where the layers are mounted together, in the supervisor's own mount namespace only."""
        return self.folder / "root"

    @property
    def console(self) -> Path:
        return self.folder / "console.log"

    # Of a virtual machine: its block device, over the base image; what cloud-init reads; its ssh host key; its agent.

    @property
    def device(self) -> Path:
        return self.folder / "disk.qcow2"

    @property
    def seed(self) -> Path:
        return self.folder / "seed"

    @property
    def host_key(self) -> Path:
        return self.folder / "ssh_host_ed25519_key"

    @property
    def agent(self) -> Path:
        return self.folder / "agent.socket"


def disk(host_name: str) -> Disk:
    return Disk(STATE / "hosts" / host_name)


@dataclass(frozen=True)
class Lab:
    """What the lab remembers."""

    zones: int
    base: str
    office: str = "static"  # what configures the router's interfaces: `static`, the lab, or `networkd`
    ipv6: bool = False
    ready: bool = False
    # QEMU's -accel, where the real hosts are virtual machines.
    accelerator: str | None = None
    isolated: list[str] = field(default_factory=list)
    partitions: list[list[str]] = field(default_factory=list)
    aws: dict[str, str] = field(default_factory=dict)  # settings of the VPC that are not as they should be

    @property
    def layout(self) -> Layout:
        return Layout(
            self.zones,
            office_networkd=self.office == "networkd",
            ipv6=self.ipv6,
            machines=self.accelerator is not None,
        )

    @property
    def vpc(self) -> Vpc:
        return Vpc(self.layout, self.aws)

    def faults(self, host: Host) -> list[str]:
        """What is broken around a host, in words."""
        words = ["isolated"] if host.zone in self.isolated else []
        for first, second in self.partitions:
            if host.zone in (first, second):
                words.append(f"cut from {second if host.zone == first else first}")
        return words + self.vpc.mistakes(host)


def load() -> Lab | None:
    """What `up` wrote, or None when there is no lab."""
    try:
        return Lab(**json.loads(LAB_FILE.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise LabError(f"{LAB_FILE} is damaged; `python -m lab down` removes it") from error


def load_ready() -> Lab:
    """The lab that is up; raises LabError when there is none."""
    lab = load()
    if lab is None:
        raise LabError("no lab is up; `python -m lab up` starts one")
    if not lab.ready:
        raise LabError("an earlier `up` has not finished; `python -m lab up` starts again, `down` removes it")
    return lab


def save(lab: Lab) -> Lab:
    """Remember `lab`; never leaves a half-written file."""
    STATE.mkdir(parents=True, exist_ok=True, mode=0o755)
    draft = LAB_FILE.with_suffix(".new")
    draft.write_text(json.dumps(asdict(lab), indent=2) + "\n")
    draft.rename(LAB_FILE)
    return lab


def mark_ready(lab: Lab) -> Lab:
    return save(replace(lab, ready=True))


@contextmanager
def exclusive(name: str, waiting: str) -> Iterator[None]:
    """Hold the lock `name`; say `waiting` once if another process has it.

    A dead holder holds it until what it has begun by `run` has ended: an `ip` that makes namespaces, say.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(waiting, file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        HELD.add(lock.fileno())
        try:
            yield
        finally:
            HELD.discard(lock.fileno())
