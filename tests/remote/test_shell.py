"""What goes to a host, run by shells of this machine; and what a host prints, told apart."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from shlex import quote
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paramiko import SSHException
from pyinfra.api import Config, Host, Inventory, StringCommand
from pyinfra.api import State as PyinfraState
from pyinfra.connectors.util import OutputLine

from vpc_openvpn.remote import shell
from vpc_openvpn.remote.shell import BEGIN, END, Said, answer, enclosed, interpreter

SCRIPT = """printf '%s\\n' 'it'\\''s' "$HOME" "a\\\\b" 100% \\! # a comment
if true; then
    cat <<-'EOF'
	here
	EOF
fi"""


def command(script: str, inner: str = "sh") -> str:
    """The line that sshd gives to a login shell, as pyinfra makes it."""
    return f"{interpreter(inner)} -c {quote(enclosed(script))}"


def ran(script: str, login_shell: str = "sh", before: str = "") -> Said:
    said = Said()
    done = subprocess.run(
        [login_shell, "-c", f"{before}{command(script)}"], capture_output=True, text=True, check=False
    )
    for stream, text in (("stdout", done.stdout), ("stderr", done.stderr)):
        for line in text.splitlines():
            said.take(stream, line)
    return said


def lines(said: Said) -> list[str]:
    return [line.line for line in said.answer]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(shell, "_warned", set())
    inventory = Inventory((["office"], {}), override_data={"ssh_user": "admin"})
    PyinfraState(inventory, Config())
    yield inventory.get_host("office")


# --- what goes to a host -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("login_shell", ["sh", "bash", "dash", "zsh", "fish", "tcsh", "ksh"])
def test_a_script_arrives_as_it_was_written_by_any_login_shell(login_shell: str) -> None:
    if not shutil.which(login_shell):
        pytest.skip(f"{login_shell} is not installed here")
    plain = subprocess.run(["sh", "-c", SCRIPT], capture_output=True, text=True, check=True).stdout
    said = ran(SCRIPT, login_shell)
    assert (lines(said), said.ended) == (plain.splitlines(), True)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_login_shell_interprets_no_character_of_a_script(script: str) -> None:
    sent = enclosed(script)
    assert not set(sent) & set("\n'!") and "\\\\" not in sent
    decoded = subprocess.run(["printf", "%b", sent], capture_output=True, check=True).stdout.decode()
    assert f"\n(\n{script}\n)\n" in decoded


def test_a_script_runs_with_fixed_locale_path_and_umask() -> None:
    before = "umask 077; export LC_ALL=de_DE.UTF-8 LANGUAGE=de PATH=/nowhere:$PATH; "
    said = ran('echo "$LC_ALL $PATH"; umask; cat /none', before=before)
    assert lines(said) == [
        "C /usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin",
        "0022",
        "cat: /none: No such file or directory",
    ]


@pytest.mark.parametrize(("script", "status"), [("exit 3", 3), ("false", 1), ("true", 0), ("exec true", 0)])
def test_an_answer_is_closed_however_its_script_ends(script: str, status: int) -> None:
    done = subprocess.run(["sh", "-c", command(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()) == (status, [BEGIN, END])


# --- what a host prints ------------------------------------------------------------------------------------------


def said(*printed: str, errors: tuple[str, ...] = ()) -> Said:
    result = Said()
    for stream, all_lines in (("stderr", errors), ("stdout", printed)):
        for line in all_lines:
            result.take(stream, line)
    return result


def test_shell_output_before_an_answer_is_ignored(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    noisy = said(
        "Welcome", "", f"\x1b]0;office\x07{BEGIN}", "one", f"two{END}", "logout", errors=("mesg: no tty", BEGIN)
    )
    assert answer(host, noisy, succeeded=True) == [OutputLine("stdout", "one"), OutputLine("stdout", "two")]
    assert answer(host, noisy, succeeded=True)
    [warning] = [record.getMessage() for record in caplog.records]
    assert "[office]" in warning and "'mesg: no tty' precedes each answer" in warning
    assert "a start-up file of admin's login shell" in warning and "[ -t 1 ] || return" in warning


def test_sudo_warnings_before_an_answer_are_ignored(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    complaint = "sudo: unable to resolve host ip-10-0-1-10: Name or service not known"
    heard = answer(host, said(BEGIN, "held", END, errors=(complaint, BEGIN, "own")), succeeded=True)
    assert [line.line for line in heard] == ["own", "held"]
    assert complaint in caplog.text and "/etc/hosts" in caplog.text


def test_a_quiet_host_brings_no_warning(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    assert answer(host, said("", BEGIN, END, errors=(BEGIN,)), succeeded=True) == []
    assert not caplog.records


@pytest.mark.parametrize("printed", [(BEGIN,), (BEGIN, "one"), ("Welcome", BEGIN, "one", "answer 00000000 ends")])
def test_an_answer_without_its_end_is_an_error(host: Host, printed: tuple[str, ...]) -> None:
    with pytest.raises(OSError, match="the answer of office ended early"):
        answer(host, said(*printed), succeeded=True)


def test_a_host_that_runs_another_command_is_an_error(host: Host) -> None:
    with pytest.raises(OSError, match=r"office did not answer, but printed 'Log in as admin': .*ForceCommand"):
        answer(host, said("Log in as admin"), succeeded=True)
    with pytest.raises(OSError, match="office did not answer: the connection was cut"):
        answer(host, said(), succeeded=False)


def test_a_refusal_by_sudo_is_passed_on(host: Host) -> None:
    refused = said(errors=("sudo: a password is required",))
    assert [line.line for line in answer(host, refused, succeeded=False)] == ["sudo: a password is required"]


def test_bytes_of_any_encoding_are_text() -> None:
    assert list(shell.decoded([b"Gr\xfc\xdfe\n", "Grüße\n".encode()])) == ["Gr\ufffd\ufffde", "Grüße"]


def test_no_byte_of_an_answer_moves_a_cursor() -> None:
    said = list(shell.decoded([b"\x1b]52;c;cm0=\x07\r\n", "a\tb\u202e\n".encode()]))
    assert said == [r"\u001b]52;c;cm0=\u0007\r", "a\tb\\u202e"]


def test_the_kernel_ends_a_connection_that_is_dead() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as line:
        shell.end_when_dead(line)
        asked = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        asked += line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) * line.getsockopt(
            socket.IPPROTO_TCP, socket.TCP_KEEPCNT
        )
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert asked == shell.DEAD == line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) / 1000


class Transport:
    """An ssh connection of which only the number of sessions matters."""

    def __init__(self) -> None:
        self.opened = 0

    def open_session(self) -> SimpleNamespace:
        self.opened += 1
        return SimpleNamespace(closed=False, number=self.opened)


def test_a_session_that_was_opened_ahead_is_the_next_commands(host: Host) -> None:
    transport = Transport()
    connector = shell.Connector(host.state, host)
    connector.client = SimpleNamespace(get_transport=lambda: transport)  # type: ignore[assignment]
    connector.reserve()
    gevent.sleep(0)  # so that what opens it has ended
    taken: Any = connector._session()
    assert (taken.number, transport.opened) == (1, 1)
    following: Any = connector._session()
    assert (following.number, transport.opened) == (2, 2)


@pytest.mark.parametrize("error", [EOFError(), SSHException("SSH session not active")])
def test_a_connection_that_ends_as_a_command_begins_is_a_host_that_did_not_answer(host: Host, error: Exception) -> None:
    def open_session() -> None:
        raise error

    connector = shell.Connector(host.state, host)
    transport = SimpleNamespace(open_session=open_session)
    connector.client = SimpleNamespace(get_transport=lambda: transport)  # type: ignore[assignment]
    with pytest.raises(OSError, match=f"the connection to {host.name} was cut: .+"):
        connector.run_shell_command(StringCommand("true"))
