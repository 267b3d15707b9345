"""What keeps packages from being installed, told apart: with an apt, dpkg and cloud-init of the test's own."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from vpc_openvpn.remote import apt

MINIMUM = {"openvpn": ("2.6", "Debian 12")}
GONE = "E: The repository 'http://other.example stable Release' does not have a Release file."
UNREACHABLE = "W: Failed to fetch http://mirror.example/dists/Packages  Could not connect"
FULL = "E: You don't have enough free space in /var/cache/apt/archives/."


@dataclass(frozen=True)
class Ran:
    """An installation that ended: its status, its errors, and what it had apt and dpkg do."""

    status: int
    errors: str
    did: list[str]


Apt = Callable[..., Ran]


@pytest.fixture
def apt_says(tmp_path: Path) -> Apt:
    """`apt_says(update=…, …)`: bodies of shell scripts that stand for what is installed, of which each is optional."""

    def run(
        *,
        update: str = "",
        sources: str = "echo one",
        offers: str = "2.6.14-1",
        without: str = "none",
        held: str = "",
        install: str = "",
        audit: str = "",
        configure: str = "",
        cloud_init: str = "",
    ) -> Ran:
        log = tmp_path / "log"
        note = f'echo "$(basename "$0") $*" >> {log}'
        programs = {
            "apt-get": f"""case "$*" in
                *print-uris*) {sources} ;;
                *update) {note}; {update or "true"} ;;
                *fix-broken*) {note} ;;
                *install*) {note}; {install or "true"} ;;
            esac""",
            "apt-cache": f"case $2 in {without}) ;; *) echo '  Candidate: {offers}' ;; esac",
            "apt-mark": f"echo '{held}'",
            "dpkg": f"""case $1 in
                --audit) {audit or "true"} ;;
                --configure) {note}; {configure or "true"} ;;
                *) /usr/bin/dpkg "$@" ;;
            esac""",
            "sleep": note,
        }
        if cloud_init:
            programs["cloud-init"] = f"{note}; {cloud_init}"
        for name, body in programs.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
            (tmp_path / name).chmod(0o755)
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LC_ALL": "C"}
        script = apt.install(["openvpn", "bird2"], MINIMUM)
        done = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=False)
        did = log.read_text().splitlines() if log.exists() else []
        return Ran(done.returncode, done.stderr, [line.removeprefix("apt-get -qq ") for line in did])

    return run


def test_packages_are_installed(apt_says: Apt) -> None:
    ran = apt_says()
    assert (ran.status, ran.errors) == (0, "")
    assert ran.did[0] == "update" and ran.did[1].endswith("install --yes --no-install-recommends openvpn bird2")


@pytest.mark.parametrize("broken", [f"echo '{GONE}' >&2; exit 100", f"echo '{UNREACHABLE}' >&2"])
def test_a_source_that_fails_does_not_matter_while_another_has_what_is_needed(apt_says: Apt, broken: str) -> None:
    assert apt_says(update=broken).status == 0


@pytest.mark.parametrize(
    ("says", "complaint", "advice"),
    [
        ({"offers": "2.5.1-3"}, "this host offers openvpn 2.5.1-3; 2.6 or later is needed, which Debian 12 has", ""),
        ({"offers": "2.5.1-3", "without": "bird2"}, "this host offers openvpn 2.5.1-3; 2.6 or later is needed", ""),
        ({"without": "bird2"}, "no source of apt offers bird2.", "apt-cache policy bird2"),
        ({"offers": "(none)"}, "no source of apt offers openvpn bird2.", "apt-cache policy openvpn bird2"),
        (
            {"offers": "(none)", "update": f"echo '{UNREACHABLE}' >&2"},
            f"of these there is no answer:\n    {UNREACHABLE}",
            "apt-get update",
        ),
        ({"held": "openvpn"}, "apt holds back openvpn", "apt-mark unhold openvpn"),
        ({"install": f'echo "{FULL}" >&2; exit 100'}, "a disk of this host is full:", "apt-get clean"),
        (
            {"offers": "(none)", "update": "echo 'E: Write error - write (28: No space left on device)' >&2; exit 100"},
            "a disk of this host is full:",
            "apt-get clean",
        ),
        (
            {"install": "echo 'E: Failed to fetch http://mirror.example/x.deb' >&2; exit 100"},
            "apt could not fetch packages:\n    E: Failed to fetch http://mirror.example/x.deb",
            "apt-get update",
        ),
        (
            {"install": "echo 'E: Unable to correct problems, you have held broken packages.' >&2; exit 100"},
            "held packages keep apt from installing openvpn bird2:",
            "apt-mark showhold",
        ),
        (
            {"install": "echo noise; echo 'E: Sub-process returned an error code' >&2; exit 100"},
            "apt could not install openvpn bird2:\n    E: Sub-process returned an error code\n",
            "apt-get install --dry-run",
        ),
    ],
)
def test_an_error_names_the_cause_and_the_command_to_type(
    apt_says: Apt, says: dict[str, str], complaint: str, advice: str
) -> None:
    ran = apt_says(**says)
    assert ran.status == 1
    assert complaint in ran.errors and advice in ran.errors


def test_an_installation_that_was_cut_short_is_finished_first(apt_says: Apt, tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    only_then = f"[ -e {mended} ] || {{ touch {mended}; exit 100; }}"
    ran = apt_says(install=only_then, audit="echo half", configure="exit 1")
    assert ran.status == 0
    assert [line.split()[0] for line in ran.did] == ["update", *ran.did[1].split()[:1], "dpkg", "--fix-broken", "-o"]


def test_sources_that_cloud_init_has_yet_to_write_are_waited_for(apt_says: Apt, tmp_path: Path) -> None:
    there = tmp_path / "there"
    # Written after the second look.
    ran = apt_says(
        cloud_init="true", sources=f"if [ -e {there} ]; then echo one; else touch {there}; fi", offers="2.6.14-1"
    )
    assert ran.status == 0
    assert ran.did[:4] == ["cloud-init status --wait", "update", "sleep 2", "update"]


def test_a_lock_of_another_apt_is_waited_for(apt_says: Apt, tmp_path: Path) -> None:
    free = tmp_path / "free"
    locked = f"[ -e {free} ] || {{ touch {free}; echo 'E: Could not get lock /var/lib/apt/lists/lock' >&2; exit 100; }}"
    ran = apt_says(update=locked)
    assert ran.status == 0 and ran.did[:3] == ["update", "sleep 5", "update"]
