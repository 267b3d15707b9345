"""One word in the site file, one deploy: from a tunnel per zone to one connection and back, and nothing is left behind.

single: office ══ tun-vpc ══ one of nat-us-east-1a, -1b, -1c ── every zone
"""

import re

from tests.scenarios.flows import LANS_LINE, Arrivals, changed, strays
from tests.scenarios.harness import Host, World, lab
from tests.scenarios.states import REPAIRS, kernel_state, unchanged_after
from tests.scenarios.test_neighbours import kept

NATS = [Host(f"nat-us-east-1{letter}") for letter in "abc"]
APPS = [Host(f"app-us-east-1{letter}") for letter in "abc"]
ZONES = [f"10.0.{20 + number}.10" for number in (1, 2, 3)]
DESK = "192.168.50.10"
FAILOVER = 20  # seconds: keepalive's four, and a few tries
CLIENT = "systemctl show --property=MainPID openvpn-client@vpc"


def active(office: Host) -> int:
    """The number of the zone whose NAT the office is connected to."""
    address = office.eventually("ip -4 -o address show dev tun-vpc | grep -o '10.200.[0-9]*.2'", FAILOVER)
    return int(address.split(".")[2])


def test_a_change_of_strategy_leaves_no_trace(world: World, desk: Host, office: Host) -> None:
    with unchanged_after(office, *NATS):
        world.use(world.copy_of_site() | {"strategy": "single"})
        assert "no zone is reached for about 5 s" in world.plan().output
        world.deploy()
        for address in ZONES:
            desk.reaches(address)
        left = kernel_state(office)
        assert re.findall(r" (tun\S*): ", left) == ["tun-vpc"]
        assert not re.search(
            r"tun-[0-9]|vpc-us-east|monitor\.service|detour|fwmark|CONNMARK|(hold|wait|pin|probe)-", left
        ), left
        assert office.succeeds("systemctl list-units --plain --no-legend 'openvpn-client@*' | wc -l").strip() == "1"
        office.fails(
            "pgrep -f 'vpc-openvpn-monitor ru[n]' || ls -d /run/vpc-openvpn/monitor.* /run/vpc-openvpn/paths.conf"
        )
        for nat in NATS:
            nat.fails("pgrep bird || ls /etc/vpc-openvpn/bird.conf /etc/systemd/system/vpc-openvpn-bird.service")
            assert "CONNMARK" not in kernel_state(nat)

        # Only what was there differs: no tunnel was restarted on the NATs that have the same configuration as before.
        world.use(world.baseline)
        world.deploy()
        for address in ZONES:
            desk.reaches(address)


def test_a_single_connection_serves_every_zone_and_fails_over(world: World, desk: Host, office: Host) -> None:
    world.use(world.copy_of_site() | {"strategy": "single"})
    world.deploy()
    first = active(office)
    # The active NAT's own zone sees office addresses; the others see the NAT's, so that their answers come back to it.
    for number, (app, address) in enumerate(zip(APPS, ZONES, strict=True), start=1):
        seen = DESK if number == first else f"10.0.{first}.10"
        with Arrivals(app, seen, address) as packets:
            desk.reaches(address)
            packets.come()
    # What a zone begins goes to its own NAT, which has no connection unless it is the active one.
    for number, app in enumerate(APPS, start=1):
        if number == first:
            app.reaches(DESK)
        else:
            app.cannot_reach(DESK)

    leaked = strays(LANS_LINE)
    # The client makes its interface anew when another NAT gives it another address: nothing of the keeper's to mend.
    with kept(office):
        repairs, client = (office.succeeds(command) for command in (f"{REPAIRS} tun-vpc", CLIENT))
        assert lab("kill", NATS[first - 1].name).status == 0
        desk.cannot_reach(ZONES[first % 3])  # all zones alike
        desk.eventually(f"ping -c 1 -W 1 {ZONES[first % 3]}", FAILOVER)
        second = active(office)
        assert second != first
        office.succeeds("sleep 3")
        assert [office.succeeds(command) for command in (f"{REPAIRS} tun-vpc", CLIENT)] == [repairs, client]
    for address in ZONES:
        desk.reaches(address)
    assert strays(LANS_LINE) == leaked
    assert lab("start", NATS[first - 1].name).status == 0
    NATS[first - 1].eventually("systemctl is-active openvpn-server@office", 20)

    # As the account says: two zones that lose each other, one of them the active NAT's.
    lost = next(number for number in (1, 2, 3) if number != second)
    assert lab("partition", f"us-east-1{'abc'[second - 1]}", f"us-east-1{'abc'[lost - 1]}").status == 0
    desk.cannot_reach(ZONES[lost - 1])
    for number in {1, 2, 3} - {lost}:
        desk.reaches(ZONES[number - 1])
    assert active(office) == second
    assert lab("heal").status == 0
    desk.reaches(ZONES[lost - 1])


def test_a_deploy_finds_a_reserve_nat_that_does_not_forward(world: World, desk: Host, office: Host) -> None:
    world.use(world.copy_of_site() | {"strategy": "single"})
    world.deploy()
    reserve = NATS[active(office) % 3]
    with changed(reserve, "sysctl -w net.ipv4.ip_forward=0", "sysctl -w net.ipv4.ip_forward=1"):
        planned = world.plan()
        assert set(planned.pending) == {reserve.name}
    assert world.plan().pending == {}
