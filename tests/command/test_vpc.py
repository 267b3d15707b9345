"""The command as a whole: names, statuses, what it shows of pyinfra, a shell's completion, Ctrl-C."""

import errno
import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import paramiko
import pytest
import yaml

from tests.command.typing import Type
from tests.conftest import EXAMPLE_SITE
from vpc_openvpn.command.__main__ import VERBS
from vpc_openvpn.site.load import ROOT

VPC = ROOT / "vpc"
NO_TERMINAL = "There is no terminal to confirm the changes on."


def typed(*words: str, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """`vpc WORDS`, by its full name, with the example site and without a terminal."""
    return subprocess.run(
        [VPC, *words],
        cwd=folder,
        env={**os.environ, "SITE": str(EXAMPLE_SITE), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_a_help_that_fits_a_screen(vpc: Type, verb: str) -> None:
    if verb == "setup":  # the script's own
        help = typed(verb, "--help").stdout
    else:
        said = vpc(verb, "--help")
        assert said.status == 0
        help = said.out
    assert f"./vpc {verb}" in help and 3 <= help.count("\n") < 40


def test_the_list_of_verbs_cuts_no_sentence_short(vpc: Type) -> None:
    listed = vpc("--help").out
    assert all(f"  {verb} " in listed for verb in VERBS)
    assert "..." not in listed.partition("\nCommands:\n")[2]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["rebiuld"], "There is no verb rebiuld; did you mean rebuild?"),
        (["frobnicate"], "There is no verb frobnicate; there are: setup, check, trust, plan"),
        (["drift", "--jsn"], "Did you mean '--json'?"),
        (["drain", "us-east-1"], "there is no zone us-east-1 in the site; did you mean us-east-1"),
        (["deploy", "--dry"], "To see what it would change: ./vpc plan"),
        (["rebuild", "us-east-1a", "--wait", "-1"], "-1 is not in the range x>=0"),
        (["drain"], "Missing argument 'ZONE'"),
        (["identities", "rotate", ""], "there is no host or zone '' in the site"),
        (["identities", "revoke", "\x1b]0;x\a"], "there is no host or zone '\\u001b]0;x\\u0007' in the site"),
        (["identities", "rotate", "us-east-1a\noffice"], "there is no host or zone 'us-east-1a\\noffice' in the site"),
        (["plan", "nat"], "nat is no option of pyinfra's. For one host, group or zone: --limit nat"),
    ],
)
def test_a_word_that_is_none_brings_the_nearest(vpc: Type, words: list[str], error: str) -> None:
    said = vpc(*words)
    assert (said.status, said.out) == (1, "")
    assert error in said.err


def test_a_site_with_errors_is_reported_once(vpc: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site.yml"
    site.write_text("zones: 7\n")
    monkeypatch.setenv("SITE", str(site))
    said = vpc("check")
    assert said.status == 1 and said.out == "" and said.err.count("zones: 7") == 1
    as_json = vpc("check", "--json")
    assert as_json.status == 1
    found = json.loads(as_json.out)
    assert found["hosts"] == [] and "zones: 7" in found["problems"][0]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/a b/c"),
            "/a b/c: No space left on device.\nLook: df -h '/a b'",
        ),
        (
            OSError(errno.EACCES, "Permission denied", b"/etc/x"),
            "/etc/x: Permission denied.\nLook: ls -ld /etc /etc/x;",
        ),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files.\nType the same again."),
        (OSError(errno.EBADF, "Bad file descriptor", 7), "Bad file descriptor.\nType the same again."),
        (TimeoutError(), "TimeoutError.\nType the same again."),
    ],
)
def test_what_the_system_refuses_is_a_sentence(
    vpc: Type, monkeypatch: pytest.MonkeyPatch, error: OSError, said: str
) -> None:
    def refuse() -> None:
        raise error

    monkeypatch.setattr("vpc_openvpn.command.check.this_run", refuse)
    found = vpc("check")
    assert found.status == 1 and found.err.startswith(f"Error: {said}")


def test_check_passes_once_the_identities_are_there(vpc: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITIES", str(tmp_path / "identities"))
    monkeypatch.setenv("AGE_IDENTITY_FILE", str(tmp_path / "age.key"))
    missing = vpc("check")
    assert missing.status == 1 and "Type: ./vpc identities init" in missing.err
    assert vpc("identities", "init").status == 0
    assert vpc("check").status == 0
    assert json.loads(vpc("check", "--json").out)["problems"] == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["plan"], "pyinfra inventory.py deploy.py --dry --diff"),
        (["plan", "--limit", "nat", "--limit", "office"], "… deploy.py --dry --diff --limit nat --limit office"),
        (["deploy", "-y", "--", "--data", "remove=zone-x"], "pyinfra inventory.py deploy.py -y --data remove=zone-x"),
        (["drain", "us-east-1a"], "… deploys/drain.py --data zone=us-east-1a --limit office"),
        (["undrain", "us-east-1a", "-y"], "… deploys/undrain.py --data zone=us-east-1a -y --limit office"),
    ],
)
def test_a_verb_shows_the_line_that_it_types(
    vpc: Type, monkeypatch: pytest.MonkeyPatch, words: list[str], line: str
) -> None:
    ran: list[list[str]] = []

    class Process(subprocess.Popen[bytes]):
        def __init__(self, command: list[str], **options: object) -> None:
            ran.append(command[2:])
            super().__init__(["true"], stdin=subprocess.DEVNULL)

    monkeypatch.setattr("vpc_openvpn.command.pyinfra.subprocess.Popen", Process)
    monkeypatch.setattr("vpc_openvpn.command.pyinfra.which", lambda _name: None if line.startswith("…") else "there")
    said = vpc(*words)
    assert said.status == 0
    wanted = line.replace("…", "pyinfra inventory.py").split()
    assert ran == [wanted]
    shown = " ".join(wanted)
    if line.startswith("…"):  # pyinfra is not on the PATH
        shown = f".venv/bin/{shown}"
    assert said.err.startswith(f"+ SITE={EXAMPLE_SITE} {shown}\n")


def test_it_works_from_any_folder_and_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(VPC)
    site = os.path.relpath(EXAMPLE_SITE, tmp_path)
    path = f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        ["./link", "deploy"],
        cwd=tmp_path,
        env={**os.environ, "SITE": site, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and NO_TERMINAL in done.stderr + done.stdout
    shown = done.stderr.splitlines()[0].removeprefix("+ ")
    assert shown == f"(cd {ROOT} && SITE={EXAMPLE_SITE} pyinfra inventory.py deploy.py)"
    again = subprocess.run(
        ["sh", "-c", shown],
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert again.returncode == 1 and NO_TERMINAL.encode() in again.stderr + again.stdout


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("vpc dr", ["drift", "drain"]),
        ("vpc rebuild us", ["us-east-1a", "us-east-1b"]),
        ("vpc drain ", ["us-east-1a", "us-east-1b"]),
        ("vpc trust o", ["office"]),
        ("vpc drift --l", ["--limit"]),
        ("vpc plan --limit of", ["office"]),
        ("vpc identities ", ["init", "recipients", "reencrypt", "revoke", "rotate", "show"]),
        ("vpc identities recipients ", ["add", "check", "list", "remove"]),
        ("vpc identities rotate ", ["us-east-1a", "us-east-1b", "office", "all"]),
        ("vpc identities revoke ", ["us-east-1a", "us-east-1b", "office"]),
    ],
)
def test_bash_completes_verbs_options_and_names(tmp_path: Path, words: str, completed: list[str]) -> None:
    script = 'eval "$("$0" completion bash)"; COMP_WORDS=($1); [ "$1" = "${1% }" ] || COMP_WORDS+=("");'
    script += ' COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _vpc_completion; printf "%s\n" "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-c", script, VPC, words],
        cwd=tmp_path,
        env={**os.environ, "SITE": str(EXAMPLE_SITE)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == completed, done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shells_script_calls_the_command_by_its_full_name(vpc: Type, shell: str) -> None:
    text = vpc("completion", shell).out
    [line] = [line for line in text.splitlines() if f"_VPC_COMPLETE={shell}_complete" in line]
    assert f" {VPC})" in line or f" {VPC};" in line
    assert "commands[vpc]" not in text  # need not be on the PATH


@pytest.mark.parametrize("killed", [False, True], ids=["Ctrl-C", "kill -9"])
def test_ctrl_c_ends_it_with_a_status_of_its_own(tmp_path: Path, killed: bool) -> None:
    """The signal goes to all of the terminal's programs, as a shell's does. Of kill -9, which is for ./vpc alone, its
    pyinfra learns.
    """
    site = yaml.safe_load(EXAMPLE_SITE.read_text())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        site["office"]["ssh"] |= {"host": "127.0.0.1", "port": port}
        key = paramiko.ECDSAKey.generate()
        (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}\n")
        (tmp_path / "site.yml").write_text(yaml.safe_dump(site))
        environment = {
            **os.environ,
            "SITE": str(tmp_path / "site.yml"),
            "IDENTITIES": str(tmp_path / "ids"),
            "AGE_IDENTITY_FILE": str(tmp_path / "age"),
        }
        subprocess.run([VPC, "identities", "init"], env=environment, check=True, stdout=subprocess.DEVNULL)
        with subprocess.Popen(
            [VPC, "plan", "--limit", "office"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            connection, _ = silent.accept()
            if killed:
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGINT)
            output, _ = process.communicate(timeout=30)
            connection.close()
    assert process.returncode == (-signal.SIGKILL if killed else 130), output
    assert output.count("Interrupted.") == 1 and "Traceback" not in output
