"""A store that is not as it was left: each case is named, nothing is overwritten, and there is a way on."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from pyrage import x25519

from tests.identities.desk import Desk
from tests.identities.people import with_age, with_ssh
from vpc_openvpn.identities import files, header, people
from vpc_openvpn.identities.errors import CredentialsError
from vpc_openvpn.identities.store import Store
from vpc_openvpn.site.load import ROOT

WRITING = ["init", "reencrypt", "recipients add age1ka28hxyhwukha7ev4kmnmuupyh3kz9rnzlyxeedrjfnjecmzm48qmusqdx"]
WRITING += ["recipients remove bob"]
CHECK = "recipients check"


@pytest.fixture
def ready(desk: Desk) -> Desk:
    desk.vpc("init")
    desk.vpc("recipients", "add", with_age(desk.site.parent, "bob").line, "--name", "bob")
    return desk


def refused(desk: Desk, verbs: list[str], *said: str) -> None:
    """Each of `verbs` ends with status 1, says this, and writes nothing."""
    before = snapshot(desk.folder)
    for verb in verbs:
        answer = desk.vpc(*verb.split())
        assert answer.status == 1, verb
        for each in said:
            assert each in answer.err, verb
        assert "Traceback" not in answer.err
        assert snapshot(desk.folder) == before, verb


def snapshot(folder: Path) -> dict[str, tuple[int, bytes | None]]:
    """What is in a folder: the inode, and the content of a file."""
    return {
        path.name: (path.lstat().st_ino, path.read_bytes() if path.is_file() and not path.is_symlink() else None)
        for path in folder.iterdir()
    }


def backup(desk: Desk) -> Path:
    copy = desk.folder.with_name("backup")
    shutil.copytree(desk.folder, copy)
    return copy


def test_check_says_what_it_saw(ready: Desk) -> None:
    ready.age_key.unlink()
    answer = ready.vpc("recipients", "check")
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.startswith("The secrets are encrypted to exactly: ann (age1")
    assert json.loads(ready.vpc("recipients", "check", "--json").out) == {"folder": str(ready.folder), "problems": []}


def test_check_finds_a_wish_that_the_secrets_do_not_follow(ready: Desk) -> None:
    path = ready.folder / "recipients.txt"
    text = path.read_text()
    path.write_text(text + with_ssh(ready.site.parent, "alice").line + "\n")
    answer = ready.vpc("recipients", "check")
    assert answer.status == 1 and answer.out == ""
    assert f"{ready.folder}/office.key.age is not encrypted to alice (ssh-ed25519" in answer.err
    assert answer.err.endswith("Type: ./vpc identities reencrypt\n")
    problems = json.loads(ready.vpc("recipients", "check", "--json").out)["problems"]
    assert "\n".join(problems) + "\n" == answer.err
    path.write_text("\n".join(line for line in text.splitlines() if "bob" not in line))
    answer = ready.vpc("recipients", "check")
    assert answer.status == 1
    assert f"{ready.folder}/office.key.age is encrypted to bob (" in answer.err
    assert "who is not in recipients.txt" in answer.err
    ready.vpc("reencrypt")
    assert ready.vpc("recipients", "check").status == 0


def test_check_finds_a_double(ready: Desk) -> None:
    path = ready.folder / "recipients.txt"
    path.write_text(path.read_text() + path.read_text().splitlines()[-1])
    answer = ready.vpc("recipients", "check")
    assert answer.status == 1 and f"is in {path} twice." in answer.err


def test_check_without_a_lock_cannot_tell(ready: Desk) -> None:
    lock = ready.folder / "recipients.lock"
    lock.unlink()
    refused(ready, [CHECK], f"{lock} does not exist, so nothing says who", "Type: ./vpc identities reencrypt")
    answer = ready.vpc("reencrypt")
    assert answer.status == 0 and answer.out.count(".age for ") == 5
    assert ready.vpc("recipients", "check").status == 0


def test_init_begins_a_lock_for_a_store_that_is_older(ready: Desk) -> None:
    (ready.folder / "recipients.lock").unlink()
    ready.write_site("abc")
    answer = ready.vpc("init")
    assert "It does not have the secrets that were there. Type: ./vpc identities reencrypt\n" in answer.out
    refused(ready, [CHECK], "office.key.age is not in recipients.lock", "Type: ./vpc identities reencrypt")
    ready.vpc("reencrypt")
    assert ready.vpc("recipients", "check").status == 0


@pytest.mark.parametrize("mallory_is", ["age", "ssh"])
def test_check_counts_stanzas_where_the_lock_lies(ready: Desk, mallory_is: str) -> None:
    """An attacker encrypts to himself, too, and writes a lock that does not say so."""
    make = with_age if mallory_is == "age" else with_ssh
    path = ready.folder / "recipients.txt"
    text, lock = path.read_text(), ready.folder / "recipients.lock"
    mallory = make(ready.site.parent, "mallory")
    ready.vpc("recipients", "add", mallory.line)
    path.write_text(text)
    lie = json.loads(lock.read_text())
    key = next(key for key in lie["recipients"] if key in mallory.line)
    for each in lie["files"].values():
        if "to" in each["now"]:
            each["now"]["to"].remove(key)
    del lie["recipients"][key]
    lock.write_text(json.dumps(lie))
    refused(ready, [CHECK], "office.key.age is not encrypted to those whom recipients.lock has: its stanzas are others")
    assert ready.vpc("reencrypt").out.count(".age for ") == 5
    assert ready.vpc("recipients", "check").status == 0


def test_an_old_backup_is_named(ready: Desk) -> None:
    old = backup(ready)
    ready.vpc("recipients", "add", with_ssh(ready.site.parent, "alice").line)
    for path in old.glob("*.age"):  # the lock stays
        shutil.copy(path, ready.folder)
    refused(
        ready,
        [*WRITING, CHECK],
        f"{ready.folder}/office.key.age is another file than recipients.lock has.",
        f"Restore it: git restore {ready.folder}",
        "If the files are as they should be: ./vpc identities reencrypt --accept",
    )
    answer = ready.vpc("reencrypt", "--accept")
    assert answer.status == 0 and answer.out.count(".age for ") == 5
    assert ready.vpc("recipients", "check").status == 0


def test_an_identity_that_another_has_made_is_named(ready: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who can write to the folder makes a key and a certificate of his own: age does not sign."""
    store = ready.store()
    before = store.fingerprint("nat-us-east-1a")
    other = Store(ready.site.with_name("other"))
    monkeypatch.setenv("IDENTITIES", str(other.folder))
    ready.vpc("init")
    monkeypatch.delenv("IDENTITIES")
    for name in ("nat-us-east-1a.crt", "nat-us-east-1a.key.age"):
        shutil.copy(other.folder / name, ready.folder / name)
    after = ready.store().fingerprint("nat-us-east-1a")
    assert before != after
    refused(
        ready,
        [*WRITING, CHECK],
        f"The identity of nat-us-east-1a is another than recipients.lock has: {after}, and it was {before}.",
        f"{ready.folder}/nat-us-east-1a.key.age is another file than recipients.lock has.",
    )
    assert ready.vpc("reencrypt", "--accept").status == 0
    assert ready.vpc("recipients", "check").status == 0


@pytest.mark.parametrize("name", ["tunnel-us-east-1a.key.age", "office.key.age"])
def test_one_file_is_lost(ready: Desk, name: str) -> None:
    (ready.folder / name).unlink()
    refused(ready, [*WRITING[1:], CHECK], f"{ready.folder}/{name} is missing, and recipients.lock has it.")
    refused(ready, ["init"], f"{ready.folder}/{name} is missing", "git restore")


def test_a_lost_tunnel_key_is_replaced_if_the_operator_says_so(ready: Desk) -> None:
    (ready.folder / "tunnel-us-east-1a.key.age").unlink()
    accepted = ready.vpc("reencrypt", "--accept")
    assert accepted.status == 0 and accepted.out.startswith("recipients.lock has the files as they are now.\n")
    assert ready.vpc("init").out.startswith(f"created {ready.folder}/tunnel-us-east-1a.key.age\n")
    assert ready.vpc("recipients", "check").status == 0


def test_a_lost_host_key_is_replaced_if_the_operator_says_so(ready: Desk) -> None:
    before = ready.store().fingerprint("office")
    (ready.folder / "office.key.age").unlink()
    assert f"rm {ready.folder}/office.crt && ./vpc identities reencrypt --accept && " in ready.vpc("init").err
    (ready.folder / "office.crt").unlink()
    assert ready.vpc("reencrypt", "--accept").status == 0
    assert ready.vpc("init").status == 0
    assert ready.store().fingerprint("office") != before
    assert ready.vpc("recipients", "check").status == 0


def test_a_lost_certificate_is_made_from_its_key_by_init_alone(ready: Desk) -> None:
    (ready.folder / "office.crt").unlink()
    refused(ready, [*WRITING[1:], CHECK], "office.crt is missing", "`./vpc identities init` makes it from its key")
    assert ready.vpc("init").status == 0
    assert ready.vpc("recipients", "check").status == 0


def test_files_of_a_zone_that_left_are_forgotten_by_init(ready: Desk) -> None:
    for path in ready.folder.glob("*us-east-1b*"):
        path.unlink()
    refused(ready, [CHECK], "nat-us-east-1b.crt is missing")
    ready.write_site("a")
    assert ready.vpc("init").status == 0
    assert ready.vpc("recipients", "check").status == 0


def test_the_folder_is_lost(ready: Desk) -> None:
    """New identities: `init`, and one deploy to all."""
    shutil.rmtree(ready.folder)
    for verb in [*WRITING[1:], CHECK, "recipients list"]:
        answer = ready.vpc(*verb.split())
        assert answer.status == 1 and answer.err.endswith("does not exist.\nType: ./vpc identities init\n")
    assert not ready.folder.exists()
    assert ready.vpc("init").status == 0
    ready.store().check(ready.plans())


def test_the_age_key_is_lost(ready: Desk) -> None:
    ready.age_key.unlink()
    refused(ready, WRITING[2:], "No age identity", "If it is lost for good: docs/keys-and-people.md")
    assert ready.vpc("init").status == 0, "there is nothing to add, and no age identity is made"
    assert not ready.age_key.exists()


SET = "Set IDENTITIES to this site's folder, or SITE to that site's file.\n"
OURS = "If it is this site's, whose NATs all have other addresses or names now: ./vpc identities init --this-site"
SITES = ["init", *WRITING[1:], CHECK, "show", "show --live", "rotate all", "revoke office"]


def staging(desk: Desk, zones: str = "ab") -> None:
    """A site whose zones may have the names of the other's, and whose NATs have addresses of their own."""
    desk.write_site(zones)
    desk.site.write_text(desk.site.read_text().replace("public_address: 198.51.100.1", "public_address: 203.0.113.3"))


@pytest.mark.parametrize("zones", ["ab", "bc", "cd"], ids=["the same names", "one in common", "none in common"])
def test_the_store_of_another_site_is_refused(ready: Desk, zones: str) -> None:
    staging(ready, zones)
    own = ", ".join(f"203.0.113.3{ord(letter) - ord('a') + 1}" for letter in zones)
    said = (
        f"{ready.folder} has the identities of another site: its NATs have the public addresses 198.51.100.11,"
        f" 198.51.100.12, and this site's have {own}.\n{SET}{OURS}"
    )
    refused(ready, SITES, said)
    with ready.refused() as text:
        ready.store().claim(ready.plans())
    assert text == [said]
    assert ready.vpc("init", "--this-site").status == 0
    assert ready.vpc("init").out.startswith("Nothing to do") and ready.vpc("recipients", "check").status == 0
    ready.write_site("ab")
    refused(ready, ["init"], f"its NATs have the public addresses {own}")


@pytest.mark.parametrize(("zones", "noted"), [("a", "ab"), ("abc", "abc"), ("bc", "bc")])
def test_a_site_that_changed_is_the_same(ready: Desk, zones: str, noted: str) -> None:
    """As long as one NAT has its address. Where there is a new one they are noted as they are now."""
    ready.write_site(zones)
    for verb in ("init", "reencrypt"):
        assert ready.vpc(verb).status == 0
        assert ready.store().lock().site == tuple(f"198.51.100.1{ord(letter) - ord('a') + 1}" for letter in noted)


def test_a_site_whose_zones_have_other_names_is_the_same_by_their_addresses(ready: Desk) -> None:
    ready.site.write_text(ready.site.read_text().replace("us-east", "eu-west"))
    assert ready.vpc("init").status == 0


@pytest.mark.parametrize("verb", [*WRITING, "recipients remove bob", "reencrypt --accept"])
def test_a_lock_without_a_site_gets_one_by_the_next_verb_that_writes(ready: Desk, verb: str) -> None:
    path = ready.store().lock_path
    lock = json.loads(path.read_text())
    assert lock.pop("site") == ["198.51.100.11", "198.51.100.12"]
    path.write_text(json.dumps(lock))
    staging(ready)
    assert ready.vpc("recipients", "check").status == 0, "it is known by its hosts' names alone"
    staging(ready, "cd")
    refused(ready, ["init"], f"another site: nat-us-east-1a, nat-us-east-1b.\n{SET}{OURS}")
    ready.write_site("ab")
    answer = ready.vpc(*verb.split())
    assert answer.status == 0
    assert ready.store().lock().site == ("198.51.100.11", "198.51.100.12")
    noted = f"noted the addresses of this site's NATs in {path}\n"
    assert answer.out.startswith(noted) is (verb == "init")
    staging(ready)
    refused(ready, ["init"], "another site")


def test_people_join_beside_a_damaged_site_file(ready: Desk) -> None:
    ready.site.write_text("zones: 7\n")
    assert ready.vpc(*WRITING[2].split()).status == 0
    ready.write_site("ab")
    assert ready.store().lock().site == ("198.51.100.11", "198.51.100.12")


CONFLICT = "<<<<<<< HEAD\n{}=======\n{}>>>>>>> bob\n"


@pytest.mark.parametrize("name", ["office.key.age", "office.crt", "recipients.txt", "recipients.lock"])
def test_a_file_that_git_could_not_merge_is_named(ready: Desk, name: str) -> None:
    path = ready.folder / name
    text = path.read_text()
    path.write_text(CONFLICT.format(text, text.replace("A", "B")))
    unmerged = "git could not merge" if name != "office.key.age" else "is another file than recipients.lock has"
    refused(ready, [*WRITING, CHECK], str(path), unmerged)
    if name.startswith("office"):
        with ready.refused() as found:
            ready.store().private_key("office")
        assert f"{path} is two versions that git could not merge." in found[0] and "git checkout --theirs" in found[0]


def test_an_unmerged_lock_is_written_anew_if_the_operator_says_so(ready: Desk) -> None:
    path = ready.folder / "recipients.lock"
    path.write_text(CONFLICT.format(path.read_text(), ""))
    assert "./vpc identities reencrypt --accept" in ready.vpc("reencrypt").err
    assert ready.vpc("reencrypt", "--accept").status == 0
    assert ready.vpc("recipients", "check").status == 0


@pytest.mark.parametrize("name", ["office.key.age", "office.crt", "recipients.lock"])
@pytest.mark.parametrize("keep", [0, 40, -20])
def test_a_truncated_file_is_named(ready: Desk, name: str, keep: int) -> None:
    path = ready.folder / name
    path.write_bytes(path.read_bytes()[:keep])
    refused(ready, [*WRITING, CHECK], str(path))


DAMAGE: dict[str, Callable[[bytes, int], bytes]] = {
    "another byte": lambda data, at: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :],
    "a byte that is no ASCII": lambda data, at: data[:at] + b"\xff" + data[at + 1 :],
    "a letter that is no ASCII": lambda data, at: data[:at] + "é".encode() + data[at + 1 :],
    "a zero": lambda data, at: data[:at] + b"\0" + data[at + 1 :],
    "a digit": lambda data, at: data[:at] + b"9" + data[at + 1 :],
    "a byte less": lambda data, at: data[:at] + data[at + 1 :],
    "an end": lambda data, at: data[:at],
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_secret_that_is_damaged_anywhere_is_named(ready: Desk, kind: str) -> None:
    path = ready.folder / "tunnel-us-east-1a.key.age"
    data = path.read_bytes()
    store = ready.store()
    assert store.identity().decrypt(path)
    # What is left out is more of the same, in ASCII armour; the last byte is the end of a line.
    for at in (*range(500), *range(500, len(data) - 200, 7), *range(len(data) - 200, len(data) - 1)):
        path.write_bytes(damaged := DAMAGE[kind](data, at))
        header.parse(damaged)
        if damaged == data:
            continue
        with pytest.raises(CredentialsError, match=r"is damaged: |is not encrypted to you"):
            store.identity().decrypt(path)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.parametrize("kind", DAMAGE)
def test_a_certificate_that_is_damaged_anywhere_is_named(ready: Desk, kind: str) -> None:
    path, store = ready.folder / "office.crt", ready.store()
    data, right = path.read_bytes(), store.certificate("office")
    refused = 0
    for at in range(len(data)):
        path.write_bytes(DAMAGE[kind](data, at))
        try:
            assert store.certificate("office") == right, "a line for people alone is another"
            assert store.private_key("office")
        except CredentialsError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 500


@pytest.mark.parametrize("name", ["recipients.txt", "recipients.lock"])
@pytest.mark.parametrize("kind", ["another byte", "a byte that is no ASCII", "a zero", "an end"])
def test_a_list_that_is_damaged_anywhere_is_an_answer(ready: Desk, name: str, kind: str) -> None:
    path = ready.folder / name
    data = path.read_bytes()
    for at in range(0, len(data), 7):
        path.write_bytes(DAMAGE[kind](data, at))
        with suppress(CredentialsError):
            people.problems(ready.store())
        people.review(ready.store())


def test_a_truncated_secret_is_not_accepted(ready: Desk) -> None:
    path = ready.folder / "office.key.age"
    path.write_bytes(path.read_bytes()[:-80])
    refused(ready, ["reencrypt --accept"], f"{path} is damaged", f"git restore {path}")


ODD = ["a pipe", "a directory", "a symbolic link", "a socket"]


def put(kind: str, path: Path) -> None:
    """Something else in place of a file."""
    kept = path.with_name("kept")
    path.rename(kept)
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a directory":
        path.mkdir()
    elif kind == "a symbolic link":
        path.symlink_to(kept)
    else:
        make = "import os, socket, sys; os.chdir(sys.argv[1]); socket.socket(socket.AF_UNIX).bind(sys.argv[2])"
        subprocess.run([sys.executable, "-c", make, str(path.parent), path.name], check=True)


@pytest.mark.parametrize("name", ["office.key.age", "office.crt", "recipients.txt", "recipients.lock"])
@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_file_is_named_at_once(ready: Desk, name: str, kind: str) -> None:
    path = ready.folder / name
    put(kind, path)
    said = kind if kind != "a socket" else ""  # a socket cannot be opened at all
    refused(ready, [*WRITING, CHECK, "reencrypt --accept"], str(path), said)
    if name.startswith("office"):
        with ready.refused() as text:
            ready.store().private_key("office")
        assert str(path) in text[0]


def test_a_pipe_does_not_hang_the_command(ready: Desk) -> None:
    put("a pipe", ready.folder / "office.key.age")
    environment = {**os.environ, "SITE": str(ready.site)}
    command = [str(ROOT / "vpc"), "identities", "recipients", "check"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1 and "office.key.age is a pipe, not a file." in done.stderr


@pytest.mark.parametrize("kind", ODD)
def test_a_folder_that_is_none_is_named(ready: Desk, kind: str) -> None:
    ready.folder.rename(ready.folder.with_name("moved"))
    ready.folder.touch()
    if kind == "a symbolic link":
        ready.folder.unlink()
        ready.folder.symlink_to("moved")
        assert ready.vpc("recipients", "check").status == 0, "the folder itself may be a link"
        return
    if kind != "a directory":
        put(kind, ready.folder)
    for verb in [*WRITING, CHECK]:
        answer = ready.vpc(*verb.split())
        assert answer.status == 1 and str(ready.folder) in answer.err and "Traceback" not in answer.err


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o702])
def test_a_folder_that_every_user_may_write_to_is_refused(ready: Desk, mode: int) -> None:
    ready.folder.chmod(mode)
    said = f"Every user of this machine may write to {ready.folder} (mode {mode:04o}).\n"
    refused(ready, [*WRITING, CHECK], said, f"then: chmod -R o-w {ready.folder}")
    with ready.refused() as text:
        ready.store().check(ready.plans())
    assert text[0].startswith(said)


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o775])
def test_other_folders_are_not(ready: Desk, mode: int) -> None:
    ready.folder.chmod(mode)
    ready.store().check(ready.plans())
    assert ready.vpc("recipients", "check").status == 0


@pytest.mark.parametrize("name", ["office.crt", "office.key.age", "recipients.txt", "recipients.lock"])
def test_a_file_that_every_user_may_write_to_is_refused(ready: Desk, name: str) -> None:
    (ready.folder / name).chmod(0o666)
    refused(ready, [*WRITING, CHECK], f"Every user of this machine may write to {ready.folder}/{name} (mode 0666).")


def test_two_zones_with_one_tunnel_key_are_named(ready: Desk) -> None:
    one, two = (ready.folder / f"tunnel-us-east-1{letter}.key.age" for letter in "ab")
    said = f"{one} and {two} hold one and the same tls-crypt key, and each zone has its own."
    shutil.copy(one, two)
    refused(ready, [CHECK, "reencrypt --accept"], said)
    with ready.refused() as text:
        ready.store().tls_crypt("us-east-1a")
        store = ready.store()
        store.tls_crypt("us-east-1a")
        store.tls_crypt("us-east-1b")
    assert text[0].startswith(said)
    two.unlink()
    assert ready.vpc("reencrypt", "--accept").status == 0 and ready.vpc("init").status == 0
    assert ready.vpc("recipients", "check").status == 0


def test_git_on_another_system_may_write_its_own_ends_of_lines(ready: Desk) -> None:
    for path in ready.folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    answer = ready.vpc("recipients", "check")
    assert answer.status == 0, answer.err
    assert ready.store().private_key("office") and ready.store().tls_crypt("us-east-1a")


@pytest.mark.parametrize("verb", WRITING)
def test_two_runs_at_once_are_refused(ready: Desk, verb: str) -> None:
    with files.exclusive(ready.folder):
        refused(ready, [verb], f"Another `./vpc identities` is writing to {ready.folder}.\nWait, and type it again.")


@pytest.mark.parametrize("verb", WRITING)
def test_drafts_of_a_run_that_was_killed_are_removed(ready: Desk, verb: str) -> None:
    draft, others = ready.folder / ".office.key.age.abcd1234.tmp", ready.folder / ".gitignore"
    draft.write_text("half")
    others.touch()
    assert ready.vpc("recipients", "check").status == 0, "drafts are ignored"
    assert ready.vpc(*verb.split()).status == 0
    assert not draft.exists() and others.exists()


def test_a_stranger_gets_no_answer(ready: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGE_IDENTITY", str(x25519.Identity.generate()))
    refused(ready, WRITING[2:], "is not encrypted to you")


@pytest.mark.attack
@pytest.mark.parametrize("name", ["\x1b]0;x\a.key.age", "a\nb.crt", "$(touch pwned).crt", "a b.age"])
@pytest.mark.parametrize("line", [("reencrypt",), ("recipients", "check"), ("init",)], ids=lambda line: line[-1])
def test_a_name_that_is_meant_for_a_terminal_or_a_shell_is_refused(
    ready: Desk, name: str, line: tuple[str, ...]
) -> None:
    """Who can write to the folder's repository chooses it, and an error that quoted it would be pasted."""
    before = ready.files()
    (ready.folder / name).touch()
    said = ready.vpc(*line)
    assert (
        said.status == 1 and f"has a file that is none of ours: {name!a}.\nLook who put it there: git log" in said.err
    )
    (ready.folder / name).unlink()
    assert ready.files() == before


def test_what_is_to_be_typed_is_one_word_in_a_folder_of_any_name(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = desk.folder.with_name("my $(touch pwned) ids")
    monkeypatch.setenv("IDENTITIES", str(folder))
    assert desk.vpc("init").status == 0
    (folder / "office.crt").write_text("x")
    (folder / "office.key.age").write_text("x")
    for line in (("reencrypt",), ("recipients", "check")):
        said = desk.vpc(*line)
        assert said.status == 1 and f"git restore '{folder}" in said.err + said.out, line


def test_a_folder_that_cannot_be_listed_is_an_error(ready: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looked like one without files."""

    def refuse(path: object) -> list[str]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("vpc_openvpn.identities.store.os.listdir", refuse)
    said = ready.vpc("reencrypt")
    assert said.status == 1 and said.err.startswith(f"{ready.folder}: Permission denied.\nLook: ls -ld ")
