"""What a deploy may assume of a host, and what it must not (docs/hosts.md): hosts that print, complain and lack things.

/run is mounted noexec on every host of the lab.
"""

import time
from contextlib import ExitStack

from tests.scenarios.flows import changed
from tests.scenarios.harness import Host, World, spaceless

OFFICE = Host("office")
A, B, C = (Host(f"nat-us-east-1{letter}") for letter in "abc")

CHATTY = """for home in /root /home/admin; do
    touch $home/.bashrc && cp -a $home/.bashrc $home/.bashrc.kept
    printf 'echo Welcome\\nprintf no-newline\\necho what >&2\\numask 077\\n' > $home/.bashrc
    cat $home/.bashrc.kept >> $home/.bashrc
done"""
QUIET = "for home in /root /home/admin; do mv $home/.bashrc.kept $home/.bashrc; done"
GERMAN = "cp -a /etc/default/locale /root/locale 2>/dev/null; echo LANG=de_DE.UTF-8 > /etc/default/locale"
NOT_GERMAN = "rm /etc/default/locale; [ ! -e /root/locale ] || mv /root/locale /etc/default/locale"
NO_GREETING, GREETING = "mv /home/admin/.bashrc /root/bashrc", "mv /root/bashrc /home/admin/.bashrc"
APT_GIVES_UP = 300  # seconds
FORWARDING = "Forwarding is on"
WITHOUT_CONNTRACK = "apt-get -qq remove --yes conntrack >/dev/null 2>&1; apt-get clean"
# A source of another vendor, which is not there any more.
GONE = r"sed 's#\(http://[^ /]*\)[^ ]*#\1/gone#' /etc/apt/sources.list > /etc/apt/sources.list.d/other.list"
FULL_CACHE = "mount -t tmpfs -o size=16k tmpfs /var/cache/apt/archives && mkdir /var/cache/apt/archives/partial"


def test_hosts_with_noisy_shells_and_other_locales_are_deployed(world: World) -> None:
    A.succeeds(WITHOUT_CONNTRACK)
    with ExitStack() as stack:
        for host in (OFFICE, A):
            stack.enter_context(changed(host, CHATTY, QUIET))
            stack.enter_context(changed(host, GERMAN, NOT_GERMAN))
        stack.enter_context(changed(B, NO_GREETING, GREETING))
        stack.enter_context(changed(A, GONE, "rm /etc/apt/sources.list.d/other.list"))
        deployed = world.deploy()
        assert deployed.changed == {A.name: ["Packages are installed"]}
        said = spaceless(deployed)
        for host, user in ((OFFICE, "root"), (A, "admin")):
            assert said.count(f"[{host.name}] 'Welcome' precedes each answer") == 1
            assert f"a start-up file of {user}'s login shell prints it" in said
        # No NAT of the lab can resolve its own name.
        assert f"[{B.name}] 'sudo: unable to resolve host ip-10-0-2-10" in said
        A.succeeds("conntrack --version")
        drift = world.run("./vpc", "drift")
        assert drift.status == 0, drift.output
        # What a drain writes for BIRD can be read by BIRD.
        drained = world.run("./vpc", "drain", "-y", "us-east-1a")
        assert drained.status == 0, drained.output
        OFFICE.succeeds("[ $(stat -c %a /run/vpc-openvpn/paths.conf) = 644 ] && systemctl restart vpc-openvpn-bird")
        OFFICE.succeeds("/usr/local/lib/vpc-openvpn/vpc-openvpn-monitor give-back us-east-1a")


def test_each_cause_of_a_failed_installation_is_named(world: World) -> None:
    broken = f"{GONE}; mv /etc/apt/sources.list /root/; apt-mark hold openvpn; {FULL_CACHE}"
    mended = "rm /etc/apt/sources.list.d/other.list; mv /root/sources.list /etc/apt/; apt-mark unhold openvpn"
    A.succeeds(WITHOUT_CONNTRACK)
    B.succeeds(WITHOUT_CONNTRACK)
    with (
        changed(A, "apt-mark hold conntrack", "apt-mark unhold conntrack"),
        changed(B, FULL_CACHE, "umount /var/cache/apt/archives"),
        # All of it does not matter where nothing is to be installed.
        changed(C, broken, f"umount /var/cache/apt/archives; {mended}"),
    ):
        failed = world.deploy_fails("--limit", "nat")
        said = spaceless(failed)
        assert f"[{A.name}] apt holds back conntrack, which must be installed. Type: apt-mark unhold conntrack" in said
        assert f"[{B.name}] a disk of this host is full:" in said
        assert f"[{C.name}] Error" not in said and C.name not in failed.changed
    world.deploy("--limit", "nat")


def test_a_source_that_apt_cannot_read_is_named_at_once(world: World) -> None:
    A.succeeds(WITHOUT_CONNTRACK)
    broken = "/etc/apt/sources.list.d/broken.list"
    with changed(A, f"echo half > {broken}", f"rm {broken}"):
        began = time.monotonic()
        said = spaceless(world.deploy_fails("--limit", A.name))
        assert time.monotonic() - began < APT_GIVES_UP / 2
        assert "apt cannot read its own sources:" in said and f"{broken}" in said
    world.deploy("--limit", A.name)


def test_an_interface_of_another_program_is_left_alone(world: World) -> None:
    site = world.copy_of_site()
    site["zones"][0]["tunnel"] = {"interface": "tun-first"}
    world.use(site)
    taken = (
        "ip tuntap add dev tun-first mode tun && ip address add 172.30.0.1/24 dev tun-first && ip link set tun-first up"
    )
    with changed(OFFICE, taken, "ip link delete tun-first"):
        said = spaceless(world.deploy_fails("--limit", OFFICE.name))
        assert "tun-first is another program's interface, and a tunnel's name: give the zone's tunnel another" in said
        assert OFFICE.succeeds("ip -4 -o address show dev tun-first").count("inet ") == 1
        OFFICE.fails("grep -rl tun-first /etc/openvpn")
    world.deploy("--limit", OFFICE.name)


def test_a_folder_that_a_host_lacks_is_made(world: World) -> None:
    gone = "mv /etc/sysctl.d /root/sysctl.d && sysctl -q -w net.ipv4.ip_forward=0"
    with changed(B, gone, "cp -an /root/sysctl.d/. /etc/sysctl.d/ && rm -r /root/sysctl.d"):
        assert FORWARDING in world.deploy("--limit", B.name).changed[B.name]
        B.succeeds("test -s /etc/sysctl.d/zz-vpc-openvpn.conf && [ $(cat /proc/sys/net/ipv4/ip_forward) = 1 ]")


def test_an_sshd_that_allows_one_session_is_named(world: World) -> None:
    conf = "/etc/ssh/sshd_config.d/one.conf"
    with changed(
        OFFICE,
        f"mkdir -p /etc/ssh/sshd_config.d && echo 'MaxSessions 1' > {conf} && systemctl reload ssh",
        f"rm {conf} && systemctl reload ssh",
    ):
        failed = spaceless(world.deploy_fails("--limit", "office"))
        assert "sshd refuses a second session on this connection" in failed and "MaxSessions 10" in failed
        OFFICE.succeeds("sysctl -qw net.ipv4.ip_forward=0")
        assert world.run("./vpc", "drift", "--limit", "office").status in (1, 2)
    world.deploy("--limit", "office")
