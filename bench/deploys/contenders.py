"""What is typed at the operator's workstation, by each of the contenders."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from bench.deploys.hosts import Hosts
from bench.deploys.material import INVENTORY
from bench.deploys.results import ANSIBLE, COOKBOOK, FLOOR
from bench.lab import PATIENCE, ROOT, BenchError

HERE = Path(__file__).parent
CONNECTING = ("pyinfra", "-y", "inventory.py", str(HERE / "connect.py"))
REQUIREMENTS = HERE / "requirements.txt"
VENV = ROOT / ".venv" / "ansible"

Words = tuple[str, ...]


@dataclass(frozen=True)
class Contender:
    """A way to do the job. `rebuild` makes one host of a blank one; its ssh host key's fingerprint is given, too."""

    name: str
    deploy: Words
    rebuild: Callable[[str, str], Words]


def cookbook() -> Contender:
    """What is typed for a rebuild, and what is typed for a deploy."""
    return Contender(
        COOKBOOK,
        ("pyinfra", "-y", "inventory.py", "deploy.py"),
        lambda host, key: ("./vpc", "rebuild", host, "--host-key", key),
    )


def floor(hosts: Hosts, folder: Path) -> Contender:
    """floor.sh, with the material in `folder`."""
    words = ("sh", str(HERE / "floor.sh"), "deploy", str(folder))
    return Contender(FLOOR, (*words, *hosts.names), lambda host, _: (*words, host))


def ansible(folder: Path) -> Contender:
    """The playbook, with the material in `folder`."""
    home = folder / "ansible"
    settings = {
        "ANSIBLE_CONFIG": HERE / "playbook" / "ansible.cfg",
        "ANSIBLE_HOME": home,
        "ANSIBLE_SSH_CONTROL_PATH_DIR": control_paths(folder),
        "LC_ALL": "C.UTF-8",  # it insists
    }
    words = (
        *("env", *(f"{name}={value}" for name, value in settings.items())),
        *(str(VENV / "bin" / "ansible-playbook"), "-i", str(folder / INVENTORY), str(HERE / "playbook" / "site.yml")),
    )
    return Contender(ANSIBLE, words, lambda host, _: (*words, "--limit", host))


def control_paths(folder: Path) -> Path:
    """Where Ansible's ssh leaves its connections, for a playbook that follows within a minute."""
    return folder / "connections"


def install_ansible() -> None:
    """Have it, in an environment of its own, as pinned."""
    stamp = VENV / f".installed-{sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]}"
    if stamp.exists():
        return
    print("installing Ansible; this happens once", flush=True)
    _must(sys.executable, "-m", "venv", "--clear", str(VENV))
    options = ("--quiet", "--disable-pip-version-check", "--require-hashes")
    _must(str(VENV / "bin" / "pip"), "install", *options, "--requirement", str(REQUIREMENTS))
    stamp.touch()


def ansible_version() -> str:
    """As it says itself: 2.19.14."""
    return _must(str(VENV / "bin" / "ansible-playbook"), "--version").partition("[core ")[2].partition("]")[0]


def _must(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if done.returncode != 0:
        raise BenchError(f"`{' '.join(words)}` failed:\n{done.stderr}")
    return done.stdout
