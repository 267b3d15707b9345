"""A run that was started ahead waits for its word."""

import subprocess
import sys

import pytest

from vpc_openvpn import ahead

ASK = "from vpc_openvpn import ahead; print(ahead.may_go())"


@pytest.mark.parametrize(
    ("waits", "word", "goes"),
    [({}, "", True), ({ahead.WAIT: "yes"}, f"{ahead.GO}\n", True), ({ahead.WAIT: "yes"}, "", False)],
)
def test_only_the_word_lets_it_go(waits: dict[str, str], word: str, goes: bool) -> None:
    ran = subprocess.run([sys.executable, "-c", ASK], input=word, env=waits, capture_output=True, text=True, check=True)
    assert ran.stdout == f"{goes}\n"
