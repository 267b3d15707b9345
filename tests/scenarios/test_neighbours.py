"""Hosts have managers of networks, firewalls and packages of their owner's, which leave the tunnels alone.

desk 192.168.50.10 ── office ══ tun-N ══ nat-us-east-1X 10.0.N.10 ── app-us-east-1X 10.0.2N.10
"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from tests.scenarios.flows import (
    LANS_LINE,
    Flow,
    all_fall_silent,
    all_recover,
    changed,
    losing_at_most,
    losing_nothing,
    steady,
    strays,
)
from tests.scenarios.harness import KEEPER_DROP_IN, Host, World, idle_keeper, lab, spaceless
from tests.scenarios.states import REPAIRS, remember

APP_A, APP_B = "10.0.21.10", "10.0.22.10"
SITE = {"detour": "off"}  # a tunnel that is lost is a zone that is lost
DESK = "192.168.50.10"
WEB = "198.51.100.200"
LOOK, HELD_WITHIN = 2, 20  # seconds between two looks of the keeper's, and until it has loaded again
FIREWALL = "/usr/local/lib/vpc-openvpn/firewall"
SET_UP_AGAIN = 5  # pings, ten a second: networkd takes the addresses away and gives them back, three times
BOOTED_WITHIN = 40  # seconds; the lab's hosts boot in two, on a machine that is not busy
LOADS = f"{REPAIRS} firewall"
HELD = f'[ "$({FIREWALL} show)" = "$(sed -n \'/^\\*/,$p\' /run/vpc-openvpn/vpc-openvpn-firewall.service.record)" ]'

# networkd takes over the interfaces that the lab has configured.
TAKE_OVER = """
set -e
cd /etc/systemd/network
ip -4 -o address show scope global | grep -v ' tun-' | while read -r _ link _ address _; do
    printf '[Match]\\nName=%s\\n[Network]\\nAddress=%s\\n' "$link" "$address" > "10-test-$link.network"
    ip -4 route show default dev "$link" | sed -n 's/.*via \\([^ ]*\\).*/Gateway=\\1/p' >> "10-test-$link.network"
done
systemctl enable --quiet --now systemd-networkd
"""
GIVE_BACK = """
systemctl disable --quiet --now systemd-networkd.socket systemd-networkd
rm -f /etc/systemd/network/10-test-*.network
"""
# A file of the owner's for every interface that no other file is for.
EVERY = (
    "printf '[Match]\\nName=!lo\\n[Network]\\nDHCP=yes\\n' > /etc/systemd/network/zz-test.network && networkctl reload"
)
NOT_EVERY = "rm /etc/systemd/network/zz-test.network && networkctl reload"
SETTINGS = "/etc/systemd/networkd.conf.d/vpc-openvpn.conf"


@pytest.fixture
def office_with_networkd(office: Host) -> Iterator[Host]:
    """The office's router, whose interfaces systemd-networkd manages."""
    with changed(office, TAKE_OVER, GIVE_BACK):
        yield office
    office.power_cycle()  # with the settings that networkd makes for its interfaces


def test_networkd_removes_nothing_of_the_office(world: World, desk: Host, office_with_networkd: Host) -> None:
    stays_while_networkd_works(world, desk, office_with_networkd, "wan lan tun-1", [APP_A, APP_B])


def test_netplan_and_networkd_remove_nothing_of_a_nat(world: World, desk: Host) -> None:
    nat = Host("nat-us-east-1a")
    stays_while_networkd_works(
        world,
        desk,
        nat,
        "eth0 tun-office",
        [APP_A],
        apply="netplan generate && networkctl reload && networkctl reconfigure eth0",
    )


def stays_while_networkd_works(
    world: World, desk: Host, host: Host, interfaces: str, addresses: list[str], apply: str = "true"
) -> None:
    """No packet is lost while networkd sets up every interface again, nor after a reboot any zone."""
    with changed(host, EVERY, NOT_EVERY):
        # What keeps it off is the file: without it the routes go with the first interface that is set up.
        host.succeeds(f"rm {SETTINGS} && systemctl restart systemd-networkd && networkctl reconfigure {interfaces}")
        host.eventually("! ip -4 route show table all proto 86 | grep .")
        assert world.deploy("--limit", host.name).changed[host.name]
        with losing_at_most(SET_UP_AGAIN, desk, *addresses):
            host.succeeds(f"networkctl reconfigure {interfaces}")
            host.succeeds("touch /etc/systemd/network/zz-test.network && networkctl reload")
            host.succeeds(f"systemctl restart systemd-networkd && networkctl reconfigure {interfaces} && {apply}")
        assert world.plan("--limit", host.name).pending == {}
        with ExitStack() as stack:
            flows = [stack.enter_context(Flow(desk, "ping", address)) for address in addresses]
            all_recover(flows)
            host.succeeds("systemctl reboot")
            all_fall_silent(flows)
            all_recover(flows, BOOTED_WITHIN)
        host.eventually("systemctl is-active systemd-networkd && networkctl --no-legend list | grep 'tun-.*unmanaged'")
        assert world.plan("--limit", host.name).pending == {}


# --- rules that another program removes ---------------------------------------------------------------------------


@contextmanager
def kept(host: Host) -> Iterator[None]:
    """The host's keeper does its work for as long as the block lasts."""
    host.succeeds(f"rm {KEEPER_DROP_IN} && systemctl daemon-reload && systemctl restart vpc-openvpn-keeper")
    try:
        yield
    finally:
        idle_keeper(host.name)
        host.succeeds("systemctl daemon-reload && systemctl restart vpc-openvpn-keeper")


# What firewalld does at its start, at its end and at `firewall-cmd --reload`, as its sources have it.
FIREWALLD = "for table in raw mangle nat filter; do iptables -t $table -F; iptables -t $table -X; done"


def test_rules_that_are_flushed_come_back(world: World, desk: Host, office: Host) -> None:
    nat, app = Host("nat-us-east-1a"), Host("app-us-east-1a")
    with kept(nat), kept(office):
        for host, flush in (
            (nat, FIREWALLD),
            (nat, "systemctl start nftables vpc-openvpn-again && systemctl stop nftables"),
            (office, "iptables -F && ip rule flush proto 86 && ip route flush table all proto 86"),
        ):
            host.eventually(HELD, HELD_WITHIN)
            loads = int(host.succeeds(LOADS))
            host.succeeds(flush)
            host.eventually(f"[ $({LOADS}) -gt {loads} ]", HELD_WITHIN)
            host.eventually(f"{HELD} && systemctl is-active vpc-openvpn-firewall", HELD_WITHIN)
            desk.reaches(APP_A)
            app.reaches(WEB)
            assert world.plan("--limit", host.name).pending == {}
        said = nat.succeeds("journalctl -b -u vpc-openvpn-keeper -o cat")
        assert re.search(r"put back: firewall, .*\n  gone: :vpc-openvpn-", said), said

        # A change that is tried is not the keeper's to judge, nor what a deploy has tried and not yet written.
        site = world.copy_of_site()
        site["operators"] = ["203.0.113.0/24"]
        world.use(site)
        world.deploy_fails("--limit", nat.name)
        tried = nat.succeeds(f"{FIREWALL} show")
        nat.succeeds(f"sleep {LOOK + 1}")
        assert nat.succeeds(f"{FIREWALL} show") == tried
        nat.succeeds("sh /run/vpc-openvpn/trial/firewall keep")
        nat.succeeds(f"sleep {LOOK + 1}")
        assert nat.succeeds(f"{FIREWALL} show") == tried
        nat.succeeds("systemctl restart vpc-openvpn-firewall")
        nat.succeeds(HELD)


def test_a_tunnel_that_another_program_has_changed_is_named(world: World, desk: Host, office: Host) -> None:
    nat = Host("nat-us-east-1b")
    office.succeeds("ip address flush dev tun-1")
    nat.succeeds("ip link set tun-office down")
    said = spaceless(world.plan())
    for host, interface, unit in (
        (office, "tun-1", "openvpn-client@vpc-us-east-1a"),
        (nat, "tun-office", "openvpn-server@office"),
    ):
        restart = f"systemctl restart {unit}"
        assert f"another program has taken {interface} down, or its address away. Type: {restart}" in said
        host.succeeds(restart)
    for address in (APP_A, APP_B):
        desk.eventually(f"ping -c 1 -W 1 {address}")


TRACKED = "nft 'table ip other { chain forward { type filter hook forward priority 5; ct state new accept; }; }'"


def test_a_flow_that_began_while_nothing_masqueraded_it_is_not_lost(world: World) -> None:
    nat = Host("nat-us-east-1a")
    flush = "iptables -t nat -F && iptables -F"
    with (
        changed(nat, f"{TRACKED} && {flush}", "nft delete table ip other"),
        Flow(Host("app-us-east-1a"), "ping", WEB) as flow,
    ):
        all_fall_silent([flow])
        nat.succeeds("systemctl reload vpc-openvpn-firewall")
        all_recover([flow])


# As firewalld does where it is reloaded twice in a row: a table is flushed between our load of it and our look at it.
FLUSH_AT_ONCE = """
set -e
cd /usr/sbin && mv iptables-nft-restore iptables-nft-restore.real
cat > iptables-nft-restore <<'EOF'
#!/bin/bash
(exec -a iptables-nft-restore /usr/sbin/iptables-nft-restore.real "$@") || exit
[ -e /run/flushed-once ] || { touch /run/flushed-once; iptables-nft -t nat -F; iptables-nft -t nat -X; }
EOF
chmod 755 iptables-nft-restore
"""
NOT_AT_ONCE = "mv /usr/sbin/iptables-nft-restore.real /usr/sbin/iptables-nft-restore; rm -f /run/flushed-once"


def test_a_table_that_is_flushed_while_it_is_loaded_is_missed(world: World) -> None:
    nat, app = Host("nat-us-east-1a"), Host("app-us-east-1a")
    with kept(nat), changed(nat, FLUSH_AT_ONCE, NOT_AT_ONCE):
        nat.eventually(HELD, HELD_WITHIN)
        nat.succeeds("iptables -t nat -F")
        nat.eventually("[ -e /run/flushed-once ]", HELD_WITHIN)
        nat.eventually("iptables -t nat -S | grep -- '-j MASQUERADE'", HELD_WITHIN)
        nat.eventually(HELD, HELD_WITHIN)
        app.reaches(WEB)
    assert world.plan("--limit", nat.name).pending == {}


# --- a boot -------------------------------------------------------------------------------------------------------

# The first load fails, a port that is unplugged holds up network-online.target, and a later file forbids to forward.
HARD_BOOT = """
set -e
cd /usr/sbin && mv iptables-nft-restore iptables-nft-restore.real
cat > iptables-nft-restore <<'EOF'
#!/bin/bash
[ -e /run/failed-once ] || { touch /run/failed-once; exit 4; }
exec -a iptables-nft-restore /usr/sbin/iptables-nft-restore.real "$@"
EOF
chmod 755 iptables-nft-restore
touch /run/failed-once
cat > /etc/systemd/system/test-online.service <<'EOF'
[Unit]
Before=network-online.target
[Service]
Type=oneshot
ExecStart=/bin/sleep 120
[Install]
WantedBy=multi-user.target
EOF
systemctl enable --quiet test-online
printf '# hardening\\nnet.ipv4.ip_forward = 0\\n' > /etc/sysctl.d/99-hardening.conf
"""
EASY_BOOT = """
mv /usr/sbin/iptables-nft-restore.real /usr/sbin/iptables-nft-restore
systemctl disable --quiet --now test-online
rm /etc/systemd/system/test-online.service /etc/sysctl.d/99-hardening.conf
systemctl daemon-reload
"""


@pytest.mark.parametrize("name", ["office", "nat-us-east-1a"])
def test_packets_cross_after_a_boot_with_foreign_faults(world: World, desk: Host, name: str) -> None:
    host, app = Host(name), Host("app-us-east-1a")
    with (
        changed(host, HARD_BOOT, EASY_BOOT),
        Flow(desk, "ping", APP_A) as to_zone,
        Flow(app, "ping", WEB) as to_web,
    ):
        planned = world.plan("--limit", name)
        assert planned.pending == {}
        assert "/etc/sysctl.d/99-hardening.conf, line 2, has net.ipv4.ip_forward = 0" in spaceless(planned)
        all_recover([to_zone, to_web])
        leaked = strays(LANS_LINE)
        assert lab("kill", name).status == 0
        assert lab("start", name).status == 0
        all_recover([to_zone, to_web], BOOTED_WITHIN)
        host.succeeds("test -e /run/failed-once && systemctl is-active test-online | grep -x activating")
        host.eventually("systemctl is-active vpc-openvpn-firewall")
        assert strays(LANS_LINE) == leaked
    assert world.plan("--limit", name).pending == {}


# --- rules of the owner's -----------------------------------------------------------------------------------------

LEGACY = "update-alternatives --quiet --set iptables /usr/sbin/iptables-legacy"


def test_rules_in_the_other_iptables_backend_are_removed(world: World, desk: Host) -> None:
    nat = Host("nat-us-east-1a")
    # What an earlier version left there, when that was the host's choice.
    nat.succeeds("iptables-nft-save | iptables-legacy-restore && iptables-legacy -I vpc-openvpn-forward -j DROP")
    nat.succeeds("iptables-legacy -A INPUT -s 203.0.113.7 -j DROP")
    with changed(nat, LEGACY, "iptables -F; update-alternatives --quiet --auto iptables"):
        desk.cannot_reach(APP_A)
        nat.succeeds("iptables-nft -F vpc-openvpn-input")  # something to do
        assert world.deploy("--limit", nat.name).changed
        desk.reaches(APP_A)
        assert "vpc-openvpn" not in nat.succeeds("iptables-legacy-save")
        assert "203.0.113.7" in nat.succeeds("iptables-legacy-save")


DENY = "iptables -A INPUT -i lo -j ACCEPT && iptables -P INPUT DROP"
ALLOW = "iptables -P INPUT ACCEPT && iptables -D INPUT -i lo -j ACCEPT"


def test_a_nat_with_a_drop_policy_works(world: World, desk: Host) -> None:
    nat = Host("nat-us-east-1a")
    with changed(nat, DENY, ALLOW):
        nat.succeeds("systemctl restart openvpn-server@office")
        desk.eventually(f"ping -c 1 -W 1 {APP_A}")
        assert world.plan().pending == {}  # the proof's packets cross


WIPED = "iptables -t mangle -{} PREROUTING -i lan -j CONNMARK --set-mark 1"


def test_a_mark_that_another_rule_clears_is_set_again(world: World, desk: Host, office: Host) -> None:
    app = Host("app-us-east-1a")
    with changed(office, WIPED.format("A"), WIPED.format("D")), steady(desk, APP_A, app) as flows:
        all_recover(flows)
        office.eventually(f"conntrack -L -p udp -d {APP_A} --mark 0x1000000/0xff000000 2>/dev/null | grep {APP_A}")


# --- a LAN that is away -------------------------------------------------------------------------------------------


def test_packets_for_an_absent_lan_do_not_leave_by_the_line(world: World, desk: Host, office: Host) -> None:
    app = Host("app-us-east-1a")
    router = "ip route {} 192.168.0.0/16 via 192.168.50.10"
    with Flow(app, "ping", DESK) as flow:
        all_recover([flow])
        leaked = strays(LANS_LINE)
        with changed(office, "ip link set lan down", "ip link set lan up"):
            all_fall_silent([flow])
            assert strays(LANS_LINE) == leaked
            # It is our rule that guards.
            office.succeeds("ip rule del priority 32765")
            all_fall_silent([flow])
            assert strays(LANS_LINE) > leaked
        world.deploy("--limit", "office")
        all_recover([flow])
        # A LAN behind another router is reached by the route that there is, a wider one, say.
        own = office.succeeds("ip -4 route show 192.168.50.0/24 dev lan").split(" src ")[1].split()[0]
        with (
            changed(office, "ip route add 192.168.50.10 dev lan", "ip route del 192.168.50.10 dev lan"),
            changed(office, router.format("add"), router.format("del")),
            changed(
                office,
                "ip route del 192.168.50.0/24 dev lan",
                f"ip route add 192.168.50.0/24 dev lan proto kernel scope link src {own}",
            ),
        ):
            all_recover([flow])


# --- packages -----------------------------------------------------------------------------------------------------

REINSTALL = "apt-get -qq update; apt-get -qq install --reinstall --yes systemd openvpn bird2 iptables >/dev/null 2>&1"
# Every process of the host has a library in use that is not on the disk any more.
OUTDATED = "cd /lib/$(uname -m)-linux-gnu && cp -p libc.so.6 libc.new && mv -f libc.new libc.so.6"
SSHD = "systemctl show -p MainPID ssh"
RESTART = f"needrestart -q -r a >/dev/null && {SSHD}"
OURS = "systemctl show -p Id -p MainPID 'vpc-openvpn-*.service' 'openvpn-*@*.service' | grep . | paste - - | sort"


@pytest.mark.parametrize("name", ["office", "nat-us-east-1a"])
def test_upgrades_restart_nothing_of_ours(world: World, desk: Host, name: str) -> None:
    host = Host(name)
    ours, sshd = host.succeeds(OURS), host.succeeds(SSHD)
    assert len(re.findall("MainPID=[1-9]", ours)) >= 3  # BIRD, the keeper, a tunnel
    with losing_nothing(desk, APP_A, APP_B):
        host.succeeds(f"export NEEDRESTART_MODE=a; {REINSTALL}")
        assert host.succeeds(f"{OUTDATED}; {RESTART}") != sshd
    assert host.succeeds(OURS) == ours
    assert world.plan("--limit", name).pending == {}
    # It is our word that counts.
    host.succeeds(f"rm /etc/needrestart/conf.d/vpc-openvpn.conf && {RESTART}")
    assert host.succeeds(OURS) != ours


# --- programs of the owner's, on the office's router and on a NAT, at run time and at boot ------------------------


@dataclass(frozen=True)
class Program:
    """How its owner sets it up on the router and on a NAT, what he does later, and how it goes; what a deploy names."""

    package: str
    unit: str
    office: str
    nat: str
    later: str
    end: str
    named: str = ""


# What the lab has configured becomes NetworkManager's; what netplan has given to networkd, too.
MANAGES = """
for link in wan lan; do
    nmcli connection add type ethernet con-name own-$link ifname $link ipv4.method manual ipv6.method link-local \\
        ipv4.addresses $(ip -4 -o address show dev $link | sed 's/.*inet \\([^ ]*\\).*/\\1/') \\
        $(ip -4 route show default dev $link | sed -n 's/.*via \\([^ ]*\\).*/ipv4.gateway \\1/p')
    nmcli connection up own-$link
done"""
RENDERS = """
sed -i 's/version: 2/version: 2\\n  renderer: NetworkManager/' /etc/netplan/*.yaml && netplan generate
systemctl stop systemd-networkd.socket systemd-networkd
systemctl restart NetworkManager && nmcli connection up netplan-eth0"""
RENDERED = """
systemctl disable -q --now NetworkManager
! grep -q renderer: /etc/netplan/*.yaml || { sed -i /renderer:/d /etc/netplan/*.yaml && netplan generate; }"""

# The rules of today, with some that were ours another day, and jumps to ours twice.
SAVED = """
netfilter-persistent save && sed -i -e '/^-A [A-Z]* -j vpc-openvpn-/p' \\
    -e '/^.filter/,/^COMMIT/s/^-A vpc-openvpn-forward /-A vpc-openvpn-forward -j DROP\\n&/' /etc/iptables/rules.v4
grep -q 'forward -j DROP$' /etc/iptables/rules.v4"""

# What dockerd has loaded when it has started, in its order.
DOCKER = """
sysctl -qw net.ipv4.ip_forward=1
ip link add docker0 type bridge; ip address add 172.17.0.1/16 dev docker0; ip link set docker0 up
for chain in '' -BRIDGE -CT -FORWARD -ISOLATION-STAGE-1 -ISOLATION-STAGE-2 -USER; do
    iptables -w -N DOCKER$chain
done
iptables -w -A DOCKER ! -i docker0 -o docker0 -j DROP
iptables -w -A DOCKER-BRIDGE -o docker0 -j DOCKER
iptables -w -A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables -w -A DOCKER-FORWARD -j DOCKER-CT
iptables -w -A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
iptables -w -A DOCKER-FORWARD -j DOCKER-BRIDGE
iptables -w -A DOCKER-FORWARD -i docker0 -j ACCEPT
iptables -w -A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
iptables -w -A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
iptables -w -P FORWARD DROP
iptables -w -I FORWARD -j DOCKER-FORWARD
iptables -w -I FORWARD -j DOCKER-USER
iptables -w -t nat -N DOCKER
iptables -w -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
iptables -w -t nat -I POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
"""
DOCKERD = """
cat > /etc/systemd/system/test-docker.service <<'EOF'
[Unit]
After=network-online.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh /root/dockerd
[Install]
WantedBy=multi-user.target
EOF
systemctl enable -q --now test-docker"""
# The router's owner has seen to it that desks get to the internet.
ON_OFFICE = "for way in '-i lan -o wan' '-i wan -o lan'; do iptables -w -I DOCKER-USER $way -j ACCEPT; done"
END_DOCKER = """
systemctl disable -q --now test-docker; rm /etc/systemd/system/test-docker.service; ip link delete docker0
iptables -P FORWARD ACCEPT; iptables -F FORWARD; iptables -t nat -F PREROUTING; iptables -t nat -F POSTROUTING"""


def docker(more: str, first: str = "true") -> str:
    return f"{first}; cat > /root/dockerd <<'EOF'{DOCKER}{more}\nEOF{DOCKERD}"


PROGRAMS = {
    "NetworkManager": Program(
        "network-manager",
        "NetworkManager",
        MANAGES,
        RENDERS,
        "systemctl restart NetworkManager; sleep 1; nmcli general reload; nmcli networking off; nmcli networking on",
        RENDERED,
    ),
    "netfilter-persistent": Program(
        "iptables-persistent",
        "netfilter-persistent",
        SAVED,
        SAVED,
        "netfilter-persistent start; systemctl restart netfilter-persistent; netfilter-persistent start",
        "systemctl disable -q --now netfilter-persistent",
    ),
    "ufw": Program(
        "ufw",
        "ufw",
        "ufw route allow in on lan out on wan; ufw allow 22/tcp; ufw --force enable",
        "ufw --force enable",
        "ufw reload; systemctl restart ufw; ufw disable; ufw --force enable",
        "ufw disable",
    ),
    "Docker": Program("", "test-docker", docker(ON_OFFICE), docker(""), "true", END_DOCKER),
    "Docker, iptables-legacy": Program(
        "",
        "test-docker",
        docker(ON_OFFICE, LEGACY),
        docker("", LEGACY),
        "true",
        f"{END_DOCKER}; update-alternatives --quiet --auto iptables",
        "iptables-legacy, table filter, chain FORWARD (policy drop) drops what",
    ),
}
TYPED = re.compile(r"loads it: (iptables-legacy .*?-j ACCEPT)")


@pytest.fixture(scope="module")
def blank_afterwards(booted: World) -> Iterator[None]:
    """Packages stay until the module ends; then the router and the first NAT are blank, and deployed anew."""
    yield
    for name in ("office", "nat-us-east-1a"):
        booted.replace(name)
    booted.use(booted.baseline)
    deployed = booted.apply()
    assert deployed.status == 0, deployed.output
    remember(booted)


@pytest.fixture
def installing(blank_afterwards: None, world: World) -> Iterator[None]:
    """What a scenario installs is no trace of it."""
    yield
    remember(world)


@pytest.mark.usefixtures("installing")
@pytest.mark.parametrize("name", PROGRAMS)
def test_packets_cross_beside_another_program(world: World, desk: Host, office: Host, name: str) -> None:
    program, nat = PROGRAMS[name], Host("nat-us-east-1a")
    set_up = {office: program.office, nat: program.nat}
    with ThreadPoolExecutor() as at_once, kept(office), kept(nat), ExitStack() as stack:

        def on_both(command: str) -> None:
            list(at_once.map(lambda host: host.succeeds(command), set_up))

        flows = [Flow(desk, "ping", APP_A), Flow(desk, "ping", APP_B)]
        all_recover([stack.enter_context(flow) for flow in flows])
        if program.package:
            install = f"apt-get -qq install --yes {program.package} >/dev/null"
            on_both(f"export DEBIAN_FRONTEND=noninteractive; apt-get -qq update; {install}")
        try:
            list(at_once.map(Host.succeeds, set_up.keys(), set_up.values()))
            if program.named:
                what_is_named_is_typed(world, office, nat, program.named)
            all_recover(flows)
            on_both(program.later)
            all_cross(flows, HELD_WITHIN)
            on_both("systemctl reboot")
            all_fall_silent(flows)
            runs = f"systemctl is-active {program.unit}"
            list(at_once.map(lambda host: host.eventually(runs, BOOTED_WITHIN), set_up))
            all_cross(flows, BOOTED_WITHIN)
            planned = world.plan()
            assert planned.status == 0 and planned.pending == {}, planned.output
        finally:
            on_both(program.end)
            held()


def held() -> None:
    """The keepers of both hosts have done their work."""
    for name in ("office", "nat-us-east-1a"):
        Host(name).eventually(HELD, HELD_WITHIN)


def all_cross(flows: list[Flow], seconds: int) -> None:
    """Packets cross within so many seconds, and by our own rules."""
    all_recover(flows, seconds)
    Host("app-us-east-1a").eventually(f"ping -c 1 -W 1 {WEB}", seconds)
    held()


def what_is_named_is_typed(world: World, office: Host, nat: Host, named: str) -> None:
    """What drops packets is named on both hosts, with what to type; that is typed there."""
    for host in (office, nat):
        planned = world.plan("--limit", host.name)
        said = spaceless(planned)
        assert "Packets cross every tunnel" in planned.pending[host.name] and named in said, said
        typed = TYPED.findall(said)
        if host == office:  # `and the same for each tunnel`
            typed = [command.replace("tun-1", f"tun-{number}") for command in typed for number in (1, 2, 3)]
        for command in dict.fromkeys(typed):
            host.answers(f"{command}; [ ! -e /root/dockerd ] || echo '{command}' >> /root/dockerd")
