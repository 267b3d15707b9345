"""A stranger answers at a NAT's address, or a NAT has fallen: it gets nothing, and its operator sees what it is.

operator ── office, nat-us-east-1a, -1c
       └─── 198.51.100.22: nat-us-east-1b, or another machine
"""

import json
import re
from pathlib import Path

import pytest

from tests.scenarios.flows import changed
from tests.scenarios.harness import DEPLOY, Answer, Host, World, lab, spaceless
from tests.scenarios.states import difference, managed, settled

OFFICE = Host("office")
A, B, C = (Host(f"nat-us-east-1{letter}") for letter in "abc")
ADDRESS = "198.51.100.22"  # B's
LET_IN = "journalctl --unit ssh --no-pager | grep 'Accepted publickey'"
UNTRUSTED = rf"Th(is host is|ese hosts are) not trusted: \S+ has no ssh host key of.* nat-us-east-1b {ADDRESS}\n"
VERBS = [
    ("./vpc", "plan"),
    ("./vpc", "deploy", "-y"),
    ("./vpc", "deploy", "-y", "--limit", B.name),
    ("./vpc", "drift"),
    (*DEPLOY, "--dry"),
    (*DEPLOY, "-y", "--limit", B.name),
    (*DEPLOY, "-y", "--data", "ssh_strict_host_key_checking=no"),
    ("./vpc", "rebuild", "us-east-1b"),
]
# What fills the clipboard, sets the title, and erases its own line, where a terminal obeys it.
ATTACK = r"# \033]52;c;cm0gLXJmIH4=\007\033]0;all is well\007\033[2K\033[1A\r"


@pytest.mark.attack
def test_a_stranger_at_a_nats_address_gets_nothing(world: World, tmp_path: Path) -> None:
    """A colleague's fresh clone, without known_hosts; then with that of the others."""
    old = key_of(B)
    assert lab("replace", B.name).status == 0
    known_hosts = tmp_path / "known_hosts"
    site = world.copy_of_site()
    site["ssh"]["known_hosts"] = str(known_hosts)
    world.use(site)
    others = [host.name for host in (OFFICE, A, C)]
    before = settled(others)

    for verb in VERBS:
        refused = world.run(*verb)
        assert refused.status == 1 and "Traceback" not in refused.output, refused.output
        if verb[1] != "rebuild":  # which asks on its own, and has no terminal
            assert re.search(UNTRUSTED, spaceless(refused), re.DOTALL), refused.output
            assert re.search(r"by typing: \./vpc trust( nat-us-east-1b)?\n", refused.output)
    asked = world.run("./vpc", "status")
    assert asked.status == 1 and f"{B.name}  its ssh host key is not known: ED25519 {key_of(B)}" in asked.output
    assert "type: ./vpc trust\n" in asked.output
    assert "there is no terminal to ask on, and nothing was written" in world.run("./vpc", "trust").output
    assert not known_hosts.exists()

    # The fingerprints of the consoles: but that at B's address is not B.
    listed = "\n".join(f"{host.name} {key_of(host)}" for host in (OFFICE, A, C))
    wrong = trust(world, f"{listed}\n{B.name} {old}\n")
    assert wrong.status == 1
    assert f"{B.name} does not have the host key {old}. At {ADDRESS} it shows: ED25519 {key_of(B)}" in wrong.output
    assert ADDRESS not in known_hosts.read_text() and known_hosts.read_text().count("\n") == 3
    for verb in VERBS[:5]:
        refused = world.run(*verb)
        assert refused.status == 1 and "by typing: ./vpc trust nat-us-east-1b\n" in refused.output, refused.output
    assert "type: ./vpc trust nat-us-east-1b" in world.run("./vpc", "status").output

    B.fails(LET_IN)
    B.fails("test -e /etc/vpc-openvpn || test -e /var/lib/vpc-openvpn || pgrep -x openvpn")
    assert [each for name in others if (each := difference(before[name], managed(Host(name)), name))] == []

    # It is B after all, a machine that was launched anew.
    right = trust(world, f"us-east-1b {key_of(B)}\n")
    assert right.status == 0, right.output
    world.deploy()
    B.succeeds(LET_IN)
    nothing = world.run("./vpc", "trust")
    assert nothing.status == 0 and "Nothing to do" in nothing.output
    world.trust()


@pytest.mark.attack
@pytest.mark.parametrize("above", [True, False], ids=["above", "below"])
def test_a_damaged_line_lets_no_stranger_in(world: World, tmp_path: Path, above: bool) -> None:
    """pyinfra's own reading ends at such a line, and then takes the first key that it sees."""
    known_hosts = tmp_path / "known_hosts"
    site = world.copy_of_site()
    site["ssh"]["known_hosts"] = str(known_hosts)
    genuine = Path(world.baseline["ssh"]["known_hosts"]).read_text()
    damaged = "198.51.100.99 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ\n"
    known_hosts.write_text(damaged + genuine if above else genuine + damaged)
    world.use(site)
    assert lab("replace", B.name).status == 0
    for verb in VERBS[:7]:
        refused = world.run(*verb)
        assert refused.status == 1 and "is not `HOST KIND KEY`" in refused.output, refused.output
    [mend] = re.findall(r"to remove the lines: (sed .*)", refused.output)
    assert world.run("sh", "-c", mend).status == 0
    assert known_hosts.read_text() == genuine
    for verb in VERBS[:7]:
        refused = world.run(*verb)
        assert refused.status == 1 and f"ssh-keygen -R {ADDRESS} -f {known_hosts}" in refused.output, refused.output
    B.fails(LET_IN)
    world.use(world.baseline)
    rebuilt = world.run("./vpc", "rebuild", "us-east-1b", "--host-key", key_of(B))
    assert rebuilt.status == 0, rebuilt.output


@pytest.mark.attack
def test_what_a_fallen_nat_has_in_a_file_moves_no_cursor(world: World) -> None:
    file = "/etc/vpc-openvpn/site"
    with changed(A, f"cp -p {file} /run/kept && printf '{ATTACK}\\n' >> {file}", f"mv /run/kept {file}"):
        planned = world.plan("--limit", A.name)
    assert planned.status == 0, planned.output
    assert r"\u001b]52;c;cm0gLXJmIH4=\u0007" in planned.output
    without_colours = re.sub(r"\x1b\[[0-9;]*m", "", planned.output)
    assert [each for each in without_colours if not each.isprintable() and each not in "\n\t"] == []


@pytest.mark.attack
def test_a_replaced_program_fails_its_host_with_its_name(world: World) -> None:
    change = f"mv /usr/bin/stat /usr/bin/stat.kept && printf '#!/bin/sh\\nprintf \"{ATTACK}\\\\n\"\\n' > /usr/bin/stat"
    with changed(A, f"{change} && chmod 755 /usr/bin/stat", "mv /usr/bin/stat.kept /usr/bin/stat"):
        for verb in VERBS[:2]:
            failed = world.run(*verb)
            assert failed.status == 1 and "Traceback" not in failed.output, failed.output
            assert "its stat prints" in failed.output and "Type there: type -a stat" in failed.output
            assert "\x1b]" not in failed.output
    assert world.plan().pending == {}


def key_of(host: Host) -> str:
    """The fingerprint of its ssh host key, as its console shows it."""
    listed = json.loads(lab("list", "--json").output)
    return next(str(each["ssh_host_key"]) for each in listed if each["name"] == host.name)


def trust(world: World, listed: str) -> Answer:
    """`./vpc trust --fingerprints -`, with this list."""
    return world.run("sh", "-c", f"printf '%s' '{listed}' | ./vpc trust --fingerprints -")
