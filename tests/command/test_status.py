"""The page of `./vpc status --html FILE`, whatever FILE is; and a reader that goes."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vpc_openvpn.command import status


def test_a_page_that_is_there_keeps_its_mode_and_its_link(tmp_path: Path) -> None:
    page, link = tmp_path / "page.html", tmp_path / "link.html"
    page.write_text("old")
    page.chmod(0o640)
    link.symlink_to(page)
    status._write(link, "new")
    assert link.is_symlink() and page.read_text() == "new"
    assert stat.S_IMODE(page.stat().st_mode) == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.html", "page.html"]


def test_a_pipe_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text()))
    reader.start()
    status._write(pipe, "page")
    reader.join(5)
    assert heard == ["page"] and pipe.is_fifo()


@pytest.mark.parametrize(("reader", "expected"), [("cat > /dev/null", "False"), ("true", "True")])
def test_a_reader_that_is_gone_is_noticed(reader: str, expected: str) -> None:
    """`--watch | head` ends."""
    asked = (
        "import sys, time; from vpc_openvpn import output; time.sleep(0.5); print(output.abandoned(), file=sys.stderr)"
    )
    done = subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" | {reader}', sys.executable, asked], capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == expected
