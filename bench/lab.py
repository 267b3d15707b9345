"""The benchmark's own lab, beside any other that is up."""

import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Self

import yaml

ROOT = Path(__file__).parents[1]
COMMAND = (sys.executable, "-m", "lab")
PATIENCE = 600.0  # seconds for one command

Stream = int | IO[Any] | None


class BenchError(Exception):
    """Why there are no results, in words for the person at the screen."""


class Lab:
    """`python -m lab`, of the instance `name`. As a context manager: none is up before, and none is afterwards."""

    def __init__(self, name: str) -> None:
        self.environment = {**os.environ, "VPC_OPENVPN_LAB": name}

    def __enter__(self) -> Self:
        self.run("down")
        return self

    def __exit__(self, *_: object) -> None:
        self.run("down")

    def must(self, *words: str) -> str:
        """What the command printed. Raises BenchError where it fails."""
        answer = self.run(*words)
        if answer.returncode != 0:
            raise BenchError(f"`python -m lab {shlex.join(words)}` failed:\n{answer.stdout}{answer.stderr}")
        return answer.stdout

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The command as it ended. Raises BenchError where it does not, in time."""
        try:
            return subprocess.run(
                [*COMMAND, *words],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"`python -m lab {shlex.join(words)}` goes on for more than {PATIENCE:g} s") from error

    def start(self, *words: str, stdin: Stream = subprocess.DEVNULL, stdout: Stream = None) -> subprocess.Popen[str]:
        """The command as it runs. Ctrl-C is the benchmark's to handle, not the command's."""
        return subprocess.Popen(
            [*COMMAND, *words],
            cwd=ROOT,
            env=self.environment,
            stdin=stdin,
            stdout=stdout,
            text=True,
            start_new_session=True,
        )

    def site(self) -> dict[str, Any]:
        """The lab's own site file."""
        document: dict[str, Any] = yaml.safe_load(self.must("site"))
        return document

    def deploy(self, site: Mapping[str, Any]) -> None:
        """Deploy `site` to all hosts, as the operator does."""
        with site_file(site) as path:
            self.must("run", "--", "env", f"SITE={path}", "pyinfra", "-y", "inventory.py", "deploy.py")

    def admits_anybody(self, hosts: Iterable[str]) -> None:
        """The security groups of NATs and application `hosts` let everything in, until `heal`."""
        for host in hosts:
            self.must("aws", "security-group", host, "anywhere", "allow")

    def made_with(self) -> dict[str, Any]:
        """What results depend on, besides the settings."""
        revision = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "revision": revision.stdout.strip(),
            "kernel": platform.release(),
            "cpus": os.cpu_count(),
            "openvpn": " ".join(self.must("exec", "office", "--", "openvpn", "--version").split()[:2]),
            "bird": self.must(
                "exec", "office", "--", "sh", "-c", "! command -v bird >&2 || bird --version 2>&1"
            ).strip(),
        }


@contextmanager
def site_file(site: Mapping[str, Any]) -> Iterator[Path]:
    """A file that holds `site`, as long as the block lasts."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "site.yml")
        path.write_text(yaml.safe_dump(dict(site), sort_keys=False), encoding="utf-8")
        yield path
