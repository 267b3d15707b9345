"""The identities' folder is exchanged, old, or lost: what hosts that run say to that, and how they go on.

desk 192.168.50.10 ── office ══ tun-1 ══ nat-us-east-1a 10.0.1.10 ── app-us-east-1a 10.0.21.10
                        ╠══════ tun-2 ══ nat-us-east-1b 10.0.2.10 ── app-us-east-1b 10.0.22.10
                        ╚══════ tun-3 ══ nat-us-east-1c 10.0.3.10 ── app-us-east-1c 10.0.23.10
"""

import json
import shutil
import time
from pathlib import Path

from tests.scenarios.flows import losing_nothing
from tests.scenarios.harness import Host, World, lab, spaceless
from tests.scenarios.states import all_home, managed, remember

OFFICE, A = Host("office"), Host("nat-us-east-1a")
APPS = ("10.0.21.10", "10.0.22.10", "10.0.23.10")
DESK = "192.168.50.10"
TRUSTED = "sha256sum /etc/openvpn/client/* /etc/vpc-openvpn/pins"
PINNED = f"The identity of {A.name}, which office pins, is another than the last deploy's"


def copied(world: World, tmp_path: Path) -> Path:
    """The folder as it is now, elsewhere."""
    return Path(shutil.copytree(world.identities, tmp_path / "copy"))


def exchanged(world: World, tmp_path: Path) -> Path:
    """A copy of the folder in which a stranger has put another identity of a NAT."""
    copy, strangers = copied(world, tmp_path), tmp_path / "strangers"
    made = world.run("./vpc", "identities", "init", env=[f"IDENTITIES={strangers}"])
    assert made.status == 0, made.output
    for name in (f"{A.name}.crt", f"{A.name}.key.age"):
        shutil.copy(strangers / name, copy)
    return copy


def test_an_exchanged_identity_is_named_and_pinned_by_no_rebuild(world: World, desk: Host, tmp_path: Path) -> None:
    folder = exchanged(world, tmp_path)
    env = [f"IDENTITIES={folder}"]
    before = OFFICE.succeeds(TRUSTED)
    # The lock contradicts it: a plan says so, and a deploy without a question is refused.
    contradicted = f"The identity of {A.name} is another than recipients.lock has"
    planned = world.plan("--limit", "office", env=env)
    assert planned.status == 0 and contradicted in planned.output and PINNED in spaceless(planned)
    refused = world.deploy_fails("--limit", "office", env=env)
    assert contradicted in refused.output and "./vpc identities reencrypt --accept" in refused.output
    # With a lock that fits, as a stranger would write it, the office remembers whom it trusted.
    assert world.run("./vpc", "identities", "reencrypt", "--accept", env=env).status == 0
    planned = world.plan("--limit", "office", env=env)
    assert contradicted not in planned.output and PINNED in spaceless(planned)
    assert lab("replace", A.name).status == 0
    with losing_nothing(desk, *APPS[1:]):
        rebuilt = world.run("./vpc", "rebuild", A.name, "--host-key", key_of(A), env=env)
        assert rebuilt.status == 1 and PINNED in spaceless(rebuilt), rebuilt.output
        assert "A rebuild changes no pin" in spaceless(rebuilt)
    assert OFFICE.succeeds(TRUSTED) == before
    rebuilt = world.run("./vpc", "rebuild", A.name)
    assert rebuilt.status == 0, rebuilt.output
    assert "The office router needs no change." in rebuilt.output
    # The NAT, which had the stranger's, would not take it back unasked.
    refused = world.deploy_fails("--limit", A.name, env=env)
    assert f"--data take_back={A.name}. No host was changed." in spaceless(refused)
    remember(world)  # the NAT remembers the stranger's


def test_an_old_backup_of_the_whole_folder_is_refused(world: World, desk: Host, tmp_path: Path) -> None:
    """Files and lock agree, and what has the NAT's old disk would be trusted again."""
    env = [f"IDENTITIES={copied(world, tmp_path)}"]
    rotated = world.run("./vpc", "identities", "rotate", A.name)
    assert rotated.status == 0, rotated.output
    all_home()
    before = {name: managed(Host(name)) for name in world.hosts}
    for limit, said in (("office", "office: "), (A.name, f"{A.name}: ")):
        refused = spaceless(world.deploy_fails("--limit", limit, env=env))
        assert f"{said}the identity of {A.name} in the folder, " in refused, refused
        assert f"--data take_back={A.name}. No host was changed." in refused
    planned = world.plan(env=env)
    assert planned.status == 0 and "is one that a deploy has replaced" in spaceless(planned)
    rebuilt = world.run("./vpc", "rebuild", A.name, env=env)
    assert rebuilt.status == 1 and "is one that a deploy has replaced" in spaceless(rebuilt)
    assert {name: managed(Host(name)) for name in world.hosts} == before
    # A word for it, and one for the way back.
    for more in (env, []):
        back = world.apply("--data", f"take_back={A.name}", env=more)
        assert back.status == 0, back.output
        assert world.apply(env=more).changed == {}
        desk.eventually(f"ping -c 1 -W 1 {APPS[0]}")
    all_home()
    assert world.plan().pending == {}
    remember(world)


def test_everything_is_lost_and_one_deploy_makes_it_good(world: World, desk: Host) -> None:
    """As docs/keys-and-people.md says, "Every key is lost": the folder, and the operator's own key."""
    places = {path: path.with_name(f"{path.name}.lost") for path in (world.identities, world.age_key)}
    for path, place in places.items():
        path.rename(place)
    began = time.monotonic()
    made = world.run("./vpc", "identities", "init")
    assert made.status == 0 and "your age identity" in made.output, made.output
    planned = spaceless(world.plan())
    assert all(f"The identity of {host} is another than the last deploy's" in planned for host in world.hosts)
    before = time.monotonic()
    deployed = world.run("./vpc", "deploy", "-y")
    assert deployed.status == 0, deployed.output
    for app in APPS:
        desk.eventually(f"ping -c 1 -W 1 {app}")
    for letter in "abc":
        Host(f"app-us-east-1{letter}").eventually(f"ping -c 1 -W 1 {DESK}")
    now = time.monotonic()
    print(f"new identities, {len(world.hosts)} hosts: a deploy of {now - before:.0f} s, altogether {now - began:.0f} s")
    all_home()
    assert world.plan().pending == {}
    for place in places.values():
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    remember(world)


def key_of(host: Host) -> str:
    """The fingerprint of its ssh host key, as its console shows it."""
    listed = json.loads(lab("list", "--json").output)
    return next(str(each["ssh_host_key"]) for each in listed if each["name"] == host.name)
