"""What the monitor remembers over its own restarts, as a file of /run: a reboot forgets it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vpc_openvpn_monitor import bird, machine
from vpc_openvpn_monitor.history import Change, History
from vpc_openvpn_monitor.history import Path as Taken
from vpc_openvpn_monitor.machine import Memory, Trust, Way


def keep(path: Path, memory: Memory, history: History) -> None:
    """Raises OSError where it cannot be written."""
    bird.write(path, json.dumps({**_plain(memory), "history": _plain_history(history)}) + "\n")


def recall(path: Path) -> tuple[Memory, History]:
    """Nothing, where there is none or it cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        memory = Memory(
            silent=frozenset(found["silent"]),
            tunnels={number: (Trust(trust), wanted) for number, trust, wanted in found["tunnels"]},
            ways={Way(zone, tunnel): (Trust(trust), wanted) for zone, tunnel, trust, wanted in found["ways"]},
        )
        history = {
            zone: tuple(Change(each.pop("at"), Taken(**each)) for each in changes)
            for zone, changes in found["history"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return machine.NOTHING, {}
    return memory, history


def _plain(memory: Memory) -> dict[str, Any]:
    return {
        "silent": sorted(memory.silent),
        "tunnels": [(number, trust.value, wanted) for number, (trust, wanted) in memory.tunnels.items()],
        "ways": [(*way, trust.value, wanted) for way, (trust, wanted) in memory.ways.items()],
    }


def _plain_history(history: History) -> dict[str, Any]:
    return {zone: [{"at": each.at, **asdict(each.path)} for each in changes] for zone, changes in history.items()}
