"""Two operators, or one who changes his mind: no two deploys work on the same host, and an exit status tells the truth.

operator, operator ── office, nat-us-east-1a, -1b, -1c
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.scenarios.flows import Background, armed, changed
from tests.scenarios.harness import DEPLOY, Host, World, spaceless
from tests.scenarios.states import MONITOR, all_home, managed

B, C = Host("nat-us-east-1b"), Host("nat-us-east-1c")
REFUSED = r"another deploy is under way: \S+@\S+, since \d\d:\d\d:\d\d UTC"
LOCKED = "! flock -n /run/vpc-openvpn/deploy.lock true"
SILENCE = 30  # seconds after which a lock is released
SLOW = "cd /usr/bin && mv sha256sum sha256sum.real && printf '#!/bin/sh\nsleep 45\n' > sha256sum && chmod +x sha256sum"
QUICK = "cd /usr/bin && mv sha256sum.real sha256sum"


def test_one_of_two_simultaneous_deploys_succeeds(world: World) -> None:
    refusals = 0
    for _ in range(4):
        with ExitStack() as both:
            runs = [both.enter_context(world.deploying()) for _ in range(2)]
            said = [run.communicate(timeout=120)[0] for run in runs]
        statuses = sorted(run.returncode for run in runs)
        assert statuses in ([0, 0], [0, 1]), "\n".join(said)
        for run, output in zip(runs, said, strict=True):
            assert "Traceback" not in output, output
            if run.returncode:
                refusals += 1
                assert re.search(REFUSED, output), output
                assert "Starting operation: Packages" not in output
    assert refusals, "they never met"


def test_a_second_deploy_is_refused_until_the_first_ends(world: World) -> None:
    with waiting_deploy(world) as first:
        late = world.deploy_fails()
        assert re.search(
            rf"nat-us-east-1.: {REFUSED}. Nothing was changed; type the same again when that", spaceless(late)
        )
        assert "Starting operation: Packages" not in late.output
        # Hosts outside the first deploy's limit are not locked.
        assert world.apply("--limit", "office").status == 0
        first.kill()
        first.wait()
    assert world.apply("--limit", "nat").status == 0


FOLDERS = "/run/vpc-openvpn,/etc/vpc-openvpn,/usr/local/lib/vpc-openvpn"


@contextmanager
def holding_all(host: Host, arms: str) -> Iterator[Background]:
    """A user without rights locks all files of ours that he can open."""
    user = "setpriv --pdeathsig KILL --reuid 65534 --regid 65534 --clear-groups"  # which setuid(2) takes away
    with Background(host, f"{user} {arms} hold {FOLDERS}") as holder:
        yield holder
    host.eventually("! pgrep -f '[p]eers.py hold'")


@pytest.mark.attack
def test_a_user_who_holds_all_that_he_can_open_stops_nothing(world: World, office: Host) -> None:
    """No deploy, no load of the rules, no monitor, no start of BIRD; on the office router and on a NAT."""
    with armed(office, B) as arms:
        with holding_all(office, arms) as one, holding_all(B, arms) as other:
            for holder in (one, other):
                assert int(holder.waits_for("^holds .*").split()[1]) > 20
                for unit in ("reload vpc-openvpn-firewall", "restart vpc-openvpn-bird"):
                    holder.host.succeeds(f"timeout 10 systemctl {unit}")
            office.succeeds(f"timeout 5 {MONITOR} show")
            all_home()
            world.deploy()
        opened = "chmod {} /run/vpc-openvpn/deploy.lock"
        for host in (office, B):
            with changed(host, opened.format(644), opened.format(600)), holding_all(host, arms) as holder:
                holder.waits_for("^holds ")
                assert re.search(REFUSED, world.deploy_fails("--limit", host.name).output)


def test_the_lock_of_a_silent_deploy_is_released(world: World) -> None:
    with waiting_deploy(world) as first:
        first.send_signal(signal.SIGSTOP)  # its connections stay, as they do when a line is cut
        stopped = time.monotonic()
        assert re.search(REFUSED, world.deploy_fails("--limit", C.name).output)
        C.eventually(f"! {{ {LOCKED}; }}", SILENCE + 10)
        assert time.monotonic() - stopped > SILENCE / 2
        assert world.apply("--limit", C.name).status == 0


def test_a_deploy_that_slept_does_not_go_on_without_its_lock(world: World) -> None:
    site = world.copy_of_site()
    site["operators"] = ["203.0.113.0/24"]
    world.use(site)
    before = managed(B)
    with changed(B, SLOW, QUICK), world.deploying("--limit", B.name) as run:
        B.eventually(LOCKED)
        run.send_signal(signal.SIGSTOP)
        B.eventually(f"! {{ {LOCKED}; }}", SILENCE + 10)
        run.send_signal(signal.SIGCONT)
        output, _ = run.communicate(timeout=60)
    assert run.returncode == 1 and "its lock is lost" in output, output
    assert managed(B) == before


def test_an_interrupted_deploy_exits_130(world: World) -> None:
    with waiting_deploy(world) as run:
        run.send_signal(signal.SIGINT)
        output, _ = run.communicate(timeout=30)
        assert run.returncode == 130, output
        assert "Interrupted. Every host is left as far as it got; type the same again" in output
        assert "Traceback" not in output and "Exception" not in output
        C.eventually(f"! {{ {LOCKED}; }}")


def test_without_a_terminal_a_dead_host_fails_a_plan(world: World, tmp_path: Path) -> None:
    site, known_hosts = world.copy_of_site(), tmp_path / "known_hosts"
    site["zones"][2]["nat"]["ssh"] = {"port": 9}
    # It is trusted there as well: by another port ssh knows it by another name.
    genuine = Path(world.baseline["ssh"]["known_hosts"]).read_text()
    known_hosts.write_text(genuine + genuine.replace("198.51.100.23 ", "[198.51.100.23]:9 "))
    site["ssh"]["known_hosts"] = str(known_hosts)
    world.use(site)
    failed = world.run(*DEPLOY, "--dry", "--limit", "nat")
    assert failed.status == 1
    assert f"[{C.name}] Could not connect" in spaceless(failed) and "of hosts failed" in failed.output
    assert "Traceback" not in failed.output and "EOF" not in failed.output


def test_a_changed_host_key_is_refused_with_any_known_hosts(world: World, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    site = world.copy_of_site()
    site["ssh"]["known_hosts"] = str(known_hosts)
    world.use(site)
    genuine = Path(world.baseline["ssh"]["known_hosts"]).read_text()
    key = new_key(tmp_path / "other").with_suffix(".pub").read_text().split()[:2]
    wrong = "".join(f"{line.split()[0]} {' '.join(key)}\n" for line in genuine.splitlines())
    # What pyinfra's own client takes for the end of the file; the second is a line that ssh itself takes.
    known_hosts.write_text(f"not a known hosts file @@@\n{wrong}")
    failed = world.deploy_fails()
    assert f"ssh.known_hosts: {known_hosts}" in failed.output and "line 1 is not `HOST KIND KEY`" in failed.output
    known_hosts.write_text(f"@cert-authority *.example.com {' '.join(key)}\n{wrong}")
    failed = world.deploy_fails()
    assert failed.output.count("ssh-keygen -R") == len(world.hosts), failed.output
    assert "accepting" not in failed.output
    known_hosts.write_text(f"@cert-authority *.example.com {' '.join(key)}\n{genuine}")
    assert world.plan().status == 0


def test_a_key_with_a_passphrase_is_used_through_the_agent(world: World, tmp_path: Path) -> None:
    site = world.copy_of_site()
    key, agent = tmp_path / "key", tmp_path / "agent"
    key.write_bytes(Path(site["ssh"]["key"]).read_bytes())
    key.chmod(0o600)
    with subprocess.Popen(["ssh-agent", "-D", "-a", agent], stdout=subprocess.DEVNULL) as process:
        try:
            while not agent.exists():
                time.sleep(0.01)
            subprocess.run(["ssh-add", "-q", key], env={**os.environ, "SSH_AUTH_SOCK": str(agent)}, check=True)
            subprocess.run(["ssh-keygen", "-q", "-p", "-N", "correct horse", "-f", key], check=True)
            site["ssh"]["key"] = str(key)
            world.use(site)
            with_agent, without = (f"SSH_AUTH_SOCK={agent}",), ("SSH_AUTH_SOCK=",)
            done = world.run("setsid", "-w", "./vpc", "rebuild", "us-east-1b", env=with_agent)
            assert done.status == 0, done.output
            assert "crosses the zone's own tunnel" in done.output
            for command in (["./vpc", "drift"], ["./vpc", "rebuild", B.name], [*DEPLOY, "-y"]):
                failed = world.run("setsid", "-w", *command, env=without, timeout=30)
                assert failed.status == 1, failed.output
                assert "the ssh agent does not hold it, and there is no terminal to ask on" in failed.output
                assert f"ssh-add {key}" in failed.output and "Traceback" not in failed.output, failed.output
        finally:
            process.kill()


def test_a_wrong_host_is_refused_before_any_is_changed(world: World, office: Host, tmp_path: Path) -> None:
    hosts = [office, *(Host(name) for name in world.hosts[1:])]
    before = [managed(host) for host in hosts]
    # The Elastic IP addresses of two zones, one for the other.
    site = world.copy_of_site()
    nats = [zone["nat"] for zone in site["zones"]]
    nats[1]["public_address"], nats[2]["public_address"] = nats[2]["public_address"], nats[1]["public_address"]
    world.use(site)
    failed = spaceless(world.deploy_fails("--limit", B.name))
    assert f"{B.name}: the host that answers at 198.51.100.23 has 10.0.3.10, the private_address of {C.name}" in failed
    assert world.run("./vpc", "drift").status == 1
    # Another office, with an identity and a LAN of its own.
    site = world.copy_of_site()
    site["office"] |= {"lans": ["192.168.60.0/24"], "public_address": "198.51.100.99"}
    world.use(site)
    own = (f"IDENTITIES={tmp_path}",)
    assert world.run("./vpc", "identities", "init", env=own).status == 0
    failed = spaceless(world.deploy_fails("--limit", "nat", env=own))
    assert re.search(r"nat-us-east-1. belongs to another site \(198.51.100.10 192.168.50.0/24 to 10.0.0.0/16; ", failed)
    assert "--data take_over=yes. No host was changed." in failed
    assert [managed(host) for host in hosts] == before
    # The same site with new identities is no other site; nor is one with take_over=yes.
    assert world.plan("--limit", "nat", "--data", "take_over=yes", env=own).status == 0
    world.use(world.baseline)
    renewed = world.plan(env=own)
    assert renewed.status == 0 and "Identity is in place" in renewed.pending[B.name]
    assert f"The identity of {B.name} is another than the last deploy's" in spaceless(renewed)


def new_key(file: Path) -> Path:
    """An ssh key without a passphrase, and its public half beside it."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)
    return file


@contextmanager
def waiting_deploy(world: World) -> Iterator[subprocess.Popen[str]]:
    """A deploy to all NATs that does not get on: one of them takes a minute to say which files it has."""
    with changed(B, SLOW, QUICK), world.deploying("--limit", "nat") as run:
        for host in (B, C):
            host.eventually(LOCKED)
        yield run
