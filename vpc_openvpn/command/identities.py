"""The identities that tunnels trust: made, shown, replaced, encrypted anew; and who can read them."""

import click

from vpc_openvpn.command.identities_rotate import revoke, rotate
from vpc_openvpn.command.identities_show import show
from vpc_openvpn.command.recipients import claimed, recipients
from vpc_openvpn.identities import init as adding
from vpc_openvpn.identities import people
from vpc_openvpn.identities.store import Store
from vpc_openvpn.site.load import site_path, this_run


@click.group()
def identities() -> None:
    """Create, show and replace identities."""


for each in (show, rotate, revoke):
    identities.add_command(each)


@identities.command()
@click.option(
    "--this-site", "ours", is_flag=True, help="The folder is this site's, though every NAT has another address now."
)
def init(ours: bool) -> None:
    """Create the identities that hosts lack.

    Overwrites nothing.
    """
    _, plans = this_run()
    store = Store.from_environment(site_path())
    done = False
    for line in adding.init(store, plans, ours=ours):
        click.echo(line)
        done = True
    if done:
        click.echo(f"Commit {store.folder} to git: its secrets are encrypted, its other files are public.")
    else:
        click.echo(f"Nothing to do: {store.folder} has what the site's {len(plans)} hosts need.")


@identities.command()
@click.option("--accept", is_flag=True, help="Take the files as they are, whatever recipients.lock has.")
def reencrypt(accept: bool) -> None:
    """Encrypt the secrets to recipients.txt.

    Type it after an edit of that file. A secret that is encrypted to exactly those who are listed there is left
    as it is.
    """
    for line in people.reencrypt(claimed(), accept=accept):
        click.echo(line)


identities.add_command(recipients)
