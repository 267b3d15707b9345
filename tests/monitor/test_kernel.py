"""What the kernel says: this machine's own, and messages that no kernel sends."""

import json
import select
import socket
import subprocess
from contextlib import closing
from ipaddress import IPv4Network

import pytest
from vpc_openvpn_monitor import kernel


def test_routes_are_those_that_ip_shows() -> None:
    shown = subprocess.run(["ip", "-json", "-4", "route", "show", "table", "local"], capture_output=True, check=True)
    listed = {(each["dst"], each.get("dev", "")) for each in json.loads(shown.stdout)}
    found = {(str(each.network).removesuffix("/32"), each.interface) for each in kernel.routes(255)}
    assert found == listed and found


def test_a_table_that_is_not_there_has_no_routes() -> None:
    assert kernel.routes(7950) == []


def test_silence_is_no_change() -> None:
    with closing(kernel.Changes([kernel.ROUTES])) as changes:
        select.select([changes], [], [], 0)
        assert not changes.heard()


@pytest.mark.parametrize("cut", range(48))
def test_a_message_cut_short_is_none(cut: int) -> None:
    body = kernel._ROUTE.pack(socket.AF_INET, 24, 0, 0, 254, 3, 0, 1, 0) + b"\x08\0\x01\0\x0a\0\x01\0"
    whole = kernel._HEADER.pack(16 + len(body), kernel.NEW_ROUTE, 0, 0, 0) + body
    [(kind, found)] = kernel.messages(whole)
    assert kind == kernel.NEW_ROUTE and kernel.parse(found) == kernel.Route(IPv4Network("10.0.1.0/24"), 254, "")
    if cut < len(whole):
        assert list(kernel.messages(whole[:cut])) == []
    if cut < len(body) and (parsed := kernel.parse(body[:cut])):
        assert parsed.network.prefixlen == 24
