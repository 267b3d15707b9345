"""Runs a command and times it: `python stopwatch.py MOMENTS CMD…`. Standard library only.

When the command has ended, the file MOMENTS holds when it began and when it ended, by time.monotonic(), which all hosts
of the lab share. So what it takes to enter the lab is not counted.
"""

import subprocess
import sys
import time
from pathlib import Path


def main(moments: str, *command: str) -> int:
    began = time.monotonic()
    status = subprocess.run(command, check=False).returncode
    Path(moments).write_text(f"{began} {time.monotonic()}\n", encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
