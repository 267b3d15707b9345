"""A deploy that dies, at whatever moment and of whatever cause, is completed by the next; other zones never notice.

operator ── office ══ tun-1 ══ nat-us-east-1a ── app 10.0.21.10
              ╠══════ tun-2 ══ nat-us-east-1b ── app 10.0.22.10      the one that is deployed to
              ╚══════ tun-3 ══ nat-us-east-1c ── app 10.0.23.10

`make test-sweep` cuts off every operation in every way (SWEEP=full); `make test` three operations in one way each.
"""

import os
import random
import subprocess
import time
from itertools import product

import pytest

from tests.scenarios.flows import losing_nothing
from tests.scenarios.harness import Host, Run, Site, World, comes_to_operation, lab
from tests.scenarios.states import all_home, difference, managed, settled

B = Host("nat-us-east-1b")
OTHERS = ("10.0.21.10", "10.0.23.10")
OPERATIONS = (
    "Nor is one on the other hosts",
    "Packages are installed",
    "Identity is in place",
    "Firewall and guard routes are loaded",
    "Forwarding is on",
    "Tunnels are configured",
    "Zones are reached by their best way",
    "Tunnels are running",
    "us-east-1b: the NAT's end runs what is on disk",
    "Packets cross every tunnel",
)
STATES = ("blank", "configured")
CUTS = ("operator killed", "operator's line cut", "host's power cut")
FULL = os.environ.get("SWEEP") == "full"
ALL = list(product(STATES, OPERATIONS, CUTS))
SAMPLE = [  # each state and each cut; operations that only write files take one and the same way
    ("configured", "Firewall and guard routes are loaded", "operator's line cut"),
    ("blank", "Tunnels are configured", "host's power cut"),
    ("configured", "us-east-1b: the NAT's end runs what is on disk", "operator killed"),
]
WITHIN = 0.5  # seconds after an operation's beginning
LOCKED = 45  # seconds for which a host may keep the lock of a dead deploy


@pytest.fixture(scope="module")
def undisturbed(booted: World) -> dict[str, str]:
    """What an undisturbed deploy leaves, from either state."""
    of_blank = managed(B)
    booted.use(changed_site(booted))
    assert booted.apply("--limit", B.name).status == 0
    of_configured = managed(B)
    booted.use(booted.baseline)
    assert booted.apply("--limit", B.name).status == 0
    assert managed(B) == of_blank != of_configured
    return {"blank": of_blank, "configured": of_configured}


@pytest.mark.parametrize(("state", "operation", "cut"), ALL if FULL else SAMPLE)
def test_a_deploy_that_dies_is_completed_by_the_next(
    world: World, desk: Host, undisturbed: dict[str, str], state: str, operation: str, cut: str
) -> None:
    moment = random.uniform(0, WITHIN)
    print(f"{moment:.3f} s after the operation began")
    if state == "blank":
        world.replace(B.name)
    else:
        world.use(changed_site(world))
    with losing_nothing(desk, *OTHERS):
        with world.deploying("--limit", B.name) as process:
            comes_to_operation(process, operation)
            time.sleep(moment)
            cut_off(process, cut)
        completed = completes(world, "--limit", B.name)
        assert completed.status == 0, completed.output
    assert difference(undisturbed[state], managed(B), B.name) == ""
    desk.eventually("ping -q -c 1 -W 1 10.0.22.10")


@pytest.mark.parametrize(
    ("moment", "cut"),
    [("pgrep -x dpkg", "host's power cut"), ("systemctl is-active bird.service", "operator killed")],
)
def test_an_interrupted_apt_is_completed(world: World, undisturbed: dict[str, str], moment: str, cut: str) -> None:
    world.replace(B.name)
    with world.deploying("--limit", B.name) as process:
        comes_to_operation(process, "Packages are installed")
        B.eventually(moment)
        cut_off(process, cut)
    completed = completes(world, "--limit", B.name)
    assert completed.status == 0, completed.output
    assert difference(undisturbed["blank"], managed(B), B.name) == ""


@pytest.fixture(scope="module")
def everywhere(booted: World) -> dict[str, str]:
    """What an undisturbed deploy of the changed site leaves on every host."""
    booted.use(changed_site(booted))
    assert booted.apply().status == 0
    all_home()
    state = settled(booted.hosts)
    booted.use(booted.baseline)
    assert booted.apply().status == 0
    return state


@pytest.mark.parametrize("operation", OPERATIONS if FULL else OPERATIONS[3:8:2])
def test_a_full_deploy_that_dies_is_completed_by_the_next(
    world: World, desk: Host, everywhere: dict[str, str], operation: str
) -> None:
    world.use(changed_site(world))
    with world.deploying() as process:
        comes_to_operation(process, operation)
        time.sleep(random.uniform(0, WITHIN))
        cut_off(process, "operator killed")
    completed = completes(world)
    assert completed.status == 0, completed.output
    all_home()
    state = settled(world.hosts)
    assert [each for name in state if (each := difference(everywhere[name], state[name], name))] == []
    for address in ("10.0.22.10", *OTHERS):
        desk.eventually(f"ping -q -c 1 -W 1 {address}")


def changed_site(world: World) -> Site:
    """Another office network: other rules, routes and configurations on every host."""
    site = world.copy_of_site()
    site["office"]["lans"].append("192.168.60.0/24")
    return site


def cut_off(process: subprocess.Popen[str], cut: str) -> None:
    """The deploy ends here. Afterwards everything can be reached again."""
    match cut:
        case "operator killed":
            process.kill()
            process.wait()
        case "operator's line cut":
            operator = Host("operator")
            operator.succeeds("ip link set eth0 down")
            process.kill()
            process.wait()
            time.sleep(1)
            operator.succeeds("ip link set eth0 up && ip route replace default via 192.168.50.1")
        case "host's power cut":
            assert lab("kill", B.name).status == 0
            process.kill()
            process.wait()
            assert lab("start", B.name).status == 0
            B.eventually("systemctl is-system-running | grep -qx -e running -e degraded", 30)
        case _:
            raise ValueError(cut)


def completes(world: World, *options: str) -> Run:
    """The same deploy again, as soon as the dead one's lock is gone."""
    deadline = time.monotonic() + LOCKED
    while "another deploy is under way" in (run := world.apply(*options)).output:
        assert time.monotonic() < deadline, run.output
        time.sleep(1)
    return run
