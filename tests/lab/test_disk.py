"""What a blank disk has of its own."""

import yaml

from lab.disk import files, links
from lab.layout import Layout

NETPLAN = "etc/netplan/50-cloud-init.yaml"


def test_a_nat_configures_its_only_interface_itself() -> None:
    nat = Layout(2).hosts["nat-us-east-1b"]
    assert nat.networkd
    assert yaml.safe_load(files(nat)[NETPLAN])["network"]["ethernets"] == {
        "eth0": {
            "addresses": ["10.0.2.10/24"],
            "accept-ra": False,
            "routes": [{"to": "default", "via": "10.0.2.1"}],
        }
    }


def test_a_nat_has_ipv6_on_request() -> None:
    card = yaml.safe_load(files(Layout(2, ipv6=True).hosts["nat-us-east-1b"])[NETPLAN])["network"]["ethernets"]["eth0"]
    assert card["addresses"] == ["10.0.2.10/24", "2001:db8:a00:200::a/64"]
    assert card["routes"][1:] == [{"to": "::/0", "via": "2001:db8:a00:200::1"}]


def test_the_office_configures_its_interfaces_on_request() -> None:
    assert NETPLAN not in files(Layout(1).hosts["office"])
    cards = yaml.safe_load(files(Layout(1, office_networkd=True).hosts["office"])[NETPLAN])["network"]["ethernets"]
    assert {name: card["addresses"] for name, card in cards.items()} == {
        "lan": ["192.168.50.1/24"],
        "wan": ["198.51.100.10/29"],
    }
    assert cards["wan"]["routes"] == [{"to": "default", "via": "198.51.100.9"}]
    assert "routes" not in cards["lan"]


def test_only_the_office_forwards_without_us() -> None:
    lab = Layout(1)
    assert "etc/sysctl.d/router.conf" in files(lab.hosts["office"]) and links(lab.hosts["office"])
    assert "etc/sysctl.d/router.conf" not in files(lab.hosts["nat-us-east-1a"])
    assert not links(lab.hosts["nat-us-east-1a"])


def test_a_nat_is_named_as_ec2_names_it_and_cannot_resolve_it() -> None:
    nat, office = Layout(1).hosts["nat-us-east-1a"], Layout(1).hosts["office"]
    assert files(nat)["etc/hostname"] == "ip-10-0-1-10\n"
    assert "ip-10-0-1-10" not in files(nat)["etc/hosts"]
    assert "127.0.1.1 office\n" in files(office)["etc/hosts"]


def test_login_shells_print_a_greeting() -> None:
    for host in Layout(1).real_hosts:
        assert files(host)["root/.bashrc"].startswith("echo ") and files(host)["home/admin/.bashrc"].startswith("echo ")
