"""The lab's site.yml is a site like any other, and says of each host what the lab gave it."""

from pathlib import Path

import pytest

from lab.layout import MAX_ZONES, Layout
from lab.site import site_text
from vpc_openvpn.site.load import load
from vpc_openvpn.site.plan import NatPlan, OfficePlan, plan


@pytest.mark.parametrize("size", [1, 4, MAX_ZONES])
def test_the_labs_site_is_accepted_and_names_the_labs_hosts(size: int, tmp_path: Path) -> None:
    site = tmp_path / "site.yml"
    site.write_text(site_text(Layout(size), Path("/lab/key"), Path("/lab/known_hosts")))
    plans = plan(load(site))
    assert set(plans) == {host.name for host in Layout(size).real_hosts}
    for name, host in plans.items():
        addresses = Layout(size).hosts[name].addresses
        assert host.ssh.key == Path("/lab/key")
        assert host.ssh.known_hosts == Path("/lab/known_hosts")
        assert host.ssh.host in {str(address) for address in addresses}
        if isinstance(host, NatPlan):
            assert (host.private_address, host.public_address) == addresses
            assert host.ssh.user == "admin"
        else:
            assert isinstance(host, OfficePlan)
            assert host.ssh.user == "root"
