"""What keeps a firewall from being loaded, by what a host says beforehand."""

from dataclasses import replace

import pytest

from tasks import firewall
from tests.rendered.cases import LAB, plans
from vpc_openvpn.site.plan import NatPlan

NAT, OFFICE = plans(LAB)["nat-us-east-1a"], plans(LAB)["office"]


def test_a_tunnel_that_is_up_from_another_address_than_the_sites_is_not_cut() -> None:
    assert isinstance(NAT, NatPlan)
    [own] = NAT.office_addresses
    said = firewall.objection(NAT, "[]\noffice 203.0.113.9\n")
    assert "the office's packets come from 203.0.113.9" in said and f"in site.yml is {own}" in said
    assert "Write public_address: 203.0.113.9" in said
    assert firewall.objection(NAT, f"[]\noffice {own}\n") == firewall.objection(NAT, "[]\n") == ""
    assert firewall.objection(replace(NAT, office_addresses=()), "[]\noffice 203.0.113.9\n") == ""


@pytest.mark.parametrize("plan", [NAT, OFFICE], ids=["nat", "office"])
def test_an_interface_of_another_program_is_named(plan: NatPlan) -> None:
    assert f"{plan.interfaces[0]} is another program's" in firewall.objection(plan, f"[]\ntaken {plan.interfaces[0]}\n")
