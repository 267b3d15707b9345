"""The site file changes, and the next deploy makes it so: what was added works, what was removed leaves no trace.

desk 192.168.50.10 ── office ══ tun-1 ══ nat-us-east-1a 10.0.1.10 ── app-us-east-1a 10.0.21.10
     192.168.60.10      ╠══════ tun-2 ══ nat-us-east-1b 10.0.2.10                     10.0.31.10
                        ╚══════ tun-3 ══ nat-us-east-1c 10.0.3.10
                        └── internet ── web 198.51.100.200
"""

import re

import pytest

from tests.scenarios.flows import PEERS, Background, answered, changed, losing_nothing, missing
from tests.scenarios.harness import Host, World, spaceless
from tests.scenarios.states import comes_to, kernel_state, remember, unchanged_after

pytestmark = pytest.mark.usefixtures("open_vpc")  # what changes is the site

OFFICE = Host("office")
NATS = [Host(f"nat-us-east-1{letter}") for letter in "abc"]
A = NATS[0]
ROUTE_IN_VPC = "ip rule {} priority 100 to 100.65.0.0/16 lookup main"
APPS = [f"10.0.{20 + number}.10" for number in (1, 2, 3)]

# OpenVPN clients of the router's owner: p2p, in clear text, without a peer. One has a name that looks like ours.
FOREIGN = """
for number in 1 2; do
    name=$(echo home vpc-backup | cut -d ' ' -f $number)
    folder=/etc/systemd/system/openvpn-client@$name.service.d
    mkdir -p $folder /etc/openvpn/client/keys
    echo secret > /etc/openvpn/client/keys/$name.key
    printf '[Service]\\nNice=5\\n' > $folder/override.conf
    printf '%s\\n' "dev tun-own$number" 'dev-type tun' 'proto udp4' 'nobind' "remote 198.51.100.200 119$number" \\
        "ifconfig 10.99.$number.1 10.99.$number.2" > /etc/openvpn/client/$name.conf
    systemctl daemon-reload
    systemctl enable --quiet --now openvpn-client@$name
done
"""
NO_FOREIGN = """
systemctl disable --quiet --now openvpn-client@home openvpn-client@vpc-backup
rm -r /etc/systemd/system/openvpn-client@home.service.d /etc/systemd/system/openvpn-client@vpc-backup.service.d \\
    /etc/openvpn/client/home.conf /etc/openvpn/client/vpc-backup.conf /etc/openvpn/client/keys
systemctl daemon-reload
"""
FOREIGN_STATE = """
cd /etc/openvpn/client && sha256sum home.conf vpc-backup.conf keys/*
systemctl show -p Id,MainPID,ActiveState,UnitFileState,DropInPaths openvpn-client@home openvpn-client@vpc-backup
ip -o -4 address show | grep -o 'tun-own.*'
"""


def test_a_zone_is_removed_and_added_again(world: World, desk: Host, office: Host) -> None:
    with changed(office, FOREIGN, NO_FOREIGN):
        foreign = office.succeeds(FOREIGN_STATE)
        assert foreign.count("ActiveState=active") == 2, foreign
        desk.reaches(APPS[2])
        before = kernel_state(office)

        site = world.copy_of_site()
        del site["zones"][2]
        world.use(site)
        refused = world.deploy_fails()
        assert re.search(r"us-east-1c: not in the site file, .* --data remove=us-east-1c\. No host", spaceless(refused))
        planned = world.plan()
        assert planned.status == 0 and "the zone is reached no more" in planned.output
        desk.reaches(APPS[2])
        with losing_nothing(desk, APPS[0], APPS[1]):
            world.deploy("--data", "remove=us-east-1c")
            desk.cannot_reach(APPS[2])
        # Neither a file nor a link, a route, a rule, an interface, a unit, failed or not, is left of it.
        assert "us-east-1c" not in office.succeeds(
            "find /etc /run/vpc-openvpn /run/openvpn-client /usr/local; grep -r us-east-1c /etc /run/vpc-openvpn;"
            " systemctl list-units --all --plain 'openvpn*'"
        )
        left = kernel_state(office)
        assert not re.search(r"tun-3|10\.0\.3\.|10\.0\.23\.|10\.200\.3\.", left), left
        assert office.succeeds(FOREIGN_STATE) == foreign

        # A new identity for it, and for no other host: there is none in the store any more.
        for name in (f"{NATS[2].name}.key.age", f"{NATS[2].name}.crt", "tunnel-us-east-1c.key.age"):
            (world.identities / name).unlink()
        kept = {path.name: path.read_bytes() for path in world.identities.iterdir() if path.suffix != ".lock"}
        world.use(world.baseline)
        missing = world.run("./vpc", "identities", "init")
        assert missing.status == 1 and f"{NATS[2].name}.crt is missing, and recipients.lock has it" in missing.output
        assert world.run("./vpc", "identities", "reencrypt", "--accept").status == 0
        made = world.run("./vpc", "identities", "init")
        assert made.status == 0, made.output
        assert made.output.count("created ") == 3, made.output
        assert {name: (world.identities / name).read_bytes() for name in kept} == kept
        with losing_nothing(desk, APPS[0], APPS[1]):
            world.deploy()
            desk.reaches(APPS[2])
        assert "Nothing to do" in world.run("./vpc", "identities", "init").output
        comes_to(office, before)
        assert office.succeeds(FOREIGN_STATE) == foreign
    remember(world)  # the zone's new identity stays


def test_subnets_of_both_vpc_networks_are_added_and_removed(world: World, desk: Host, office: Host) -> None:
    app, vpc = Host("app-us-east-1a"), Host("vpc")
    news = ("10.0.31", "100.65.31")
    ask = "curl -sf -m 2 --interface {} http://198.51.100.200/"
    with (
        # AWS gives each route table a route for each network of the VPC.
        changed(vpc, ROUTE_IN_VPC.format("add"), ROUTE_IN_VPC.format("delete")),
        changed(vpc, *_addresses("{} dev zone1-private", [f"{new}.1/24" for new in news])),
        changed(app, *_addresses("{} dev eth0", [f"{new}.10/24" for new in news])),
        unchanged_after(OFFICE, A),
    ):
        for new in news:
            vpc.reaches(f"{new}.10")
            desk.cannot_reach(f"{new}.10")
            app.fails(ask.format(f"{new}.10"))

        site = world.copy_of_site()
        site["vpc"]["network"] = ["10.0.0.0/16", "100.65.0.0/16"]
        site["zones"][0]["subnets"]["private"] += [f"{new}.0/24" for new in news]
        world.use(site)
        with losing_nothing(desk, APPS[1], APPS[2]):
            world.deploy()
        for new in news:
            desk.reaches(f"{new}.10")
            assert "198.51.100.21" in app.succeeds(ask.format(f"{new}.10"))
        desk.reaches(APPS[0])
        # What no tunnel carries of either network goes nowhere.
        for new in ("10.0.99.10", "100.65.99.10"):
            assert "No route to host" in office.fails(f"ip route get {new} from 192.168.50.10 iif lan 2>&1")

        world.use(world.baseline)
        world.deploy()
        for new in news:
            desk.cannot_reach(f"{new}.10")
            app.fails(ask.format(f"{new}.10"))
        desk.reaches(APPS[0])


def _addresses(what: str, addresses: list[str]) -> tuple[str, str]:
    """The command that adds these addresses, and the one that takes them away."""
    add, delete = ([f"ip address {verb} {what.format(each)}" for each in addresses] for verb in ("add", "delete"))
    return " && ".join(add), " && ".join(delete)


def test_an_office_network_is_added_and_removed(world: World, desk: Host, office: Host) -> None:
    app = Host("app-us-east-1b")
    as_new = f"-I 192.168.60.10 {APPS[1]}"
    with (
        changed(office, "ip address add 192.168.60.1/24 dev lan", "ip address delete 192.168.60.1/24 dev lan"),
        changed(desk, "ip address add 192.168.60.10/24 dev eth0", "ip address delete 192.168.60.10/24 dev eth0"),
        unchanged_after(office, *NATS),
    ):
        desk.cannot_reach(as_new)
        app.cannot_reach("192.168.60.10")

        site = world.copy_of_site()
        site["office"]["lans"].append("192.168.60.0/24")
        world.use(site)
        world.deploy()
        desk.reaches(as_new)
        app.reaches("192.168.60.10")
        desk.reaches(APPS[1])

        world.use(world.baseline)
        world.deploy()
        desk.cannot_reach(as_new)
        app.cannot_reach("192.168.60.10")
        desk.reaches(APPS[1])


def test_the_tunnels_mtu_changes(world: World, desk: Host, office: Host) -> None:
    def whole(size: int) -> str:
        """A packet of `size` bytes that may not be fragmented."""
        return f"ip route flush cache; ping -q -M do -c 1 -W 1 -s {size - 28} {APPS[0]}"

    with unchanged_after(office, *NATS):
        desk.succeeds(whole(1440))
        world.use(world.copy_of_site() | {"tunnels": {"mtu": 1380}})
        world.deploy()
        desk.succeeds(whole(1380))
        desk.fails(whole(1381))
        for host in (office, *NATS):
            host.fails("ip -o link | grep 'tun-.* mtu 1440 '")
        world.use(world.baseline)
        world.deploy()
        desk.succeeds(whole(1440))


def test_a_tunnels_number_port_and_interface_change(world: World, desk: Host, office: Host) -> None:
    with unchanged_after(office, A):
        site = world.copy_of_site()
        site["zones"][0]["tunnel"] = {"number": 9, "port": 1200, "interface": "tun-first"}
        world.use(site)
        with losing_nothing(desk, APPS[1], APPS[2]), Background(desk, f"ping -n -i 0.1 {APPS[0]}") as own:
            world.deploy()
            desk.reaches(APPS[0])
            own.waits_for(rf"icmp_seq={max(answered(own.output())) + 1} ttl=")
            assert missing(own.output()), "a tunnel that moves loses packets: the measure does not see it"
        office.succeeds("ip route get 10.0.21.10 | grep -q 'via 10.200.9.1 dev tun-first '")
        A.succeeds("ss -Hlnu 'sport = :1200' | grep -q .")
        assert not re.search(r"tun-1\b|10\.200\.1\.", kernel_state(office))
        assert not re.search(r"--dport 1194|10\.200\.1\.", kernel_state(A))
        world.use(world.baseline)
        world.deploy()
        desk.reaches(APPS[0])


def test_the_operators_change(world: World, web: Host) -> None:
    ssh = f"{PEERS} connect 198.51.100.21 22"
    with unchanged_after(*NATS):
        web.fails(ssh)
        site = world.copy_of_site()
        site["operators"].append("198.51.100.200/32")
        world.use(site)
        world.deploy("--limit", "nat")
        web.succeeds(ssh)
        world.use(world.baseline)
        world.deploy("--limit", "nat")
        web.fails(ssh)
