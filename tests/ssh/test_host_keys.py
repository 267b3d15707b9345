"""Which keys are accepted: a host's own entry changes, in whatever form it is written, and no other line."""

import errno
import os
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
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
    host_keys.accept((host, KEYS[1]))
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


def test_several_hosts_keys_are_accepted_at_once_and_the_file_stays_what_it_is(tmp_path: Path) -> None:
    first, second = ssh(tmp_path), ssh(tmp_path, port=2222)
    real = tmp_path / "real"
    real.write_bytes(b"# Gr\xfc\xdfe\r\n")
    real.chmod(0o640)
    first.known_hosts.symlink_to(real)
    host_keys.accept((first, KEYS[0]), (second, KEYS[1]))
    assert first.known_hosts.is_symlink() and real.stat().st_mode & 0o777 == 0o640
    assert real.read_bytes() == (
        f"# Gr\udcfc\udcdfe\r\n198.51.100.12 {OLD}\n[198.51.100.12]:2222 {NEW}\n".encode(errors="surrogateescape")
    )


def test_a_file_that_cannot_be_written_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = ssh(tmp_path)
    host.known_hosts.write_text(f"198.51.100.12 {OLD}\n")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        host_keys.accept((host, KEYS[1]))
    assert host_keys.known(host) == [KEYS[0]]
    assert [path.name for path in tmp_path.iterdir()] == ["known_hosts"]


def test_it_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    replace = Path.replace

    def fsync(handle: int) -> None:
        done.append("directory" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")

    def renamed(path: Path, target: Path) -> Path:
        done.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", renamed)
    host_keys.accept((ssh(tmp_path), KEYS[0]))
    assert done == ["file", "rename", "directory"]


def test_of_two_runs_at_once_each_has_its_hosts_accepted(tmp_path: Path) -> None:
    """And a draft of a run that was killed goes."""
    (tmp_path / ".known_hosts.abcd1234.tmp").write_text("half")
    hosts = [ssh(tmp_path, port=port) for port in range(2000, 2060)]

    def accept(few: list[Ssh]) -> None:
        for host in few:
            host_keys.accept((host, KEYS[0]))

    with ThreadPoolExecutor() as at_once:
        for done in [at_once.submit(accept, hosts[start::3]) for start in range(3)]:
            done.result()
    assert all(host_keys.known(host) == [KEYS[0]] for host in hosts)
    assert [path.name for path in tmp_path.iterdir()] == ["known_hosts"]


DAMAGED = f"198.51.100.13 ssh-ed25519 {BROKEN}"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "\n"], ids=["no newline at the end", "newline"])
@pytest.mark.parametrize("host", ["198.51.100.12", HASHED], ids=["clear", "hashed"])
@pytest.mark.parametrize(
    "other",
    [
        DAMAGED.encode(),
        AUTHORITY.encode(),
        f"@revoked * {NEW}".encode(),
        b"# Gr\xfc\xdfe \xff\x00",
        b"\xff\xfe ssh-ed25519 \xff",
        "# \u2028".encode() + f"198.51.100.12 {NEW}".encode(),  # not the end of a line
        b"# \x85\x0c\x1c" + f"198.51.100.12 {NEW}".encode(),
        b"# old mac\r" + f"198.51.100.12 {NEW}".encode(),
    ],
)
def test_no_other_line_voids_a_hosts_key(tmp_path: Path, other: bytes, host: str, last: str, end: str) -> None:
    """Whatever stands above or below: the host's key counts, and no other is taken for a first one."""
    for lines in ([other, f"{host} {OLD}".encode()], [f"{host} {OLD}".encode(), other]):
        file = ssh(tmp_path).known_hosts
        file.write_bytes(end.encode().join(lines) + (end if last else "").encode())
        assert host_keys.known(ssh(tmp_path)) == [KEYS[0]]
        host_keys.adopt()
        keys = pyinfra_client.get_host_keys((str(file),))
        assert keys.check("198.51.100.12", KEYS[0]) and not keys.check("198.51.100.12", KEYS[1])
        damaged = other in (DAMAGED.encode(), b"\xff\xfe ssh-ed25519 \xff")
        assert bool(host_keys.complaint_about(file)[0]) == damaged
        host_keys.accept((ssh(tmp_path), KEYS[1]))
        assert other in file.read_bytes()  # a line that is not the host's stays


@pytest.mark.parametrize(
    "name",
    ["198.51.100.12", HASHED, "*", "198.51.100.1?", "nat-b,198.51.*"],
    ids=["clear", "hashed", "all", "pattern", "patterns"],
)
def test_a_revoked_key_is_no_key_of_the_host(tmp_path: Path, name: str) -> None:
    host = ssh(tmp_path)
    host.known_hosts.write_text(f"198.51.100.12 {OLD}\n@revoked {name} {OLD}\n")
    assert host_keys.complaint_about(host.known_hosts) == ("", "")
    assert host_keys.known(host) == []
    assert host_keys.is_revoked(host.known_hosts, "198.51.100.12", KEYS[0])
    assert not host_keys.is_revoked(host.known_hosts, "198.51.100.12", KEYS[1])
    host_keys.adopt()
    assert not pyinfra_client.get_host_keys((str(host.known_hosts),)).check("198.51.100.12", KEYS[0])


def test_another_hosts_revoked_key_may_be_this_ones(tmp_path: Path) -> None:
    host = ssh(tmp_path)
    host.known_hosts.write_text(f"198.51.100.12 {OLD}\n@revoked [198.51.100.12]:2222,198.51.100.13 {OLD}\n")
    assert host_keys.known(host) == [KEYS[0]]


def test_advice_may_be_pasted_whatever_a_folder_is_called(tmp_path: Path) -> None:
    folder = tmp_path / "my $(touch pwned) 'site'"
    _, instead = host_keys.complaint_about(folder / "known_hosts")
    subprocess.run(["sh", "-c", instead.removeprefix("type: ")], check=True, cwd=tmp_path)
    assert folder.is_dir() and not (tmp_path / "pwned").exists()
    (folder / "known_hosts").write_text("damaged\n")
    _, instead = host_keys.complaint_about(folder / "known_hosts")
    subprocess.run(["sh", "-c", instead.partition("remove the lines: ")[2]], check=True, cwd=tmp_path)
    assert (folder / "known_hosts").read_text() == "" and not (tmp_path / "pwned").exists()


def test_a_known_hosts_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert host_keys.complaint_about(tmp_path / "known_hosts") == ("", "")
    assert host_keys.complaint_about(tmp_path)[0] == "cannot be read: Is a directory"
    assert host_keys.complaint_about(tmp_path / "none-such/known_hosts")[1] == f"type: mkdir -p {tmp_path}/none-such"


def test_a_key_is_described_as_a_console_prints_it() -> None:
    kind, _, fingerprint = host_keys.describe(KEYS[0]).partition(" ")
    assert kind == "ECDSA"
    assert fingerprint.startswith("SHA256:") and len(fingerprint) == len("SHA256:") + 43
