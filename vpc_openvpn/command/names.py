"""Zones and hosts of the site, as words of a command line: checked, and completed by a shell."""

import difflib
from collections.abc import Iterable
from contextlib import suppress
from shlex import quote

import click
from click.shell_completion import CompletionItem

from vpc_openvpn.site.load import SiteError, this_run
from vpc_openvpn.site.plan import HostPlan, NatPlan
from vpc_openvpn.text import printable

ALL = "all"


def zones(plans: Iterable[HostPlan]) -> list[str]:
    """Of these hosts, the NATs' zones."""
    return [each.zone for each in plans if isinstance(each, NatPlan)]


class Name(click.ParamType[str]):
    """A word that `choices` has, or the nearest of them in an error."""

    def choices(self) -> dict[str, str]:
        """What may be written, and what it stands for. Raises SiteError."""
        raise NotImplementedError

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        choices = self.choices()
        if value in choices.values():
            return value
        if value not in choices:
            near = difflib.get_close_matches(value, choices, n=1)
            meant = f"did you mean {near[0]}?" if near else f"there are: {', '.join(choices)}"
            self.fail(f"there is no {self.name} {quote(printable(value, keep=''))} in the site; {meant}", param, ctx)
        return choices[value]

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        with suppress(SiteError):
            return [CompletionItem(name) for name in self.choices() if name.startswith(incomplete)]
        return []


class Zone(Name):
    """A zone of the site."""

    name = "zone"

    def choices(self) -> dict[str, str]:
        return {zone: zone for zone in zones(this_run()[1].values())}


class Machine(Name):
    """A host of the site, by its name or by its zone's; `all` is every one."""

    name = "host or zone"

    def choices(self) -> dict[str, str]:
        plans = this_run()[1]
        by_zone = {each.zone: each.host for each in plans.values() if isinstance(each, NatPlan)}
        return {**by_zone, **{name: name for name in plans if name not in by_zone.values()}, ALL: ALL}


class Limit(Name):
    """A host, a group, or a pattern of either, as pyinfra takes it; pyinfra refuses what is none."""

    name = "HOST|GROUP"

    def choices(self) -> dict[str, str]:
        plans = this_run()[1]
        names = [*plans, *(group for each in plans.values() for group in each.groups)]
        return {name: name for name in names}

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return value


limit = click.option(
    "--limit", "limits", multiple=True, type=Limit(), metavar="HOST|GROUP", help="Only these; may be repeated."
)
as_json = click.option("--json", "json_output", is_flag=True, help="For programs: JSON on standard output.")
