"""Who can read the identities' secrets: `./vpc identities recipients`."""

import json
from collections.abc import Iterable
from contextlib import suppress

import click
from click.shell_completion import CompletionItem

from vpc_openvpn.command import ERROR, MATCH
from vpc_openvpn.command.names import as_json
from vpc_openvpn.identities import people
from vpc_openvpn.identities.errors import CredentialsError
from vpc_openvpn.identities.recipients import PLUGIN
from vpc_openvpn.identities.store import Store
from vpc_openvpn.site.load import SiteError, site_path, this_run


class Person(click.ParamType[str]):
    """A recipient's name or key; a shell completes names."""

    name = "name or key"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        with suppress(CredentialsError):
            words = [each.name or each.key for each in claimed().recipients()]
            return [CompletionItem(word) for word in words if word.startswith(incomplete)]
        return []


@click.group()
def recipients() -> None:
    """List and change who can read the secrets.

    docs/keys-and-people.md has what to type when a person joins or leaves.
    """


@recipients.command(name="list")
@as_json
def list_(json_output: bool) -> None:
    """List who can read the secrets."""
    found = claimed().recipients()
    kinds = [f"{each.kind} {each.plugin}" if each.kind == PLUGIN else each.kind for each in found]
    if json_output:
        rows = [{"name": each.name, "kind": kind, "key": each.key} for each, kind in zip(found, kinds, strict=True)]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    names = [each.name or "(no name)" for each in found]
    wide, kind_wide = max(map(len, names)), max(map(len, kinds))
    for each, name, kind in zip(found, names, kinds, strict=True):
        click.echo(f"{name:{wide}}  {kind:{kind_wide}}  {each.key}")


@recipients.command()
@click.argument("line", nargs=-1, required=True)
@click.option("--name", default="", help="Who it is, if LINE does not say.")
def add(line: tuple[str, ...], name: str) -> None:
    """Let a person read the secrets.

    LINE is the person's public key: age1…, or the line of ~/.ssh/id_ed25519.pub, ssh-ed25519 AAAA… NAME.
    """
    _say(people.add(claimed(), " ".join(line), name))


@recipients.command()
@click.argument("person", type=Person(), metavar="NAME|KEY")
def remove(person: str) -> None:
    """Encrypt the secrets to the others.

    It takes nothing back that the person could read; it says what that is, and what to type next.
    """
    _say(people.remove(claimed(), person))


@recipients.command()
@as_json
def check(json_output: bool) -> int:
    """Check whom the secrets are encrypted to.

    Every secret to exactly those of recipients.txt, by recipients.lock and the files' headers. Needs no private key,
    so CI can run it. Exit status 1 where it is not so.
    """
    store = Store.from_environment(site_path())
    try:
        found = people.problems(claimed())
    except CredentialsError as error:
        found = [str(error)]
    if json_output:
        click.echo(json.dumps({"folder": str(store.folder), "problems": found}, indent=2, ensure_ascii=False))
    elif found:
        click.echo("\n".join(found), err=True)
    else:
        click.echo(people.encrypted_to(store.recipients()))
    return ERROR if found else MATCH


def claimed() -> Store:
    """The folder, which may not be another site's. What is about people alone works beside a damaged site file, too."""
    store = Store.from_environment(site_path())
    try:
        _, plans = this_run()
    except SiteError:
        return store
    return store.claim(plans)


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)
