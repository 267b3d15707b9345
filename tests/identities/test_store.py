"""What the deploy reads from the store, and the error where it cannot."""

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pyrage import x25519

from tests.identities.desk import Desk, new_identity
from vpc_openvpn.identities.store import Store


@pytest.fixture
def ready(desk: Desk) -> Desk:
    desk.vpc("init")
    return desk


def test_a_host_gets_a_key_and_its_certificate(ready: Desk) -> None:
    store = ready.store()
    certificate = x509.load_pem_x509_certificate(store.certificate("office").encode())
    key = load_pem_private_key(store.private_key("office").encode(), password=None)
    assert key.public_key() == certificate.public_key()
    assert store.certificate("office").startswith("-----BEGIN CERTIFICATE-----\n")
    for text in (store.certificate("office"), store.private_key("office"), store.tls_crypt("us-east-1a")):
        assert text.endswith("-----\n")


def test_public_files_need_no_age_identity(ready: Desk) -> None:
    ready.age_key.unlink()
    store = ready.store()
    store.check(ready.plans())
    assert store.certificate("office")
    assert store.fingerprint("office")


def test_a_secret_is_decrypted_once(ready: Desk) -> None:
    store = ready.store()
    secret = store.tls_crypt("us-east-1a")
    ready.age_key.unlink()
    (ready.folder / "tunnel-us-east-1a.key.age").unlink()
    assert store.tls_crypt("us-east-1a") == secret


def test_the_stores_repr_shows_no_secret(ready: Desk) -> None:
    store = ready.store()
    store.private_key("office")
    assert repr(store) == str(store) == f"Store({str(ready.folder)!r})"


def test_the_environment_chooses_the_folder(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert desk.store().folder == desk.folder
    monkeypatch.setenv("IDENTITIES", "~/keys")
    assert desk.store().folder == desk.age_key.parents[2] / "keys"


def test_all_missing_files_are_listed_at_once(ready: Desk) -> None:
    for name in ("office.crt", "tunnel-us-east-1b.key.age", "nat-us-east-1a.key.age"):
        (ready.folder / name).unlink()
    with ready.refused() as text:
        ready.store().check(ready.plans())
    assert text == [
        f"Missing in {ready.folder}: nat-us-east-1a.key.age, office.crt, tunnel-us-east-1b.key.age.\n"
        "Type: ./vpc identities init (or fetch them, if a colleague has made them)"
    ]


def test_a_limited_run_asks_for_no_more_than_its_hosts_need(ready: Desk) -> None:
    for name in (
        "office.key.age",
        "nat-us-east-1b.crt",
        "nat-us-east-1b.key.age",
        "tunnel-us-east-1b.key.age",
    ):
        (ready.folder / name).unlink()
    ready.store().check({"nat-us-east-1a": ready.plans()["nat-us-east-1a"]})
    with ready.refused() as text:
        ready.store().check({"office": ready.plans()["office"]})
    assert "nat-us-east-1b.crt, office.key.age, tunnel-us-east-1b.key.age" in text[0]
    assert "nat-us-east-1b.key.age" not in text[0], "the office never sees a nat's private key"


def read(store: Store) -> None:
    """Everything that a deploy to the office reads."""
    store.certificate("office")
    store.private_key("office")
    store.tls_crypt("us-east-1a")


@pytest.mark.parametrize("name", ["office.crt", "office.key.age", "tunnel-us-east-1a.key.age"])
def test_a_missing_file_is_refused(ready: Desk, name: str) -> None:
    (ready.folder / name).unlink()
    with ready.refused() as text:
        read(ready.store())
    assert text == [f"{ready.folder}/{name} does not exist.\nType: ./vpc identities init"]


@pytest.mark.parametrize("name", ["office.key.age", "tunnel-us-east-1a.key.age"])
@pytest.mark.parametrize("keep", [0, 100, 400, -70])
def test_a_truncated_secret_is_refused(ready: Desk, name: str, keep: int) -> None:
    path = ready.folder / name
    path.write_bytes(path.read_bytes()[:keep])
    with ready.refused() as text:
        read(ready.store())
    assert text[0].startswith(f"{path} is damaged: ")
    assert text[0].endswith(f".\nRestore it, if it is in git: git restore {path}")


def test_a_truncated_certificate_is_refused(ready: Desk) -> None:
    path = ready.folder / "office.crt"
    path.write_text(path.read_text()[:-100])
    with ready.refused() as text:
        read(ready.store())
    assert text == [f"{path} holds no certificate.\nRestore it: git restore {path}"]


def test_a_certificate_of_another_host_is_refused(ready: Desk) -> None:
    path = ready.folder / "office.crt"
    shutil.copy(ready.folder / "nat-us-east-1a.crt", path)
    with ready.refused() as text:
        read(ready.store())
    assert text[0].startswith(f"{path} is the certificate of 'nat-us-east-1a', not of 'office'.")


def test_a_certificate_with_another_fingerprint_line_is_refused(ready: Desk) -> None:
    path = ready.folder / "office.crt"
    fingerprint = ready.store().fingerprint("office")
    path.write_text(path.read_text().replace(fingerprint, fingerprint[::-1]))
    with ready.refused() as text:
        read(ready.store())
    assert text == [
        f"{path}: its line `Fingerprint:` is not the certificate's, {fingerprint}.\n"
        f"The file was edited. Look: git log --patch {path}"
    ]


def test_a_key_of_another_host_is_refused(ready: Desk) -> None:
    key, certificate = ready.folder / "office.key.age", ready.folder / "office.crt"
    shutil.copy(ready.folder / "nat-us-east-1a.key.age", key)
    with ready.refused() as text:
        read(ready.store())
    assert text == [
        f"{key} is not the key of {certificate}.\n"
        f"Restore both from one commit: git restore --source COMMIT {key} {certificate}"
    ]


def test_exchanged_secrets_are_refused(ready: Desk) -> None:
    key, tunnel = ready.folder / "office.key.age", ready.folder / "tunnel-us-east-1a.key.age"
    shutil.copy(key, ready.folder / "key")
    shutil.copy(tunnel, key)
    shutil.copy(ready.folder / "key", tunnel)
    with ready.refused() as text:
        ready.store().private_key("office")
    assert text == [f"{key} holds no private key.\nRestore it: git restore {key}"]
    with ready.refused() as text:
        ready.store().tls_crypt("us-east-1a")
    assert text == [f"{tunnel} holds no OpenVPN static key.\nRestore it: git restore {tunnel}"]


def test_an_identity_that_is_no_recipient_is_refused(ready: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = ready.site.with_name("stranger.key")
    public = new_identity(stranger)
    monkeypatch.setenv("AGE_IDENTITY_FILE", str(stranger))
    with ready.refused() as text:
        read(ready.store())
    assert text == [
        f"{ready.folder}/office.key.age is not encrypted to you: {public}, from {stranger}.\n"
        f"Use another age identity (set AGE_IDENTITY_FILE), or ask the owner of a key in "
        f"{ready.folder}/recipients.txt to type `./vpc identities recipients add` and your public key, and to commit."
    ]


def test_a_missing_age_identity_is_refused(ready: Desk) -> None:
    ready.age_key.unlink()
    with ready.refused() as text:
        read(ready.store())
    assert text == [
        f"No age identity, which decrypts the secrets: {ready.age_key} does not exist.\n"
        "Put yours there, or set AGE_IDENTITY_FILE to its path, or AGE_IDENTITY to its text. An ssh key in"
        " ~/.ssh/id_ed25519 does, too.\nIf it is lost for good: docs/keys-and-people.md"
    ]


def test_an_identity_in_the_environment_is_used(ready: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGE_IDENTITY", ready.age_key.read_text())
    ready.age_key.unlink()
    read(ready.store())


def test_an_empty_variable_is_not_set(ready: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGE_IDENTITY", "")
    monkeypatch.setenv("AGE_IDENTITY_FILE", "")
    read(ready.store())


def test_two_identity_variables_are_refused(ready: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGE_IDENTITY", ready.age_key.read_text())
    monkeypatch.setenv("AGE_IDENTITY_FILE", str(ready.age_key))
    with ready.refused() as text:
        read(ready.store())
    assert text == ["AGE_IDENTITY and AGE_IDENTITY_FILE are both set. Unset one: unset AGE_IDENTITY"]


def test_an_identity_file_may_hold_two_keys(ready: Desk) -> None:
    ready.age_key.write_text(f"{x25519.Identity.generate()}\n\n{ready.age_key.read_text()}")
    read(ready.store())


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_an_identity_file_that_others_can_read_is_refused(ready: Desk, mode: int) -> None:
    ready.age_key.chmod(mode)
    with ready.refused() as text:
        read(ready.store())
    assert text == [
        f"{ready.age_key} is a secret key, and others than its owner may use it (mode {mode:04o}).\n"
        f"Run: chmod 600 {ready.age_key}"
    ]


def test_a_folder_as_identity_is_refused(ready: Desk) -> None:
    ready.age_key.unlink()
    ready.age_key.mkdir(0o700)
    with ready.refused() as text:
        read(ready.store())
    assert text == [f"{ready.age_key} is no file.\nSet AGE_IDENTITY_FILE to a file, or AGE_IDENTITY to the key's text."]


def test_a_pipe_as_identity_is_refused_at_once(ready: Desk) -> None:
    ready.age_key.unlink()
    os.mkfifo(ready.age_key, 0o600)
    with ready.refused() as text:
        read(ready.store())
    assert text[0].startswith(f"{ready.age_key} is no file.\n")


@pytest.mark.parametrize("change", [str.lower, lambda text: text + "more", lambda text: "", lambda text: "# none\n"])
def test_a_file_without_an_identity_is_refused(ready: Desk, change: Callable[[str], str]) -> None:
    ready.age_key.write_text(change(ready.age_key.read_text()))
    with ready.refused() as text:
        read(ready.store())
    assert text == [
        f"{ready.age_key} holds no age identity.\nIt must be what `age-keygen` writes: a line AGE-SECRET-KEY-1…"
    ]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("AGE-PLUGIN-YUBIKEY-1QQQQQQQQQQQQQ", "holds an identity of an age plugin that is damaged or cut short"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn", "holds an ssh key that is damaged or cut short"),
    ],
)
def test_a_truncated_identity_of_a_plugin_or_ssh_is_refused(ready: Desk, line: str, wrong: str) -> None:
    ready.age_key.write_text(f"{line}\n")
    with ready.refused() as text:
        read(ready.store())
    assert text == [f"{ready.age_key} {wrong}.\nRestore it from your backup."]


def test_a_truncated_identity_is_refused(ready: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGE_IDENTITY", ready.age_key.read_text()[:-5])
    with ready.refused() as text:
        read(ready.store())
    assert text == ["AGE_IDENTITY holds an age identity that is damaged or cut short.\nRestore it from your backup."]


@pytest.mark.parametrize("start", ["age-encryption.org/v1\n-> scrypt ", "-----BEGIN AGE ENCRYPTED FILE-----\n"])
def test_an_identity_with_a_passphrase_is_refused(ready: Desk, start: str) -> None:
    ready.age_key.write_text(start)
    with ready.refused() as text:
        read(ready.store())
    assert text == [
        f"{ready.age_key} is protected by a passphrase, which is not supported.\n"
        'Decrypt it for one shell: export AGE_IDENTITY="$(age --decrypt FILE)"'
    ]


def test_a_host_says_when_its_identity_was_created(ready: Desk) -> None:
    store = ready.store()
    today = datetime.now(UTC).date()
    when = store.created("office")
    assert when is not None and abs((datetime.fromtimestamp(when, UTC).date() - today).days) <= 1
    path = store.certificate_path("office")
    path.write_text(path.read_text().replace("Created: ", "Made: "))
    assert store.created("office") is None
    assert store.created("nat-of-no-zone") is None
