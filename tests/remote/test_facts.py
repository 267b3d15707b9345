"""The facts' shell commands, run by this machine's own shell on files of the test's own."""

import subprocess
from hashlib import sha256
from pathlib import Path

from vpc_openvpn.remote.facts import FileState, HostState, Probe, State, UnitState


def answer(**questions: list[str]) -> State:
    question = HostState(**questions)
    done = subprocess.run(["sh", "-c", question.script], capture_output=True, text=True, check=True)
    return question.parse(done.stdout.splitlines())


def test_existing_files_are_described(tmp_path: Path) -> None:
    (tmp_path / "full").write_text("text\n")
    (tmp_path / "empty").touch(mode=0o600)
    (tmp_path / "folder").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("full")
    user, group = (tmp_path / "full").owner(), (tmp_path / "full").group()
    (tmp_path / "full").chmod(0o644)

    found = answer(files=[f"{tmp_path}/*", f"{tmp_path}/none", f"{tmp_path}/none-*"]).files

    assert found.pop(f"{tmp_path}/link").kind == "other"
    assert found == {
        f"{tmp_path}/full": FileState("file", "644", user, group, sha256(b"text\n").hexdigest()),
        f"{tmp_path}/empty": FileState("file", "600", user, group, sha256(b"").hexdigest()),
        f"{tmp_path}/folder": FileState("directory", "700", user, group),
    }


def test_kernel_settings_are_read_by_pattern() -> None:
    found = answer(sysctls=["net/ipv4/ip_forward", "net/ipv4/conf/*/send_redirects", "net/ipv4/none"]).sysctls
    assert found["net/ipv4/ip_forward"] in ("0", "1")
    assert {"net/ipv4/conf/all/send_redirects", "net/ipv4/conf/lo/send_redirects"} <= set(found)
    assert "net/ipv4/none" not in found


def test_records_and_command_output_are_unchanged(tmp_path: Path) -> None:
    (tmp_path / "record").write_text("one\n\n  two\n")
    found = answer(records=[f"{tmp_path}/record", f"{tmp_path}/none"], show=["printf 'a\\nb\\n'", "false", "none-such"])
    assert found.records == {f"{tmp_path}/record": "one\n\n  two\n"}
    assert found.shown == {"printf 'a\\nb\\n'": "a\nb\n", "false": "", "none-such": ""}


def test_units_are_parsed_by_name() -> None:
    output = """@@ units
Id=one.service
ActiveState=active
UnitFileState=enabled

Id=two@x.service
ActiveState=activating
UnitFileState=

Id=three.service
ActiveState=inactive
UnitFileState=enabled-runtime""".splitlines()
    assert HostState().parse(output).units == {
        "one.service": UnitState(enabled=True, active=True),
        "two@x.service": UnitState(enabled=False, active=False),
        "three.service": UnitState(enabled=False, active=False),
    }


def test_empty_output_is_an_empty_state() -> None:
    assert HostState().parse([]) == State()


def test_only_fully_installed_packages_count() -> None:
    output = """@@ packages
openvpn installed 2.6.14-0+deb12u2
iptables config-files 1.8.9-2
ping not-installed """.splitlines()
    assert HostState().parse(output).packages == {"openvpn": "2.6.14-0+deb12u2"}


def test_several_facts_are_read_by_one_command(tmp_path: Path) -> None:
    for name in ("one", "two", "other"):
        (tmp_path / name).write_text(f"{name}\n")
    first = HostState(files=[f"{tmp_path}/o*"], records=[f"{tmp_path}/one"], show=["echo 1"])
    second = HostState(files=[f"{tmp_path}/two"], records=[f"{tmp_path}/one"], show=["echo 2"], sysctls=["net/ipv4/*"])
    both = first.and_([second])
    assert both.records == [f"{tmp_path}/one"] and both.show == ["echo 1", "echo 2"]
    done = subprocess.run(["sh", "-c", both.script], capture_output=True, text=True, check=True)
    whole = both.parse(done.stdout.splitlines())
    assert {Path(path).name for path in first.of(whole).files} == {"one", "other"}
    assert first.of(whole) == answer(files=[*first.files], records=[*first.records], show=[*first.show])
    assert second.of(whole) == answer(
        files=[*second.files], records=[*second.records], show=[*second.show], sysctls=[*second.sysctls]
    )


def test_output_of_a_failed_probe_counts() -> None:
    question = Probe("echo said; exit_status() { return 3; }; exit_status")
    done = subprocess.run(["sh", "-c", question.script], capture_output=True, text=True, check=True)
    assert question.parse(done.stdout.splitlines()) == "said\n"
