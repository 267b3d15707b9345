"""firewalld, on the office's router and on a NAT: what it rejects fails a deploy, and what that prints opens the way.

desk 192.168.50.10 ── office ══ tun-N ══ nat-us-east-1X 10.0.N.10 ── app-us-east-1X 10.0.2N.10
                         └──────────────── web 198.51.100.200 ────────────────┘
"""

import os
import re
from collections.abc import Iterator

import pytest

from tests.scenarios.flows import PEERS
from tests.scenarios.harness import Host, World, spaceless
from tests.scenarios.states import all_home
from tests.scenarios.test_neighbours import BOOTED_WITHIN, HELD, HELD_WITHIN, kept

APPS = ("10.0.21.10", "10.0.22.10", "10.0.23.10")
DESK, WEB = "192.168.50.10", "198.51.100.200"
SITE = {"detour": "off"}  # a tunnel that is lost is a zone that is lost
BOOTS = 3 if os.environ.get("SWEEP") == "full" else 1
INSTALL = """
set -e
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq || true
apt-get install -qq firewalld
firewall-cmd --state
"""
# As its owner has set it up: everything from the LAN may go to the internet.
ROUTER = """
set -e
systemctl disable --quiet --now nftables
change() { firewall-cmd --quiet --permanent "$@"; }
change --zone=external --change-interface=wan
change --zone=internal --change-interface=lan
change --new-policy=lanout
change --policy=lanout --add-ingress-zone=internal
change --policy=lanout --add-egress-zone=external
change --policy=lanout --set-target=ACCEPT
firewall-cmd --quiet --reload
"""


RUNNING = "systemctl is-active nftables firewalld || true"


@pytest.fixture
def router(world: World, office: Host) -> Iterator[Host]:
    """The office's router, blank at first, and as scenarios know it afterwards."""
    world.replace(office.name)
    office.succeeds(INSTALL)
    yield office
    world.replace(office.name)
    world.deploy()


@pytest.fixture
def nat(world: World) -> Iterator[Host]:
    """A NAT that serves its zone, and does so as scenarios know it afterwards."""
    host = Host("nat-us-east-1a")
    yield host
    world.replace(host.name)
    world.deploy()


def _typed(host: Host, said: str) -> None:
    """Type what a deploy has printed, as it stands."""
    lines = re.findall(r"^ *(firewall-cmd .*)$", said, re.MULTILINE)
    assert lines
    host.succeeds("\n".join(lines))
    host.eventually(HELD, HELD_WITHIN)


def test_a_boot_runs_the_firewalls_that_it_ran_without_us(world: World, router: Host) -> None:
    """Debian enables both nftables and firewalld, which Debian 12's firewalld conflicts with."""
    router.succeeds("systemctl enable nftables")
    router.power_cycle()
    before = router.succeeds(RUNNING)
    assert before.splitlines()[1] == "active"
    world.apply("--limit", "office")  # firewalld's own settings reject desks
    router.succeeds("systemctl is-enabled vpc-openvpn-again vpc-openvpn-firewall")
    for _ in range(BOOTS):
        router.power_cycle()
        assert router.succeeds(RUNNING) == before
        router.succeeds("systemctl is-active vpc-openvpn-firewall")


def test_what_firewalld_rejects_at_the_office_passes_once_what_is_printed_was_typed(
    world: World, desk: Host, router: Host
) -> None:
    router.succeeds(ROUTER)
    site = world.copy_of_site()
    site["office"]["services"] = ["22/tcp"]
    world.use(site)
    apps = [Host(f"app-us-east-1{letter}") for letter in "abc"]
    world.apply("--limit", "office")
    with kept(router):
        router.eventually(HELD, HELD_WITHIN)
        for address in APPS:
            desk.cannot_reach(address)
        said = spaceless(world.deploy_fails("--limit", "office"))
        zones = "us-east-1a, us-east-1b, us-east-1c"
        assert f"{zones}: a desk's packets go nowhere: BFD hears nothing" in said
        assert "drops BFD's packets, which say that a NAT lives. Type" in said
        assert f"drops what desks of 192.168.50.0/24 send to {zones}. Type" in said
        assert "--change-interface=tun-1 --change-interface=tun-2 --change-interface=tun-3" in said
        assert "may be in the way" not in said
        _typed(router, said)
        all_home()
        for app, address in zip(apps, APPS, strict=True):
            desk.eventually(f"ping -c 1 -W 1 {address}")
            app.reaches(DESK)
        desk.reaches(WEB)
        # Nothing else was opened: what a zone's hosts may ask of the router is for its owner's rules to allow, too.
        ssh = f"{PEERS} connect 192.168.50.1 22"
        apps[0].fails(ssh)
        router.succeeds("firewall-cmd --zone=vpc-openvpn --add-service=ssh")
        apps[0].succeeds(ssh)
        assert "firewall-cmd" not in world.deploy("--limit", "office").output

        # Where the tunnels are let in and desks are not, BFD hears, and the deploy fails all the same.
        change = "firewall-cmd --permanent --policy=vpc-openvpn-out --set-target={} && firewall-cmd --reload"
        router.succeeds(change.format("CONTINUE"))
        router.eventually(HELD, HELD_WITHIN)
        desk.cannot_reach(APPS[0])
        said = spaceless(world.deploy_fails("--limit", "office"))
        assert "BFD" not in said
        _typed(router, said)
        desk.reaches(APPS[0])
        world.deploy("--limit", "office")


def test_what_firewalld_rejects_on_a_nat_passes_once_what_is_printed_was_typed(
    world: World, desk: Host, nat: Host
) -> None:
    app = Host("app-us-east-1a")
    with kept(nat):
        nat.succeeds(INSTALL)
        nat.eventually(HELD, HELD_WITHIN)
        app.cannot_reach(WEB)
        said = spaceless(world.deploy_fails("--limit", nat.name))
        assert "drops what desks send to the zone, and what private subnets send to the internet. Type" in said
        assert "firewall-cmd --permanent --zone=public --add-port=1194/udp" in said and "trusted" not in said
        _typed(nat, said)
        desk.eventually(f"ping -c 1 -W 1 {APPS[0]}")
        app.reaches(DESK)
        app.reaches(WEB)
        assert "firewall-cmd" not in world.deploy("--limit", nat.name).output
        nat.power_cycle()
        desk.eventually(f"ping -c 1 -W 1 {APPS[0]}", BOOTED_WITHIN)
        nat.eventually(HELD, HELD_WITHIN)
        app.reaches(WEB)
