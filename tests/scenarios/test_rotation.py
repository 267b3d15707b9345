"""Hosts get other identities: at once, without a lost packet, and where a disk is in other hands.

desk 192.168.50.10 ── office ══ tun-1 ══ nat-us-east-1a 10.0.1.10 ── app-us-east-1a 10.0.21.10
                        ╠══════ tun-2 ══ nat-us-east-1b 10.0.2.10 ── app-us-east-1b 10.0.22.10
                        ╚══════ tun-3 ══ nat-us-east-1c 10.0.3.10 ── app-us-east-1c 10.0.23.10

A thief has the disk of nat-us-east-1a, or the office router's, on `web`; the internet may lead to `web` what is for the
NAT. What is lost is seen by a ping every 20 ms, in both directions.
"""

import base64
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from lab.state import REPOSITORY
from tests.scenarios.flows import Background, changed, losing_nothing, missing, writing_all
from tests.scenarios.harness import Host, World, comes_to_operation, lab
from tests.scenarios.states import MONITOR, all_home, remember

LONG_SWEEP = pytest.mark.skipif(os.environ.get("SWEEP") != "full", reason="make test-sweep")
LETTERS = "abc"
OFFICE, INTERNET, WEB = Host("office"), Host("internet"), Host("web")
A = Host("nat-us-east-1a")
DESK, APP_A, NAT_A = "192.168.50.10", "10.0.21.10", "198.51.100.21"
CLIENT_A, SERVER = "openvpn-client@vpc-us-east-1a", "openvpn-server@office"
CONFIGURATION_A = "/etc/openvpn/client/vpc-us-east-1a.conf"
IDENTITY = "/etc/vpc-openvpn/identity"
PINGS = f"{sys.executable} {REPOSITORY / 'lab/pings.py'}"
BEAT = 0.02  # seconds between two pings
PATIENT = 600.0  # seconds for three deploys on a busy machine
BEGUN = "Peer Connection Initiated"
REFUSED = "journalctl -u {} --since @$(cat /run/since) | grep -q 'certificate hash verification failed'"


@pytest.fixture(autouse=True)
def as_it_is(world: World) -> Iterator[None]:
    """A rotation is meant to change the hosts: what a scenario leaves is what the folder says, and nothing else."""
    yield
    all_home()
    assert world.plan().pending == {}
    remember(world)


@dataclass
class Flow:
    """A ping every 20 ms from one host to another, since the block began."""

    zone: str
    direction: str
    ping: Background

    def lost(self) -> list[str]:
        """The pings that were lost, each with the time of the last answer before it."""
        output = self.ping.output()
        times = {
            int(number): float(when) for when, number in re.findall(r"^\[([\d.]+)\].* icmp_seq=(\d+) ttl", output, re.M)
        }
        before = {number: times[max(each for each in times if each < number)] for number in sorted(missing(output))}
        return [f"{number} after {datetime.fromtimestamp(when):%T.%f}" for number, when in before.items()]


@contextmanager
def both_ways() -> Iterator[list[Flow]]:
    """Between a desk and a host of each zone, as each of them begins it."""
    with ExitStack() as running:
        flows = []
        for number, letter in enumerate(LETTERS, 1):
            app, address = Host(f"app-us-east-1{letter}"), f"10.0.2{number}.10"
            for direction, host, target in (("desk → zone", Host("desk"), address), ("zone → desk", app, DESK)):
                ping = running.enter_context(Background(host, f"{PINGS} {target} {BEAT}"))
                ping.waits_for("icmp_seq=30 ")
                flows.append(Flow(f"us-east-1{letter}", direction, ping))
        yield flows


def rotate(world: World, *words: str) -> str:
    """`./vpc identities rotate WORDS`, which succeeds; what it printed."""
    answer = world.run("./vpc", "identities", "rotate", *words, timeout=PATIENT)
    assert answer.status == 0, answer.output
    return answer.output


def shown(world: World) -> dict[str, str]:
    """Fingerprints by host."""
    found = json.loads(world.run("./vpc", "identities", "show", "--json").output)
    return {row["host"]: row["fingerprint"] for row in found["identities"] if "host" in row}


def live(world: World) -> tuple[int, str]:
    """What `show --live` says and how it ends."""
    answer = world.run("./vpc", "identities", "show", "--live")
    return answer.status, answer.output


# --- another identity ------------------------------------------------------------------------------------------------


def test_a_nat_gets_another_identity_by_one_line(world: World, desk: Host) -> None:
    old = A.succeeds(f"tar -C {IDENTITY} -c host.crt host.key | base64 -w 0")
    before = shown(world)
    with losing_nothing(desk, "10.0.22.10", "10.0.23.10"):
        said = rotate(world, "us-east-1a")
    assert "what its hosts send to the office is lost" in said
    after = shown(world)
    assert {host for host in after if after[host] != before[host]} == {A.name}
    OFFICE.fails(f"grep -rqF {before[A.name]} /etc/openvpn")
    assert live(world)[0] == 0
    desk.eventually(f"ping -c 1 -W 1 {APP_A}")
    all_home()
    # The old certificate is not accepted any more, also behind the new tls-crypt key; and --live says which it is.
    with changed(A, f"cp -a {IDENTITY} /root/; echo {old} | base64 -d | tar -C {IDENTITY} -x", "true"):
        status, said = live(world)
        assert status == 2 and f"{A.name}: its certificate is {before[A.name]}, not {after[A.name]}" in said
        assert f"type ./vpc deploy --limit {A.name}" in said
        OFFICE.succeeds("journalctl --rotate -q; journalctl --vacuum-time=1s -q")
        A.succeeds(f"systemctl restart {SERVER}")
        OFFICE.eventually(f"journalctl -u {CLIENT_A} | grep -q 'certificate hash verification failed'", 30)
    assert world.apply().status == 0
    assert live(world)[0] == 0


def test_a_host_that_does_not_answer_is_said_and_others_are_shown(world: World) -> None:
    assert lab("kill", A.name).status == 0
    status, said = live(world)
    assert status == 1 and f"{A.name}: unknown: no answer from {NAT_A} port 22" in said
    assert "office: has what the folder has." in said
    refused = world.run("./vpc", "identities", "rotate", A.name)
    assert refused.status == 1 and "Nothing was changed" in refused.output and A.name in refused.output
    assert lab("start", A.name).status == 0
    A.eventually("systemctl is-active openvpn-server@office", 60)


def test_no_packet_is_lost_while_all_hosts_get_other_identities(world: World) -> None:
    before = shown(world)
    with both_ways() as flows:
        said = rotate(world, "all", "--seamless")
        time.sleep(1)
        sent = sum(flow.ping.output().count("bytes from") for flow in flows)
        lost = {f"{flow.zone} {flow.direction}": each for flow in flows if (each := flow.lost())}
    print(f"{said[said.rindex('peers pin both') :]}{sent} answers")
    assert lost == {}
    after = shown(world)
    assert all(after[host] != before[host] for host in before)
    assert live(world)[0] == 0
    for letter in LETTERS:
        Host(f"nat-us-east-1{letter}").fails("iptables-save | grep hold-vpc-openvpn")
    OFFICE.fails("ip -4 rule | grep -e '^7580:' -e '^7590:'; ls /etc/vpc-openvpn/drained")


def test_more_packets_than_a_tunnels_device_has_room_for_wait_and_go_on(world: World) -> None:
    """It has room for 500. All at once, three of four were lost."""
    hold = f"{MONITOR} hold tun-office 192.168.50.0/24"
    pings = f"for each in 1 2 3 4; do ping -q -i 0.002 -c 1500 -W 5 {DESK} & done; wait"
    with ThreadPoolExecutor(1) as beside:
        pinging = beside.submit(Host("app-us-east-1a").succeeds, pings)
        time.sleep(1)  # their connections are known
        A.succeeds(f"systemd-run --quiet --collect --unit=test-hold --service-type=notify {hold}")
        time.sleep(4)
        A.succeeds("systemctl stop test-hold")
        said = pinging.result()
    held = A.succeeds("journalctl -u test-hold -o cat | sed -n 's/ packets have waited.*//p' | tail -n 1")
    assert int(held) > 700
    assert said.count(", 0% packet loss") == 4, said


def test_a_seamless_rotation_that_is_killed_at_each_stage_goes_on(world: World, desk: Host) -> None:
    before = shown(world)[A.name]
    line = ("./vpc", "identities", "rotate", A.name, "--seamless")
    stages = ("peers pin both", "peers pin both", "no more")
    lost: dict[str, list[str]] = {}
    with both_ways() as flows:
        for said in stages:
            with world.running(*line) as process:
                assert process.stdout is not None
                deploys = 0
                for text in process.stdout:
                    deploys += "deploy.py -y" in text
                    # The first deploy of a run may be the last run's, with nothing left to do.
                    if "Starting operation: us-east-1a: the office's end runs" in text and deploys == (
                        1 if said is stages[0] else 2
                    ):
                        kill(process)
                        break
                else:
                    raise AssertionError("it came to its end")
            # Whichever instant it was: what is in the folder is whole, and a deploy of that stage would work.
            status, now = live(world)
            assert status in (0, 1, 2) and "A rotation is under way" in now, now
            checked = world.run("./vpc", "check")
            assert checked.status == 0, checked.output
            made = world.run("./vpc", "identities", "init")
            assert made.status == 0 and "Nothing to do" in made.output
        deadline = time.monotonic() + PATIENT
        while (ended := world.run(*line, timeout=PATIENT)).status != 0:  # the dead deploy's lock
            assert time.monotonic() < deadline, ended.output
        lost = {f"{flow.zone} {flow.direction}": flow.lost() for flow in flows}
    # The office's packets go by the detour for as long as it takes. What zone a's hosts begin waits for 30 s at most.
    assert {name: each for name, each in lost.items() if each and name != "us-east-1a zone → desk"} == {}
    assert shown(world)[A.name] != before
    assert live(world)[0] == 0
    OFFICE.fails("ip -4 rule | grep -e '^7580:' -e '^7590:'; ls /etc/vpc-openvpn/drained")


@pytest.mark.parametrize(
    ("lost", "end"),
    [
        pytest.param(A, "NAT", id="the NAT"),
        pytest.param(OFFICE, "office", id="the office", marks=LONG_SWEEP),  # two minutes
    ],
)
def test_a_host_that_loses_its_power_in_a_rotation_has_the_same_line_typed_when_it_is_back(
    world: World, desk: Host, lost: Host, end: str
) -> None:
    before = shown(world)[A.name]
    line = ("./vpc", "identities", "rotate", A.name, "--seamless")
    with world.running(*line) as process:
        # In the second of three deploys, by which the host gets its new identity.
        said = "".join(comes_to_operation(process, f"us-east-1a: the {end}'s end runs") for _ in range(2))
        assert lab("kill", lost.name).status == 0
        said += process.communicate(timeout=PATIENT)[0]
        assert process.returncode == 1, said
    assert f"type the same again, which continues from there: {' '.join(line)}" in said
    assert "Traceback" not in said
    if lost is A:
        desk.eventually(f"ping -c 1 -W 1 {APP_A}")  # its zone has a detour
    assert "A rotation is under way" in live(world)[1]

    assert lab("start", lost.name).status == 0
    lost.eventually("systemctl is-system-running | grep -qx -e running -e degraded", 60)
    again = world.run(*line, timeout=PATIENT)
    assert again.status == 0, again.output
    assert shown(world)[A.name] != before
    assert live(world)[0] == 0
    desk.eventually(f"ping -c 1 -W 1 {APP_A}")
    A.fails("iptables-save | grep hold-vpc-openvpn")
    OFFICE.fails("ip -4 rule | grep -e '^7580:' -e '^7590:'; ls /etc/vpc-openvpn/drained")


def kill(process: subprocess.Popen[str]) -> None:
    """It and all that it has begun die at once."""

    def tree(pid: int) -> Iterator[int]:
        yield pid
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                yield from tree(int(child))

    for pid in list(tree(process.pid)):
        os.kill(pid, signal.SIGKILL)


# --- in other hands --------------------------------------------------------------------------------------------------


class Thief:
    """On `web`, with the files of another host's disk, and OpenVPN."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.folder = folder
        libraries = "$(ldd /usr/sbin/openvpn | grep -o '/[^ ]*' | grep -v -e /libc.so -e ld-linux)"
        self._take(A, f"usr/sbin/openvpn {libraries}", "tar -C / -ch")
        self._take(host, "etc/vpc-openvpn etc/openvpn", "tar -C / -c")

    def _take(self, host: Host, what: str, tar: str) -> None:
        data = base64.b64decode(host.succeeds(f"{tar} {what} 2>/dev/null | base64 -w 0"))
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(self.folder, filter="fully_trusted")

    def takes(self, host: Host, path: str) -> None:
        """One file more, of another host's."""
        (self.folder / path.lstrip("/")).write_text(host.succeeds(f"cat {path}"))

    def runs(self, name: str) -> Background:
        """OpenVPN, from the stolen configuration `name`."""
        conf = self.folder / f"etc/openvpn/{name}.conf"
        text = conf.read_text().replace(" /etc/vpc-openvpn", f" {self.folder}/etc/vpc-openvpn")
        # What only the router has goes; a server answers from the address that it was asked at.
        conf.write_text(re.sub(r"(?m)^(up|script-security) .*$", "", text) + "\nmultihome\n" * ("server" in name))
        libraries = ":".join(sorted({str(each.parent) for each in self.folder.rglob("*.so*")}))
        return Background(WEB, f"env LD_LIBRARY_PATH={libraries} {self.folder}/usr/sbin/openvpn --config {conf}")


@contextmanager
def redirected() -> Iterator[None]:
    """The internet leads to `web` what is for the NAT of zone a."""
    route = INTERNET.succeeds(f"ip route show {NAT_A}").strip()
    assert route
    with (
        changed(WEB, f"ip address add {NAT_A}/32 dev eth0", f"ip address del {NAT_A}/32 dev eth0"),
        changed(INTERNET, f"ip route replace {NAT_A} via 198.51.100.200", f"ip route replace {route}"),
    ):
        yield


@pytest.mark.attack
def test_what_has_a_nats_disk_is_the_nat_until_it_is_revoked(world: World, desk: Host, tmp_path: Path) -> None:
    thief = Thief(A, tmp_path)
    old = shown(world)[A.name]
    with redirected(), thief.runs("server/office") as server:
        OFFICE.succeeds(f"systemctl restart {CLIENT_A}")
        server.waits_for(rf"\[office\] {BEGUN}", 30)
    OFFICE.eventually("ping -q -c 1 -W 1 -I tun-1 10.200.1.1", 60)

    with losing_nothing(desk, "10.0.22.10", "10.0.23.10"):
        revoked = world.run("./vpc", "identities", "revoke", "us-east-1a")
        assert revoked.status == 0, revoked.output
    assert "Elastic IP" in revoked.output and f"./vpc rebuild {A.name}" in revoked.output
    OFFICE.fails(f"grep -rqF {old} /etc/openvpn")
    # The office reaches the zone by its detour, and its NAT not by ssh: the key that it has may be on another machine.
    desk.eventually(f"ping -c 1 -W 1 {APP_A}")
    assert "host key" in world.run("./vpc", "identities", "show", "--live").output
    with redirected(), thief.runs("server/office") as server:
        OFFICE.succeeds(f"systemctl restart {CLIENT_A}")
        server.waits_for("tls-crypt unwrap error|authentication failed|TLS Error", 30)
        time.sleep(5)
        assert BEGUN not in server.output()

    # That was the new tls-crypt key's doing. With that one too it is the old certificate that is refused; and it is the
    # one thing that is: where the office still pins it, the thief is the NAT again.
    thief.takes(OFFICE, f"{IDENTITY}/tunnel-us-east-1a.key")
    pinned = f"sed -i '0,/^peer-fingerprint/s//peer-fingerprint \"{old}\"\\n&/' {CONFIGURATION_A}"
    restart = f"systemctl restart {CLIENT_A}"
    with redirected(), writing_all(OFFICE, CLIENT_A), thief.runs("server/office") as server:
        OFFICE.succeeds(f"date +%s.%N >/run/since; {restart}")
        OFFICE.eventually(REFUSED.format(CLIENT_A), 30)
        time.sleep(2)
        assert BEGUN not in server.output()
        with changed(
            OFFICE,
            f"cp -p {CONFIGURATION_A} /root/client.conf && {pinned} && {restart}",
            f"mv /root/client.conf {CONFIGURATION_A} && {restart}",
        ):
            server.waits_for(rf"\[office\] {BEGUN}", 30)

    assert lab("replace", A.name).status == 0
    listed = json.loads(lab("list", "--json").output)
    key = next(str(each["ssh_host_key"]) for each in listed if each["name"] == A.name)
    rebuilt = world.run("./vpc", "rebuild", "us-east-1a", "--host-key", key)
    assert rebuilt.status == 0, rebuilt.output
    assert live(world)[0] == 0


@pytest.mark.attack
def test_what_has_the_offices_disk_is_the_office_until_it_is_revoked(
    world: World, open_vpc: None, desk: Host, tmp_path: Path
) -> None:
    site = world.copy_of_site()
    site["office"]["public_address"] = "dynamic"  # otherwise the NATs answer the office's address alone
    world.use(site)
    assert world.apply().status == 0
    thief = Thief(OFFICE, tmp_path)
    with thief.runs("client/vpc-us-east-1a") as client:
        client.waits_for(rf"\[{A.name}\] {BEGUN}", 30)

    revoked = world.run("./vpc", "identities", "revoke", "office")
    assert revoked.status == 0, revoked.output
    assert "./vpc rebuild office" in revoked.output
    with thief.runs("client/vpc-us-east-1a") as client:
        client.waits_for("UDPv4 link remote", 10)
        time.sleep(6)
        assert BEGUN not in client.output()
    thief.takes(A, f"{IDENTITY}/tunnel-us-east-1a.key")
    # The office, which is shut out, fills the unit's log meanwhile.
    with writing_all(A, SERVER), thief.runs("client/vpc-us-east-1a") as client:
        A.succeeds("date +%s.%N >/run/since")
        A.eventually(REFUSED.format(SERVER), 30)
        time.sleep(2)
        assert BEGUN not in client.output()

    assert lab("replace", "office").status == 0
    listed = json.loads(lab("list", "--json").output)
    key = next(str(each["ssh_host_key"]) for each in listed if each["name"] == "office")
    rebuilt = world.run("./vpc", "rebuild", "office", "--host-key", key)
    assert rebuilt.status == 0, rebuilt.output
    desk.eventually(f"ping -c 1 -W 1 {APP_A}")
    world.use(world.baseline)
    assert world.apply().status == 0
