"""Lists of fingerprints, as people write and programs print them."""

import subprocess
from pathlib import Path

import pytest

from vpc_openvpn.ssh.fingerprints import Listed, ListError, read

A, B = "SHA256:" + 42 * "a" + "A", "SHA256:" + 42 * "b" + "8"
NAMES = {"office": "office", "nat-a": "nat-a", "a": "nat-a", "198.51.100.21": "nat-a"}
CONSOLE = f"""
ec2: #############################################################
ec2: -----BEGIN SSH HOST KEY FINGERPRINTS-----
ec2: 256 {A} root@ip-10-0-1-10 (ED25519)
ec2: 3072 {B} root@ip-10-0-1-10 (RSA)
ec2: -----END SSH HOST KEY FINGERPRINTS-----
"""


@pytest.mark.parametrize(
    ("text", "listed"),
    [
        (A, Listed({}, {A})),
        (f"{A}=\n\n# {B}\n{B}\n", Listed({}, {A, B})),
        (f"nat-a {A}\r\noffice {B}\r\n", Listed({"nat-a": {A}, "office": {B}}, set())),
        (f"nat-a={A}\n{B} a\n198.51.100.21\t{A}", Listed({"nat-a": {A, B}}, set())),
        (f"256 {A} root@office (ED25519)", Listed({}, {A})),
        (f"256 {A} 198.51.100.21 (ED25519)", Listed({"nat-a": {A}}, set())),
        (CONSOLE, Listed({}, {A, B})),
    ],
)
def test_lists_are_read(text: str, listed: Listed) -> None:
    assert read(text.splitlines(), NAMES) == listed


def test_what_ssh_keygen_prints_is_read(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    said = subprocess.run(["ssh-keygen", "-lf", tmp_path / "key.pub"], capture_output=True, text=True, check=True)
    [found] = read(said.stdout.splitlines(), NAMES).any
    assert found in said.stdout


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "it lists no fingerprint"),
        ("# nothing\n", "it lists no fingerprint"),
        (f"{A}\nyes\n", "line 2 has no SHA256 fingerprint"),
        ("256 MD5:aa:bb root@x (RSA)", "what `ssh-keygen -l -E sha256` prints"),
        ("SHA256:short", "line 1 has no SHA256 fingerprint"),
        (f"nat-a {A} {B}", "or more than one"),
        (f"nat-z {A}", "there is no host nat-z in the site; there are: office, nat-a"),
        (f"nat-a trusted {A}", "there is no host trusted in the site"),
        (f"nat-a ssh-ed25519 AAAA\n{A}", "line 1 has no SHA256 fingerprint"),
    ],
)
def test_what_is_no_list_is_named_by_its_line(text: str, error: str) -> None:
    with pytest.raises(ListError) as refused:
        read(text.splitlines(), NAMES)
    assert error in str(refused.value)


def test_a_host_that_is_named_has_no_other_fingerprint() -> None:
    listed = read([f"nat-a {A}", B], NAMES)
    assert (listed.of("nat-a"), listed.of("office")) == ({A}, {B})
