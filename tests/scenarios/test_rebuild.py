"""A blank machine becomes the host that it replaces, by one command; other zones lose nothing meanwhile.

desk ── office ══ tun-1 ══ nat-us-east-1a 10.0.1.10 ── app 10.0.21.10
          ╠══════ tun-2 ══ nat-us-east-1b 10.0.2.10 ── app 10.0.22.10
          ╚══════ tun-3 ══ nat-us-east-1c 10.0.3.10 ── app 10.0.23.10
"""

import json
import re
from collections.abc import Iterator

import pytest

from tests.scenarios.flows import changed, losing_nothing
from tests.scenarios.harness import Answer, Host, World, lab, spaceless
from tests.scenarios.states import kernel_state

OFFICE = Host("office")
A, B, C = NATS = [Host(f"nat-us-east-1{letter}") for letter in "abc"]
ADDRESSES = {OFFICE: "192.168.50.1", A: "198.51.100.21", B: "198.51.100.22", C: "198.51.100.23"}
APPS = ["10.0.21.10", "10.0.22.10", "10.0.23.10"]
SEEN = r"ssh answers +[\d.]+ s\n +host key accepted +[\d.]+ s\n"
BACK = "What a desk sends to us-east-1b crosses the zone's own tunnel."
# What an old NAT has of ours, to be put on another machine.
OURS = (
    "etc/vpc-openvpn etc/openvpn/server etc/systemd/system usr/local/lib/vpc-openvpn etc/sysctl.d/zz-vpc-openvpn.conf"
)

# Runs a command at a terminal, and answers its question: `ANSWER COMMAND…`
AT_A_TERMINAL = """
import os, pty, sys
def read(terminal):
    said = os.read(terminal, 4096)
    if b"to accept it: " in said:
        os.write(terminal, sys.argv[1].encode() + b"\\n")
    return said
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[2:], read)))
"""


def test_a_replacement_with_the_same_addresses_is_rebuilt(world: World, desk: Host) -> None:
    others = {host: kernel_state(host) for host in (A, C)}
    pins = OFFICE.succeeds("sha256sum /etc/openvpn/client/* /etc/vpc-openvpn/*.conf /etc/vpc-openvpn/firewall.rules")
    replace(B)
    with losing_nothing(desk, APPS[0], APPS[2]):
        # There is no terminal to ask on, and no --host-key.
        refused = rebuild(world, "us-east-1b")
        assert refused.status != 0
        assert f"ED25519 {key_of(B)}" in refused.output
        [advice] = re.findall(r"\./vpc rebuild nat-us-east-1b --host-key SHA256:\S+", refused.output)
        assert B.answers("test -e /etc/vpc-openvpn").status != 0
        # Nor is it accepted with another's, or by a deploy.
        wrong = rebuild(world, "us-east-1b", "--host-key", key_of(A))
        assert wrong.status != 0 and "Nothing was accepted" in wrong.output
        assert "ssh-keygen -R 198.51.100.22" in world.deploy_fails("--limit", B.name).output

        done = world.run("sh", "-c", advice)
        assert done.status == 0, done.output
        assert hop(desk, APPS[1]) == "10.200.2.1"
    assert "The office router needs no change." in done.output
    assert re.search(SEEN, done.output) and BACK in done.output
    assert {host: kernel_state(host) for host in (A, C)} == others
    assert pins == OFFICE.succeeds(
        "sha256sum /etc/openvpn/client/* /etc/vpc-openvpn/*.conf /etc/vpc-openvpn/firewall.rules"
    )
    assert world.plan().pending == {}
    # Once more: nothing to do, nothing to accept.
    again = rebuild(world, "us-east-1b")
    assert again.status == 0 and "has the host key that it always had" in again.output


def test_a_replacement_that_still_boots_is_waited_for(world: World) -> None:
    replace(B)
    key = key_of(B)
    assert lab("kill", B.name).status == 0
    late = world.run("./vpc", "rebuild", B.name, "--wait", "4", "--host-key", key)
    assert late.status == 1
    assert re.search(rf"no ssh after \d+ s: {B.name} \(198.51.100.22\): \S", late.output), late.output
    with world.running("./vpc", "rebuild", "us-east-1b", "--host-key", key) as process:
        assert process.stdout is not None
        waits = next(line for line in process.stdout if line.startswith("waiting for ssh"))
        assert re.match(rf"waiting for ssh, \d+ s of 300: {B.name} \(198.51.100.22\): \S", waits)
        assert lab("start", B.name).status == 0
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert BACK in output


def test_a_replacement_with_other_addresses_is_rebuilt(world: World, desk: Host, moved: None) -> None:
    replace(B)
    assign(private="10.0.2.11", public="198.51.100.22")
    site = world.copy_of_site()
    site["zones"][1]["nat"]["private_address"] = "10.0.2.11"
    world.use(site)
    with losing_nothing(desk, APPS[0], APPS[2]):
        done = rebuild(world, "us-east-1b", "--host-key", key_of(B))
        assert done.status == 0, done.output
        assert "The office router needs no change." in done.output
        assert hop(desk, APPS[1]) == "10.200.2.1"

        replace(B)
        assign(private="10.0.2.12", public="198.51.100.32")
        site["zones"][1]["nat"] |= {"private_address": "10.0.2.12", "public_address": "198.51.100.32"}
        world.use(site)
        done = rebuild(world, "us-east-1b", "--host-key", key_of(B))
        assert done.status == 0, done.output
        assert "The office router does not match the site file (Tunnels are configured" in done.output
        assert "it is deployed as well" in done.output
        assert hop(desk, APPS[1]) == "10.200.2.1"
    assert "198.51.100.32" in Host("app-us-east-1b").succeeds("curl -sf -m 2 http://198.51.100.200/")
    assert world.plan().pending == {}


def test_an_old_nat_that_returns_changes_nothing(world: World, desk: Host) -> None:
    """With its old identity, and even at an address that the office connects to: no host takes it for another."""
    old = B.succeeds(f"tar -C / -cz {OURS} | base64 -w 0")
    replace(B)
    assert rebuild(world, "us-east-1b", "--host-key", key_of(B)).status == 0
    replace(C)
    C.succeeds("apt-get -qq update; apt-get -qq install --yes openvpn bird2 iptables conntrack >/dev/null 2>&1")
    C.succeeds("systemctl disable --quiet --now bird.service")
    with losing_nothing(desk, APPS[0], APPS[1]):
        unpack = lab("exec", C.name, "--", "sh", "-c", "base64 -d | tar -C / -xz && systemctl daemon-reload", stdin=old)
        assert unpack.status == 0, unpack.output
        C.succeeds("systemctl start vpc-openvpn-firewall openvpn-server@office")
        C.succeeds("systemctl is-active openvpn-server@office && ip link show tun-office")
        # It has a listener, and the office knocks; it is not let in, for it is not who the office expects there.
        C.eventually("journalctl -u openvpn-server@office | grep -qi 'tls-crypt.*error\\|authentication failed'", 15)
        assert OFFICE.answers("ping -c 3 -i 0.3 -W 1 -I tun-3 10.200.3.1").status != 0
        assert hop(desk, APPS[1]) == "10.200.2.1"
        assert rebuild(world, "us-east-1c", "--host-key", key_of(C)).status == 0
    assert hop(desk, APPS[2]) == "10.200.3.1"


def test_two_nats_are_rebuilt_at_once(world: World, desk: Host) -> None:
    for nat in (A, B):
        replace(nat)
    with losing_nothing(desk, APPS[2]):
        unclear = rebuild(world, "us-east-1a", "us-east-1b", "--host-key", key_of(B))
        assert unclear.status != 0 and "which host's key is" in unclear.output
        done = rebuild(world, "us-east-1a", "us-east-1b", *keys_of(A, B))
        assert done.status == 0, done.output
    assert "What a desk sends to us-east-1a, us-east-1b crosses" in done.output
    assert [hop(desk, app) for app in APPS] == ["10.200.1.1", "10.200.2.1", "10.200.3.1"]
    assert world.plan().pending == {}


@pytest.mark.parametrize("lost", [[OFFICE], [OFFICE, *NATS]], ids=["office", "everything"])
def test_the_office_router_or_all_hosts_are_rebuilt(world: World, desk: Host, lost: list[Host]) -> None:
    for host in lost:
        replace(host)
    desk.cannot_reach(APPS[0])
    done = rebuild(world, "office" if lost == [OFFICE] else "all", *keys_of(*lost))
    assert done.status == 0, done.output
    assert [hop(desk, app) for app in APPS] == ["10.200.1.1", "10.200.2.1", "10.200.3.1"]
    assert world.plan().pending == {}


def test_rebuild_asks_for_a_yes_to_the_host_key(world: World) -> None:
    replace(B)
    for answer, status in (("no", 1), ("yes", 0)):
        asked = world.run("python", "-c", AT_A_TERMINAL, answer, "./vpc", "rebuild", B.name)
        assert asked.status == status, asked.output
        assert f"ED25519 {key_of(B)}" in asked.output and "Is it the same? Type yes" in asked.output


def replace(host: Host) -> None:
    """The host is lost; a blank machine has its place."""
    assert lab("replace", host.name).status == 0


def key_of(host: Host) -> str:
    """The fingerprint of its ssh host key, as its console shows it."""
    listed = json.loads(lab("list", "--json").output)
    return next(str(each["ssh_host_key"]) for each in listed if each["name"] == host.name)


def keys_of(*hosts: Host) -> list[str]:
    """Options that expect each host's own key."""
    return [word for host in hosts for word in ("--host-key", f"{host.name}={key_of(host)}")]


def rebuild(world: World, *words: str) -> Answer:
    """`./vpc rebuild WORDS`, as a user types it. Its output is without colours."""
    answer = world.run("./vpc", "rebuild", *words)
    return Answer(answer.status, spaceless(answer))


def hop(desk: Host, address: str) -> str:
    """Behind the office router, who passes on what a desk sends to `address`: a NAT's end of a tunnel."""
    said = desk.eventually(f"ping -n -c 1 -W 1 -t 2 {address} 2>&1 | grep 'Time to live exceeded'", 5)
    return said.partition("From ")[2].split()[0]


# --- as the owner of the VPC moves addresses ----------------------------------------------------------------------

VPC, INTERNET = Host("vpc"), Host("internet")


def assign(private: str, public: str) -> None:
    """The machine of us-east-1b has these addresses; the VPC's route tables and the internet gateway know."""
    B.succeeds(
        f"sed -i 's|10[.]0[.]2[.]1[0-9]/|{private}/|' /etc/netplan/*.yaml && netplan generate && networkctl reload"
    )
    B.eventually(f"ip -4 -o address show dev eth0 | grep -q ' {private}/' && ip route | grep -q '^default '")
    VPC.succeeds(
        f"""
        for route in '192.168.50.0/24 table 102' '192.168.50.0/24 table 202' 'default table 202'; do
            ip route replace $(echo $route | cut -d ' ' -f 1) via {private} $(echo $route | cut -d ' ' -f 2-)
        done
        {{ echo 'delete table ip gateway'; nft list table ip gateway; }} |
            sed -e 's/10\\.0\\.2\\.1[0-9]/{private}/g' -e 's/198\\.51\\.100\\.[23]2/{public}/g' |
            nft -f -  # at once, or the other zones' packets meet a gateway that has no addresses for them
    """
    )
    INTERNET.succeeds(f"ip route replace {public} via $(ip route show 198.51.100.21 | cut -d ' ' -f 3)")


@pytest.fixture
def moved(world: World) -> Iterator[None]:
    """Where a scenario moves addresses they come back, with a blank machine."""
    with changed(INTERNET, "true", "ip route delete 198.51.100.32 || true"):
        yield
        replace(B)
        assign(private="10.0.2.10", public="198.51.100.22")
        world.use(world.baseline)
        assert rebuild(world, "us-east-1b", "--host-key", key_of(B)).status == 0
