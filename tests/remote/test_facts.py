"""The facts' shell commands, run by this machine's own shell on files of the test's own."""

import subprocess
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpc_openvpn.remote.facts import FileState, HostState, NonsenseError, Probe, State, UnitState


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


NONSENSE = ["hello", "", "\\u001b[2J", "|", "a|b|c|d|e", "644|root|root|regular file|relative", "0" * 64, "x" * 5000]


@pytest.mark.parametrize(("section", "program"), [("packages", "dpkg-query"), ("files", "stat"), ("sums", "sha256sum")])
@pytest.mark.parametrize("line", NONSENSE)
def test_what_a_replaced_program_prints_is_named(section: str, program: str, line: str) -> None:
    with pytest.raises(NonsenseError) as refused:
        HostState().parse([f"@@ {section}", line])
    said = str(refused.value)
    assert said.startswith(f"its {program} prints ") and f"type -a {program}" in said and len(said) < 250


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["packages", "files", "sums", "sysctls", "units", "record x", "show y", "z"]),
            st.lists(st.text()),
        )
    )
)
def test_any_answer_is_a_state_or_is_refused(sections: list[tuple[str, list[str]]]) -> None:
    lines = [line for title, body in sections for line in (f"@@ {title}", *body)]
    with suppress(NonsenseError):
        HostState().parse(lines)


def test_names_that_programs_escape_are_no_nonsense(tmp_path: Path) -> None:
    (tmp_path / "back\\slash").write_text("x")
    (tmp_path / "Grüße").write_text("y")
    found = answer(files=[f"{tmp_path}/*"]).files
    assert found[f"{tmp_path}/Grüße"].sha256 == sha256(b"y").hexdigest()
    assert found[f"{tmp_path}/back\\slash"].kind == "file"


def test_a_replaced_stat_is_nonsense(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("#!/bin/sh\necho You have been pwned\n")
    (tmp_path / "stat").chmod(0o755)
    question = HostState(files=[str(tmp_path)])
    script = f"PATH={tmp_path}:$PATH; {question.script}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    with pytest.raises(NonsenseError, match="its stat prints 'You have been pwned'"):
        question.parse(done.stdout.splitlines())
