"""What a machine must have for the lab."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from lab import system
from lab.system import LabError, require_room


@pytest.mark.parametrize(("free", "hosts"), [(6, 1), (13, 2), (118, 17)])
def test_hosts_without_free_inotify_instances_are_refused(
    monkeypatch: pytest.MonkeyPatch, free: int, hosts: int
) -> None:
    monkeypatch.setattr(system, "_free_inotify_instances", lambda most: min(most, free))
    with pytest.raises(LabError, match=rf"to boot {hosts} hosts takes \d+ inotify instances, .* has {free} left"):
        require_room(hosts)
    require_room(hosts - 1)


def test_inotify_instances_are_counted_up_to_a_limit_and_closed() -> None:
    files = set(Path("/proc/self/fd").iterdir())
    assert system._free_inotify_instances(0) == 0
    assert system._free_inotify_instances(1) == 1
    assert set(Path("/proc/self/fd").iterdir()) == files


def test_a_kernel_that_lacks_something_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answers(command: Sequence[str | Path]) -> str:
        asked.extend(map(str, command))
        return "veth\noverlay\n"

    monkeypatch.setattr(system, "_OWN_SYSCTL", Path("/dev/null"))
    monkeypatch.setattr(system, "run", answers)
    with pytest.raises(LabError, match="kernel lacks veth, overlay: load"):
        system.require_kernel()
    assert all(command in asked[-1] for command in system.KERNEL.values())
    monkeypatch.setattr(system, "run", lambda command: "")
    system.require_kernel()


def test_a_container_whose_sysctls_are_read_only_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(system, "_OWN_SYSCTL", tmp_path / "none")
    with pytest.raises(LabError, match="/proc/sys is read-only"):
        system.require_kernel()
