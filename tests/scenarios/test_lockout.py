"""A change that would lock the operator out undoes itself, and nothing of it is there after a reboot.

operator ── office ── internet ── nat-us-east-1a, -1b, -1c
"""

import time

import pytest

from tests.scenarios.flows import PEERS
from tests.scenarios.harness import Host, World, lab
from tests.scenarios.states import kernel_state

OFFICE = Host("office")
NATS = {
    Host(f"nat-us-east-1{letter}"): f"198.51.100.{number}" for letter, number in zip("abc", (21, 22, 23), strict=True)
}
A, A_ADDRESS = next(iter(NATS.items()))
ON_DISK = """
cd / && find etc/vpc-openvpn usr/local/lib/vpc-openvpn etc/systemd/system etc/openvpn -type f | sort | xargs sha256sum
"""
PENDING = "test -e /run/vpc-openvpn/trial/routes.before"


def test_a_deploy_that_locks_the_operator_out_undoes_itself(world: World, desk: Host) -> None:
    """A router that would lock its operator out claims his network for the VPC, and is refused before it is tried."""
    before = {host: (host.succeeds(ON_DISK), kernel_state(host)) for host in NATS}
    site = world.copy_of_site()
    site["operators"] = ["203.0.113.0/24"]
    world.use(site)
    failed = world.deploy_fails()
    tried = time.monotonic()
    for host, address in NATS.items():
        assert f"[{host.name}]" in failed.output
        host.succeeds(PENDING)
        assert not admits(world, address), f"{host.name} should have locked the operator out"
        assert host.succeeds(ON_DISK) == before[host][0]
    assert failed.output.count("this change would lock you out") == len(NATS)

    while not all(admits(world, address) for address in NATS.values()):
        assert time.monotonic() - tried < 60, "access has not come back within a minute"
        time.sleep(1)
    for host in NATS:
        host.eventually(f"! {PENDING}")
        assert (host.succeeds(ON_DISK), kernel_state(host)) == before[host]
    desk.reaches("10.0.21.10")
    world.use(world.baseline)
    assert world.plan().pending == {}


def test_a_reboot_undoes_an_unconfirmed_change(world: World) -> None:
    before = A.succeeds(ON_DISK)
    site = world.copy_of_site()
    site["operators"] = ["203.0.113.0/24"]
    world.use(site)
    failed = world.deploy_fails("--limit", A.name)
    assert "This host sees you come from 198.51.100.10. Is your address among `operators`" in failed.output
    A.succeeds(PENDING)
    A.power_cycle()
    assert admits(world, A_ADDRESS)
    A.fails(PENDING)
    assert A.succeeds(ON_DISK) == before
    world.use(world.baseline)
    assert "Firewall and guard routes are loaded" not in world.plan().pending.get(A.name, [])


@pytest.mark.parametrize("cut", ["iptables -F vpc-openvpn-input", "ip route flush proto 86"])
def test_an_undo_restores_rules_made_by_hand(world: World, cut: str) -> None:
    """Who has opened the firewall by hand, to get in, is not shut out by a deploy that closes it."""
    A.succeeds(cut)
    by_hand = kernel_state(A)
    site = world.copy_of_site()
    site["operators"] = ["203.0.113.0/24"]
    world.use(site)
    world.deploy_fails("--limit", A.name)
    assert kernel_state(A) != by_hand
    A.succeeds("/bin/sh /run/vpc-openvpn/trial/firewall undo")  # what the timer runs
    assert kernel_state(A) == by_hand
    A.fails("/bin/sh /run/vpc-openvpn/trial/firewall keep")


def admits(world: World, address: str) -> bool:
    """Whether the operator's workstation gets a new connection to a host's sshd."""
    return world.run(*PEERS.split(), "connect", address, "22").status == 0


@pytest.fixture(autouse=True)
def nothing_pending(world: World) -> None:
    """Every scenario here begins without a trial."""
    for host in (OFFICE, *NATS):
        host.fails(PENDING)
        assert lab("exec", host.name, "--", "true").status == 0
