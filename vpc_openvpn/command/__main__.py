"""`./vpc VERB`: finds the verb, and makes a sentence and an exit status of whatever goes wrong."""

import signal

if __name__ == "__main__":  # while modules are imported Ctrl-C ends this without a word
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from vpc_openvpn import system
from vpc_openvpn.command import COMPLETE, ERROR, INTERRUPTED
from vpc_openvpn.identities.errors import CredentialsError
from vpc_openvpn.output import outlive_reader
from vpc_openvpn.site.load import SiteError
from vpc_openvpn.text import printable
from vpc_openvpn.version import version

# Verbs in the order of --help, each with its module: one is imported when it is asked for.
VERBS = {
    "setup": "setup",
    "check": "check",
    "trust": "trust",
    "plan": "deploys",
    "deploy": "deploys",
    "drift": "drift",
    "status": "status",
    "rebuild": "rebuild",
    "drain": "deploys",
    "undrain": "deploys",
    "identities": "identities",
    "ssh-config": "ssh_config",
    "demo": "setup",
    "completion": "completion",
}


class Verbs(click.Group):
    """The verbs, found by name; a name that is none brings the nearest."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = import_module(f"vpc_openvpn.command.{VERBS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            near = difflib.get_close_matches(args[0], VERBS, n=1)
            meant = f"did you mean {near[0]}?" if near else f"there are: {', '.join(VERBS)}"
            raise click.UsageError(f"There is no verb {args[0]}; {meant}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version(), prog_name="vpc-openvpn", message="%(prog)s %(version)s")
def vpc() -> None:
    """Connect an office to a VPC by tunnels. The site file is site.yml, or the file that SITE names.

    Verbs that run pyinfra show the line, which may be typed instead. Exit status: 0 success; 1 failure, with the cause
    on standard error; 2 changes are pending (drift), or the site is degraded (status); 130 interrupted.
    """


def main(words: Sequence[str] | None = None) -> int:
    """Run one verb; the exit status."""
    try:
        status = vpc.main(words, prog_name="./vpc", complete_var=COMPLETE, standalone_mode=False)
    except click.ClickException as error:
        error.show()
    except (SiteError, CredentialsError) as error:
        print(printable(str(error)), file=sys.stderr)
    except OSError as error:
        print(printable(f"Error: {system.refusal(error)}"), file=sys.stderr)
    except (KeyboardInterrupt, click.Abort):
        print("\nInterrupted; type the same again to go on from there.", file=sys.stderr)
        return INTERRUPTED
    else:
        return status if isinstance(status, int) else 0
    return ERROR


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    outlive_reader()
    sys.exit(main())
