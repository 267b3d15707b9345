"""What a scenario is written with: hosts as nouns, `succeeds` and `fails` as verbs, and a deploy that checks itself.

Everything goes through what a user types: `python -m lab …`, `pyinfra inventory.py deploy.py`. Every byte that any of
it prints is searched for key material.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pyrage
import pytest
import yaml

from tests.scenarios.console import Console

ROOT = Path(__file__).parents[2]
# The tests' own lab, beside any other that is up; one for each of pytest-xdist's workers.
INSTANCE = os.environ.get("SCENARIO_LAB", "test") + os.environ.get("PYTEST_XDIST_WORKER", "")
DEPLOY = ("pyinfra", "inventory.py", "deploy.py")
long_form = pytest.mark.skipif(not os.environ.get("ATTACKS"), reason="make test-attacks")

Site = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """A command that ended: its exit status and all that it printed."""

    status: int
    output: str


@cache
def _console(instance: str) -> Console:
    return Console(ROOT, {**os.environ, "VPC_OPENVPN_LAB": instance})


def lab(*words: str, stdin: str = "", timeout: float = 300, instance: str = INSTANCE) -> Answer:
    """`python -m lab WORDS`, as a user types it, but without a new Python for each."""
    environment = {**os.environ, "VPC_OPENVPN_LAB": instance}
    answer = Answer(*_console(instance).run(list(words), environment, stdin, timeout))
    if words[0] == "replace" and answer.status == 0:
        idle_keeper(words[1])
    return answer


# A command, tried for $2 milliseconds, by the host's own shell. Other labs are waiting for the processor: one that
# takes long is not run again before twice that time.
TRIED = """
began=$(date +%s%3N)
end=$(( began + $2 ))
until said=$(sh -c "$1" 2>&1); do
    now=$(date +%s%3N)
    [ $now -lt $end ] || { printf '%s\\n' "$said"; exit 1; }
    pause=$(( 2 * (now - began) )); [ $pause -gt 100 ] || pause=100; [ $pause -lt 500 ] || pause=500
    sleep $(printf '0.%03d' $pause)
    began=$(date +%s%3N)
done
printf '%s\\n' "$said"
"""

KEEPER_DROP_IN = "/etc/systemd/system/vpc-openvpn-keeper.service.d/test.conf"


def idle_keeper(host: str) -> None:
    """Have a blank host's keeper run and do nothing: most scenarios change the kernel by hand."""
    Host(host).succeeds(
        f"mkdir -p $(dirname {KEEPER_DROP_IN})"
        f" && printf '[Service]\\nWatchdogSec=0\\nExecStart=\\nExecStart=/bin/sleep infinity\\n' > {KEEPER_DROP_IN}"
    )


@dataclass(frozen=True)
class Host:
    """A host of the lab. Commands run as root, as from its console: they do not need its network."""

    name: str

    def answers(self, command: str) -> Answer:
        """Run `command` in a shell, whatever comes of it."""
        return lab("exec", self.name, "--", "sh", "-c", command)

    def succeeds(self, command: str) -> str:
        """Run `command`, which must exit 0; what it printed."""
        answer = self.answers(command)
        assert answer.status == 0, f"{self.name}: `{command}` failed ({answer.status}):\n{answer.output}"
        return answer.output

    def fails(self, command: str) -> str:
        """Run `command`, which must not exit 0; what it printed."""
        answer = self.answers(command)
        assert answer.status != 0, f"{self.name}: `{command}` should have failed, and printed:\n{answer.output}"
        return answer.output

    def eventually(self, command: str, seconds: float = 20) -> str:
        """Run `command` again and again until it exits 0, which it must within `seconds`; what it printed then."""
        deadline = time.monotonic() + seconds
        while True:
            left = max(0.0, deadline - time.monotonic())
            answer = lab("exec", self.name, "--", "sh", "-c", TRIED, "sh", command, f"{min(left, 2.0) * 1000:.0f}")
            if answer.status == 0:
                return answer.output
            assert left, f"{self.name}: `{command}` still fails after {seconds} s:\n{answer.output}"
            time.sleep(0.1)  # a host that is off is not asked without a pause

    def reaches(self, address: str) -> None:
        """A ping is answered within a second (three are sent)."""
        self.succeeds(f"ping -q -c 3 -i 0.1 -W 1 {address}")

    def cannot_reach(self, address: str) -> None:
        """None of three pings is answered."""
        answer = self.answers(f"ping -c 3 -i 0.1 -W 1 {address}")
        assert " 0 received" in answer.output, f"{self.name} reached {address}:\n{answer.output}"

    def power_cycle(self) -> None:
        """Power cut, power on, and wait for its boot to be over."""
        assert lab("kill", self.name).status == 0
        started = lab("start", self.name)
        assert started.status == 0, started.output
        if self.name == "office" or self.name.startswith("nat-"):
            self.eventually("systemctl is-system-running | grep -qx -e running -e degraded", 30)


@dataclass(frozen=True)
class Run:
    """A run of pyinfra that ended. `pending` and `changed` name the operations, by host."""

    status: int
    output: str
    pending: dict[str, list[str]] = field(default_factory=dict)
    changed: dict[str, list[str]] = field(default_factory=dict)


class World:
    """The lab, and a site file for it that a scenario may change."""

    def __init__(self, site_file: Path) -> None:
        self.site_file = site_file
        self.lab_site: Site = yaml.safe_load(lab("site").output)
        self.baseline = self.lab_site
        self.deployed: dict[str, str] = {}  # each host's state as scenarios find it (states.py)
        self.use(self.baseline)

    def use(self, site: Site) -> None:
        """Write `site` to the file that deploys read."""
        self.site_file.write_text(yaml.safe_dump(site, sort_keys=False), encoding="utf-8")

    def copy_of_site(self) -> Site:
        """A copy of the module's site, to change and `use`."""
        return deepcopy(self.baseline)

    @cached_property
    def hosts(self) -> list[str]:
        """The office's router and the NATs."""
        return ["office", *(f"nat-{zone['name']}" for zone in self.lab_site["zones"])]

    # --- what a user types ---------------------------------------------------------------------------------------

    def run(self, *command: str, env: Sequence[str] = (), timeout: float = 600) -> Answer:
        """`python -m lab run -- COMMAND` with the scenario's site file; its output is searched for key material."""
        answer = lab("run", "--", "env", f"SITE={self.site_file}", *env, *command, timeout=timeout)
        self.holds_no_secret(answer.output, " ".join(command))
        return answer

    def renew(self) -> None:
        """Blank hosts in place of all, and the lab's own site on them."""
        for name in self.hosts:
            self.replace(name)
        self.baseline = self.lab_site
        self.use(self.baseline)
        deployed = self.apply()
        assert deployed.status == 0, deployed.output

    def replace(self, name: str) -> None:
        """A blank host in another's place, whose ssh host key the operator has compared."""
        assert lab("replace", name).status == 0
        self.trust()

    def trust(self) -> None:
        """What an operator has compared: known_hosts has each host's ssh host key as it is now."""
        trusted = lab("trust")
        assert trusted.status == 0, trusted.output

    def plan(self, *options: str, env: Sequence[str] = ()) -> Run:
        """A dry run with diffs; what it says would change."""
        answer = self.run(*DEPLOY, "--dry", "--diff", "--json", *options, env=env)
        return Run(answer.status, answer.output, pending=_by_host(answer.output, "plan", "hosts_with_change"))

    def apply(self, *options: str, env: Sequence[str] = ()) -> Run:
        """A deploy, with every detail printed; what it changed. It may fail."""
        answer = self.run(*DEPLOY, "-y", "--diff", "-vvv", "--json", *options, env=env)
        return Run(answer.status, answer.output, changed=_by_host(answer.output, "results", "success"))

    def deploy(self, *options: str) -> Run:
        """Apply, and apply again: both must succeed, and the second must change nothing. What the first did."""
        applied = self.apply(*options)
        assert applied.status == 0, applied.output
        again = self.apply(*options)
        assert again.status == 0, again.output
        assert again.changed == {}, f"a second run changed {again.changed}:\n{again.output}"
        return applied

    def deploy_fails(self, *options: str, env: Sequence[str] = ()) -> Run:
        """A deploy that must fail, without a traceback."""
        applied = self.apply(*options, env=env)
        assert applied.status != 0, f"should have failed:\n{applied.output}"
        assert "Traceback" not in applied.output, applied.output
        return applied

    def deploying(self, *options: str) -> AbstractContextManager[subprocess.Popen[str]]:
        """A deploy that goes on while the block runs, and is killed with it. The process is pyinfra's own."""
        return self.running(*DEPLOY, "--yes", *options)

    @contextmanager
    def running(self, *command: str) -> Iterator[subprocess.Popen[str]]:
        """As `run`, but it goes on while the block runs, and is killed with it."""
        words = ["run", "--", "env", f"SITE={self.site_file}", *command]
        with subprocess.Popen(
            [sys.executable, "-m", "lab", *words],
            cwd=ROOT,
            env={**os.environ, "VPC_OPENVPN_LAB": INSTANCE},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @property
    def identities(self) -> Path:
        """The folder of the lab's identities."""
        return Path(self._environment["IDENTITIES"])

    @property
    def age_key(self) -> Path:
        """The file of the lab's operator's age key."""
        return Path(self._environment["AGE_IDENTITY_FILE"])

    def forget_host_key(self, address: str) -> None:
        """What an operator types to have known_hosts without a key for the host at `address`."""
        forgotten = self.run("ssh-keygen", "-R", address, "-f", self.baseline["ssh"]["known_hosts"])
        assert forgotten.status == 0, forgotten.output

    # --- key material --------------------------------------------------------------------------------------------

    @cached_property
    def _environment(self) -> dict[str, str]:
        printed = lab("run", "--", "env").output
        return dict(line.split("=", 1) for line in printed.splitlines() if "=" in line)

    def secrets(self) -> Iterator[str]:
        """Lines of every secret there is: no other text has 30 of these characters in a row in common with them."""
        [age_key] = (line for line in self.age_key.read_text().splitlines() if line.startswith("AGE-SECRET-KEY-"))
        yield age_key
        reader = pyrage.x25519.Identity.from_str(age_key)
        for path in self.identities.glob("*.age"):
            text = pyrage.decrypt(path.read_bytes(), [reader]).decode()
            yield from (line for line in text.splitlines() if len(line) >= 30 and not line.startswith(("-", "#")))

    def holds_no_secret(self, text: str, what: str) -> None:
        """None of the secrets' lines is part of `text`."""
        found = [secret[:6] + "…" for secret in self._known_secrets() if secret in text]
        assert not found, f"{what} shows key material: {found}"

    def _known_secrets(self) -> list[str]:
        # Decrypting takes milliseconds, but a scenario may add a zone: look again when the folder has changed.
        folder = self.identities
        version = tuple(sorted((path.name, path.stat().st_mtime_ns) for path in folder.iterdir()))
        if getattr(self, "_version", None) != version:
            self._version, self._secrets = version, list(self.secrets())
            assert len(self._secrets) > 3
        return self._secrets


def spaceless(run: Run | Answer) -> str:
    """What a run printed, without colours and with single spaces."""
    return re.sub(r" +", " ", re.sub(r"\x1b\[[0-9;]*m", "", run.output))


def comes_to_operation(process: subprocess.Popen[str], name: str) -> str:
    """Wait until a deploy begins the operation `name`; what it has printed until then."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if f"Starting operation: {name}" in line:
            return said
    raise AssertionError(f"the deploy ended before {name}:\n{said}")


def _by_host(output: str, part: str, key: str) -> dict[str, list[str]]:
    """Operations by host from the JSON document that ends pyinfra's output; {} where there is none."""
    start = output.find('{"plan"')
    if start < 0:
        return {}
    document = json.JSONDecoder().raw_decode(output[start:])[0]
    operations = document["plan"] if part == "plan" else document["results"]["operations"]
    hosts = defaultdict(list)
    for operation in operations:
        for host in operation[key]:
            hosts[host].append(operation["name"])
    return dict(hosts)
