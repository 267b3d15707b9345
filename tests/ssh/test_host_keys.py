"""Which keys are accepted: a host's own entry changes, in whatever form it is written, and no other line."""

import subprocess
from pathlib import Path

import paramiko
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pyinfra.connectors.sshuserclient import client as pyinfra_client

from vpc_openvpn.site.plan import Ssh
from vpc_openvpn.ssh import host_keys

HASHED = paramiko.HostKeys.hash_host("198.51.100.12")
KEYS = [paramiko.ECDSAKey.generate(curve) for curve in (ec.SECP256R1(), ec.SECP256R1())]
OLD, NEW = (f"{key.get_name()} {key.get_base64()}" for key in KEYS)


def ssh(folder: Path, port: int = 22) -> Ssh:
    return Ssh("198.51.100.12", "admin", port, None, folder / "known_hosts")


@pytest.mark.parametrize(
    ("port", "before", "after"),
    [
        (22, "", f"198.51.100.12 {NEW}\n"),
        (22, f"198.51.100.12 {OLD}\n", f"198.51.100.12 {NEW}\n"),
        (22, f"198.51.100.12 {OLD}", f"198.51.100.12 {NEW}\n"),
        (22, f"{HASHED} {OLD}\n", f"198.51.100.12 {NEW}\n"),
        (22, f"198.51.100.11 {OLD}", f"198.51.100.11 {OLD}\n198.51.100.12 {NEW}\n"),
        (22, f"nat-b,198.51.100.12 {OLD}\n", f"nat-b {OLD}\n198.51.100.12 {NEW}\n"),
        (
            22,
            f"# mine\n\n@revoked 198.51.100.12 {OLD}\n",
            f"# mine\n\n@revoked 198.51.100.12 {OLD}\n198.51.100.12 {NEW}\n",
        ),
        (22, f"[198.51.100.12]:2222 {OLD}\n", f"[198.51.100.12]:2222 {OLD}\n198.51.100.12 {NEW}\n"),
        (2222, f"198.51.100.12 {OLD}\n", f"198.51.100.12 {OLD}\n[198.51.100.12]:2222 {NEW}\n"),
        (2222, f"[198.51.100.12]:2222 {OLD}\n", f"[198.51.100.12]:2222 {NEW}\n"),
    ],
)
def test_accept_changes_one_hosts_entry(tmp_path: Path, port: int, before: str, after: str) -> None:
    host = ssh(tmp_path, port)
    if before:
        host.known_hosts.write_text(before)
    host_keys.accept(host, KEYS[1])
    assert host.known_hosts.read_text() == after
    assert host_keys.known(host) == [KEYS[1]]
    assert [path.name for path in tmp_path.iterdir()] == ["known_hosts"]


def test_an_unknown_host_has_no_keys(tmp_path: Path) -> None:
    assert host_keys.known(ssh(tmp_path)) == []


BROKEN = "AAAAC3NzaC1lZDI1NTE5AAAAIJ"  # an ed25519 key that was cut short
AUTHORITY = f"@cert-authority *.example.com {NEW}"
DSS = "nat-d ssh-dss AAAAB3NzaC1kc3MAAAAA"


@pytest.mark.parametrize(
    "line",
    [
        "not a known hosts file @@@",
        "<<<<<<< HEAD",
        "=======",
        "198.51.100.12",
        f"198.51.100.12 ssh-ed25519 {BROKEN}",
        f"198.51.100.12 ssh-ed25519 {OLD.split()[1]}",
        f"198.51.100.12 {OLD}198.51.100.13 {NEW}",
        f"|1|c2hvcnQ=|c2hvcnQ= {OLD}",
        f"@unknown 198.51.100.12 {OLD}",
        "198.51.100.12 \xff\xfe \x00",
    ],
)
def test_a_wrong_line_is_named_and_others_are_read(tmp_path: Path, line: str) -> None:
    host = ssh(tmp_path)
    host.known_hosts.write_text(f"{line}\n# mine\n{AUTHORITY}\n{DSS}\n198.51.100.12 {OLD}\n{HASHED} {NEW}\n{line}\n")
    why, instead = host_keys.complaint_about(host.known_hosts)
    assert why.startswith("lines 1, 7 are not `HOST KIND KEY`")
    # What pyinfra's client compares with, once our reading is adopted.
    host_keys.adopt()
    compared = pyinfra_client.get_host_keys((str(host.known_hosts),))
    assert compared.check("198.51.100.12", KEYS[0]) and not compared.check("198.51.100.12", KEYS[1])
    # The advice is a command that leaves a sound file.
    subprocess.run(["sh", "-c", instead.partition("remove the lines: ")[2]], check=True)
    assert host_keys.complaint_about(host.known_hosts) == ("", "")
    assert host_keys.known(host) == KEYS


def test_a_first_key_is_written_on_a_line_of_its_own(tmp_path: Path) -> None:
    host = ssh(tmp_path)
    host.known_hosts.write_text(f"198.51.100.11 {OLD}")
    host_keys.adopt()
    client = pyinfra_client.SSHClient()
    client._host_keys_filename = str(host.known_hosts)
    pyinfra_client.AcceptNewPolicy().missing_host_key(client, "198.51.100.12", KEYS[1])
    assert host.known_hosts.read_text() == f"198.51.100.11 {OLD}\n198.51.100.12 {NEW}\n"


def test_a_known_hosts_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert host_keys.complaint_about(tmp_path / "known_hosts") == ("", "")
    assert host_keys.complaint_about(tmp_path)[0] == "cannot be read: Is a directory"
    assert host_keys.complaint_about(tmp_path / "none-such/known_hosts")[1] == f"type: mkdir -p {tmp_path}/none-such"


def test_a_key_is_described_as_a_console_prints_it() -> None:
    kind, _, fingerprint = host_keys.describe(KEYS[0]).partition(" ")
    assert kind == "ECDSA"
    assert fingerprint.startswith("SHA256:") and len(fingerprint) == len("SHA256:") + 43
