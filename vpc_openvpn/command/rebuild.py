"""Blank machines become the hosts that they replace: wait for ssh, accept the host key, deploy, verify; with times."""

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as until_done
from contextlib import contextmanager

import click

from vpc_openvpn.command import INTERRUPTED, MATCH, pyinfra
from vpc_openvpn.command.drift import pending
from vpc_openvpn.command.names import ALL, Machine, zones
from vpc_openvpn.identities import people
from vpc_openvpn.identities.errors import CredentialsError
from vpc_openvpn.identities.store import Store
from vpc_openvpn.site.load import site_path, this_run
from vpc_openvpn.site.plan import OFFICE, SINGLE, HostPlan

VERIFY = "deploys/verify_failback.py"
BOOT = 300  # seconds for a machine that still boots
UNPROVED = ("--data", "proof=no")
TRUSTED = ("--data", "new_pins=no")  # -y is ours here: the operator has seen no plan, so no host trusts another by it


@click.command()
@click.argument("machines", nargs=-1, required=True, type=Machine(), metavar="ZONE|HOST|all…")
@click.option(
    "--host-key",
    "expected",
    multiple=True,
    metavar="[HOST=]SHA256:…",
    help="The fingerprint of its new ssh host key, from its console. Without it, you are asked.",
)
@click.option(
    "--wait",
    type=click.IntRange(min=0),
    default=BOOT,
    show_default=True,
    metavar="SECONDS",
    help="For a machine that still boots.",
)
def rebuild(machines: Sequence[str], expected: Sequence[str], wait: int) -> None:
    """Rebuild lost hosts on blank machines.

    ZONE stands for its NAT; `office` is the office router. Each host gets its old identity, so that no other host needs
    a change. If the site file gives a NAT another public address than before, the office router is deployed as well;
    not if it would pin another certificate than before.

    Succeeds when packets for each rebuilt zone cross the zone's own tunnel again. After a failure, type the same again:
    it continues from there.
    """
    site, plans = this_run()
    hosts = dict(plans) if ALL in machines else {name: plans[name] for name in plans if name in machines}
    keys = _expected(expected, hosts)
    store = Store.from_environment(site_path()).claim(plans)
    store.check(hosts)
    if wrong := people.review(store).wrong:  # before anything is waited for; a deploy with -y refuses it, too
        raise CredentialsError(wrong)
    from vpc_openvpn.ssh import acceptance, connection  # takes half a second, which --help need not wait for

    connection.check(site)
    pyinfra.ask_passphrases(store, {**hosts, OFFICE: plans[OFFICE]})
    stages = Stages()
    try:
        with stages.timed("ssh answers"):
            shown = acceptance.wait_for_ssh(hosts, time.monotonic() + wait)
        with stages.timed("host key accepted"):
            for name, key in shown.items():
                acceptance.judge(name, hosts[name], key, keys.get(name))
    except acceptance.AcceptanceError as error:
        raise click.ClickException(str(error)) from None
    with ThreadPoolExecutor(1) as beside:
        office = None if OFFICE in hosts else beside.submit(_see_to_office)
        if office and store.identity().plugins:  # which may ask, at the one terminal
            until_done([office])
        with stages.timed("deployed"):
            _run(pyinfra.DEPLOY, "-y", *TRUSTED, limits=[*hosts])
        if office:
            with stages.timed("office router seen to"):
                if not office.result():
                    raise click.ClickException(
                        "the office router is not deployed; see above for the cause. Fix it, and type the same again."
                    )
    single = plans[OFFICE].strategy == SINGLE
    rebuilt = [] if single else zones((plans if OFFICE in hosts else hosts).values())
    if rebuilt:
        with stages.timed("failback"):
            _run(VERIFY, "-y", "--data", f"zones={','.join(rebuilt)}", limits=[OFFICE])
    click.echo(f"\n{stages.table()}\n\n{_verdict(list(hosts), rebuilt)}")


def _expected(words: Sequence[str], hosts: Mapping[str, HostPlan]) -> dict[str, str]:
    """Fingerprints by host."""
    expected = {}
    for word in words:
        name, _, fingerprint = word.rpartition("=") if not word.startswith("SHA256:") else ("", "", word)
        if not fingerprint.startswith("SHA256:"):
            raise click.ClickException(
                f"{word} is no fingerprint of a host key. Write it as its console shows it: SHA256:…"
            )
        if not name and len(hosts) != 1:
            raise click.ClickException(f"which host's key is {word}? Write: {next(iter(hosts))}={word}")
        if name and name not in hosts:
            raise click.ClickException(f"{word}: {name} is none of the hosts to rebuild: {', '.join(hosts)}")
        expected[name or next(iter(hosts))] = fingerprint.rstrip("=")
    return expected


def _run(deploy: str, *options: str, limits: Sequence[str]) -> None:
    status = pyinfra.run(deploy, *options, limits=limits)
    if status == INTERRUPTED:
        raise KeyboardInterrupt
    if status != MATCH:
        raise click.ClickException(
            "this run failed; see above for the host and the cause. Fix it, and type the same again."
        )


def _see_to_office() -> bool:
    """Look whether the office router is as the site says, and bring it up to date. False where that failed.

    Runs beside the deploy to the NATs, whose proof waits for the office. Whether packets cross is not asked here: that
    is for the end, and most of the time they do not, as long as a NAT is dead.
    """
    changes = pending([OFFICE], UNPROVED, quiet=True)
    if changes is None:
        click.echo("The office router's state is unknown. If its address is new, type: ./vpc deploy --limit office")
        return True
    if not changes:
        click.echo("The office router needs no change.")
        return True
    click.echo(
        f"The office router does not match the site file ({'; '.join(changes[OFFICE])}): it is deployed as well."
    )
    command = pyinfra.words(pyinfra.DEPLOY, "-y", *TRUSTED, *UNPROVED, limits=[OFFICE])
    with pyinfra.begun() as how:
        done = subprocess.run(
            pyinfra.program(command),
            **how,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    pyinfra.show(command)
    click.echo(done.stdout)
    return done.returncode == 0


class Stages:
    """How long each stage took, in seconds."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """The block is the stage `name`."""
        began = time.monotonic()
        yield
        self._seconds[name] = time.monotonic() - began

    def table(self) -> str:
        """A line for each stage, and one for all of them."""
        rows = {**self._seconds, "altogether": sum(self._seconds.values())}
        return "\n".join(f"    {name:24}{seconds:7.1f} s" for name, seconds in rows.items())


def _verdict(hosts: Sequence[str], zones: Sequence[str]) -> str:
    back = f"{', '.join(hosts)}: rebuilt."
    if not zones:
        return f"{back} With the strategy `single` the office is connected to one NAT at a time, this one or another."
    return f"{back} What a desk sends to {', '.join(zones)} crosses the zone's own tunnel."
