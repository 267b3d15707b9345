"""`examples/alerts/`: what each sends, with a curl that shows it."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from vpc_openvpn_monitor import alerts
from vpc_openvpn_monitor.alerts import FACTS, PREFIX

EXAMPLES = Path(__file__).parents[2] / "examples/alerts"
TEXT = 'us-east-1b: lost: its "NAT" is \\ silent; $(touch pwned) `id`'
SECRETS = {
    "MAIL_SERVER": "smtp://mail.example.com:25",
    "MAIL_FROM": "router@example.com",
    "MAIL_TO": "ops@example.com",
    "SLACK_URL": "https://hooks.slack.com/services/T0/B0/x",
    "NTFY_URL": "https://ntfy.sh/topic",
}


@pytest.fixture
def curl(tmp_path: Path) -> Path:
    """A folder with a curl that writes its arguments, a line each, and its standard input to files."""
    program = tmp_path / "bin/curl"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {tmp_path}/arguments\ncat > {tmp_path}/stdin\n")
    program.chmod(0o755)
    return tmp_path


def run(name: str, folder: Path, event: str = "lost") -> tuple[list[str], str]:
    """What curl was called with: its arguments, and its standard input."""
    facts = {f"{PREFIX}{fact}": "" for fact in FACTS}
    facts |= {f"{PREFIX}EVENT": event, f"{PREFIX}TEXT": TEXT, f"{PREFIX}SINCE": "1795766190", f"{PREFIX}SITE": "office"}
    environment = {"PATH": f"{folder}/bin:{os.environ['PATH']}", **facts, **SECRETS}
    subprocess.run([EXAMPLES / name], env=environment, cwd=folder, check=True)
    assert not (folder / "pwned").exists()
    return (folder / "arguments").read_text().splitlines(), (folder / "stdin").read_text()


def test_a_mail_has_its_headers_and_the_text(curl: Path) -> None:
    arguments, mail = run("mail", curl)
    assert arguments[-1] == SECRETS["MAIL_SERVER"] and "ops@example.com" in arguments
    head, _, body = mail.partition("\n\n")
    assert f"Subject: [vpc] {TEXT}" in head and "To: ops@example.com" in head
    assert TEXT in body


@pytest.mark.parametrize(("event", "sign"), [("lost", "red"), ("back", "green"), ("detour", "orange")])
def test_slack_gets_json_and_its_url_is_no_argument(curl: Path, event: str, sign: str) -> None:
    arguments, configuration = run("slack", curl, event)
    said = json.loads(arguments[arguments.index("--json") + 1])
    assert said["text"].endswith(f" {TEXT} (office)") and sign in said["text"]
    assert configuration == f'url = "{SECRETS["SLACK_URL"]}"\n'
    assert SECRETS["SLACK_URL"] not in " ".join(arguments)


@pytest.mark.parametrize(("event", "priority"), [("lost", "urgent"), ("back", "low"), ("identity-due", "high")])
def test_ntfy_gets_the_text_and_its_url_is_no_argument(curl: Path, event: str, priority: str) -> None:
    arguments, configuration = run("ntfy", curl, event)
    assert arguments[-1] == TEXT and f"Priority: {priority}" in arguments
    assert SECRETS["NTFY_URL"] in configuration and SECRETS["NTFY_URL"] not in " ".join(arguments)


@pytest.mark.parametrize("example", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_an_example_stops_at_an_error_and_knows_all_events(example: Path) -> None:
    text = example.read_text()
    assert text.startswith("#!/bin/sh\n# ") and "\nset -eu\n" in text and os.access(example, os.X_OK)
    known = {event for those in alerts.EVENTS.values() for event in those.values()}
    cases = re.findall(r"^    ([a-z| -]+)\) ", text, re.MULTILINE)
    assert {event for case in cases for event in case.split(" | ")} <= known
