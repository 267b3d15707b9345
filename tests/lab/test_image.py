"""Which of the machine's apt settings reach the hosts' base image."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lab import image
from lab.system import LabError

# As `apt-get indextargets` prints it: origin, address, suite, component.
DISTRIBUTION = """\
Debian|http://mirror.example/debian/|bookworm|main
Debian|http://mirror.example/debian/|bookworm|contrib
Debian|http://mirror.example/debian/|bookworm-updates|main
Debian|http://mirror.example/debian-security/|bookworm-security|main
Debian|http://mirror.example/debian-security/|bookworm-security|main
"""
OTHERS = """\
Debian Backports|http://mirror.example/debian/|bookworm-backports|main
Debian|http://mirror.example/debian/|trixie|main
Example|https://packages.example/debian/|bookworm|main
|https://never-updated.example/debian/|bookworm|main
"""


def prints(text: str) -> Callable[[Sequence[str]], str]:
    return lambda command: text


def test_only_the_distributions_own_suites_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "run", prints(DISTRIBUTION + OTHERS))
    lines = [line.split()[-3:] for line in image._sources("debian", "bookworm", "bookworm").splitlines()]
    assert lines == [
        ["http://mirror.example/debian/", "bookworm", "main"],
        ["http://mirror.example/debian/", "bookworm-updates", "main"],
        ["http://mirror.example/debian-security/", "bookworm-security", "main"],
    ]


def test_another_release_comes_from_where_the_machines_own_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "run", prints(DISTRIBUTION + OTHERS))
    lines = [line.split()[-3:] for line in image._sources("debian", "bookworm", "trixie").splitlines()]
    assert lines == [
        ["http://mirror.example/debian/", "trixie", "main"],
        ["http://mirror.example/debian/", "trixie-updates", "main"],
        ["http://mirror.example/debian-security/", "trixie-security", "main"],
    ]


def test_a_release_that_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "_machine_release", lambda: ("debian", "bookworm"))
    with pytest.raises(LabError, match="no hosts of debian trixy; there are: bookworm, trixie"):
        image.ensure("trixy")


def test_without_lists_the_error_names_apt_get_update(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "run", prints(OTHERS))
    with pytest.raises(LabError, match="apt-get update"):
        image._sources("debian", "bookworm", "bookworm")


def test_proxies_are_inherited_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    dump = """\
APT::Install-Recommends "0";
Acquire::http "";
Acquire::http::Proxy "http://proxy.example:3128";
Acquire::http::Proxy::direct.example "DIRECT";
Acquire::https::Proxy "";
Acquire::Check-Valid-Until "false";
Acquire::GzipIndexes "true";
"""
    monkeypatch.setattr(image, "run", prints(dump))
    assert image._inherited_apt_options().splitlines() == [
        'Acquire::http::Proxy "http://proxy.example:3128";',
        'Acquire::http::Proxy::direct.example "DIRECT";',
        'Acquire::Check-Valid-Until "false";',
    ]


def test_only_builds_unused_for_a_day_are_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ages = {"base-new": 0, "base-fresh": image.KEPT / 2, "base-old": image.KEPT * 2, "base-booted": image.KEPT * 2}
    for name, age in ages.items():
        (tmp_path / name).mkdir()
        used = time.time() - age
        os.utime(tmp_path / name, (used, used))
    monkeypatch.setattr(image, "CACHE", tmp_path)
    monkeypatch.setattr(image, "_bases_in_use", lambda: iter(["base-booted"]))
    image._remove_older_builds(tmp_path / "base-new")
    assert {build.name for build in tmp_path.iterdir()} == ages.keys() - {"base-old"}
