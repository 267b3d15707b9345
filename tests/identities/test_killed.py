"""A run that is killed at any instant leaves each file old or new, a lock that knows it, and work for the next run."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.identities.desk import Desk
from tests.identities.people import with_age
from vpc_openvpn.command import identities_rotate, pyinfra
from vpc_openvpn.identities import writing
from vpc_openvpn.site.load import ROOT

CAROL = "age1ka28hxyhwukha7ev4kmnmuupyh3kz9rnzlyxeedrjfnjecmzm48qmusqdx"


@pytest.fixture
def ready(desk: Desk) -> Desk:
    desk.write_site("a")
    desk.vpc("init")
    desk.vpc("recipients", "add", with_age(desk.site.parent, "bob").line, "--name", "bob")
    return desk


def whole(desk: Desk, secrets: dict[str, str]) -> None:
    """Every file is whole, and holds what it held; a file that a run was to make may be absent."""
    store = desk.store()
    for path in store.secret_paths():
        text = store.identity().decrypt(path)
        assert secrets.setdefault(path.name, text) == text, path.name
    for host in store.hosts():
        store.private_key(host)
    store.recipients()


def agreed(desk: Desk) -> None:
    """The lock knows each file."""
    store = desk.store()
    assert writing.disagreements(store, store.lock()) == []


def killed(desk: Desk, words: str, step: int) -> Iterator[list[Path]]:
    """The command, killed at each `step`-th moment, each time from the folder as it is now: the drafts that are left,
    each time. Ends when the command has come to its end.
    """
    kept = desk.folder.with_name("kept")
    shutil.copytree(desk.folder, kept)
    with subprocess.Popen(
        [sys.executable, "-m", "tests.identities.dies", desk.folder, *words.split()],
        cwd=ROOT,
        env=dict(os.environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin and process.stdout
        for point in count(1, step):
            print(point, file=process.stdin, flush=True)
            said = process.stdout.readline().strip()
            left = list(desk.folder.glob(".*.tmp"))
            if said != "killed":
                assert said == "done 0" and left == []
                break
            yield left
            shutil.rmtree(desk.folder)
            shutil.copytree(kept, desk.folder)
        process.stdin.close()


@pytest.mark.parametrize(
    ("words", "again", "step", "at_least"),
    [
        (f"recipients add {CAROL} --name carol", "reencrypt", 1, 30),
        ("recipients remove bob", "reencrypt", 1, 30),
        ("init", "init", 1, 30),
        ("reencrypt", "reencrypt", 2, 12),
        ("reencrypt --accept", "reencrypt --accept", 2, 6),
    ],
    ids=["add", "remove", "init", "reencrypt", "accept"],
)
def test_a_killed_run_leaves_old_or_new(ready: Desk, words: str, again: str, step: int, at_least: int) -> None:
    if words == "init":
        ready.write_site("ab")
    if words.startswith("reencrypt"):
        with (ready.folder / "recipients.txt").open("a") as file:
            file.write(f"{CAROL}  # carol\n")
    if words == "reencrypt --accept":  # a file out of a backup, from before there was bob
        store = ready.store()
        path, [ann, *_] = store.key_path("office"), store.recipients()
        path.write_text(store.encrypted(path, [ann]))
    secrets: dict[str, str] = {}
    whole(ready, secrets)
    points, drafts = 0, 0
    for left in killed(ready, words, step):
        points, drafts = points + 1, drafts + len(left)
        whole(ready, dict(secrets))
        if "--accept" not in words:
            agreed(ready)
        finish(ready, again)
    whole(ready, secrets)
    agreed(ready)
    assert points >= at_least and drafts, f"it was killed at {points} points"


@pytest.mark.parametrize("words", ["rotate all", "rotate us-east-1a --seamless", "revoke us-east-1a", "revoke office"])
def test_a_killed_rotation_leaves_each_host_one_identity_that_its_peers_pin(
    ready: Desk, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """Whichever stage it was in: a deploy then would work, and the same line again comes to its end."""
    monkeypatch.setattr(pyinfra, "run", lambda *_, **__: 0)
    monkeypatch.setattr(identities_rotate, "_silent", lambda *_: {})
    if "--seamless" in words:  # it needs a detour
        ready.write_site("ab")
        assert ready.vpc("init").status == 0
    before = {host: ready.store().fingerprint(host) for host in ready.store().hosts()}
    names, points, drafts, stages = set(ready.files()), 0, 0, set()
    for left in killed(ready, words, 9):
        points, drafts = points + 1, drafts + len(left)
        store = ready.store()
        whole(ready, {})
        agreed(ready)
        store.check(ready.plans())
        assert all(store.fingerprint(host) in store.pins(host) for host in before)
        stages.add(frozenset(path.name for path in ready.folder.glob("*") if not path.name.startswith(".")))
        finish(ready, words)
        now = {host: ready.store().fingerprint(host) for host in before}
        changed = {host for host in before if now[host] != before[host]}
        assert changed == ({*before} if "all" in words else {"office"} if "office" in words else {"nat-us-east-1a"})
        assert set(ready.files()) == names
    assert points >= 8 and drafts and len(stages) > 3, f"it was killed at {points} points"


def finish(desk: Desk, again: str) -> None:
    """The next run brings what was begun to its end, and removes drafts."""
    assert desk.vpc(*again.split()).status == 0
    answer = desk.vpc("recipients", "check")
    assert (answer.status, answer.err) == (0, "")
    assert not list(desk.folder.glob(".*.tmp"))
