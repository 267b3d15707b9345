"""The kinds of site whose hosts' files are kept beside this module: `CASE/site.yml`, `CASE/HOST/PATH`."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from tasks import alerts, firewall, forwarding, identity, keeper, metrics, monitor, neighbours, routing, tunnels
from vpc_openvpn.identities.store import Store
from vpc_openvpn.remote.files import File
from vpc_openvpn.site.load import load
from vpc_openvpn.site.plan import HostPlan, plan

HERE = Path(__file__).parent
LAB = "two-zones"
CASES = sorted(site.parent.name for site in HERE.glob("*/site.yml"))


class NamedStore(Store):
    """Identities that follow from names, so that what is rendered with them stays the same."""

    def fingerprint(self, host: str, which: str = "") -> str:
        return sha256(host.encode()).digest().hex(":").upper()

    def certificate(self, host: str) -> str:
        return f"certificate of {host}\n"

    def created(self, host: str) -> int:
        return 1764201600

    def private_key(self, host: str) -> str:
        return f"private key of {host}\n"

    def tls_crypt(self, zone: str) -> str:
        return f"tls-crypt key of {zone}\n"


def plans(case: str) -> dict[str, HostPlan]:
    """The plan of each host of the case's site, by its name."""
    return plan(load(HERE / case / "site.yml"))


def rendered(case: str) -> dict[Path, File]:
    """Each file of each host of the case's site, by the path of its golden file."""
    return {
        HERE / case / name / file.path.removeprefix("/"): file
        for name, host in plans(case).items()
        for file in files(host)
    }


def files(host: HostPlan) -> Iterator[File]:
    """All that is written to one host."""
    own = identity.of(host, NamedStore(Path("nowhere")))
    yield from own
    yield from (reader.file for reader in neighbours.readers(host))
    built = firewall.firewall(host)
    yield from (*built.names, built.rules, built.routes, built.loader, built.unit, built.again)
    yield from keeper.service(host, built.loader)[1:]
    yield forwarding.file(host)
    yield monitor.site(host)
    for end in tunnels.ends(host, own):
        yield from (*end.unit_files, *end.configuration)
    for _, written in routing.services(host):
        yield from written
    yield from metrics.files(host, NamedStore(Path("nowhere")), "0.1.0")
    yield from alerts.files(host, NamedStore(Path("nowhere")))
