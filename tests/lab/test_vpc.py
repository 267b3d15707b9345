"""How the lab's VPC judges packets: as README's prerequisites say, until a setting is got wrong."""

import re

import pytest

from lab.layout import MAX_ZONES, Layout
from lab.vpc import GROUP, ROUTE, Vpc

NAT, APP = "nat-us-east-1a", "app-us-east-1a"


def vpc(**changed: str) -> Vpc:
    """A VPC of two zones with these settings."""
    return Vpc(Layout(2), changed)


def changed(value: str, *words: str) -> Vpc:
    return Vpc(Layout(2), vpc().having(value, *words))


def lines(text: str) -> set[str]:
    return {line.strip() for line in text.splitlines()}


def group(rules: str, chain: str) -> list[str]:
    """The rules of one chain."""
    found = re.search(rf"chain {chain} {{\n(.*?)\n  }}", rules, re.DOTALL)
    assert found
    return [line.strip() for line in found[1].splitlines()]


def there(network: Vpc) -> list[str]:
    return [route for exists, route in network.routes() if exists]


def test_every_host_of_the_vpc_is_judged_and_no_other() -> None:
    network = Vpc(Layout(MAX_ZONES), {})
    kinds = {host.kind for host in network.instances.values()}
    assert (len(network.instances), kinds) == (2 * MAX_ZONES, {"nat", "app"})
    rules = network.rules()
    for host in network.instances.values():
        assert f'"{host.cables[0].bridge}" : jump {host.cables[0].port}' in rules
        assert group(rules, host.cables[0].port)[-1] == "drop"


def test_addresses_of_others_pass_at_nats_only() -> None:
    rules = vpc().rules()
    assert 'iifname "zone1-private" ip saddr != 10.0.21.10 drop' in rules
    assert 'oifname "zone1-private" ip daddr != 10.0.21.10 drop' in rules
    assert "ip saddr != 10.0.1.10" not in rules
    wrong = changed("on", "source-dest-check", NAT).rules()
    assert lines(wrong) - lines(rules) == {
        'iifname "zone1-public" ip saddr != 10.0.1.10 drop',
        'oifname "zone1-public" ip daddr != 10.0.1.10 drop',
    }
    right = changed("off", "source-dest-check", APP).rules()
    assert lines(rules) - lines(right) == {
        'iifname "zone1-private" ip saddr != 10.0.21.10 drop',
        'oifname "zone1-private" ip daddr != 10.0.21.10 drop',
    }


def test_the_check_comes_before_what_belongs_to_a_flow() -> None:
    forward = group(vpc().rules(), "forward")
    assert forward.index('iifname "zone1-private" ip saddr != 10.0.21.10 drop') < forward.index(
        "ct state established,related accept"
    )


def test_groups_let_in_what_the_prerequisites_say() -> None:
    rules = vpc().rules()
    assert group(rules, "nat1") == [
        "ip saddr { 198.51.100.10, 192.168.50.0/24 } tcp dport 22 accept",
        "ip saddr 198.51.100.10 udp dport 1194 accept",
        "ip saddr 10.0.0.0/16 accept",
        "drop",
    ]
    assert group(rules, "app1") == ["ip saddr 10.0.0.0/16 accept", "ip saddr 192.168.50.0/24 accept", "drop"]


def test_a_change_affects_one_rule_of_one_host() -> None:
    rules = changed("deny", GROUP, NAT, "tunnel").rules()
    assert "ip saddr 198.51.100.10 udp dport 1194 accept" not in group(rules, "nat1")
    assert "ip saddr 198.51.100.10 udp dport 1194 accept" in group(rules, "nat2")
    assert " accept" in changed("allow", GROUP, APP, "anywhere").rules()
    assert group(changed("allow", GROUP, APP, "anywhere").rules(), "app1")[-2:] == ["accept", "drop"]


def test_outbound_rules_follow_the_rule_for_established_flows() -> None:
    assert 'iifname "zone1-public" drop' not in vpc().rules()
    forward = group(changed("deny", GROUP, NAT, "outbound").rules(), "forward")
    assert forward.index("ct state established,related accept") < forward.index('iifname "zone1-public" drop')


def test_each_subnet_has_a_way_to_office_and_internet() -> None:
    assert there(Vpc(Layout(1), {})) == [
        "default via 100.64.0.1 table 101",
        "192.168.50.0/24 via 10.0.1.10 table 101",
        "default via 10.0.1.10 table 201",
        "192.168.50.0/24 via 10.0.1.10 table 201",
    ]
    wrong = changed("off", ROUTE, "us-east-1b", "private", "internet")
    assert set(there(vpc())) - set(there(wrong)) == {"default via 10.0.2.10 table 202"}


@pytest.mark.parametrize(
    ("wrong", "right", "words"),
    [
        ("on", "off", ("source-dest-check", NAT)),
        ("deny", "allow", (GROUP, NAT, "ssh")),
        ("off", "on", (ROUTE, "us-east-1a", "public", "office")),
    ],
)
def test_a_corrected_setting_is_removed_from_the_changes(wrong: str, right: str, words: tuple[str, ...]) -> None:
    mistaken = changed(wrong, *words)
    assert (vpc().setting(*words), mistaken.setting(*words)) == (right, wrong)
    assert mistaken.having(wrong, *words) == mistaken.changed
    assert mistaken.having(right, *words) == {}


def test_wrong_settings_are_listed_at_their_hosts() -> None:
    hosts = Layout(2).hosts
    network = Vpc(Layout(2), {"source-dest-check nat-us-east-1a": "on", "route us-east-1b private internet": "off"})
    said = {name: network.mistakes(host) for name, host in hosts.items() if network.mistakes(host)}
    assert said == {
        "nat-us-east-1a": ["source-dest-check on"],
        "nat-us-east-1b": ["route private internet off"],
        "app-us-east-1b": ["route private internet off"],
    }
