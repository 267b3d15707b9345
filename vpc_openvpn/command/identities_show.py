"""What identities there are, how old, what is due; and with --live what the hosts have, compared with it."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

import click

from vpc_openvpn.command import ERROR, MATCH, PENDING
from vpc_openvpn.command.names import as_json
from vpc_openvpn.identities import people, report, rotation
from vpc_openvpn.identities.errors import CredentialsError
from vpc_openvpn.identities.store import Store
from vpc_openvpn.site.load import site_path, this_run
from vpc_openvpn.site.model import Site
from vpc_openvpn.site.plan import HostPlan


@dataclass(frozen=True, slots=True)
class Seen:
    """What a host has otherwise than the folder, and the line to type; or why it did not answer."""

    differences: tuple[str, ...] = ()
    type: str = ""
    why: str = ""


@click.command()
@click.option("--live", is_flag=True, help="Ask the hosts what they have and pin, and compare. Changes nothing.")
@as_json
def show(live: bool, json_output: bool) -> int:
    """Show each identity, its age and what is due.

    For each host the fingerprint that its peers pin, and for each tunnel the SHA-256 of its tls-crypt key's file; who
    can decrypt them, by recipients.lock; how far a rotation has come, and the line that goes on with it. What is due,
    the site file says (identities.max_age_days): certificates have no end.

    Exit status with --live: 0 the hosts have what the folder has; 2 they differ; 1 a host did not answer.
    """
    site, plans = this_run()
    store, limit = Store.from_environment(site_path()).claim(plans), site.identities.max_age_days
    found = report.rows(store, plans, limit, time.time())
    if not any(row.part.host for row in found):
        raise CredentialsError(f"There are no certificates in {store.folder}.\nType: ./vpc identities init")
    begun, wished = rotation.under_way(store, plans), [*map(str, people.wished(store))]
    resume = rotation.line(plans, begun) if begun else ""
    if begun and any(
        rotation.stage(store, part) in (rotation.Stage.PREPARED, rotation.Stage.SWITCHED) for part in begun
    ):
        resume += " --seamless"
    sums = {row.part.zone: row.fingerprint for row in found if row.part.zone}
    seen = _seen(site, plans, store, sums, resume) if live else {}
    others = [host for host in store.hosts() if host not in plans]
    if json_output:
        document = {
            "identities": [row.document for row in found],
            "not_in_site": others,
            "recipients": wished,
            "max_age_days": limit,
            "type": resume or None,
            **({"live": {host: _document(each) for host, each in seen.items()}} if live else {}),
        }
        click.echo(json.dumps(document, indent=2))
    else:
        for line in report.lines(found, wished, limit, resume):
            click.echo(line)
        if others:
            click.echo(f"Not in the site file: {', '.join(others)}.")
        for host, each in seen.items():
            click.echo("\n".join(_said(host, each)))
    if any(each.differences for each in seen.values()):
        return PENDING
    return ERROR if any(each.why for each in seen.values()) else MATCH


def _seen(
    site: Site, plans: Mapping[str, HostPlan], store: Store, sums: Mapping[str, str | None], resume: str
) -> dict[str, Seen]:
    """Each host's own answer, compared. Raises UnusableKeyError, SiteError."""
    from vpc_openvpn.ssh import connection  # takes half a second, which --help need not wait for
    from vpc_openvpn.status import gather
    from vpc_openvpn.status.model import Answer

    def reading(text: str) -> Answer:
        try:
            return Answer(report.read(text))
        except ValueError:
            return Answer(None, "its answer cannot be read")

    connection.check(site)
    hosts = gather.Hosts(plans, script=report.SCRIPT, reading=reading)
    try:
        answers = hosts.answers()
    finally:
        hosts.close()
    found = {}
    for host, answer in answers.items():
        if answer.report is None:
            found[host] = Seen(why=answer.why or "it does not answer")
            continue
        differing = report.differences(store, plans[host], answer.report, sums)
        found[host] = Seen(tuple(differing), resume or f"./vpc deploy --limit {host}" if differing else "")
    return found


def _said(host: str, each: Seen) -> list[str]:
    if each.why:
        return [f"{host}: unknown: {each.why}"]
    if not each.differences:
        return [f"{host}: has what the folder has."]
    return [*(f"{host}: {difference}" for difference in each.differences), f"{host}: type {each.type}"]


def _document(each: Seen) -> dict[str, object]:
    return {"differences": list(each.differences), "type": each.type or None, "unknown": each.why or None}
