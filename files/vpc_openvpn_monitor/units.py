"""Units: what systemd says of them, and whether the files that one was started from are those on the disk."""

import hashlib
import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path("/")
_SUM = re.compile(r"([0-9a-f]{64})  (/.+)")  # a line of sha256sum's


def shown(names: Sequence[str], properties: Iterable[str], patience: float) -> dict[str, dict[str, str]]:
    """The properties of each unit by its name, as `systemctl show` has them; empty where systemd does not answer within
    `patience` seconds.
    """
    wanted = {"Id", *properties}
    command = ["systemctl", "show", f"--property={','.join(sorted(wanted))}", "--", *names]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    blocks = (dict(re.findall(r"(?m)^(\w+)=(.*)$", block)) for block in done.stdout.split("\n\n"))
    return {block["Id"]: block for block in blocks if wanted <= block.keys()}


def recorded(record: str) -> tuple[list[tuple[str, str]], str]:
    """What a unit left when it started: the sum and the path of each file that it was started from, and what follows
    them, which is the unit's own.
    """
    sums, lines = [], record.splitlines(keepends=True)
    for line in lines:
        if not (match := _SUM.fullmatch(line.rstrip("\n"))):
            break
        sums.append((match[1], match[2]))
    return sums, "".join(lines[len(sums) :])


def on_disk(sums: Iterable[tuple[str, str]], root: Path = ROOT) -> bool:
    """Whether these files are on the disk now."""
    return all(_sha256(root / path.lstrip("/")) == wanted for wanted, path in sums)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
