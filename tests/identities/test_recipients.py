"""`./vpc identities recipients`: a person joins, leaves, is listed; the secrets follow."""

import json
from pathlib import Path

import pytest
from click import Context

from tests.identities.desk import Desk
from tests.identities.people import PLUGIN_IDENTITY, PLUGIN_RECIPIENT, Person, install_plugin, with_age, with_ssh
from vpc_openvpn.command.recipients import Person as Name
from vpc_openvpn.command.recipients import remove
from vpc_openvpn.identities import init, lock, people
from vpc_openvpn.identities.errors import CredentialsError

SECRETS = ["nat-us-east-1a.key.age", "nat-us-east-1b.key.age", "office.key.age"]
SECRETS += ["tunnel-us-east-1a.key.age", "tunnel-us-east-1b.key.age"]


@pytest.fixture
def ready(desk: Desk) -> Desk:
    desk.vpc("init")
    return desk


@pytest.fixture
def bob(ready: Desk) -> Person:
    return with_age(ready.site.parent, "bob")


def reads(desk: Desk, key: Path) -> bool:
    """Whether the holder of `key` reads every secret."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGE_IDENTITY_FILE", str(key))
        store = desk.store()
        try:
            store.unlock(store.secret_paths())
        except CredentialsError as error:
            assert "is not encrypted to you" in str(error)
            return False
        return True


def own_key(desk: Desk) -> str:
    return desk.store().recipients()[0].key


def test_a_person_joins(ready: Desk, bob: Person) -> None:
    assert not reads(ready, bob.key)
    answer = ready.vpc("recipients", "add", bob.line, "--name", "bob")
    assert (answer.status, answer.err) == (0, "")
    first, *others = answer.out.splitlines()
    assert first == f"added bob ({bob.line[:20]}…{bob.line[-8:]})"
    assert others == [f"encrypted {ready.folder}/{name} for 2" for name in SECRETS]
    assert reads(ready, bob.key) and reads(ready, ready.age_key)
    text = (ready.folder / "recipients.txt").read_text()
    assert text.endswith(f"\n{bob.line}  # bob\n") and text.startswith("# The private key")
    assert ready.vpc("recipients", "check").status == 0


def test_a_person_joins_with_an_ssh_key(ready: Desk) -> None:
    alice = with_ssh(ready.site.parent, "alice@laptop")
    answer = ready.vpc("recipients", "add", *alice.line.split())  # as from a shell without quotes
    assert answer.status == 0 and answer.out.startswith("added alice@laptop (ssh-ed25519 AAAAC3Nz…")
    assert (ready.folder / "recipients.txt").read_text().endswith(f"\n{alice.line}\n")
    assert reads(ready, alice.key) and reads(ready, ready.age_key)
    assert not reads(ready, with_ssh(ready.site.parent, "mallory").key)
    assert ready.vpc("recipients", "check").status == 0


def test_a_person_joins_with_a_key_of_a_plugin(ready: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ready.files()
    answer = ready.vpc("recipients", "add", PLUGIN_RECIPIENT, "--name", "carol")
    assert answer.status == 1 and answer.err == (
        "age-plugin-fake is not on the PATH, and recipients.txt lists a key of it.\n"
        "Install that program, and type it again; or take the key out: ./vpc identities recipients list\n"
    )
    assert ready.files() == before
    monkeypatch.setenv("PATH", install_plugin(ready.site.parent))
    assert ready.vpc("recipients", "add", PLUGIN_RECIPIENT, "--name", "carol").status == 0
    key = ready.site.with_name("carol.key")
    key.write_text(f"# of the token\n{PLUGIN_IDENTITY}\n")
    key.chmod(0o600)
    assert reads(ready, key) and reads(ready, ready.age_key)
    monkeypatch.undo()
    monkeypatch.setenv("SITE", str(ready.site))
    assert ready.vpc("recipients", "check").status == 0, "without the plugin and without any key"
    monkeypatch.setenv("AGE_IDENTITY_FILE", str(key))
    with ready.refused() as text:
        ready.store().private_key("office")
    assert text == [
        f"{key} holds a key of an age plugin, whose program age-plugin-fake is not on the PATH.\nInstall it."
    ]


def test_the_holder_of_a_plugins_key_does_not_lock_himself_out(ready: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", install_plugin(ready.site.parent))
    ready.vpc("recipients", "add", PLUGIN_RECIPIENT, "--name", "carol")
    ready.age_key.write_text(f"{PLUGIN_IDENTITY}\n")
    answer = ready.vpc("recipients", "remove", "carol")
    assert answer.status == 1 and "without carol (age1fake1" in answer.err
    assert ready.vpc("recipients", "remove", "ann").status == 0
    assert ready.store().private_key("office")


def test_init_takes_the_key_that_the_operator_has(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = with_ssh(desk.site.parent, "alice")
    monkeypatch.setenv("AGE_IDENTITY_FILE", str(alice.key))
    assert desk.vpc("init").status == 0 and not desk.age_key.exists()
    assert desk.store().recipients()[0].key in alice.line and desk.store().private_key("office")


def test_init_asks_for_the_public_key_of_a_plugin(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", install_plugin(desk.site.parent))
    monkeypatch.setenv("AGE_IDENTITY", PLUGIN_IDENTITY)
    answer = desk.vpc("init")
    assert answer.status == 1 and answer.err == (
        f"AGE_IDENTITY does not say its public key. Write it to {desk.folder}/recipients.txt, a line age1…, "
        "and type: ./vpc identities init\n"
    )
    assert list(desk.folder.iterdir()) == []
    (desk.folder / "recipients.txt").write_text(f"{PLUGIN_RECIPIENT}\n")
    assert desk.vpc("init").status == 0 and desk.store().private_key("office")


def test_init_names_the_plugin_that_is_missing_and_writes_nothing(ready: Desk) -> None:
    with (ready.folder / "recipients.txt").open("a") as file:
        file.write(f"{PLUGIN_RECIPIENT} # carol\n")
    ready.write_site("abc")
    before = ready.files()
    with ready.refused() as text:
        list(people.reencrypt(ready.store()))
    assert "age-plugin-fake is not on the PATH" in text[0]
    with ready.refused() as text:
        list(init.init(ready.store(), ready.plans()))
    assert "age-plugin-fake is not on the PATH" in text[0]
    assert ready.files() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["age1nonsense"], "What you typed is not an age public key.\nWrite one recipient a line"),
        (["ssh-ed25519", "AAAAC3Nza"], "What you typed holds a public key that is damaged or cut short.\n"),
        (["ssh-rsa", "AAAAC3Nza"], "is an ssh key of another kind than ssh-ed25519"),
        (["sk-ssh-ed25519@openssh.com", "AAAAC3Nza"], "is an ssh key of another kind than ssh-ed25519"),
        (["# a comment"], "What you typed is no public key.\n"),
        (["age1ka28hxyhwukha7ev4kmnmuupyh3kz9rnzlyxeedrjfnjecmzm48qmusqdx\nage1x"], "is more than one line"),
        (
            ["age1ka28hxyhwukha7ev4kmnmuupyh3kz9rnzlyxeedrjfnjecmzm48qmusqdx", "--name", "a\x1b[2J"],
            "has a name with a # or with characters that cannot be printed",
        ),
        (
            ["age1ka28hxyhwukha7ev4kmnmuupyh3kz9rnzlyxeedrjfnjecmzm48qmusqdx", "--name", "a\nage1x"],
            "has a name with a # or with characters that cannot be printed",
        ),
        ([], "Missing argument 'LINE...'"),
    ],
)
def test_a_line_that_is_none_is_refused(ready: Desk, words: list[str], said: str) -> None:
    before = ready.files()
    answer = ready.vpc("recipients", "add", *words)
    assert (answer.status, answer.out) == (1, "") and said in answer.err
    assert ready.files() == before


def test_a_secret_key_is_refused_and_not_repeated(ready: Desk) -> None:
    before = ready.files()
    secret = ready.age_key.read_text().splitlines()[-1]
    answer = ready.vpc("recipients", "add", secret)  # `vpc` looks for secrets in the answer
    assert answer.status == 1 and "is a secret key, which has no place here" in answer.err
    with ready.refused():
        list(people.add(ready.store(), secret))
    assert ready.files() == before


def test_a_double_is_refused_under_any_name(ready: Desk) -> None:
    alice = with_ssh(ready.site.parent, "alice")
    ready.vpc("recipients", "add", alice.line)
    before = ready.files()
    for words in ([alice.line], [alice.line, "--name", "bob"], [own_key(ready)], [own_key(ready).upper()]):
        answer = ready.vpc("recipients", "add", *words)
        assert answer.status == 1 and "is a recipient already" in answer.err
    assert ready.files() == before


def test_a_store_that_is_not_there_has_no_recipients(desk: Desk) -> None:
    for words in (["list"], ["add", PLUGIN_RECIPIENT], ["remove", "bob"], ["check"]):
        answer = desk.vpc("recipients", *words)
        assert answer.status == 1 and answer.err.endswith("does not exist.\nType: ./vpc identities init\n")
    assert not desk.folder.exists()


def test_a_person_leaves(ready: Desk, bob: Person) -> None:
    ready.vpc("recipients", "add", bob.line, "--name", "bob")
    answer = ready.vpc("recipients", "remove", "bob")
    short = f"bob ({bob.line[:20]}…{bob.line[-8:]})"
    assert answer.status == 0
    assert answer.out.splitlines() == [
        f"removed {short}",
        *(f"encrypted {ready.folder}/{name} for 1" for name in SECRETS),
        f"{short} could read these secrets, and may have kept them:",
        *(f"  {name}" for name in SECRETS),
        "Removing takes nothing back. Commit this, then give the hosts and the tunnels new ones, and deploy:",
        "./vpc identities rotate all",
    ]
    assert not reads(ready, bob.key) and reads(ready, ready.age_key)
    text = (ready.folder / "recipients.txt").read_text()
    assert bob.line not in text and text.startswith("# The private key"), "comments stay"
    assert ready.vpc("recipients", "check").status == 0


def test_a_person_leaves_by_key(ready: Desk, bob: Person) -> None:
    ready.vpc("recipients", "add", bob.line)
    assert ready.vpc("recipients", "remove", bob.line).status == 0
    assert not reads(ready, bob.key)


def test_a_shell_completes_names(ready: Desk, bob: Person) -> None:
    ready.vpc("recipients", "add", bob.line, "--name", "bob")

    def completed(word: str) -> list[str]:
        found = Name().shell_complete(Context(remove), remove.params[0], word)
        return [item.value for item in found]

    assert completed("") == ["ann", "bob"] and completed("b") == ["bob"] and completed("x") == []
    (ready.folder / "recipients.txt").write_text("nonsense\n")
    assert completed("") == []


def test_the_last_recipient_stays(ready: Desk) -> None:
    before = ready.files()
    answer = ready.vpc("recipients", "remove", own_key(ready))
    assert answer.status == 1 and "is the only recipient: without it nothing can be read." in answer.err
    assert ready.files() == before


def test_an_operator_does_not_lock_himself_out(ready: Desk, bob: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    ready.vpc("recipients", "add", bob.line, "--name", "bob")
    before = ready.files()
    answer = ready.vpc("recipients", "remove", own_key(ready))
    assert answer.status == 1 and "you could read nothing any more." in answer.err
    assert ready.files() == before
    monkeypatch.setenv("AGE_IDENTITY_FILE", str(bob.key))
    assert ready.vpc("recipients", "remove", own_key(ready)).status == 0, "bob may remove the operator"
    assert not reads(ready, ready.age_key)


def test_removing_a_stranger_or_one_of_two_is_refused(ready: Desk, bob: Person) -> None:
    ready.vpc("recipients", "add", bob.line, "--name", "bob")
    second = with_ssh(ready.site.parent, "bob")
    ready.vpc("recipients", "add", second.line)
    before = ready.files()
    stranger = ready.vpc("recipients", "remove", "mallory")
    assert stranger.status == 1 and "recipients.txt has no such recipient; there are: ann, bob, bob." in stranger.err
    both = ready.vpc("recipients", "remove", "bob")
    assert both.status == 1 and "2 recipients have the name 'bob'. Type the key of the one:" in both.err
    assert f"  {bob.line}\n" in both.err
    assert ready.files() == before
    assert ready.vpc("recipients", "remove", *[second.line]).status == 0
    assert [each.name for each in ready.store().recipients()] == ["ann", "bob"]


def test_add_and_remove_write_nothing_if_one_secret_cannot_be_read(ready: Desk, bob: Person) -> None:
    ready.vpc("recipients", "add", bob.line, "--name", "bob")
    ready.age_key.unlink()
    before = ready.files()
    for words in (["add", with_age(ready.site.parent, "carol").line], ["remove", "bob"]):
        answer = ready.vpc("recipients", *words)
        assert answer.status == 1 and "No age identity" in answer.err
        assert ready.files() == before


def test_list_names_everybody(ready: Desk, bob: Person) -> None:
    alice = with_ssh(ready.site.parent, "alice@laptop")
    with (ready.folder / "recipients.txt").open("a") as file:
        file.write(f"{bob.line} # bob\n{alice.line}\n{PLUGIN_RECIPIENT}# carol\n")
    ssh = " ".join(alice.line.split()[:2])
    rows = [("ann", "age", own_key(ready)), ("bob", "age", bob.line), ("alice@laptop", "ssh", ssh)]
    rows += [("carol", "plugin fake", PLUGIN_RECIPIENT)]
    lines = [f"{name:12}  {kind:11}  {key}" for name, kind, key in rows]
    assert ready.vpc("recipients", "list").out.splitlines() == lines
    listed = json.loads(ready.vpc("recipients", "list", "--json").out)
    assert listed[2] == {"name": "alice@laptop", "kind": "ssh", "key": ssh} and listed[0]["name"] == "ann"


@pytest.mark.parametrize("change", ["crlf", "bom", "both"])
def test_a_windows_editor_does_no_harm(ready: Desk, bob: Person, change: str) -> None:
    path = ready.folder / "recipients.txt"
    text = path.read_text()
    if change != "bom":
        text = text.replace("\n", "\r\n")
    path.write_bytes(text.encode("utf-8-sig" if change != "crlf" else "utf-8"))
    assert ready.vpc("recipients", "check").status == 0
    assert ready.vpc("recipients", "add", bob.line, "--name", "bob").status == 0
    assert b"\r" not in path.read_bytes() and path.read_bytes().startswith(b"# The")
    assert reads(ready, bob.key) and ready.vpc("recipients", "check").status == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("# x\nage1".encode("utf-16"), "whose text is not UTF-8: save it as UTF-8"),
        (b"\0\1\2garbage\xff\n", "whose text is not UTF-8"),
        (b"hello\n", "line 1 is not an age public key"),
        (b"<<<<<<< HEAD\nage1\n=======\n>>>>>>> theirs\n", "which git could not merge"),
        (b"", "lists no key, so no key could decrypt the secrets"),
        (b"one\nage1two\n", "line 2 is not an age public key"),
    ],
)
def test_a_file_that_lists_nonsense_is_refused_by_every_verb(ready: Desk, content: bytes, said: str) -> None:
    (ready.folder / "recipients.txt").write_bytes(content)
    before = ready.files()
    verbs = ["recipients list", "recipients check", f"recipients add {PLUGIN_RECIPIENT}", "recipients remove x"]
    for verb in (*verbs, "reencrypt", "init"):
        answer = ready.vpc(*verb.split())
        assert (answer.status, answer.out) == (1, "") and said in answer.err and "recipients.txt" in answer.err
    assert ready.files() == before


def test_reencrypt_leaves_alone_what_is_right(ready: Desk, bob: Person) -> None:
    before = ready.files()
    ready.age_key.rename(ready.age_key.with_name("away"))  # it asks for no private key
    answer = ready.vpc("reencrypt")
    assert answer.status == 0
    assert answer.out.startswith("Nothing to do.\nThe secrets are encrypted to exactly: ann (age1")
    assert ready.files() == before
    ready.age_key.with_name("away").rename(ready.age_key)
    ready.vpc("recipients", "add", bob.line)
    before = ready.files()
    ready.write_site("abc")
    ready.vpc("init")
    assert ready.vpc("reencrypt").out.startswith("Nothing to do")
    assert {name: each for name, each in ready.files().items() if name in SECRETS} == {
        name: each for name, each in before.items() if name in SECRETS
    }


@pytest.mark.attack
def test_every_verb_names_a_recipient_that_another_has_added(ready: Desk, bob: Person) -> None:
    mallory = with_age(ready.site.parent, "mallory")
    with (ready.folder / "recipients.txt").open("a") as file:
        file.write(f"{mallory.line} # mallory\n")
    said = f"mallory ({mallory.line[:20]}…{mallory.line[-8:]}) is a recipient since the last run. Do you know that key?"
    assert said in ready.vpc("init").out
    ready.write_site("abc")
    assert said in ready.vpc("init").out, "still, for no operator has encrypted to it knowingly"
    assert said in ready.vpc("reencrypt").out
    assert said not in ready.vpc("reencrypt").out
    with (ready.folder / "recipients.txt").open("a") as file:
        file.write(f"{with_age(ready.site.parent, 'eve').line} # eve\n")
    answer = ready.vpc("recipients", "add", bob.line)
    assert "eve (" in answer.out and "Do you know that key?" in answer.out


def test_reencrypt_says_what_a_person_could_read_whose_line_was_removed_by_hand(ready: Desk, bob: Person) -> None:
    path = ready.folder / "recipients.txt"
    text = path.read_text()
    ready.vpc("recipients", "add", bob.line, "--name", "bob")
    path.write_text(text)
    answer = ready.vpc("reencrypt")
    assert "bob (" in answer.out and "is no recipient any more" in answer.out
    assert answer.out.endswith(", and deploy:\n./vpc identities rotate all\n")
    assert not reads(ready, bob.key)


def test_reencrypt_says_when_the_operator_is_not_among_them(ready: Desk, bob: Person) -> None:
    (ready.folder / "recipients.txt").write_text(f"{bob.line}\n")
    assert "You can read them no more: none of the 1 keys is yours.\n" in ready.vpc("reencrypt").out


def test_the_lock_reads_as_it_was_written(ready: Desk) -> None:
    text = (ready.folder / lock.NAME).read_text()
    parsed = lock.parse(text)
    assert parsed is not None and lock.text(parsed) == text
    assert set(parsed.files) == {*SECRETS, "office.crt", "nat-us-east-1a.crt", "nat-us-east-1b.crt"}
    assert parsed.files["office.crt"].now == lock.Seal(ready.store().fingerprint("office"))


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "7", '{"version": 2}', '{"version": 1}'),
        '{"version": 1, "recipients": [], "files": {}}',
        '{"version": 1, "recipients": {}, "files": {"a": {"now": {"to": 3}}}}',
        '{"version": 1, "recipients": {}, "files": {"a": 3}}',
    ],
)
def test_a_damaged_lock_is_none(content: str) -> None:
    assert lock.parse(content) is None
    assert lock.parse("[" * 10**5) is None
