"""What is changed, decided from what is there. That the commands do it is for the scenarios to see."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pyinfra.api import Config, HiddenValue, Inventory
from pyinfra.api import State as PyinfraState
from pyinfra.context import ctx_host, ctx_state

from vpc_openvpn.remote.effects import older
from vpc_openvpn.remote.facts import FileState
from vpc_openvpn.remote.files import Directory, File, announce, changes, diff, removed, sums, written

SECRET = "c2VjcmV0IHRoYXQgbm9ib2R5IG1heSBzZWU="
KEY = File("/etc/x/key", HiddenValue(f"{SECRET}\n"), mode="600")
CONF = File("/etc/x/conf", "text\n")


@pytest.fixture(autouse=True)
def planning() -> Iterator[None]:
    inventory = Inventory((["@local"], {}))
    state = PyinfraState(inventory, Config(DIFF=True))
    with ctx_state.use(state), ctx_host.use(inventory.get_host("@local")):
        yield


def as_it_should_be(*items: File | Directory) -> dict[str, FileState]:
    return {
        item.path: FileState("directory", item.mode, "root", "root")
        if isinstance(item, Directory)
        else FileState("file", item.mode, "root", "root", item.sha256)
        for item in items
    }


def test_correct_files_need_no_command() -> None:
    wanted: list[File | Directory] = [Directory("/etc/x"), KEY]
    assert changes(wanted, ["/etc/x/*"], as_it_should_be(*wanted)).commands == []


def test_a_file_is_on_the_disk_before_its_name_is(tmp_path: Path) -> None:
    (tmp_path / "new").write_text("old\n")
    [command] = written([File(f"{tmp_path}/new", "text\n")]).commands
    # What `sync` finds under the file's name, each time that it is run.
    spy = f'chown() {{ :; }}; sync() {{ echo "$1 $(cat {tmp_path}/new)" >> {tmp_path}/spy; command sync "$1"; }}'
    subprocess.run(["sh", "-c", f"{spy}; {command.get_raw_value()}"], input=b"text\n", check=True)
    assert (tmp_path / "spy").read_text() == f"{tmp_path}/new.new old\n{tmp_path} text\n"


@pytest.mark.parametrize(
    "there",
    [
        FileState("file", "644", "root", "root", KEY.sha256),
        FileState("file", "600", "nobody", "root", KEY.sha256),
        FileState("file", "600", "root", "adm", KEY.sha256),
    ],
)
def test_owner_and_mode_are_set_without_sending_the_content_again(there: FileState) -> None:
    [command] = changes([KEY], [], {KEY.path: there}).commands
    assert command.get_raw_value() == "chown root:root /etc/x/key && chmod 600 /etc/x/key"
    assert not command.connector_arguments


@pytest.mark.parametrize(
    "there",
    [None, FileState("file", "600", "root", "root", "0" * 64), FileState("other", "777", "root", "root", KEY.sha256)],
)
def test_content_travels_on_standard_input_alone(there: FileState | None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        [command] = changes([KEY], [], {KEY.path: there} if there else {}).commands
    assert command.connector_arguments["_stdin"] == f"{SECRET}\n"
    assert SECRET not in command.get_raw_value() + repr(command) + repr(KEY) + caplog.text
    assert "secret, not shown" in caplog.text


def test_a_truncated_file_is_not_put_in_place(tmp_path: Path) -> None:
    first, second = File(f"{tmp_path}/first", "1\nä\n"), File(f"{tmp_path}/second", "22\n", mode="600")
    change = written([first, second])
    change.steps.append(f"touch {tmp_path}/end")
    [command] = change.commands
    script = f"chown() {{ :; }}; {command.get_raw_value()}"
    whole = f"{first.text}{second.text}".encode()
    assert command.connector_arguments["_stdin"] == whole.decode()
    for length, status, there in ((7, 1, {"first"}), (len(whole), 0, {"first", "second", "end"})):
        ran = subprocess.run(["sh", "-c", script], input=whole[:length], capture_output=True, check=False)
        assert ran.returncode == status
        assert {path.name for path in tmp_path.iterdir()} == there
        assert (f"could not write {second.path}" in ran.stderr.decode()) == (status == 1)
    assert Path(first.path).read_text() == first.text and Path(second.path).read_text() == second.text
    assert Path(second.path).stat().st_mode & 0o777 == 0o600


def test_unwanted_files_that_match_our_patterns_are_removed() -> None:
    there = as_it_should_be(CONF, File("/etc/x/old", "x\n"), Directory("/etc/x/below"), File("/etc/x/below/y", "x\n"))
    there["/etc/other"] = FileState("file", "644", "root", "root", "0" * 64)
    [step] = changes([CONF], ["/etc/x/*"], there).steps
    assert step.startswith("rm -rf -- /etc/x/below /etc/x/old && ")


def test_a_folder_goes_with_its_files_and_what_held_it_is_flushed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").touch()
    spy = f'sync() {{ echo "$1" >> {tmp_path}/flushed; command sync "$1"; }}'
    subprocess.run(["sh", "-ec", f"{spy}; {removed([str(folder / 'file'), str(folder)])}"], check=True)
    assert not folder.exists()
    assert (tmp_path / "flushed").read_text() == f"{tmp_path}\n"


def test_paths_are_quoted() -> None:
    [command] = changes([File("/etc/x/it's $HOME", "x\n")], [], {}).commands
    assert "$HOME'" in command.get_raw_value() and " /etc/x/it's" not in command.get_raw_value()


def test_sums_are_what_sha256sum_prints() -> None:
    zeros = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert sums([File("/a", ""), File("/b", "")]) == f"{zeros}  /a\n{zeros}  /b\n"


@pytest.mark.parametrize(
    ("have", "want", "answer"),
    [
        ("2.5.1-3", "2.6", True),
        ("2.4.7-1+deb10u1", "2.6", True),
        ("2.6.14-0+deb12u2", "2.6", False),
        ("2.6-1", "2.6", False),
        ("2.6~rc1-1", "2.6", False),
        ("2.10.0-1", "2.6", False),
        ("1:2.5.9-1", "2.6", True),
        ("3.0", "2.6", False),
    ],
)
def test_versions_are_compared_by_number(have: str, want: str, answer: bool) -> None:
    assert older(have, want) is answer


@pytest.mark.parametrize(
    "there",
    [
        None,
        FileState("directory", "700", "root", "root"),
        FileState("directory", "755", "nobody", "root"),
        FileState("file", "755", "root", "root", CONF.sha256),
    ],
)
def test_a_missing_or_different_directory_is_made(there: FileState | None) -> None:
    assert changes([Directory("/etc/x")], [], {"/etc/x": there} if there else {}).steps


def test_a_diff_shows_what_a_host_has_put_into_a_file() -> None:
    """What would erase the line above, or fill the clipboard, is part of the line."""
    lines = diff("text\x1b[1A\x1b[2K\n\x1b]52;c;cm0=\x07\r\n", "text\n")
    shown = "".join(map(click.unstyle, lines))
    assert r"- text\u001b[1A\u001b[2K" in shown and r"\u001b]52;c;cm0=\u0007\r" in shown
    assert all(each.isprintable() or each == "\n" for each in shown)


def test_no_announcement_moves_a_cursor(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "pyinfra"):
        announce("Will remove /etc/x/\x1b[2J")
    assert r"Will remove /etc/x/\u001b[2J" in caplog.text and "\x1b[2J" not in caplog.text
