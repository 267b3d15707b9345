"""What rebuild.py refuses, before it connects anywhere."""

import pytest

import rebuild
from tests.rendered.cases import HERE, LAB


@pytest.mark.parametrize(
    ("hosts", "keys", "error"),
    [
        ([], [], "which host? Write: make rebuild ZONE=us-east-1a"),
        (["nat-us-east-1d"], [], "there is no host nat-us-east-1d in the site; there are: office, nat-us-east-1a"),
        (["nat-us-east-1b"], ["abc"], "abc is no fingerprint of a host key"),
        (["nat-us-east-1b"], ["office=SHA256:abc"], "office is none of the hosts to rebuild"),
        (["nat-us-east-1a", "nat-us-east-1b"], ["SHA256:" + 43 * "a"], "which host's key is"),
    ],
)
def test_an_argument_that_names_no_host_or_key_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hosts: list[str], keys: list[str], error: str
) -> None:
    monkeypatch.setenv("SITE", str(HERE / LAB / "site.yml"))
    options = [word for key in keys for word in ("--host-key", key)]
    monkeypatch.setattr("sys.argv", ["rebuild.py", *hosts, *options])
    assert rebuild.main() == 1
    said = capsys.readouterr()
    assert error in said.err and said.out == ""
