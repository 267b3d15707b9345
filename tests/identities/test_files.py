"""Files appear whole, survive a power cut, and are read only if they are files."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vpc_openvpn.identities import files
from vpc_openvpn.identities.errors import CredentialsError
from vpc_openvpn.site.load import ROOT

DRAFT = ".a.crt.abcd1234.tmp"


def test_a_file_and_its_name_are_flushed_in_this_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    flush, rename = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        done.append("directory" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        flush(handle)

    def replace(path: Path, target: Path) -> Path:
        done.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    files.replace(tmp_path / "a", "text", 0o600)
    files.create(tmp_path / "b", "text", 0o600)
    assert done == ["file", "rename", "directory", "file", "directory"]


def test_a_reader_sees_the_old_file_or_the_new(tmp_path: Path) -> None:
    """While a process writes a file over and over, each reading of it is one of the two."""
    path = tmp_path / "file"
    texts = {word: f"{word}\n" * 50_000 for word in ("first", "old", "new")}
    path.write_text(texts["first"])
    write = (
        "import sys; from pathlib import Path; from vpc_openvpn.identities import files\n"
        "while True:\n"
        "    for word in ('new\\n', 'old\\n'): files.replace(Path(sys.argv[1]), word * 50_000, 0o600)\n"
    )
    seen: set[str] = set()
    readings, deadline = 0, time.monotonic() + 60
    with subprocess.Popen([sys.executable, "-c", write, path], cwd=ROOT) as process:
        try:
            while (len(seen) < 3 or readings < 300) and time.monotonic() < deadline:
                seen.add(path.read_text())
                readings += 1
        finally:
            process.kill()
    assert seen == {*texts.values()}


def test_a_link_is_read_only_where_it_may_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("file")
    assert files.read(tmp_path / "link", follow=True) == b"text"
    with pytest.raises(CredentialsError, match="link is a symbolic link, not a file"):
        files.read(tmp_path / "link")


@pytest.mark.parametrize("follow", [True, False])
def test_a_pipe_and_a_directory_are_refused_at_once(tmp_path: Path, follow: bool) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CredentialsError, match="pipe is a pipe, not a file"):
        files.read(tmp_path / "pipe", follow=follow)
    with pytest.raises(CredentialsError, match=f"{tmp_path} is a directory, not a file"):
        files.read(tmp_path, follow=follow)
    with pytest.raises(CredentialsError, match="null is a device, not a file"):
        files.read(Path("/dev/null"), follow=follow)


def test_what_every_user_may_write_to_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o664)
    assert files.read(path) == b""
    path.chmod(0o606)
    with pytest.raises(CredentialsError, match=f"{path} .mode 0606.*\n.*chmod -R o-w {tmp_path}$"):
        files.read(path)
    files.check_directory(tmp_path)
    files.check_directory(tmp_path / "absent")
    tmp_path.chmod(0o703)
    with pytest.raises(CredentialsError, match=f"{tmp_path} .mode 0703"):
        files.check_directory(tmp_path)
    with pytest.raises(CredentialsError, match="file is not a directory"):
        files.check_directory(path)


def test_one_run_at_a_time_and_the_next_after_it(tmp_path: Path) -> None:
    with files.exclusive(tmp_path), pytest.raises(CredentialsError, match="Another"), files.exclusive(tmp_path):
        pass
    with files.exclusive(tmp_path):
        pass


def test_drafts_are_removed_and_no_other_file(tmp_path: Path) -> None:
    """The operator's age key may lie in a folder with temporary files of other programs."""
    names = [
        DRAFT,
        ".b.crt.abcd1234.tmp",
        ".a.crt.tmp",
        ".a.crt.abcd123.tmp",
        "a.crt.abcd1234.tmp",
        ".a.crt.ABCD1234.tmp",
    ]
    for name in names:
        (tmp_path / name).touch()
    with files.exclusive(tmp_path, "a.*"):
        assert {path.name for path in tmp_path.iterdir()} == {*names} - {DRAFT}


def test_a_draft_of_a_run_that_is_at_it_stays(tmp_path: Path) -> None:
    with files.exclusive(tmp_path, "*"):
        (tmp_path / DRAFT).touch()
        with pytest.raises(CredentialsError), files.exclusive(tmp_path, "*"):
            pass
        assert (tmp_path / DRAFT).exists()


def test_a_conflict_of_git_is_seen() -> None:
    assert files.has_conflict(b"a\n<<<<<<< HEAD\nb\n") and files.has_conflict(b">>>>>>> theirs\n")
    assert not files.has_conflict(b"a <<<<<<< HEAD\n<<<<<<<<<<\n")
