"""A run that is killed at any instant leaves each file old or new, a lock that knows it, and work for the next run."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.identities.desk import Desk
from tests.identities.people import with_age
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
    assert store.lock().others(store.sums()) == [] and store.lock().lost(store.sums()) == []


@pytest.mark.parametrize(
    ("words", "again", "at_least"),
    [
        (f"recipients add {CAROL} --name carol", "reencrypt", 30),
        ("recipients remove bob", "reencrypt", 30),
        ("init", "init", 30),
    ],
    ids=["add", "remove", "init"],
)
def test_a_killed_run_leaves_old_or_new(ready: Desk, words: str, again: str, at_least: int) -> None:
    if words == "init":
        ready.write_site("ab")
    kept = ready.folder.with_name("kept")
    shutil.copytree(ready.folder, kept)
    secrets: dict[str, str] = {}
    whole(ready, secrets)
    before = dict(secrets)
    points, drafts = 0, 0
    with subprocess.Popen(
        [sys.executable, "-m", "tests.identities.dies", ready.folder, *words.split()],
        cwd=ROOT,
        env=dict(os.environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin and process.stdout
        while True:
            print("next", file=process.stdin, flush=True)
            said = process.stdout.readline().strip()
            left = list(ready.folder.glob(".*.tmp"))
            whole(ready, dict(before))
            if said != "killed":
                assert said == "done 0" and left == []
                break
            points, drafts = points + 1, drafts + len(left)
            finish(ready, again)
            shutil.rmtree(ready.folder)
            shutil.copytree(kept, ready.folder)
        process.stdin.close()
    assert points >= at_least and drafts, f"it was killed at {points} points"


def finish(desk: Desk, again: str) -> None:
    """The next run brings what was begun to its end, and removes drafts."""
    assert desk.vpc(*again.split()).status == 0
    answer = desk.vpc("recipients", "check")
    assert (answer.status, answer.err) == (0, "")
    assert not list(desk.folder.glob(".*.tmp"))
