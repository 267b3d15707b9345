"""What goes wrong is named, with host and cause; the other hosts end as the site says; the next deploy mends it.

operator ── office ══ tun-1 ══ nat-us-east-1a ── app-us-east-1a
              ╠══════ tun-2 ══ nat-us-east-1b ── app-us-east-1b
              ╠══════ tun-3 ══ nat-us-east-1c ── app-us-east-1c
              └── internet ── web, which is also the hosts' package mirror
"""

import base64
import hashlib
import re
import shutil
import subprocess
import time
from pathlib import Path

from tests.scenarios.flows import Background, changed, permitting
from tests.scenarios.harness import Host, World, comes_to_operation, lab, spaceless

A, B, C = (Host(f"nat-us-east-1{letter}") for letter in "abc")
OFFICE = Host("office")
SITE = {"detour": "off"}  # a lost tunnel is a lost zone

# A change by hand that a deploy sets right: so one sees that a host had its turn, or had not.
SCRATCH = "iptables -t nat -F vpc-openvpn-postrouting"
MENDED = "iptables -t nat -S vpc-openvpn-postrouting | grep -q ACCEPT"

# As apt locks: fcntl, not flock. `perl hold FILE SECONDS`
HOLD = """
use Fcntl;
open(my $file, ">>", $ARGV[0]) or die;
my $lock = pack("s s x4 q q i x4", F_WRLCK, 0, 0, 0, 0);
fcntl($file, F_SETLK, $lock) or die "another process has it";
$| = 1; print "held\n"; sleep $ARGV[1];
"""
OCCUPY = """
use Socket;
socket(my $port, PF_INET, SOCK_DGRAM, 17) or die;
bind($port, sockaddr_in(1194, INADDR_ANY)) or die;
open(my $pid, ">", "/root/occupier"); print $pid $$; close $pid;
$| = 1; print "held\n"; sleep 60;
"""


def test_a_dead_host_does_not_affect_the_others(world: World) -> None:
    for host in (OFFICE, A):
        host.succeeds(SCRATCH)
        host.fails(MENDED)
    assert lab("kill", C.name).status == 0
    started = time.monotonic()
    failed = world.deploy_fails()
    assert time.monotonic() - started < 60
    assert re.search(rf"\[{C.name}\].*(timed out|No route to host|Could not connect)", failed.output), failed.output
    for host in (OFFICE, A):
        host.succeeds(MENDED)
    assert lab("start", C.name).status == 0
    world.deploy()


def test_a_wrong_ssh_key_is_named(world: World, tmp_path: Path) -> None:
    key = tmp_path / "unknown"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    A.succeeds(SCRATCH)
    site = world.copy_of_site()
    site["zones"][1]["nat"]["ssh"]["key"] = str(key)
    world.use(site)
    failed = world.deploy_fails()
    assert re.search(rf"\[{B.name}\].*[Aa]uthentication", failed.output), failed.output
    A.succeeds(MENDED)


def test_a_replaced_nat_is_refused_until_its_key_is_accepted(world: World, desk: Host) -> None:
    A.succeeds(SCRATCH)
    assert lab("replace", B.name).status == 0
    failed = world.deploy_fails()
    assert B.name in failed.output
    A.succeeds(MENDED)
    desk.cannot_reach("10.0.22.10")
    # What the message says to type is typed, as it is.
    [advice] = set(re.findall(r"ssh-keygen -R .*", failed.output))
    assert world.run("sh", "-c", advice).status == 0
    # A key that has not been compared is no better than another one.
    assert f"./vpc trust {B.name}" in world.deploy_fails("--limit", B.name).output
    world.trust()
    world.deploy("--limit", B.name)
    desk.reaches("10.0.22.10")
    assert world.plan().pending == {}, "the office should need no change"


def test_a_full_disk_keeps_all_files(world: World) -> None:
    mount = """
        cp -a /etc/vpc-openvpn /root/kept && mount -t tmpfs -o size=128k,mode=755 tmpfs /etc/vpc-openvpn &&
        cp -a /root/kept/. /etc/vpc-openvpn && { cat /dev/zero > /etc/vpc-openvpn/filler || true; }
    """
    contents = (
        "cd /etc/vpc-openvpn && find . -type f ! -name filler -exec sha256sum {} + | sort; ls -lR | grep -v total"
    )
    site = world.copy_of_site()
    site["office"]["lans"].append("192.168.60.0/24")
    with changed(A, mount, "umount /etc/vpc-openvpn; rm -r /root/kept"):
        before = A.succeeds(contents)
        world.use(site)
        failed = world.deploy_fails("--limit", "nat")
        assert "No space left on device" in failed.output, failed.output
        assert re.search(rf"\[{A.name}\] could not write /etc/vpc-openvpn/\w+", spaceless(failed)), failed.output
        assert A.succeeds(contents) == before
        for host in (B, C):
            host.succeeds("iptables -S vpc-openvpn-forward | grep 192.168.60.0/24")
    world.deploy()


def test_a_running_apt_is_waited_for(world: World) -> None:
    locks = {B: "/var/lib/dpkg/lock-frontend", C: "/var/lib/apt/lists/lock"}
    for host in locks:
        host.succeeds("apt-get -qq remove --yes conntrack >/dev/null 2>&1")
        write(host, "/root/hold", HOLD.encode())
    with (
        Background(B, f"perl /root/hold {locks[B]} 12") as of_b,
        Background(C, f"perl /root/hold {locks[C]} 12") as of_c,
    ):
        of_b.waits_for("held")
        of_c.waits_for("held")
        assert "Could not get lock" in B.fails("apt-get -qq install --yes conntrack 2>&1")
        assert "Could not get lock" in C.fails("apt-get -qq update 2>&1")
        applied = world.apply("--limit", "nat")
        assert applied.status == 0, applied.output
    for host in locks:
        host.succeeds("conntrack --version")


def test_a_mirror_that_is_down_is_named(world: World) -> None:
    A.succeeds("apt-get -qq remove --yes conntrack >/dev/null 2>&1")
    # As on a blank host, which has never seen the mirror.
    B.succeeds("apt-get -qq remove --yes conntrack openvpn >/dev/null 2>&1; rm -rf /var/lib/apt/lists/*")
    A.succeeds("apt-get -qq update; apt-get clean")
    C.succeeds(SCRATCH)
    assert lab("kill", "web").status == 0
    try:
        failed = world.deploy_fails("--limit", "nat")
    finally:
        assert lab("start", "web").status == 0
    said = spaceless(failed)
    assert f"[{A.name}] apt could not fetch packages:" in said and "Does this host reach the mirror?" in said
    assert f"[{B.name}] no source of apt that answers offers openvpn conntrack; of these there is no answer:" in said
    C.succeeds(MENDED)
    world.deploy("--limit", "nat")


def test_an_openvpn_that_is_too_old_is_refused(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    (folder / "DEBIAN").mkdir(parents=True)
    control = "Package: openvpn\nVersion: 2.5.1-3\nArchitecture: all\nMaintainer: none\nDescription: old\n"
    (folder / "DEBIAN/control").write_text(control)
    package = tmp_path / "openvpn.deb"
    subprocess.run(
        ["dpkg-deb", "--build", "--root-owner-group", folder, package], check=True, stdout=subprocess.DEVNULL
    )
    content = package.read_bytes()
    checksum = hashlib.sha256(content).hexdigest()
    listing = f"{control}Filename: ./openvpn.deb\nSize: {len(content)}\nSHA256: {checksum}\n"
    refusal = (
        f"[{B.name}] this host offers openvpn 2.5.1-3; 2.6 or later is needed, which Debian 12, Ubuntu 24.04 LTS"
        " and any later release has"
    )

    B.succeeds("apt-get -qq remove --yes openvpn conntrack >/dev/null 2>&1; mkdir /root/old")
    write(B, "/root/old/openvpn.deb", content)
    write(B, "/root/old/Packages", listing.encode())
    use = "mv /etc/apt/sources.list /root/; echo 'deb [trusted=yes] file:/root/old ./' > /etc/apt/sources.list"
    with changed(B, use, "mv /root/sources.list /etc/apt/; rm -r /root/old"):
        assert refusal in spaceless(world.deploy_fails("--limit", B.name))
        B.fails("dpkg -s openvpn conntrack 2>/dev/null | grep 'Status: install ok installed'")
        # The same for one that is installed.
        B.succeeds("apt-get -qq install --yes openvpn >/dev/null 2>&1 && dpkg -s openvpn | grep -q 'Version: 2.5.1-3'")
        assert refusal in spaceless(world.deploy_fails("--limit", B.name))
        B.fails("dpkg -s conntrack 2>/dev/null | grep 'Status: install ok installed'")
    world.deploy("--limit", B.name)
    B.succeeds("openvpn --version | grep -q '^OpenVPN 2.[6-9]'")
    B.succeeds("chmod +x /etc/init.d/openvpn")  # Debian's package takes that away when it is removed


def test_identities_that_cannot_be_read_change_no_host(world: World, tmp_path: Path) -> None:
    hosts = (OFFICE, A, B, C)
    for host in hosts:
        host.succeeds(SCRATCH)
    other = tmp_path / "other"
    assert (
        world.run(
            "./vpc",
            "identities",
            "init",
            env=[f"AGE_IDENTITY_FILE={other}/age.key", f"IDENTITIES={other}/identities"],
        ).status
        == 0
    )
    lost, damaged = tmp_path / "lost", tmp_path / "damaged"
    for folder in (lost, damaged):
        shutil.copytree(world.identities, folder)
    (lost / f"{B.name}.key.age").unlink()
    sealed = damaged / "tunnel-us-east-1b.key.age"
    sealed.write_text(sealed.read_text().replace("\n", "\nAAAA", 3))
    for environment, cause in (
        ([f"IDENTITIES={lost}"], f"Missing in {lost}: {B.name}.key.age"),
        ([f"IDENTITIES={damaged}"], f"{sealed} is damaged"),
        ([f"AGE_IDENTITY_FILE={other}/age.key"], "is not encrypted to you"),
        ([f"AGE_IDENTITY_FILE={other}/nothing"], f"{other}/nothing does not exist"),
    ):
        failed = world.deploy_fails(env=environment)
        assert cause in failed.output, failed.output
        assert "No host was changed." in failed.output
        for host in hosts:
            host.fails(MENDED)
    world.deploy()
    for host in hosts:
        host.succeeds(MENDED)


def test_a_tunnel_that_does_not_start_says_why(world: World) -> None:
    write(A, "/root/occupy", OCCUPY.encode())
    B.succeeds(SCRATCH)
    A.succeeds("systemctl stop openvpn-server@office")
    with Background(A, "perl /root/occupy") as occupier:
        occupier.waits_for("held")
        failed = world.deploy_fails("--limit", "nat")
        assert "Address already in use" in failed.output
        # It dies while it starts, or a moment after that.
        said = rf"\[{A.name}\] (openvpn-server@office.service did not start|packets do not cross:)"
        assert re.search(said, spaceless(failed)), failed.output
        B.succeeds(MENDED)
        A.succeeds("kill $(cat /root/occupier)")
    # When the cause is gone it comes up by itself, however often it has failed.
    A.eventually("ip link show tun-office", seconds=10)
    world.deploy("--limit", "nat")


def test_a_packet_that_does_not_cross_fails_the_deploy(world: World, desk: Host) -> None:
    B.succeeds("systemctl disable --quiet --now openvpn-server@office")
    C.succeeds("echo 0 > /proc/sys/net/ipv4/ip_forward")
    started = time.monotonic()
    failed = world.deploy_fails("--limit", "office")
    assert time.monotonic() - started < 40
    assert f"no answer from 10.200.2.1 ({B.name}) through tun-2" in failed.output, failed.output
    assert "Connection refused" in failed.output, "the tunnel's own words are missing"
    assert f"{C.name} answers through its tunnel but does not forward" in failed.output, failed.output
    assert f"({A.name})" not in failed.output.split("packets do not cross:")[-1]
    desk.reaches("10.0.21.10")
    desk.cannot_reach("10.0.23.10")
    # By itself, the zone's own NAT says so too: its unit cannot start, and why.
    squatter = "import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 1194)); time.sleep(600)"
    with changed(B, f'systemd-run --quiet --unit=squatter python3 -c "{squatter}"', "systemctl stop squatter"):
        B.eventually("ss -lun | grep -q ':1194 '")
        failed = world.deploy_fails("--limit", B.name)
        assert "Address already in use" in failed.output, failed.output
        assert "openvpn-server@office.service did not start" in failed.output, failed.output
    world.deploy()
    desk.reaches("10.0.22.10")
    desk.reaches("10.0.23.10")


def test_a_late_icmp_time_exceeded_proves_forwarding(world: World) -> None:
    with world.deploying("--limit", "office") as deploy:
        # A kernel that has just told many that their packets' time is over does not tell the next one.
        with permitting(C, "OUTPUT -p icmp --icmp-type time-exceeded -j DROP"):
            comes_to_operation(deploy, "Packets cross every tunnel")
            time.sleep(5)
            assert deploy.poll() is None, deploy.communicate()[0]
        said = deploy.communicate(timeout=60)[0]
        assert deploy.returncode == 0, said


def write(host: Host, path: str, content: bytes) -> None:
    """Put a file on `host`."""
    answer = lab("exec", host.name, "--", "sh", "-c", f"base64 -d > {path}", stdin=base64.b64encode(content).decode())
    assert answer.status == 0, answer.output
