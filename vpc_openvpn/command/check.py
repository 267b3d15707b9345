"""The site file and the identities, looked at before anything connects."""

import json
from functools import partial

import click

from vpc_openvpn.command import ERROR, MATCH
from vpc_openvpn.command.names import as_json
from vpc_openvpn.identities.errors import CredentialsError
from vpc_openvpn.identities.store import Store
from vpc_openvpn.site.load import SiteError, site_path, this_run


@click.command()
@as_json
def check(json_output: bool) -> int:
    """Check the site file and the identities.

    Connects to no host.
    """
    from vpc_openvpn.ssh import connection  # takes as long as all other imports

    problems, hosts = [], list[str]()
    try:
        site, plans = this_run()
    except SiteError as error:
        problems.append(str(error))
    else:
        hosts += plans
        store = Store.from_environment(site_path())
        looks = (partial(connection.check, site), partial(store.claim, plans), partial(store.check, plans))
        for look in looks:
            try:
                look()
            except (SiteError, CredentialsError) as error:
                problems.append(str(error))
    if json_output:
        click.echo(json.dumps({"site": str(site_path()), "hosts": hosts, "problems": problems}, indent=2))
    elif problems:
        click.echo("\n\n".join(problems), err=True)
    else:
        click.echo(f"{site_path()} is right, and its {len(hosts)} hosts have their identities: {', '.join(hosts)}.")
    return ERROR if problems else MATCH
