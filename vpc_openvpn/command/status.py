"""How the site is now: which way each zone is reached, since when, why, what to type; and how each host is."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click

from vpc_openvpn import output, system
from vpc_openvpn.command import INTERRUPTED
from vpc_openvpn.command.names import as_json
from vpc_openvpn.site.load import this_run

AGAIN = 2.0  # seconds between two looks
HOME, END_OF_LINE, END = "\x1b[H", "\x1b[K", "\x1b[J"  # of a terminal: go to the corner; erase to the end


@click.command()
@as_json
@click.option("--watch", is_flag=True, help="Look again every 2 s, until Ctrl-C.")
@click.option(
    "--html",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write it as a page, too: one file, for a phone or a web server.",
)
def status(json_output: bool, watch: bool, file: Path | None) -> int:
    """Show how each zone is reached now.

    Since when, why, what is lost meanwhile and what to type; then how each host is. Asks every host, and answers from
    those that answer. Needs no identities, changes nothing.

    Exit status 0: every zone by its own tunnel. 2: degraded, by a detour, a drain, a unit that does not run, repairs in
    a loop. 1: a zone is lost, or it is unknown.
    """
    site, plans = this_run()
    from vpc_openvpn.ssh import connection  # takes half a second, which --help need not wait for
    from vpc_openvpn.status import gather, model, text

    connection.check(site)
    hosts = gather.Hosts(plans)
    try:
        for first in _looks(again=watch):
            found = model.status(plans, hosts.answers(), time.time())
            if file:
                from vpc_openvpn.status import page

                _write(file, page.html(found))
            if json_output:
                click.echo(json.dumps(found.document(text.sentence(found)), indent=None if watch else 2))
            else:
                _draw(list(text.lines(found)), first=first, again=watch)
            if output.abandoned():
                break
    except KeyboardInterrupt:
        if not watch:
            raise
        return INTERRUPTED
    finally:
        hosts.close()
    return model.exit_status(found.verdict)


def _looks(*, again: bool) -> Iterator[bool]:
    """Once, or for ever; whether it is the first time."""
    yield True
    while again:
        time.sleep(AGAIN)
        yield False


def _write(file: Path, content: str) -> None:
    """In one piece, where it is a file: who opens it sees the page that was there, or this one, and may as before."""
    file = file.resolve()
    beside = file.with_name(f".{file.name}.new")
    try:
        if file.exists() and not file.is_file():  # a pipe, a device
            file.write_text(content, encoding="utf-8")
            return
        beside.write_text(content, encoding="utf-8")
        if file.exists():
            beside.chmod(file.stat().st_mode)
        beside.replace(file)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise click.ClickException(f"the page cannot be written. {system.refusal(error, file)}") from None


def _draw(lines: list[str], *, first: bool, again: bool) -> None:
    """On a terminal, over what was drawn before; in a file, below it."""
    if again and sys.stdout.isatty():
        click.echo(HOME + "".join(f"{line}{END_OF_LINE}\n" for line in lines) + END, nl=False)
    else:
        click.echo("\n".join(lines if first else ["", *lines]))
