"""Hosts whose keys are not compared yet: nothing is sent to them; `./vpc trust` accepts what the operator says."""

import os
import pty
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import paramiko
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from pyinfra.connectors.sshuserclient import client as pyinfra_client

from tests.conftest import EXAMPLE_SITE
from tests.ssh.server import showing
from vpc_openvpn.site.load import ROOT
from vpc_openvpn.site.plan import Ssh
from vpc_openvpn.ssh import host_keys
from vpc_openvpn.status import gather
from vpc_openvpn.status.model import Refusal

VPC = ROOT / "vpc"
OFFICE, NAT_A, NAT_B = KEYS = [paramiko.ECDSAKey.generate(curve) for curve in 3 * (ec.SECP256R1(),)]
RSA = paramiko.RSAKey.generate(2048)
NAMES = ["office", "nat-us-east-1a", "nat-us-east-1b"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Any]:
    """A site of three hosts on loopback; `site.asked` has what was asked of each."""
    document = yaml.safe_load(EXAMPLE_SITE.read_text())
    with ExitStack() as servers:
        ports, strangers = zip(
            *(servers.enter_context(showing(*keys)) for keys in ([OFFICE], [NAT_A, RSA], [NAT_B])), strict=True
        )
        document["zones"] = document["zones"][:2]
        document["office"]["ssh"] = {"host": "127.0.0.1", "port": ports[0]}
        for zone, port in zip(document["zones"], ports[1:], strict=True):
            zone["nat"]["ssh"] = {"host": "127.0.0.1", "port": port}
            zone.pop("detour", None)
        RSA.write_private_key_file(str(tmp_path / "key"))
        document["ssh"] = {"known_hosts": "known_hosts", "key": "key"}
        file = tmp_path / "site.yml"
        file.write_text(yaml.safe_dump(document))
        environment = {
            **{name: value for name, value in os.environ.items() if name != "SSH_AUTH_SOCK"},
            "SITE": str(file),
            "IDENTITIES": str(tmp_path / "ids"),
            "AGE_IDENTITY_FILE": str(tmp_path / "age"),
        }
        yield SimpleNamespace(
            known_hosts=tmp_path / "known_hosts",
            ports=ports,
            environment=environment,
            asked=lambda: [word for each in strangers for word in each.asked],
            lines=[
                f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}\n"
                for port, key in zip(ports, KEYS, strict=True)
            ],
        )


def typed(site: Any, *words: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [VPC, *words], env=site.environment, input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def at_a_terminal(site: Any, answer: bytes, *words: str) -> tuple[int, str]:
    """Type it, and answer its question."""
    child, terminal = pty.fork()
    if child == 0:
        os.execve(VPC, [str(VPC), *words], site.environment)
    said = b""
    while b"to trust: " not in said:
        said += os.read(terminal, 4096)
    os.write(terminal, answer)
    try:
        while more := os.read(terminal, 4096):
            said += more
    except OSError:  # its end
        pass
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said.decode().replace("\r\n", "\n")


def test_one_question_is_asked_for_the_whole_site(site: Any) -> None:
    site.known_hosts.write_bytes(b"# Gr\xfc\xdfe")
    status, said = at_a_terminal(site, b"yes\n", "trust")
    assert status == 0, said
    for name, key in zip(NAMES, KEYS, strict=True):
        [row] = [line for line in said.splitlines() if line.split()[:1] == [name]]
        assert row.split()[1:] == ["127.0.0.1", "ECDSA", key.fingerprint]
    assert "console output" in said and "ssh-keygen -lf /etc/ssh/" in said
    assert said.count("Type yes to trust") == 1
    assert site.known_hosts.read_bytes() == b"# Gr\xfc\xdfe\n" + "".join(site.lines).encode()
    assert site.asked() == []
    again = typed(site, "trust")
    assert (again.returncode, again.stderr) == (0, "") and "Nothing to do" in again.stdout


@pytest.mark.parametrize("answer", [b"no\n", b"y\n", b"\n", b"\x04"], ids=["no", "y", "Enter", "Ctrl-D"])
def test_any_other_answer_writes_nothing(site: Any, answer: bytes) -> None:
    status, said = at_a_terminal(site, answer, "trust")
    assert status == 1 and "nothing was accepted, and nothing was written" in said and "Traceback" not in said
    assert not site.known_hosts.exists()


def test_only_hosts_that_are_named_are_asked(site: Any) -> None:
    status, said = at_a_terminal(site, b"yes\n", "trust", "us-east-1a")
    assert status == 0 and "office" not in said, said
    assert site.known_hosts.read_text() == site.lines[1]
    unknown = typed(site, "trust", "us-east-1z")
    assert unknown.returncode == 1 and "did you mean us-east-1" in unknown.stderr


def test_without_a_terminal_nothing_is_accepted(site: Any) -> None:
    refused = typed(site, "trust", stdin="yes\n")
    assert refused.returncode == 1
    assert "there is no terminal to ask on, and nothing was written" in refused.stderr
    assert "./vpc trust --fingerprints FILE" in refused.stderr and OFFICE.fingerprint in refused.stdout
    assert not site.known_hosts.exists()


def test_what_is_listed_is_accepted_and_nothing_else(site: Any, tmp_path: Path) -> None:
    listed = tmp_path / "list"
    # One by its name, one by another of its keys; the third is listed for another host.
    listed.write_text(f"office {OFFICE.fingerprint}\n2048 {RSA.fingerprint} root@x (RSA)\noffice {NAT_B.fingerprint}\n")
    done = typed(site, "trust", "--fingerprints", listed)
    assert done.returncode == 1, done.stdout
    assert "nat-us-east-1b does not have the host key" in done.stderr and NAT_B.fingerprint in done.stderr
    rsa = f"[127.0.0.1]:{site.ports[1]} {RSA.get_name()} {RSA.get_base64()}\n"
    assert site.known_hosts.read_text() == site.lines[0] + rsa
    assert site.asked() == []
    # By standard input, and what is known already stays.
    done = typed(site, "trust", "--fingerprints", "-", stdin=NAT_B.fingerprint)
    assert done.returncode == 0, done.stderr
    assert site.known_hosts.read_text() == site.lines[0] + rsa + site.lines[2]
    assert "Nothing to do" in typed(site, "trust", "--fingerprints", "-", stdin=NAT_B.fingerprint).stdout


def test_a_known_host_is_not_given_the_key_that_a_list_has(site: Any) -> None:
    site.known_hosts.write_text("".join(site.lines))
    done = typed(site, "trust", "--fingerprints", "-", stdin=f"office {NAT_A.fingerprint}")
    assert done.returncode == 1 and "If its machine was replaced, type: ./vpc rebuild office" in done.stderr
    assert site.known_hosts.read_text() == "".join(site.lines)


def test_a_key_that_two_hosts_show_has_to_be_listed_by_name(site: Any) -> None:
    """A machine that answers at two addresses would else be both hosts."""
    with showing(NAT_A) as (port, _):
        document = yaml.safe_load(Path(site.environment["SITE"]).read_text())
        document["zones"][1]["nat"]["ssh"]["port"] = port
        Path(site.environment["SITE"]).write_text(yaml.safe_dump(document))
        listed = f"{OFFICE.fingerprint}\n{NAT_A.fingerprint}\n"
        done = typed(site, "trust", "--fingerprints", "-", stdin=listed)
        assert done.returncode == 1 and "nat-us-east-1a and nat-us-east-1b show the same host key" in done.stderr
        assert site.known_hosts.read_text() == site.lines[0]
        named = f"us-east-1a {NAT_A.fingerprint}\nus-east-1b {NAT_A.fingerprint}\n"
        assert typed(site, "trust", "--fingerprints", "-", stdin=named).returncode == 0


@pytest.mark.parametrize("listed", ["", "yes\n", "nat-us-east-1z SHA256:" + 43 * "a"])
def test_a_list_that_is_none_is_refused_before_anything_connects(site: Any, listed: str) -> None:
    done = typed(site, "trust", "--fingerprints", "-", stdin=listed)
    assert done.returncode == 1 and done.stderr.startswith("Error: standard input: ") and done.stdout == ""
    done = typed(site, "trust", "--fingerprints", "/none/such")
    assert done.returncode == 1 and "/none/such" in done.stderr


def test_a_host_that_does_not_answer_keeps_no_other_from_being_trusted(site: Any) -> None:
    document = yaml.safe_load(Path(site.environment["SITE"]).read_text())
    document["zones"][0]["nat"]["ssh"]["port"] = 9
    Path(site.environment["SITE"]).write_text(yaml.safe_dump(document))
    status, said = at_a_terminal(site, b"yes\n", "trust")
    assert status == 1 and "nat-us-east-1a does not answer ssh at 127.0.0.1 port 9: " in said, said
    assert site.known_hosts.read_text() == site.lines[0] + site.lines[2]


def test_a_revoked_key_is_never_accepted(site: Any) -> None:
    revoked = f"@revoked * {OFFICE.get_name()} {OFFICE.get_base64()}\n"
    site.known_hosts.write_text(revoked)
    done = typed(site, "trust", "office", "--fingerprints", "-", stdin=OFFICE.fingerprint)
    assert done.returncode == 1 and "which a line @revoked of" in done.stderr
    rebuilt = typed(site, "identities", "init"), typed(site, "rebuild", "office", "--host-key", OFFICE.fingerprint)
    assert rebuilt[1].returncode == 1 and "which a line @revoked of" in rebuilt[1].stderr
    assert site.known_hosts.read_text() == revoked and site.asked() == []


@pytest.fixture
def revoked(site: Any) -> str:
    """A line that has revoked nat-us-east-1a's key."""
    line = f"@revoked {site.lines[1]}"
    site.known_hosts.write_text(site.lines[0] + line + site.lines[2])
    assert typed(site, "identities", "init").returncode == 0
    return line


@pytest.mark.parametrize("words", [["plan"], ["deploy", "-y"], ["drift"]])
def test_after_a_revoke_each_verb_says_what_to_type(site: Any, revoked: str, words: list[str]) -> None:
    done = typed(site, *words)
    assert done.returncode == 1 and "has only a revoked ssh host key of" in done.stderr, done.stderr
    assert "type: ./vpc rebuild nat-us-east-1a\n" in done.stderr and "./vpc trust" not in done.stderr
    assert "The others can do without: --limit office --limit nat-us-east-1b\n" in done.stderr
    assert site.asked() == []


def test_each_host_has_its_line_one_that_is_revoked_and_one_that_is_new(site: Any, revoked: str) -> None:
    site.known_hosts.write_text(site.lines[0] + revoked)
    done = typed(site, "plan")
    assert "by typing: ./vpc trust nat-us-east-1b\n" in done.stderr
    assert "type: ./vpc rebuild nat-us-east-1a\n" in done.stderr


def test_a_status_says_that_a_hosts_key_is_revoked(site: Any, revoked: str, reading: None) -> None:
    """Whether the machine shows that key, or another kind of the same disk's."""
    for key in (NAT_A, RSA):
        with showing(key) as (port, stranger):
            site.known_hosts.write_text(revoked.replace(str(site.ports[1]), str(port)))
            answer = gather._Line(Ssh("127.0.0.1", "root", port, None, site.known_hosts), NAT_B, 5.0).answer()
            assert answer.refusal == Refusal.KEY and "revoked" in answer.why and stranger.asked == []
    site.known_hosts.write_text(site.lines[0] + revoked + site.lines[2])
    said = typed(site, "status")
    assert "./vpc rebuild us-east-1a" in said.stdout and "./vpc trust nat-us-east-1a" not in said.stdout, said.stdout


@pytest.mark.attack
@pytest.mark.parametrize("verb", ["trust", "rebuild"])
def test_a_key_of_another_kind_than_the_revoked_one_comes_with_a_warning(
    site: Any, revoked: str, tmp_path: Path, verb: str
) -> None:
    """The old machine has keys of all kinds, and may show those alone that are not revoked."""
    with showing(RSA) as (port, _):
        document = yaml.safe_load(Path(site.environment["SITE"]).read_text())
        document["zones"][0]["nat"]["ssh"]["port"] = port
        Path(site.environment["SITE"]).write_text(yaml.safe_dump(document))
        site.known_hosts.write_text(revoked.replace(str(site.ports[1]), str(port)))
        done = typed(site, verb, "nat-us-east-1a")
    assert done.returncode == 1 and RSA.fingerprint in done.stdout
    assert f"Of nat-us-east-1a ECDSA {NAT_A.fingerprint} is revoked." in done.stdout
    assert "compare with the console of the NEW machine" in done.stdout


def test_a_damaged_line_is_mended_before_anything_is_trusted(site: Any) -> None:
    site.known_hosts.write_text(f"# mine\n<<<<<<< HEAD\n{site.lines[0]}")
    for words in (["trust"], ["plan"], ["deploy", "-y"], ["drift"], ["status"], ["check"]):
        done = typed(site, *words)
        assert done.returncode == 1 and "line 2 is not `HOST KIND KEY`" in done.stderr, words
        assert "sed -i.old '2d;'" in done.stderr


@pytest.mark.parametrize("words", [["plan"], ["deploy", "-y"], ["drift"], ["drain", "us-east-1a", "-y"]])
def test_nothing_is_sent_to_a_host_that_is_not_trusted(site: Any, words: list[str]) -> None:
    assert typed(site, "identities", "init").returncode == 0
    site.known_hosts.write_text("".join(site.lines[1:]))
    done = typed(site, *words)
    assert done.returncode == 1
    assert "This host is not trusted" in done.stderr and "office  127.0.0.1\n" in done.stderr
    assert "Compare and trust, by typing: ./vpc trust office\n" in done.stderr
    assert "Connected" not in done.stdout + done.stderr and site.asked() == []


def test_a_host_outside_the_limit_need_not_be_trusted(site: Any) -> None:
    assert typed(site, "identities", "init").returncode == 0
    site.known_hosts.write_text("".join(site.lines[1:]))
    done = typed(site, "plan", "--limit", "nat")
    assert "not trusted" not in done.stderr
    # The servers let no one in; they are asked, though.
    assert done.returncode == 1 and "Authentication error" in done.stderr
    assert {word.split()[0] for word in site.asked()} == {"admin"}


def test_the_inventory_can_be_shown_without_trust(site: Any) -> None:
    shown = subprocess.run(
        [ROOT / ".venv/bin/pyinfra", "inventory.py", "debug-inventory"],
        cwd=ROOT,
        env=site.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr


@pytest.fixture
def reading() -> Iterator[None]:
    """pyinfra's client reads known_hosts as a run does."""
    before = dict(vars(pyinfra_client))
    host_keys.adopt()
    yield
    vars(pyinfra_client).update(before)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("", "its ssh host key is not trusted: ECDSA SHA256:"),
        ("@revoked * {key}\n[127.0.0.1]:{port} {key}\n", r"which \S+/known_hosts revokes"),
        ("[127.0.0.1]:1 {key}\n", "Compare the key, by typing: ./vpc trust"),
    ],
)
def test_a_connection_is_refused_before_a_key_is_offered(tmp_path: Path, reading: None, line: str, error: str) -> None:
    """The second lock, for who comes by without the inventory's."""
    with showing(OFFICE) as (port, stranger):
        file = tmp_path / "known_hosts"
        file.write_text(line.format(key=f"{OFFICE.get_name()} {OFFICE.get_base64()}", port=port))
        with pytest.raises(paramiko.SSHException, match=error):
            pyinfra_client.SSHClient().connect(
                "127.0.0.1",
                _pyinfra_ssh_known_hosts_file=str(file),
                _pyinfra_ssh_strict_host_key_checking="yes",
                port=port,
                username="admin",
                pkey=NAT_A,
            )
        assert stranger.asked == []
        assert file.read_text() == line.format(key=f"{OFFICE.get_name()} {OFFICE.get_base64()}", port=port)


def test_no_option_of_a_run_makes_it_less_strict(site: Any) -> None:
    """`--data` comes before what the inventory says."""
    assert typed(site, "identities", "init").returncode == 0
    site.known_hosts.write_text(site.lines[0] + site.lines[2].replace(f":{site.ports[2]}", f":{site.ports[1]}"))
    options = ["--", "--data", "ssh_strict_host_key_checking=no", "--data", f"ssh_known_hosts_file={os.devnull}"]
    done = typed(site, "plan", "--limit", "office", *options)
    assert done.returncode == 1 and "its ssh host key is not trusted" in done.stderr, done.stderr
    assert site.asked() == []


def test_a_status_names_the_line_to_type(site: Any, reading: None) -> None:
    with showing(NAT_A) as (port, stranger):
        ssh = Ssh("127.0.0.1", "root", port, None, site.known_hosts)
        answer = gather._Line(ssh, NAT_B, 5.0).answer()
        assert (answer.refusal, answer.reached) == (Refusal.UNKNOWN_KEY, False)
        assert answer.why == f"its ssh host key is not known: ECDSA {NAT_A.fingerprint}"
        assert stranger.asked == []
    said = typed(site, "status")
    assert said.returncode == 1 and "./vpc trust" in said.stdout and "./vpc deploy" not in said.stdout, said.stdout
    assert site.asked() == []
