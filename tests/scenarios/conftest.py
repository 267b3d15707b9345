"""The scenarios' lab: three zones, booted once, and brought back to its own site after every scenario.

desk ── office ── internet ── nat-us-east-1a, -1b, -1c ── app-us-east-1a, -1b, -1c
                     └── web
"""

import os
from collections.abc import Iterator

import pytest

from tests.scenarios.harness import Host, Site, World, idle_keeper, lab
from tests.scenarios.states import all_home, remember, restore

ZONES = 3
RELEASE = os.environ.get("SCENARIO_RELEASE")  # of Debian, such as trixie; the machine's own where it is not given

# Two workers end together where the longest files are dealt out first (--no-loadscope-reorder).
LONGEST_FIRST = [
    *("test_detours.py", "test_metrics.py", "test_rotation.py", "test_neighbours.py", "test_sweep.py"),
    *("test_bad_luck.py", "test_status.py", "test_firewalld.py", "test_rebuild.py", "test_keeper.py", "test_drift.py"),
    *("test_site_changes.py", "test_proof.py", "test_firewall.py", "test_trust.py", "test_operators.py"),
    *("test_attacks.py", "test_dry_run.py", "test_strategies.py", "test_lockout.py", "test_hosts.py", "test_guard.py"),
    *("test_what_may_pass.py", "test_folder.py", "test_upgrade.py", "test_traffic.py", "test_reboot.py"),
    "test_world.py",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files in the order in which they are begun."""
    items.sort(key=lambda item: [*LONGEST_FIRST, item.path.name].index(item.path.name))


@pytest.fixture(scope="session")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The lab with its site deployed. Ends the whole run where that does not work: nothing else could."""
    if os.geteuid() != 0:
        pytest.exit("The scenarios boot hosts, which takes root: sudo make test (make check needs no root).", 1)
    lab("down")
    release = ("--release", RELEASE) if RELEASE else ()
    started = lab("up", "--zones", str(ZONES), *release, timeout=900)
    if started.status != 0:
        pytest.exit(f"The lab does not start:\n{started.output}", 1)
    try:
        world = World(tmp_path_factory.mktemp("site") / "site.yml")
        for host in world.hosts:
            idle_keeper(host)
        world.deploy()
        remember(world)
        yield world
    finally:
        lab("down")


@pytest.fixture(scope="module", autouse=True)
def site_of_module(request: pytest.FixtureRequest, booted: World) -> Iterator[None]:
    """The lab with what the module's SITE changes of its site; a mapping in it is added to the lab's. After a module
    that INSTALLS packages, which no deploy removes, the hosts are new.
    """
    changes: Site = getattr(request.module, "SITE", {})
    lab_site = booted.lab_site
    added = {key: lab_site.get(key, {}) | value for key, value in changes.items() if isinstance(value, dict)}
    baseline = lab_site | changes | added
    if baseline != booted.baseline:
        booted.baseline = baseline
        booted.use(baseline)
        changed = booted.apply()
        assert changed.status == 0, changed.output
        remember(booted)
    yield
    if getattr(request.module, "INSTALLS", False):
        booted.renew()
        remember(booted)


@pytest.fixture
def world(booted: World) -> Iterator[World]:
    """The lab as its site says, with every zone reached by its own tunnel. What a scenario leaves otherwise is mended
    after it.
    """
    booted.use(booted.baseline)
    all_home()
    yield booted
    restore(booted)


@pytest.fixture
def open_vpc(world: World) -> None:
    """Source/destination checks and security groups are in the way of no packet."""
    Host("vpc").succeeds("nft insert rule ip judgement forward accept")


@pytest.fixture
def desk() -> Host:
    """A desk in the office: 192.168.50.10."""
    return Host("desk")


@pytest.fixture
def office() -> Host:
    """The office's router: 192.168.50.1 and 198.51.100.10."""
    return Host("office")


@pytest.fixture
def web() -> Host:
    """A web server on the internet: 198.51.100.200. Its page shows the address that asks."""
    return Host("web")
