"""From the site file to one host's plan and secrets, read once per run."""

from functools import cache

import click
from pyinfra import logger, state
from pyinfra.api.exceptions import DeployError

from vpc_openvpn import system
from vpc_openvpn.identities import people
from vpc_openvpn.identities.errors import CredentialsError
from vpc_openvpn.identities.store import Store
from vpc_openvpn.site.load import site_path, this_run
from vpc_openvpn.site.plan import HostPlan, NatPlan


def plans() -> dict[str, HostPlan]:
    """Every host's plan, by the host's name: those that the inventory was made from."""
    _, plans = this_run()
    return plans


@cache
def _store() -> Store:
    return Store.from_environment(site_path()).claim(plans())


def plan_of(host: str) -> HostPlan:
    """All that the host `host` of the inventory must be."""
    return plans()[host]


def zone_names() -> list[str]:
    """Every zone of the site, in its order."""
    return [each.zone for each in plans().values() if isinstance(each, NatPlan)]


def store_for(plan: HostPlan) -> Store:
    """The identities, once it is sure that all that the host needs can be read.

    Raises `DeployError`, which ends the run before any host is changed, with what is missing and what to type; and, in
    a run with -y, where a file is another than recipients.lock has: the line that says so would not be read.
    """
    try:
        store = _store()
        store.check({plan.host: plan})
        store.private_key(plan.host)
        for tunnel in plan.tunnels:
            store.tls_crypt(tunnel.zone)
        wrong = _said_of_folder()
    except CredentialsError as error:
        raise DeployError(f"{error}\nNo host was changed.") from None
    except OSError as error:
        raise DeployError(f"{system.refusal(error)}\nNo host was changed.") from None
    if wrong and not state.should_check_for_changes():
        raise DeployError(f"{wrong}\nNo host was changed.")
    return store


@cache
def _said_of_folder() -> str:
    """Say once in a run what is to be said of the identities' folder; what is wrong, again, as the answer."""
    found = people.review(_store())
    for text in filter(None, (found.wrong, *found.notes)):
        logger.warning(click.style(text, fg="yellow", bold=True))
    return found.wrong
