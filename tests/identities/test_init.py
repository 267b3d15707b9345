"""`./vpc identities init`: adds what is missing, overwrites nothing, finishes what was cut short."""

import os
import stat
from pathlib import Path

import pytest
from pyrage import x25519

from tests.identities.desk import Desk, new_identity
from vpc_openvpn.identities import files, init
from vpc_openvpn.identities.errors import CredentialsError
from vpc_openvpn.identities.recipients import HOW

PUBLIC = "age1ka28hxyhwukha7ev4kmnmuupyh3kz9rnzlyxeedrjfnjecmzm48qmusqdx"

TWO_ZONES = {
    *("recipients.txt", "recipients.lock"),
    *("office.crt", "office.key.age"),
    *("nat-us-east-1a.crt", "nat-us-east-1a.key.age", "tunnel-us-east-1a.key.age"),
    *("nat-us-east-1b.crt", "nat-us-east-1b.key.age", "tunnel-us-east-1b.key.age"),
}


def test_the_first_run_makes_everything_and_says_so(desk: Desk) -> None:
    answer = desk.vpc("init")
    assert (answer.status, answer.err) == (0, "")
    assert set(desk.files()) == TWO_ZONES
    desk.store().check(desk.plans())
    lines = answer.out.splitlines()
    assert lines.pop(-3).startswith("The secrets are encrypted to exactly: ann (age1")
    assert lines[:2] == [
        f"created {desk.age_key}, your age identity",
        "Back it up: without it nothing here can be read.",
    ]
    assert {line.removeprefix(f"created {desk.folder}/") for line in lines[2:-1]} == TWO_ZONES
    assert lines[-1] == f"Commit {desk.folder} to git: its secrets are encrypted, its other files are public."


def test_secrets_have_mode_600_under_any_umask(desk: Desk) -> None:
    before = os.umask(0)
    try:
        desk.vpc("init")
    finally:
        os.umask(before)
    assert stat.S_IMODE(desk.age_key.stat().st_mode) == 0o600
    assert stat.S_IMODE(desk.age_key.parent.stat().st_mode) == 0o700
    modes = {name: mode for name, (_, mode, _) in desk.files().items()}
    assert {mode for name, mode in modes.items() if name.endswith(".age")} == {0o600}
    assert {mode for name, mode in modes.items() if not name.endswith(".age")} == {0o644}


def test_no_file_of_the_store_holds_a_secret_in_the_clear(desk: Desk) -> None:
    desk.vpc("init")
    for content, _, _ in desk.files().values():
        desk.assert_no_secret(content.decode())


def test_the_age_identity_reads_as_age_keygen_writes_it(desk: Desk) -> None:
    desk.vpc("init")
    created, public, secret = desk.age_key.read_text().splitlines()
    key = x25519.Identity.from_str(secret)
    assert created.startswith("# created: 20") and created.endswith("Z")
    assert public == f"# public key: {key.to_public()}"
    assert f"{key.to_public()}  # ann" in (desk.folder / "recipients.txt").read_text().splitlines()


def test_a_certificate_file_begins_with_readable_lines(desk: Desk) -> None:
    desk.vpc("init")
    host, fingerprint, created, note, blank, begin, *_ = (desk.folder / "office.crt").read_text().splitlines()
    assert host == "Host:        office"
    assert fingerprint == f"Fingerprint: {desk.store().fingerprint('office')}"
    assert created.startswith("Created:     20")
    assert "may be committed to git" in note
    assert (blank, begin) == ("", "-----BEGIN CERTIFICATE-----")


def test_a_second_run_writes_nothing(desk: Desk) -> None:
    desk.vpc("init")
    before = desk.files()
    answer = desk.vpc("init")
    assert answer.out == f"Nothing to do: {desk.folder} has what the site's 3 hosts need.\n"
    assert desk.files() == before


def test_a_new_zone_adds_its_own_and_touches_nothing_else(desk: Desk) -> None:
    desk.vpc("init")
    before = desk.files()
    desk.write_site("abc")
    desk.vpc("init")
    after = desk.files()
    assert set(after) - set(before) == {
        "nat-us-east-1c.crt",
        "nat-us-east-1c.key.age",
        "tunnel-us-east-1c.key.age",
    }
    del before["recipients.lock"]
    assert {name: after[name] for name in before} == before


def test_a_removed_zone_keeps_its_identity(desk: Desk) -> None:
    desk.vpc("init")
    before = desk.files()
    desk.write_site("a")
    assert desk.vpc("init").out.startswith("Nothing to do")
    assert desk.files() == before


def test_hosts_and_tunnels_share_nothing(desk: Desk) -> None:
    desk.vpc("init")
    store = desk.store()
    assert len({store.private_key(host) for host in desk.plans()}) == 3
    assert len({store.fingerprint(host) for host in desk.plans()}) == 3
    assert store.tls_crypt("us-east-1a") != store.tls_crypt("us-east-1b")


def test_adding_needs_the_recipients_only(desk: Desk) -> None:
    desk.vpc("init")
    desk.age_key.rename(desk.age_key.with_name("elsewhere"))
    desk.write_site("abc")
    assert desk.vpc("init").status == 0
    assert not desk.age_key.exists(), "a second identity must not be made for a store that has recipients"
    desk.age_key.with_name("elsewhere").rename(desk.age_key)
    assert desk.store().tls_crypt("us-east-1c")


def test_a_run_cut_short_at_any_file_is_completed_by_the_next(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    create = files.create
    for survived in range(len(TWO_ZONES)):
        left = survived

        def create_until_cut(path: Path, text: str, mode: int) -> None:
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            create(path, text, mode)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(files, "create", create_until_cut)
            list(init.init(desk.store(), desk.plans()))
        before = desk.files()
        assert desk.vpc("init").status == 0
        after = desk.files()
        assert set(after) == TWO_ZONES
        before.pop("recipients.lock", None)
        assert {name: after[name] for name in before} == before
        for host in desk.plans():
            desk.store().private_key(host)
        for path in (*desk.folder.iterdir(), desk.age_key):
            path.unlink()


def test_a_lost_certificate_comes_back_with_the_fingerprint_that_peers_pin(desk: Desk) -> None:
    desk.vpc("init")
    pinned = desk.store().fingerprint("nat-us-east-1a")
    (desk.folder / "nat-us-east-1a.crt").unlink()
    assert f"created {desk.folder / 'nat-us-east-1a.crt'}\n" in desk.vpc("init").out
    assert desk.store().fingerprint("nat-us-east-1a") == pinned


def test_a_lost_key_is_refused_before_anything_is_written(desk: Desk) -> None:
    desk.vpc("init")
    (desk.folder / "office.key.age").unlink()
    desk.write_site("abc")
    before = desk.files()
    answer = desk.vpc("init")
    assert (answer.status, answer.out) == (1, "")
    assert answer.err == (
        f"{desk.folder}/office.key.age is missing; peers trust its {desk.folder}/office.crt.\n"
        f"Restore it: git restore {desk.folder}/office.key.age\n"
        f"If it is lost for good, give office a new identity: rm {desk.folder}/office.crt && "
        "./vpc identities reencrypt --accept && ./vpc identities init; then deploy to every host.\n"
    )
    assert desk.files() == before


def test_init_reports_a_damaged_certificate(desk: Desk) -> None:
    desk.vpc("init")
    (desk.folder / "office.crt").write_text("")
    assert desk.vpc("init").err == (
        f"{desk.folder}/office.crt holds no certificate.\nRestore it: git restore {desk.folder}/office.crt\n"
    )


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "office.key.age"
    path.write_text("a colleague's")
    with pytest.raises(CredentialsError, match=r"office\.key\.age: File exists\."):
        files.create(path, "mine", 0o600)
    assert path.read_text() == "a colleague's"
    assert list(tmp_path.iterdir()) == [path], "no draft may be left behind"


def test_secrets_without_recipients_are_refused(desk: Desk) -> None:
    desk.vpc("init")
    (desk.folder / "recipients.txt").unlink()
    answer = desk.vpc("init")
    assert answer.status == 1
    assert answer.err == (
        f"{desk.folder}/recipients.txt is missing, but there are secrets, encrypted to the keys that it listed.\n"
        f"Restore it: git restore {desk.folder}/recipients.txt\n"
        "Or write it: the public keys of all who shall read them, one per line; then: ./vpc identities reencrypt\n"
    )


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("age1nonsense", "is not an age public key"),
        (
            "secret",
            "is a secret key, which has no place here: remove it, and take a new one if others could read the file",
        ),
        ("age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5n", "holds a public key that is damaged or cut short"),
        ("ssh-ed25519 AAAAC3Nza", "holds a public key that is damaged or cut short"),
        (
            "ssh-rsa AAAAC3Nza",
            "is an ssh key of another kind than ssh-ed25519, which alone is supported: ssh-keygen -t ed25519",
        ),
        (
            f"{PUBLIC} alice",
            "has more than a key: write the name behind a #",
        ),
        (f"{PUBLIC}  # a\x1b[2J", "has a name with characters that cannot be printed"),
        (
            'command="x" ssh-ed25519 AAAAC3Nza',
            "has more than a key: write the name behind a #",
        ),
    ],
)
def test_a_bad_recipient_is_named_by_its_line_and_not_quoted(desk: Desk, line: str, wrong: str) -> None:
    desk.folder.mkdir()
    if line == "secret":
        line = str(x25519.Identity.generate())
    (desk.folder / "recipients.txt").write_text(f"# the team\n\n{line}\n")
    with desk.refused() as text:
        list(init.init(desk.store(), desk.plans()))
    assert text == [f"{desk.folder}/recipients.txt, line 3 {wrong}.\n{HOW}"]


def test_a_recipients_file_without_a_key_is_refused(desk: Desk) -> None:
    desk.folder.mkdir()
    (desk.folder / "recipients.txt").write_text("# none yet\n")
    with desk.refused() as text:
        list(init.init(desk.store(), desk.plans()))
    assert text[0].startswith(f"{desk.folder}/recipients.txt lists no key")


def test_each_recipient_can_decrypt(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [desk.site.with_name(name) for name in ("alice.key", "bob.key")]
    desk.folder.mkdir()
    (desk.folder / "recipients.txt").write_text("".join(f"{new_identity(key)}  # {key.stem}\n" for key in keys))
    desk.vpc("init")
    read = set()
    for key in keys:
        monkeypatch.setenv("AGE_IDENTITY_FILE", str(key))
        read.add((desk.store().private_key("office"), desk.store().tls_crypt("us-east-1a")))
    assert len(read) == 1


def test_reencrypt_adds_and_removes_recipients(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.vpc("init")
    secret, pinned = desk.store().private_key("office"), desk.store().fingerprint("office")
    colleague = desk.site.with_name("bob.key")
    (desk.folder / "recipients.txt").write_text(new_identity(colleague) + "\n")
    answer = desk.vpc("reencrypt")
    assert answer.status == 0
    assert f"encrypted {desk.folder}/office.key.age for 1\n" in answer.out
    with desk.refused() as text:
        desk.store().private_key("office")
    assert "is not encrypted to you" in text[0]
    monkeypatch.setenv("AGE_IDENTITY_FILE", str(colleague))
    assert (desk.store().private_key("office"), desk.store().fingerprint("office")) == (secret, pinned)
    assert {mode for name, (_, mode, _) in desk.files().items() if name.endswith(".age")} == {0o600}


def test_reencrypt_writes_nothing_if_one_secret_cannot_be_read(desk: Desk) -> None:
    desk.vpc("init")
    (desk.folder / "tunnel-us-east-1b.key.age").write_text("damaged")
    before = desk.files()
    assert desk.vpc("reencrypt").status == 1
    assert desk.files() == before


def test_an_unwritable_folder_is_an_error_that_says_where_to_look(desk: Desk) -> None:
    desk.folder.write_text("a file where the folder should be")
    answer = desk.vpc("init")
    look = f"Look: ls -ld {desk.folder.parent} {desk.folder}; mend it, and type the same again."
    assert (answer.status, answer.err) == (1, f"{desk.folder}: Not a directory.\n{look}\n")
