"""The facts' shell commands, run by this machine's own shell on files of the test's own."""

import subprocess
from hashlib import sha256
from pathlib import Path

from vpc_openvpn.remote.facts import FileState, HostState, Installed, InstalledPackages, Probe, State, UnitState


def answer(**questions: list[str]) -> State:
    question = HostState(**questions)
    done = subprocess.run(["sh", "-c", question.script], capture_output=True, text=True, check=True)
    return question.parse(done.stdout.splitlines())


def test_files_are_described_and_what_is_missing_is_left_out(tmp_path: Path) -> None:
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


def test_records_and_commands_are_given_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "record").write_text("one\n\n  two\n")
    found = answer(records=[f"{tmp_path}/record", f"{tmp_path}/none"], show=["printf 'a\\nb\\n'", "false", "none-such"])
    assert found.records == {f"{tmp_path}/record": "one\n\n  two\n"}
    assert found.shown == {"printf 'a\\nb\\n'": "a\nb\n", "false": "", "none-such": ""}


def test_units_are_told_apart_by_name() -> None:
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


def test_a_host_that_says_nothing_has_nothing() -> None:
    assert HostState().parse([]) == State()


def test_only_fully_installed_packages_count() -> None:
    output = ["openvpn installed 2.6.14-0+deb12u2", "iptables config-files 1.8.9-2", "ping not-installed "]
    assert InstalledPackages([], "/x").parse(output) == Installed({"openvpn": "2.6.14-0+deb12u2"})
    assert InstalledPackages([], "/x").parse([*output, "bird.service"]).to_idle == ("bird.service",)


def test_a_probe_may_fail_and_what_it_said_still_counts() -> None:
    question = Probe("echo said; exit_status() { return 3; }; exit_status")
    done = subprocess.run(["sh", "-c", question.script], capture_output=True, text=True, check=True)
    assert question.parse(done.stdout.splitlines()) == "said\n"
