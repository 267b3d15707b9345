"""Every file of every host, for sites of 1, 2 and 4 zones, beside this one: `N-zones/HOST/PATH`.

`pytest --update-golden` writes them anew; a change of a template is reviewed as the diff of what it does to the hosts.
"""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from pyinfra.api import HiddenValue

from credentials.store import Store
from lab.layout import Layout
from lab.site import site_text
from remote.files import File
from tasks import firewall, forwarding, identity, routing, tunnels
from tests.conftest import Golden
from topology.load import load
from topology.plan import HostPlan, plan

HERE = Path(__file__).parent
SIZES = (1, 2, 4)


class NamedStore(Store):
    """Identities that follow from names, so that what is rendered with them stays the same."""

    def fingerprint(self, host: str) -> str:
        return sha256(host.encode()).digest().hex(":").upper()

    def certificate(self, host: str) -> str:
        return f"certificate of {host}\n"

    def private_key(self, host: str) -> str:
        return f"private key of {host}\n"

    def tls_crypt(self, zone: str) -> str:
        return f"tls-crypt key of {zone}\n"


def plans(zones: int, folder: Path) -> dict[str, HostPlan]:
    site = folder / "site.yml"
    site.write_text(site_text(Layout(zones), Path("/keys/id"), Path("/keys/known_hosts")), encoding="utf-8")
    return plan(load(site))


def files(host: HostPlan) -> Iterator[File]:
    store = NamedStore(Path("nowhere"))
    yield from identity.files(host, store)
    yield from firewall.files(host)
    yield forwarding.file(host)
    for end in tunnels.ends(host, store):
        yield from (end.drop_in, *end.configuration)
    for _, own in routing.services(host):
        yield from own


def paths_on_hosts(zones: int, folder: Path) -> dict[Path, File]:
    return {
        HERE / f"{zones}-zones" / name / file.path.removeprefix("/"): file
        for name, host in plans(zones, folder).items()
        for file in files(host)
    }


@pytest.mark.parametrize("zones", SIZES)
def test_every_file_is_as_reviewed(zones: int, tmp_path: Path, golden: Golden) -> None:
    for path, file in paths_on_hosts(zones, tmp_path).items():
        if not isinstance(file.content, HiddenValue):
            golden(path, file.content)


@pytest.mark.parametrize("zones", SIZES)
def test_no_reviewed_file_is_left_over(zones: int, tmp_path: Path) -> None:
    there = {path for path in (HERE / f"{zones}-zones").rglob("*") if path.is_file()}
    assert there - set(paths_on_hosts(zones, tmp_path)) == set()


@pytest.mark.parametrize("zones", SIZES)
def test_secrets_are_hidden_and_for_root_alone(zones: int, tmp_path: Path) -> None:
    found = list(paths_on_hosts(zones, tmp_path).values())
    secret = [file for file in found if isinstance(file.content, HiddenValue)]
    # A private key for each host; a tls-crypt key for each of the two ends of each tunnel.
    assert len(secret) == (1 + zones) + 2 * zones
    assert {file.mode for file in secret} == {"600"}
    shown = "".join(repr(file) for file in found)
    assert not [file.path for file in secret if file.text.strip() in shown]


def test_settings_of_the_running_kernel_are_those_of_the_file(tmp_path: Path) -> None:
    nat = plans(1, tmp_path)["nat-us-east-1a"]
    assert forwarding.settings(forwarding.file(nat).text) == {
        "net/ipv4/ip_forward": "1",
        "net/ipv4/conf/all/rp_filter": "2",
        "net/ipv4/conf/*/send_redirects": "0",
    }
