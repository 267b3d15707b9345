"""Another identity for a host, at once or without a lost packet; and at once where its disk is in other hands."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import click

from vpc_openvpn import system
from vpc_openvpn.command import INTERRUPTED, MATCH, pyinfra
from vpc_openvpn.command.names import ALL, Machine
from vpc_openvpn.command.rebuild import UNPROVED, Stages
from vpc_openvpn.identities import rotation
from vpc_openvpn.identities.rotation import Part, Stage
from vpc_openvpn.identities.store import Store
from vpc_openvpn.site.load import site_path, this_run
from vpc_openvpn.site.model import Site
from vpc_openvpn.site.plan import OFFICE, SINGLE, HostPlan, NatPlan, OfficePlan, Ssh

SEAMLESS = ("--data", "seamless=yes")
AT_ONCE = ("--data", "seamless=no")  # ends what a seamless one that died has begun


class Host(Machine):
    """A host of the site, by its name or by its zone's."""

    def choices(self) -> dict[str, str]:
        return {word: name for word, name in super().choices().items() if word != ALL}


@click.command()
@click.argument("host", type=Machine(), metavar="HOST|all")
@click.option("--seamless", is_flag=True, help="In stages, three deploys, without a lost packet.")
def rotate(host: str, seamless: bool) -> None:
    """Give HOST a new key and certificate.

    ZONE stands for its NAT, whose tunnel gets a new tls-crypt key as well; with the office router all tunnels do. The
    folder changes, and a deploy brings the change to the host and its peers: desks' packets go by a detour while a
    zone's tunnel restarts, and what the zone's hosts send to the office is lost for a few seconds.

    With --seamless none is lost: peers pin the new identity beside the old one, the host gets the new one, the old pin
    goes. Before a tunnel restarts its zone is drained, and what its hosts send to the office waits on its NAT.

    After a failure or Ctrl-C type the same again: it continues from the stage that the files are in, which
    `./vpc identities show` tells. A deploy in between deploys that stage.
    """
    site, plans = this_run()
    store = Store.from_environment(site_path()).claim(plans)
    hosts = [host] if host in plans else list(plans)
    wanted, begun = rotation.parts(plans, hosts), rotation.under_way(store, plans)
    again = f"./vpc identities rotate {host}{' --seamless' if seamless else ''}"
    _refuse_others(plans, wanted, begun)
    zones = [part.zone for part in wanted if part.zone]
    if seamless:
        _refuse_losses(plans, zones, host)
    concerned = list(plans) if OFFICE in hosts else [OFFICE, *hosts]
    store.check({name: plans[name] for name in concerned})
    pyinfra.ask_passphrases(store, {name: plans[name] for name in concerned})
    if silent := _silent(site, {name: plans[name] for name in concerned}):
        raise click.ClickException(
            "\n".join(f"{name} does not answer: {why}" for name, why in silent.items())
            + "\nA rotation changes both ends of a tunnel. Nothing was changed. ./vpc status says what to do."
        )
    if not seamless:
        for line in losses(plans, zones):
            click.echo(line)
    stages, limits = Stages(), [] if len(concerned) == len(plans) else concerned
    later = [part for part in begun if rotation.stage(store, part) > Stage.PREPARED]
    if later:
        click.echo(f"A rotation of {_listed(begun)} is under way: this goes on with it.")
    parts = begun if later else wanted
    for name, data in steps(store, plans, parts, prepared=not later, seamless=seamless):
        with stages.timed(name):
            _deploy(again, *data, limits=limits)
    _say(rotation.finish(store, parts))
    click.echo(f"\n{stages.table()}\n\n{_listed(parts)}: replaced. Commit {store.folder} to git.")
    if later and set(begun) != set(wanted):
        whose = host if host in plans else "all hosts"
        click.echo(f"That was the rotation which was under way. To give {whose} another identity, type the same again.")


def steps(
    store: Store, plans: Mapping[str, HostPlan], parts: Sequence[Part], *, prepared: bool, seamless: bool
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The deploys that are left, by name, each with pyinfra's options. The folder is as it has to be for each when it
    is yielded, and no further. `prepared`: the rotation has come no further than that stage.
    """
    if prepared:
        _say(rotation.prepare(store, plans, parts))
        if seamless:
            yield "peers pin both", SEAMLESS
    _say(rotation.switch(store, parts))
    if seamless and any(rotation.stage(store, part) is Stage.SWITCHED for part in parts):
        yield "new identities in place", SEAMLESS
    _say(rotation.retire(store, parts))
    yield ("old pins gone", SEAMLESS) if seamless else ("deployed", AT_ONCE)


@click.command()
@click.argument("host", type=Host(), metavar="HOST")
@click.option("--with-host", is_flag=True, help="Deploy to HOST, too: the machine, and your way to it, are trusted.")
def revoke(host: str, with_host: bool) -> None:
    """Shut out what has HOST's disk.

    HOST gets a new identity, its tunnels (the office router's: all) new tls-crypt keys, and its peers are deployed to:
    what is on the old disk opens nothing there any more. HOST itself is not deployed to, because its ssh host key is on
    that disk as well, and a machine that has it could take the new identity in HOST's place. Give the zone a new
    machine and type ./vpc rebuild; until then the office reaches the zone by its detour.

    HOST's ssh host keys, of each kind that it still shows, are revoked in known_hosts before any of that. A host that
    does not answer is said. After a failure type the same again; it makes one more new identity.
    """
    site, plans = this_run()
    store = Store.from_environment(site_path()).claim(plans)
    peers = [name for name, plan in plans.items() if isinstance(plan, NatPlan)] if host == OFFICE else [OFFICE]
    parts = rotation.parts(plans, [host])
    store.check({name: plans[name] for name in (host, *peers)})
    pyinfra.ask_passphrases(store, {name: plans[name] for name in (host, *peers)})
    asked = [*peers, *([host] if with_host else [])]
    silent = _silent(site, {name: plans[name] for name in asked})
    for name, why in silent.items():
        click.echo(f"{name} does not answer: {why}", err=True)
    answering = [name for name in asked if name not in silent]
    if not set(answering) & set(peers) or (with_host and host in silent):
        raise click.ClickException(
            f"without {' or '.join(peers)}{f' and {host}' if with_host else ''} there is no deploy that shuts it out."
            " Nothing was changed. ./vpc status says what to do."
        )
    rotation.check(store)
    if not with_host:  # before there is a new identity, which any later deploy would bring to the thief
        _revoke_ssh(host, plans[host].ssh)
    click.echo(_meanwhile(plans, host, with_host=with_host))
    rotation.discard(store, parts)
    _say(rotation.prepare(store, plans, parts))
    _say(rotation.switch(store, parts))
    _say(rotation.retire(store, parts))
    proof = () if with_host and not silent else UNPROVED
    again = f"./vpc identities revoke {host}{' --with-host' if with_host else ''}"
    _deploy(again, *proof, limits=answering)
    try:
        _say(rotation.finish(store, parts))
    finally:  # what the peers have is so, whatever becomes of the old files
        click.echo("\n" + "\n".join(_after(plans[host], with_host=with_host)) + f"\nCommit {store.folder} to git.")
    if silent:
        raise click.ClickException(
            f"{', '.join(silent)} still trust{'s' if len(silent) == 1 else ''} the old identity. When it answers, type:"
            f" ./vpc deploy {' '.join(f'--limit {name}' for name in silent)}"
        )


def losses(plans: Mapping[str, HostPlan], zones: Iterable[str]) -> Iterator[str]:
    """What is lost while the tunnels of `zones` restart, by a default rotation."""
    office = _office(plans)
    if office.strategy == SINGLE:
        yield (
            "With the strategy `single` one connection serves all zones: it restarts, and all packets between the"
            " office and the VPC are lost for a few seconds (6 s in the lab)."
        )
        return
    alone = [zone for zone in zones if not _detours(office, zone)]
    if alone:
        yield f"{', '.join(alone)}: no detour, so desks do not reach it for a few seconds while its tunnel restarts."
    if others := [zone for zone in zones if zone not in alone]:
        yield (
            f"{', '.join(others)}: desks' packets go by a detour while its tunnel restarts; what its hosts send to the"
            " office is lost for a few seconds (with --seamless it is not)."
        )


def _refuse_others(plans: Mapping[str, HostPlan], wanted: Sequence[Part], begun: Sequence[Part]) -> None:
    if outside := [part for part in begun if part not in wanted]:
        raise click.ClickException(
            f"a rotation of {_listed(outside)} is under way. Nothing was changed. Go on with it first, type:"
            f" {rotation.line(plans, begun)}"
        )


def _refuse_losses(plans: Mapping[str, HostPlan], zones: Iterable[str], host: str) -> None:
    office = _office(plans)
    if office.strategy == SINGLE or not all(_detours(office, zone) for zone in zones):
        raise click.ClickException(
            f"--seamless is not possible. {' '.join(losses(plans, zones))}\nNothing was changed. To rotate all the"
            f" same, type: ./vpc identities rotate {host}"
        )


def _office(plans: Mapping[str, HostPlan]) -> OfficePlan:
    return next(plan for plan in plans.values() if isinstance(plan, OfficePlan))


def _detours(office: OfficePlan, zone: str) -> bool:
    return any(check.others for check in office.health_checks if check.tunnel.zone == zone)


def _silent(site: Site, plans: Mapping[str, HostPlan]) -> dict[str, str]:
    """Of these hosts, those that do not let us in, with the reason."""
    from vpc_openvpn.ssh import connection  # takes half a second, which --help need not wait for
    from vpc_openvpn.status import gather
    from vpc_openvpn.status.model import Answer

    connection.check(site)
    hosts = gather.Hosts(plans, gather.STEP, script="echo here", reading=lambda text: Answer(text))
    try:
        return {name: answer.why for name, answer in hosts.answers().items() if answer.report is None}
    finally:
        hosts.close()


def _revoke_ssh(host: str, ssh: Ssh) -> None:
    """Each ssh host key of the disk that is known, or is still shown, is refused from now on."""
    from vpc_openvpn.ssh import acceptance, host_keys

    shown = host_keys.of_its_disk(ssh, acceptance.GLANCE)
    try:
        keys = host_keys.revoke(ssh, shown)
    except OSError as error:
        raise click.ClickException(
            f"the ssh host key of {host} cannot be revoked, so a later deploy could reach what has it."
            f" Nothing was changed. {system.refusal(error, ssh.known_hosts)}"
        ) from None
    if keys:
        click.echo(f"Revoked in {ssh.known_hosts}: {', '.join(map(host_keys.describe, keys))}")
    if missing := [kind for kind in acceptance.USUAL if kind not in {key.algorithm_name for key in keys}]:
        click.echo(
            f"Not revoked, because it does not show them now: its {' and '.join(missing)} keys, if it has such. They"
            f" are on that disk as well. A key of another kind that {ssh.host} shows later may be the old machine's:"
            " compare it with the console of the NEW machine."
        )


def _deploy(again: str, *options: str, limits: Sequence[str]) -> None:
    status = pyinfra.run(pyinfra.DEPLOY, "-y", *options, limits=limits)
    if status == INTERRUPTED:
        raise KeyboardInterrupt
    if status != MATCH:
        raise click.ClickException(
            "this deploy failed; see above for the host and the cause. Fix it, and type the same again, which continues"
            f" from there: {again}"
        )


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)


def _listed(parts: Sequence[Part]) -> str:
    return ", ".join(map(str, parts))


def _meanwhile(plans: Mapping[str, HostPlan], host: str, *, with_host: bool) -> str:
    until = "" if with_host else " until it is rebuilt"
    if host == OFFICE:
        return f"The office reaches no zone{until or ' for a few seconds while the tunnels restart'}."
    plan = plans[host]
    assert isinstance(plan, NatPlan)
    if _detours(_office(plans), plan.zone):
        return f"The office reaches {plan.zone} by its detour{until or ' while its tunnel restarts'}."
    return f"The office does not reach {plan.zone}{until or ' for a few seconds while its tunnel restarts'}."


def _after(plan: HostPlan, *, with_host: bool) -> Iterator[str]:
    """What the old disk still opens, and what to type."""
    if isinstance(plan, OfficePlan):
        yield "What has the old disk of the office router connects to no NAT any more, and no NAT's name helps it."
    else:
        yield (
            f"What has the old disk of {plan.host} is not taken for it by the office any more. It was never taken for"
            " another NAT. If it can also take the Elastic IP address, the zone's tunnel is down, and no more."
        )
    yield f"The ssh host key of {plan.host} is on that disk: it must have another one."
    if with_host:
        yield (
            f"Type on {plan.host}: rm /etc/ssh/ssh_host_*; ssh-keygen -A; systemctl restart ssh; and here, with the"
            f" fingerprint that it prints: ./vpc rebuild {plan.host} --host-key SHA256:…"
        )
    else:
        yield (
            "Next, for a new machine in its place, or for this one once it"
            " has a new ssh host key (rm /etc/ssh/ssh_host_*; ssh-keygen -A; systemctl restart ssh), type:"
            f" ./vpc rebuild {plan.host}"
        )
