"""The plan shows a change made by hand, on the host where it is, and a deploy sets it right.

desk ── office ══ tun-1 ══ nat-us-east-1a ── app-us-east-1a
          ╠══════ tun-2 ══ nat-us-east-1b ── app-us-east-1b
          ╚══════ tun-3 ══ nat-us-east-1c ── app-us-east-1c
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.scenarios.harness import ROOT, Answer, Host, World, lab

A, B, C = (Host(f"nat-us-east-1{letter}") for letter in "abc")
OFFICE = Host("office")

PACKAGES = "Packages are installed"
IDENTITY = "Identity is in place"
FIREWALL = "Firewall and guard routes are loaded"
FORWARDING = "Forwarding is on"
CONFIGURED = "Tunnels are configured"
ROUTING = "Zones are reached by their best way"
RUNNING = "Tunnels are running"
RESTARTED = "{}: the NAT's end runs what is on disk"
PROOF = "Packets cross every tunnel"

KEYS = "/etc/vpc-openvpn/identity"
SERVER = "/etc/openvpn/server/office.conf"
CLIENT = "/etc/openvpn/client/vpc-us-east-1a.conf"
RESTART_SERVER = "systemctl restart openvpn-server@office"
MATCH, ERROR, PENDING = 0, 1, 2
SITE = {"detour": "off"}  # a lost tunnel is a lost zone


@dataclass(frozen=True)
class Drift:
    """`change`, made by hand on `host`, is shown there as work for `operations`, in the words `shown`.

    `right` exits 0 where all is as it should be, and not where `change` was made. `elsewhere`: who else notices, by a
    packet that is lost.
    """

    host: Host
    change: str
    operations: Sequence[str]
    shown: str
    right: str
    elsewhere: Sequence[Host] = ()


# A round is drifts on different hosts, so that each is seen on its own.
ROUNDS = {
    "rules and routes": (
        Drift(
            OFFICE,
            "iptables -t nat -D vpc-openvpn-postrouting -d 10.0.0.0/16 -j ACCEPT",
            [FIREWALL],
            "+ -A vpc-openvpn-postrouting -d 10.0.0.0/16 -j ACCEPT",
            "iptables -t nat -C vpc-openvpn-postrouting -d 10.0.0.0/16 -j ACCEPT",
        ),
        Drift(
            A,
            "iptables -I vpc-openvpn-forward -s 203.0.113.66 -j ACCEPT",
            [FIREWALL],
            "- -A vpc-openvpn-forward -s 203.0.113.66/32 -j ACCEPT",
            "! iptables -C vpc-openvpn-forward -s 203.0.113.66 -j ACCEPT",
        ),
        Drift(
            B,
            "iptables -D INPUT -j vpc-openvpn-input",
            [FIREWALL],
            "+ -A INPUT -j vpc-openvpn-input",
            "iptables -C INPUT -j vpc-openvpn-input",
        ),
        Drift(
            C,
            "ip route del unreachable 192.168.50.0/24 metric 4294967295",
            [FIREWALL],
            "+ unreachable 192.168.50.0/24 metric 4294967295",
            "ip route | grep -q '^unreachable 192.168.50.0/24 '",
        ),
    ),
    "routing": (
        Drift(
            OFFICE,
            "ip rule del priority 7601",
            [FIREWALL],
            "+ 7601 from all fwmark 0x1000000/0xff000000 lookup 7601",
            "ip rule | grep -q ^7601:",
        ),
        Drift(
            A,
            "systemctl disable vpc-openvpn-bird",
            [ROUTING],
            "Will enable vpc-openvpn-bird.service",
            "ls /etc/systemd/system/*.wants/vpc-openvpn-bird.service",
        ),
        Drift(
            B,
            "sed -i 's/multiplier 5/multiplier 50/' /etc/vpc-openvpn/bird.conf && systemctl reload vpc-openvpn-bird",
            [ROUTING],
            "-     multiplier 50;",
            "grep -q 'multiplier 5;' /etc/vpc-openvpn/bird.conf",
        ),
    ),
    "the office's paths": (
        Drift(
            OFFICE,
            "systemctl stop vpc-openvpn-monitor && ip rule add priority 7777 from 10.9.9.9 lookup vpc-zones protocol 86"
            " && echo 1 > /proc/sys/net/ipv4/conf/tun-1/rp_filter",
            [FIREWALL, FORWARDING, ROUTING],
            "net/ipv4/conf/tun-1/rp_filter = 1, not 2",
            "pgrep -f '[v]pc-openvpn-monitor run' && ! ip rule | grep ^7777:"
            " && grep 2 /proc/sys/net/ipv4/conf/tun-1/rp_filter",
        ),
    ),
    "kernel settings": (
        Drift(
            A,
            "echo 0 > /proc/sys/net/ipv4/ip_forward",
            [FORWARDING, PROOF],
            "net/ipv4/ip_forward = 0, not 1",
            "grep -q 1 /proc/sys/net/ipv4/ip_forward",
            elsewhere=[OFFICE],
        ),
        Drift(
            B,
            "echo 1 > /proc/sys/net/ipv4/conf/eth0/send_redirects",
            [FORWARDING],
            "net/ipv4/conf/eth0/send_redirects = 1, not 0",
            "grep -q 0 /proc/sys/net/ipv4/conf/eth0/send_redirects",
        ),
        Drift(
            C,
            "sed -i 's/rp_filter = 2/rp_filter = 1/' /etc/sysctl.d/zz-vpc-openvpn.conf",
            [FORWARDING],
            "+ net.ipv4.conf.all.rp_filter = 2",
            "grep -q 'rp_filter = 2' /etc/sysctl.d/zz-vpc-openvpn.conf",
        ),
    ),
    "units": (
        Drift(
            OFFICE,
            "systemctl stop openvpn-client@vpc-us-east-1a",
            [RUNNING, PROOF],
            "Will start openvpn-client@vpc-us-east-1a.service",
            "ip link show tun-1",
            elsewhere=[A],
        ),
        Drift(
            B,
            "systemctl disable openvpn-server@office",
            [RUNNING],
            "Will enable openvpn-server@office.service",
            "ls /etc/systemd/system/*.wants/openvpn-server@office.service",
        ),
        Drift(
            C,
            "systemctl disable vpc-openvpn-firewall",
            [FIREWALL],
            "Will enable vpc-openvpn-firewall.service",
            "ls /etc/systemd/system/*.wants/vpc-openvpn-firewall.service",
        ),
    ),
    "configuration": (
        Drift(
            OFFICE,
            f"echo 'verb 4' >> {CLIENT}",
            [CONFIGURED],
            "- verb 4",
            f"! grep -q 'verb 4' {CLIENT}",
        ),
        Drift(
            # The interface is the running instance's: what it was started with, whatever the file says.
            A,
            f"sed -i 's/^tun-mtu.*/tun-mtu 1500/' {SERVER} && {RESTART_SERVER}",
            [CONFIGURED, RESTARTED.format("us-east-1a")],
            "Will restart openvpn-server@office.service",
            "ip link show tun-office | grep -q 'mtu 1440 '",
        ),
        Drift(
            B,
            f"cp -p {SERVER} /root/kept && sed -i 's/^tun-mtu.*/tun-mtu 1500/' {SERVER} && {RESTART_SERVER}"
            f" && mv /root/kept {SERVER}",
            [RESTARTED.format("us-east-1b")],
            "Will restart openvpn-server@office.service",
            "ip link show tun-office | grep -q 'mtu 1440 '",
        ),
        Drift(
            # systemd was told, so that it runs the tunnel as Debian's unit says: without Restart=always.
            C,
            "rm -r /etc/systemd/system/openvpn-server@office.service.d && systemctl daemon-reload",
            [CONFIGURED, RUNNING],
            "Will create /etc/systemd/system/openvpn-server@office.service.d/vpc-openvpn.conf",
            "systemctl show -p Restart openvpn-server@office | grep -qx Restart=always",
        ),
    ),
    "identity": (
        Drift(
            OFFICE,
            f"touch {KEYS}/tunnel-us-west-2a.key",
            [IDENTITY],
            f"Will remove {KEYS}/tunnel-us-west-2a.key",
            f"[ ! -e {KEYS}/tunnel-us-west-2a.key ]",
        ),
        Drift(
            A,
            f"chmod 644 {KEYS}/host.key",
            [IDENTITY],
            f"Will set {KEYS}/host.key from root:root 644 to root:root 600",
            f"stat -c %a {KEYS}/host.key | grep -qx 600",
        ),
        Drift(
            B,
            f"chown admin {KEYS}/tunnel-us-east-1b.key",
            [IDENTITY],
            f"Will set {KEYS}/tunnel-us-east-1b.key from admin:root 600 to root:root 600",
            f"stat -c %U {KEYS}/tunnel-us-east-1b.key | grep -qx root",
        ),
        Drift(
            C,
            f"chmod 755 {KEYS}",
            [IDENTITY],
            f"Will make directory {KEYS} (mode 700)",
            f"stat -c %a {KEYS} | grep -qx 700",
        ),
    ),
    "other": (
        Drift(
            OFFICE,
            "apt-get -qq remove --yes conntrack >/dev/null 2>&1",
            [PACKAGES],
            "Will install conntrack",
            "conntrack --version",
        ),
        Drift(
            A,
            "sed -i s/multi-user/rescue/ /etc/systemd/system/vpc-openvpn-firewall.service",
            [FIREWALL],
            "+ WantedBy=multi-user.target",
            "grep -q WantedBy=multi-user.target /etc/systemd/system/vpc-openvpn-firewall.service",
        ),
        Drift(
            B,
            "echo lost > /etc/vpc-openvpn/clients/unknown && chmod 700 /etc/vpc-openvpn/clients",
            [CONFIGURED],
            "Will remove /etc/vpc-openvpn/clients/unknown",
            "[ ! -e /etc/vpc-openvpn/clients/unknown ] && stat -c %a /etc/vpc-openvpn/clients | grep -qx 755",
        ),
        Drift(
            C,
            f"rm {KEYS}/host.key",
            [IDENTITY],
            f"Will create {KEYS}/host.key (secret, not shown)",
            f"[ -s {KEYS}/host.key ]",
        ),
    ),
}


@pytest.mark.parametrize("drifts", ROUNDS.values(), ids=ROUNDS.keys())
def test_a_change_by_hand_is_seen_and_set_right(world: World, desk: Host, drifts: Sequence[Drift]) -> None:
    for drift in drifts:
        drift.host.succeeds(drift.right)
        drift.host.succeeds(drift.change)
        drift.host.fails(drift.right)
    if not any(drift.elsewhere for drift in drifts):
        everybody_reachable(desk)  # a tunnel that was restarted with the change is up again

    seen = drift_check(world)
    assert seen.status == PENDING, seen.output
    expected = {drift.host.name: list(drift.operations) for drift in drifts}
    for drift in drifts:
        for other in drift.elsewhere:
            expected.setdefault(other.name, []).append(PROOF)
        assert drift.shown in plain(seen.output), f"`{drift.change}` is not shown:\n{seen.output}"
    assert pending(seen) == expected, seen.output

    applied = world.apply()
    assert applied.status == 0, applied.output
    for drift in drifts:
        drift.host.succeeds(drift.right)
    everybody_reachable(desk)
    again = drift_check(world)
    assert again.status == MATCH, again.output


def test_a_tunnel_that_runs_the_right_file_is_not_restarted(world: World, office: Host) -> None:
    main_pid = "systemctl show -p MainPID --value openvpn-client@vpc-us-east-1a"
    before = office.succeeds(main_pid)
    office.succeeds(f"echo 'verb 4' >> {CLIENT}")
    world.deploy("--limit", "office")
    office.succeeds(f"! grep 'verb 4' {CLIENT}")
    assert office.succeeds(main_pid) == before


def test_a_killed_tunnel_restarts_by_itself(world: World, desk: Host, office: Host) -> None:
    desk.reaches("10.0.21.10")
    # Stopped first, to see that it is this process which carries the packets.
    for host, unit in ((office, "openvpn-client@vpc-us-east-1a"), (A, "openvpn-server@office")):
        host.succeeds(f"systemctl kill -s STOP {unit}")
        desk.cannot_reach("10.0.21.10")
        before = host.succeeds(f"systemctl show -p MainPID --value {unit}")
        host.succeeds(f"systemctl kill -s KILL {unit}")
        desk.eventually("ping -q -c 1 -W 1 10.0.21.10", seconds=20)
        assert host.succeeds(f"systemctl show -p MainPID --value {unit}") != before
    nothing = drift_check(world)
    assert nothing.status == MATCH, nothing.output


def test_the_drift_check_answers_with_its_exit_status(world: World, tmp_path: Path) -> None:
    # From another directory, with the site file named relative to that.
    folder, name = world.site_file.parent, world.site_file.name
    there = f"cd {folder} && SITE={name} {ROOT / 'vpc'} drift"
    assert world.run("sh", "-c", there).status == MATCH
    assert world.run("sh", "-c", f"cd / && {ROOT / 'vpc'} drift").status == MATCH

    B.succeeds("iptables -F vpc-openvpn-input")
    for answer in (
        world.run("sh", "-c", there),
        # What makes pyinfra apply without asking also makes it see no change.
        drift_check(world, env=["PYINFRA_YES=true"]),
        drift_check(world, "--limit", "us-east-1b"),
    ):
        assert answer.status == PENDING, answer.output
        assert pending(answer) == {B.name: [FIREWALL]}
        assert "+ -A vpc-openvpn-input -i lo -j ACCEPT" in plain(answer.output)
    for_programs = drift_check(world, "--json")
    assert for_programs.status == PENDING
    document = for_programs.output.rpartition('{\n  "status"')
    assert json.loads(f"{document[1]}{document[2]}") == {"status": "pending", "pending": {B.name: [FIREWALL]}}
    assert B.succeeds("iptables -S vpc-openvpn-input").count("\n") == 1, "it has changed something"
    assert drift_check(world, "--limit", "office").status == MATCH
    assert drift_check(world, "--limit", "office", "--limit", B.name).status == PENDING

    # Drift is unknown:
    unknown = drift_check(world, "--limit", "us-east-1x")
    assert unknown.status == ERROR, unknown.output
    assert "us-east-1x" in unknown.output

    site = world.copy_of_site()
    site["zones"][0]["subnets"]["public"] = ["10.1.1.0/24"]
    world.use(site)
    wrong = drift_check(world)
    assert wrong.status == ERROR, wrong.output
    assert "zones[0]" in wrong.output
    assert "10.1.1.0/24" in wrong.output
    world.use(world.baseline)

    assert lab("kill", C.name).status == 0
    dead = drift_check(world)
    assert lab("start", C.name).status == 0
    assert dead.status == ERROR, dead.output
    assert C.name in dead.output
    assert drift_check(world, env=["SITE=/nowhere/site.yml"]).status == ERROR
    for answer in (unknown, wrong, dead):
        assert "Traceback" not in answer.output, answer.output
        assert "Drift is unknown" in answer.output


def everybody_reachable(desk: Host) -> None:
    for number in (1, 2, 3):
        desk.eventually(f"ping -q -c 1 -W 1 10.0.{20 + number}.10", seconds=10)


def drift_check(world: World, *options: str, env: Sequence[str] = ()) -> Answer:
    return world.run("./vpc", "drift", *options, env=env)


def pending(answer: Answer) -> dict[str, list[str]]:
    """Operations by host, from the drift check's last lines."""
    lines = (line.split(": pending: ") for line in answer.output.splitlines() if ": pending: " in line)
    return {host: operations.split(", ") for host, operations in lines}


def plain(output: str) -> str:
    """Output without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", output)
