"""What scripts and units assume of a host: held for every rendered file, and for what a trial puts there and runs."""

import re
from collections.abc import Iterator

import pytest

from tasks import firewall
from tests.rendered.cases import CASES, files, plans

# Mounted noexec on ordinary hosts: /run by Debian's initramfs, /tmp and /dev/shm by hardening guides.
NOEXEC = "(?:/run|/tmp|/var/tmp|/dev/shm)"
BEFORE_A_COMMAND = "|".join(
    (
        r"^\s*",
        r"[;&|({!)]\s*",
        r"\b(?:then|do|else|exec|nohup)\s+",
        r"""-c\s+['"]""",
        r"^Exec\w+=[-@+!:]*",
        r"systemd-run(?:\s+-(?:'[^']*'|\S)+)*\s+",
    )
)


def executed(text: str) -> list[str]:
    """The paths in command position in a script or a unit; a script's own variables are replaced by their values."""
    text = text.replace("\\\n", " ")
    for name, value in re.findall(r"^(\w+)=(/\S+)$", text, re.M):
        text = re.sub(rf"\${name}\b|\${{{name}}}", value, text)
    return re.findall(rf"""(?m)(?:{BEFORE_A_COMMAND})["']?(/[\w./-]+)""", text)


def scripts(case: str) -> Iterator[tuple[str, str, str]]:
    """Path, mode and text of all that lands on the site's hosts, and of all that a trial puts there and runs."""
    for host in plans(case).values():
        yield from ((file.path, file.mode, file.text) for file in files(host))
        trial = firewall.trial(firewall.firewall(host), host)
        yield from ((item.path, item.mode, item.text) for item in trial.files if hasattr(item, "text"))
        yield from ((f"command of {host.host}", "", command) for command in (trial.begin, trial.keep))


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_executed_where_a_file_system_may_be_noexec(case: str) -> None:
    found = list(scripts(case))
    assert [path for path, mode, _ in found if re.match(NOEXEC, path) and int(mode, 8) & 0o111] == []
    commands = [(path, command) for path, _, text in found for command in executed(text)]
    assert ("/etc/systemd/system/vpc-openvpn-firewall.service", "/usr/local/lib/vpc-openvpn/firewall") in commands
    assert [(path, command) for path, command in commands if re.match(NOEXEC, command)] == []


@pytest.mark.parametrize("case", CASES)
def test_each_script_sets_its_locale_path_and_umask(case: str) -> None:
    found = {path: text for path, _, text in scripts(case) if text.startswith("#!")}
    assert {"/usr/local/lib/vpc-openvpn/firewall", "/usr/local/lib/vpc-openvpn/tunnel-up"} <= set(found)
    for path, text in found.items():
        code = "\n".join(line for line in text.splitlines() if not line.startswith(("#", "set ")) and line)
        assert code.startswith("export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C\numask 022"), path


@pytest.mark.parametrize(
    "text",
    [
        "/run/x/firewall try",
        'trial=/run/x\nsystemd-run --unit=y --on-active=45 \\\n  "$trial/firewall" undo',
        "systemd-run --property='ReadWritePaths=/run /tmp' /run/x",
        "ExecStart=-/tmp/x",
        "ExecStartPre=/bin/sh -c '/run/x'",
        "true && /tmp/x",
        "said=$(/dev/shm/x)",
        "    load) /var/tmp/x ;;",
    ],
)
def test_commands_are_found_wherever_they_stand(text: str) -> None:
    assert [command for command in executed(text) if re.match(NOEXEC, command)]


def test_arguments_and_redirections_are_no_commands() -> None:
    text = "/bin/sh /run/x try\nbirdc -s /run/bird.ctl\nexec 9> /run/lock\necho > /tmp/x"
    assert not [command for command in executed(text) if re.match(NOEXEC, command)]
