"""What a rebuild refuses, before it connects anywhere."""

import pytest

from tests.command.typing import Type


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], "Missing argument"),
        (["us-east-1d"], "there is no host or zone us-east-1d in the site; did you mean us-east-1"),
        (
            ["frankfurt"],
            "there is no host or zone frankfurt in the site; there are: us-east-1a, us-east-1b, office, all",
        ),
        (["us-east-1b", "--host-key", "abc"], "abc is no fingerprint of a host key"),
        (["us-east-1b", "--host-key", "office=SHA256:abc"], "office is none of the hosts to rebuild"),
        (["us-east-1a", "nat-us-east-1b", "--host-key", "SHA256:" + 43 * "a"], "which host's key is"),
    ],
)
def test_an_argument_that_names_no_host_or_key_is_refused(vpc: Type, words: list[str], error: str) -> None:
    said = vpc("rebuild", *words)
    assert said.status == 1
    assert error in said.err and said.out == ""
