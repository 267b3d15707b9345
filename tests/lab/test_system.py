"""What a machine must have for the lab."""

from pathlib import Path

import pytest

from lab import system
from lab.system import LabError, require_room


@pytest.mark.parametrize(("free", "hosts"), [(6, 1), (13, 2), (118, 17)])
def test_hosts_that_would_find_no_room_are_refused(monkeypatch: pytest.MonkeyPatch, free: int, hosts: int) -> None:
    monkeypatch.setattr(system, "_free_inotify_instances", lambda most: min(most, free))
    with pytest.raises(LabError, match=rf"to boot {hosts} hosts takes \d+ inotify instances, .* has {free} left"):
        require_room(hosts)
    require_room(hosts - 1)


def test_no_more_are_made_than_are_asked_for_and_none_is_kept() -> None:
    files = set(Path("/proc/self/fd").iterdir())
    assert system._free_inotify_instances(0) == 0
    assert system._free_inotify_instances(1) == 1
    assert set(Path("/proc/self/fd").iterdir()) == files
