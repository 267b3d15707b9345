"""Which keys are accepted: a host's own entry changes, in whatever form it is written, and no other line."""

from pathlib import Path

import paramiko
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from remote import host_keys
from topology.plan import Ssh

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
def test_one_hosts_entry_changes(tmp_path: Path, port: int, before: str, after: str) -> None:
    host = ssh(tmp_path, port)
    if before:
        host.known_hosts.write_text(before)
    host_keys.accept(host, KEYS[1])
    assert host.known_hosts.read_text() == after
    assert host_keys.known(host) == [KEYS[1]]
    assert [path.name for path in tmp_path.iterdir()] == ["known_hosts"]


def test_a_host_that_nobody_knows_has_no_keys(tmp_path: Path) -> None:
    assert host_keys.known(ssh(tmp_path)) == []


def test_a_key_is_described_as_a_console_prints_it() -> None:
    kind, _, fingerprint = host_keys.describe(KEYS[0]).partition(" ")
    assert kind == "ECDSA"
    assert fingerprint.startswith("SHA256:") and len(fingerprint) == len("SHA256:") + 43
