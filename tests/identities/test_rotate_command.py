"""`./vpc identities rotate` and `revoke`: which deploys come when the folder is how, what is refused before anything
changes, and how a run that failed goes on. That hosts follow, scenarios see.
"""

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import paramiko
import pytest

from tests.identities.desk import Answer, Desk
from tests.identities.people import with_ssh
from vpc_openvpn import terminal, whole
from vpc_openvpn.command import identities_rotate, pyinfra
from vpc_openvpn.identities import files, rotation
from vpc_openvpn.identities.rotation import Part, Stage
from vpc_openvpn.ssh import host_keys

A, B, OFFICE = "nat-us-east-1a", "nat-us-east-1b", "office"
RSA, ECDSA = paramiko.RSAKey.generate(1024), paramiko.ECDSAKey.generate()
SEAMLESS, AT_ONCE, UNPROVED = "seamless=yes", "seamless=no", "proof=no"


@dataclass
class Deploys:
    """In place of pyinfra and hosts: what each run was for, and the stage that the folder was in. It `fails` in one."""

    desk: Desk
    fails: int = 0
    silent: dict[str, str] = field(default_factory=dict)
    runs: list[tuple[str, list[str], Stage]] = field(default_factory=list)
    pins: list[dict[str, tuple[str, ...]]] = field(default_factory=list)

    def run(self, deploy: str, *options: str, limits: list[str]) -> int:
        assert deploy == "deploy.py" and options[0] == "-y"
        store = self.desk.store()
        stages = [rotation.stage(store, Part(host)) for host in (OFFICE, A, B)]
        self.runs.append((options[-1], limits, max(stages)))
        self.pins.append({host: store.pins(host) for host in (OFFICE, A, B)})
        store.check(self.desk.plans())
        for host in (OFFICE, A, B):
            assert store.private_key(host)
        return 1 if len(self.runs) == self.fails else 0

    def type(self, *words: str) -> Answer:
        self.runs.clear()
        self.pins.clear()
        return self.desk.vpc(*words)


@pytest.fixture
def deploys(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Deploys:
    assert desk.vpc("init").status == 0
    made = Deploys(desk)
    monkeypatch.setattr(pyinfra, "run", made.run)
    monkeypatch.setattr(
        identities_rotate, "_silent", lambda _, plans: {host: why for host, why in made.silent.items() if host in plans}
    )
    return made


def fingerprints(desk: Desk) -> dict[str, str]:
    return {host: desk.store().fingerprint(host) for host in (OFFICE, A, B)}


def test_one_deploy_changes_a_nats_identity_and_its_tunnels_key(deploys: Deploys) -> None:
    before, keys, names = fingerprints(deploys.desk), _tls_crypt(deploys.desk), set(deploys.desk.files())
    said = deploys.type("rotate", "us-east-1a")
    assert said.status == 0, said.err
    assert "us-east-1a: desks' packets go by a detour" in said.out and "altogether" in said.out
    # The old pin is gone at once, and the old key is still there.
    assert deploys.runs == [(AT_ONCE, [OFFICE, A], Stage.RETIRED)]
    now, new_keys = fingerprints(deploys.desk), _tls_crypt(deploys.desk)
    assert {host for host in now if now[host] != before[host]} == {A} and deploys.pins[0][A] == (now[A],)
    assert [zone for zone in keys if keys[zone] != new_keys[zone]] == ["us-east-1a"]
    assert set(deploys.desk.files()) == names
    assert deploys.type("rotate", OFFICE).status == 0 and deploys.runs[0][1] == []
    assert all(_tls_crypt(deploys.desk)[zone] != new_keys[zone] for zone in keys)


def test_a_seamless_rotation_has_three_deploys_and_two_pins(deploys: Deploys) -> None:
    before = fingerprints(deploys.desk)
    said = deploys.type("rotate", "all", "--seamless")
    assert said.status == 0, said.err
    now = fingerprints(deploys.desk)
    assert deploys.runs == [(SEAMLESS, [], each) for each in (Stage.PREPARED, Stage.SWITCHED, Stage.RETIRED)]
    for host in now:
        both = tuple(sorted((before[host], now[host])))
        assert [pins[host] for pins in deploys.pins] == [both, both, (now[host],)]


@pytest.mark.parametrize("seamless", [(), ("--seamless",)], ids=["at once", "seamless"])
@pytest.mark.parametrize("target", [A, OFFICE, "all"])
def test_a_deploy_that_fails_is_done_again_and_the_rotation_goes_on(
    deploys: Deploys, target: str, seamless: tuple[str, ...]
) -> None:
    line = ("rotate", target, *seamless)
    for fails in (1, 2, 3) if seamless else (1,):
        before = fingerprints(deploys.desk)
        deploys.fails = fails
        failed = deploys.type(*line)
        assert failed.status == 1 and f"continues from there: ./vpc identities {' '.join(line)}" in failed.err
        stage = deploys.runs[-1]
        # The line that `show` names is the same, or a rotation that is about to end, whichever way it came there.
        assert f"./vpc identities rotate {target}" in deploys.desk.vpc("show").out
        other = deploys.type("rotate", B if target == A else A)
        assert other.status == 1 or target == "all"
        if target != "all":
            assert f"./vpc identities rotate {target}" in other.err and deploys.runs == []
        deploys.fails = 0
        if other.status:
            again = deploys.type(*line)
            assert again.status == 0, again.err
            assert deploys.runs[0] == stage and len(deploys.runs) == (4 - fails if seamless else 1)
        while rotation.under_way(deploys.desk.store(), deploys.desk.plans()):
            assert deploys.type("rotate", "all").status == 0
        now = fingerprints(deploys.desk)
        assert (now[target] != before[target]) if target != "all" else all(now[host] != before[host] for host in now)


@pytest.mark.parametrize("line", [("rotate", "all", "--seamless"), ("revoke", A)])
def test_a_passphrase_is_asked_for_before_the_first_deploy(
    deploys: Deploys, known_hosts: Path, monkeypatch: pytest.MonkeyPatch, line: tuple[str, ...]
) -> None:
    person, asked = with_ssh(deploys.desk.site.parent, "alice", "correct horse"), list[str]()
    assert deploys.desk.vpc("recipients", "add", person.line).status == 0
    monkeypatch.setenv("AGE_IDENTITY_FILE", str(person.key))

    def ask(question: str) -> str:
        asked.append(question)
        assert deploys.runs == []
        return "correct horse"

    def run(*words: str, limits: list[str]) -> int:
        assert terminal._typed.by_file == {str(person.key): "correct horse"} and terminal._typed.complete
        return deploys.run(*words, limits=limits)

    monkeypatch.setattr(terminal, "ask_secret", ask)
    monkeypatch.setattr(pyinfra, "run", run)
    said = deploys.type(*line)
    assert said.status == 0, said.err
    assert len(asked) == 1 and deploys.runs


def test_ctrl_c_says_so(deploys: Deploys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyinfra, "run", lambda *_, **__: 130)
    assert deploys.desk.vpc("rotate", A).status == 130


def test_a_rotation_whose_end_was_cut_off_ends_before_another_begins(deploys: Deploys) -> None:
    deploys.fails = 1
    deploys.type("rotate", A)
    deploys.fails = 0
    before = fingerprints(deploys.desk)
    said = deploys.type("rotate", "all")
    assert said.status == 0 and "To give all hosts another identity, type the same again" in said.out
    assert fingerprints(deploys.desk) == before


@pytest.mark.parametrize("site", ["detour: off\n", "strategy: single\n", "alone"])
def test_without_a_detour_seamless_is_refused_and_the_loss_is_said(deploys: Deploys, site: str) -> None:
    if site == "alone":
        deploys.desk.write_site("a")
    else:
        deploys.desk.site.write_text(site + deploys.desk.site.read_text())
    before = deploys.desk.files()
    refused = deploys.type("rotate", A, "--seamless")
    assert refused.status == 1 and "Nothing was changed" in refused.err and "few seconds" in refused.err
    assert refused.err.rstrip().endswith(f"type: ./vpc identities rotate {A}")
    assert deploys.desk.files() == before and deploys.runs == []


def test_a_host_that_does_not_answer_is_named_before_anything_changes(deploys: Deploys) -> None:
    before, deploys.silent = deploys.desk.files(), {A: "no answer from 198.51.100.11 port 22", B: "it is not asked"}
    refused = deploys.type("rotate", A)
    assert refused.status == 1 and f"{A} does not answer: no answer from" in refused.err and B not in refused.err
    assert deploys.desk.files() == before and deploys.runs == []


@pytest.mark.parametrize("verb", ["rotate", "revoke"])
def test_an_unknown_host_is_refused(deploys: Deploys, verb: str) -> None:
    refused = deploys.type(verb, "nat-us-east-1c")
    assert refused.status == 1 and "there is no host or zone nat-us-east-1c in the site; did you mean" in refused.err
    assert verb == "rotate" or deploys.type("revoke", "all").status == 1


@pytest.fixture
def known_hosts(deploys: Deploys, machine: object) -> Path:
    """It has a key of each host."""
    for plan in deploys.desk.plans().values():
        host_keys.accept((plan.ssh, RSA))
    return next(iter(deploys.desk.plans().values())).ssh.known_hosts


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[paramiko.PKey | OSError]:
    """What answers ssh at each host's address: its keys, and how it fails. Nothing answers unless a test has it."""
    shown: list[paramiko.PKey | OSError] = []

    def show(_ssh: object, _patience: float) -> Iterator[paramiko.PKey]:
        for each in shown or [TimeoutError("timed out")]:
            if isinstance(each, OSError):
                raise each
            yield each

    monkeypatch.setattr(host_keys, "shown", show)
    return shown


def test_a_stolen_nat_is_shut_out_by_the_office_and_not_deployed_to(deploys: Deploys, known_hosts: Path) -> None:
    before = fingerprints(deploys.desk)
    said = deploys.type("revoke", A)
    assert said.status == 0, said.err
    now = fingerprints(deploys.desk)
    assert deploys.runs == [(UNPROVED, [OFFICE], Stage.RETIRED)] and deploys.pins[0][A] == (now[A],) != (before[A],)
    assert f"./vpc rebuild {A}" in said.out and "ssh host key" in said.out and "Elastic IP" in said.out
    # Its ssh host key is accepted no more, for good; others' are.
    ssh = {host: plan.ssh for host, plan in deploys.desk.plans().items()}
    assert {host: len(host_keys.known(each)) for host, each in ssh.items()} == {OFFICE: 1, A: 0, B: 1}
    [line] = [line for line in known_hosts.read_text().splitlines() if "198.51.100.11" in line]
    assert line.startswith("@revoked ")
    assert rotation.under_way(deploys.desk.store(), deploys.desk.plans()) == []


def test_a_stolen_nats_ssh_host_key_is_revoked_though_a_peers_deploy_fails(deploys: Deploys, known_hosts: Path) -> None:
    """Or the next deploy would bring the new identity to what has the old disk."""
    deploys.fails = 1
    assert deploys.type("revoke", A).status == 1
    assert not host_keys.known(deploys.desk.plans()[A].ssh)


@pytest.mark.attack
@pytest.mark.parametrize("answers", [[ECDSA, RSA], [ECDSA, RSA, TimeoutError("later")]], ids=["whole", "in part"])
def test_every_kind_of_ssh_host_key_that_the_old_disk_shows_is_revoked(
    deploys: Deploys, known_hosts: Path, machine: list[paramiko.PKey | OSError], answers: list[paramiko.PKey | OSError]
) -> None:
    """Its key in known_hosts is one of several: the others would be shown by `rebuild` as those of a new machine."""
    machine += answers
    said = deploys.type("revoke", A)
    assert said.status == 0, said.err
    ssh = deploys.desk.plans()[A].ssh
    assert all(host_keys.is_revoked(known_hosts, host_keys.name(ssh), key) for key in (RSA, ECDSA))
    assert host_keys.describe(ECDSA) in said.out and "show them now: its ED25519 keys" in said.out
    # Once more, as after a failure: no line is there twice.
    before = known_hosts.read_text()
    assert deploys.type("revoke", A).status == 0 and known_hosts.read_text() == before


def test_the_keys_of_its_replacement_are_not_revoked(
    deploys: Deploys, known_hosts: Path, machine: list[paramiko.PKey | OSError]
) -> None:
    """A new machine is at the address before `revoke` is typed: it has none of the old one's keys."""
    machine.append(ECDSA)
    said = deploys.type("revoke", A)
    ssh = deploys.desk.plans()[A].ssh
    assert host_keys.is_revoked(known_hosts, host_keys.name(ssh), RSA)
    assert not host_keys.is_revoked(known_hosts, host_keys.name(ssh), ECDSA)
    assert "its ED25519 and ECDSA keys" in said.out and "console of the NEW machine" in said.out


def test_revoke_changes_nothing_where_known_hosts_cannot_be_written(
    deploys: Deploys, known_hosts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    before, text = deploys.desk.files(), known_hosts.read_text()
    monkeypatch.setattr(whole, "write", full)
    said = deploys.type("revoke", A)
    assert said.status == 1
    assert f"{known_hosts}: No space left on device.\nLook: df -h {known_hosts.parent}" in said.err
    assert "Nothing was changed" in said.err and deploys.runs == []
    assert (deploys.desk.files(), known_hosts.read_text()) == (before, text)


def test_revoke_changes_nothing_where_the_folder_takes_no_file(
    deploys: Deploys, known_hosts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x")

    before, text = deploys.desk.files(), known_hosts.read_text()
    monkeypatch.setattr("tempfile.NamedTemporaryFile", full)
    said = deploys.type("revoke", A)
    assert said.status == 1 and f"{deploys.desk.folder}: No space left on device.\nLook: df -h " in said.err
    assert deploys.runs == [] and (deploys.desk.files(), known_hosts.read_text()) == (before, text)


def test_what_is_left_to_do_is_said_though_the_old_files_cannot_be_removed(
    deploys: Deploys, known_hosts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peers have been deployed to by then."""

    def refused(path: Path) -> None:
        raise files.problem(PermissionError(errno.EACCES, "Permission denied"), path)

    def run(*words: str, limits: list[str]) -> int:
        monkeypatch.setattr(files, "remove", refused)
        return deploys.run(*words, limits=limits)

    monkeypatch.setattr(pyinfra, "run", run)
    said = deploys.type("revoke", A)
    assert said.status == 1 and f"type: ./vpc rebuild {A}" in said.out
    assert f"{A}.old.key.age: Permission denied.\nLook: ls -ld" in said.err


def test_a_stolen_office_is_shut_out_by_every_nat(deploys: Deploys, known_hosts: Path) -> None:
    keys, deploys.silent = _tls_crypt(deploys.desk), {B: "no answer"}
    said = deploys.type("revoke", OFFICE)
    assert deploys.runs == [(UNPROVED, [A], Stage.RETIRED)]
    assert all(_tls_crypt(deploys.desk)[zone] != keys[zone] for zone in keys)
    assert said.status == 1 and said.err.rstrip().endswith(f"type: ./vpc deploy --limit {B}")
    deploys.silent = {A: "no answer", B: "no answer"}
    before = deploys.desk.files()
    assert "Nothing was changed" in deploys.type("revoke", OFFICE).err and deploys.desk.files() == before


def test_with_the_host_there_is_one_whole_deploy(deploys: Deploys, known_hosts: Path) -> None:
    said = deploys.type("revoke", A, "--with-host")
    assert said.status == 0 and deploys.runs == [("-y", [OFFICE, A], Stage.RETIRED)]
    assert "198.51.100.11" in known_hosts.read_text() and "ssh-keygen -A" in said.out


@pytest.mark.parametrize("stage", [rotation.prepare, rotation.switch, rotation.retire])
def test_a_revoke_in_the_midst_of_a_rotation_makes_what_was_on_no_disk(
    deploys: Deploys, known_hosts: Path, stage: Callable[..., object]
) -> None:
    store, wanted = deploys.desk.store(), rotation.parts(deploys.desk.plans(), [A])
    list(rotation.prepare(store, deploys.desk.plans(), wanted))
    if stage is not rotation.prepare:
        list(rotation.switch(store, wanted))
    if stage is rotation.retire:
        list(rotation.retire(store, wanted))
    seen = set(deploys.desk.store().pins(A))
    assert deploys.type("revoke", A).status == 0
    assert seen.isdisjoint(deploys.desk.store().pins(A)) and seen.isdisjoint(deploys.pins[0][A])


def _tls_crypt(desk: Desk) -> dict[str, str]:
    return {zone: desk.store().tls_crypt(zone) for zone in ("us-east-1a", "us-east-1b")}
