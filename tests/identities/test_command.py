"""The command line's statuses: 0, 1 with a reason, 2 for what it does not know."""

import pytest

from tests.identities.desk import Desk


@pytest.mark.parametrize("arguments", [(), ("destroy",), ("init", "--force")])
def test_what_it_does_not_know(desk: Desk, arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as stopped:
        desk.credentials(*arguments)
    assert stopped.value.code == 2
    assert "usage: python -m credentials" in desk.capture.readouterr().err
    assert not desk.folder.exists()


def test_a_bad_site_is_reported_and_nothing_made(desk: Desk) -> None:
    desk.site.write_text("zones: 7\n")
    answer = desk.credentials("init")
    assert (answer.status, answer.out) == (1, "")
    assert "zones" in answer.err and "Traceback" not in answer.err
    assert not desk.folder.exists() and not desk.age_key.exists()


def test_fingerprints(desk: Desk) -> None:
    desk.credentials("init")
    store = desk.store()
    assert desk.credentials("fingerprints").out == (
        f"nat-us-east-1a  {store.fingerprint('nat-us-east-1a')}\n"
        f"nat-us-east-1b  {store.fingerprint('nat-us-east-1b')}\n"
        f"office          {store.fingerprint('office')}\n"
    )


def test_fingerprints_of_nothing(desk: Desk) -> None:
    answer = desk.credentials("fingerprints")
    assert answer.status == 1
    assert answer.err == f"There are no certificates in {desk.folder}.\nRun: python -m credentials init\n"
