"""What `./vpc identities` says: status 0, or 1 with a reason."""

import json

import pytest

from tests.identities.desk import Desk


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("destroy",), "No such command 'destroy'"),
        (("init", "--force"), "No such option '--force'"),
    ],
)
def test_an_unknown_command_or_option_is_refused(desk: Desk, words: tuple[str, ...], said: str) -> None:
    answer = desk.vpc(*words)
    assert answer.status == 1 and said in answer.err and "Usage: ./vpc identities" in answer.err
    assert not desk.folder.exists()


def test_a_bad_site_is_reported_and_nothing_made(desk: Desk) -> None:
    desk.site.write_text("zones: 7\n")
    answer = desk.vpc("init")
    assert (answer.status, answer.out) == (1, "")
    assert "zones" in answer.err and "Traceback" not in answer.err
    assert not desk.folder.exists() and not desk.age_key.exists()


def test_show_prints_fingerprints(desk: Desk) -> None:
    desk.vpc("init")
    store = desk.store()
    names = ["office", "nat-us-east-1a", "nat-us-east-1b"]
    lines = desk.vpc("show").out.splitlines()
    assert [line.split() for line in lines[:3]] == [[name, store.fingerprint(name), "0", "days"] for name in names]
    assert [line.split()[2] for line in lines[3:5]] == ["us-east-1a", "us-east-1b"]
    shown = json.loads(desk.vpc("show", "--json").out)
    found = {row["host"]: row["fingerprint"] for row in shown["identities"] if "host" in row}
    assert found == {name: store.fingerprint(name) for name in names}
    assert [row["zone"] for row in shown["identities"] if "zone" in row] == ["us-east-1a", "us-east-1b"]


def test_show_without_certificates_is_an_error(desk: Desk) -> None:
    answer = desk.vpc("show")
    assert answer.status == 1
    assert answer.err == f"There are no certificates in {desk.folder}.\nType: ./vpc identities init\n"
    assert desk.vpc("show", "--json") == answer
