"""Which accelerator runs virtual machines, and the network settings that cloud-init gets."""

import time
from pathlib import Path

import pytest

from lab import machine
from lab.layout import Layout


@pytest.fixture
def qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """QEMU, as a script to be written; /dev/kvm is there."""
    (tmp_path / "kvm").touch()
    monkeypatch.setattr(machine, "KVM_DEVICE", tmp_path / "kvm")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    script = tmp_path / "qemu-system-x86_64"
    script.touch(mode=0o755)
    return script


@pytest.mark.parametrize(
    ("does", "fits"),
    [
        ("echo '[ 0.0] Linux version 6.1'", machine.KVM),
        ("exit 0", machine.EMULATION),
        ("echo Linux version 6.1; exit 1", machine.EMULATION),
        ("exec sleep 60", machine.EMULATION),
    ],
)
def test_kvm_is_used_where_a_kernel_boots_under_it(
    qemu: Path, monkeypatch: pytest.MonkeyPatch, does: str, fits: str
) -> None:
    qemu.write_text(f"#!/bin/sh\n{does}\n")
    monkeypatch.setattr(machine, "PROBE_SECONDS", 1)
    began = time.monotonic()
    assert machine.fitting_accelerator(qemu.parent) == fits
    assert time.monotonic() - began < 30


def test_without_its_device_nothing_is_tried(qemu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    qemu.write_text("#!/bin/sh\necho Linux version 6.1\n")
    monkeypatch.setattr(machine, "KVM_DEVICE", qemu.with_name("no-kvm"))
    assert machine.fitting_accelerator(qemu.parent) == machine.EMULATION


def test_interfaces_are_as_the_layout_says() -> None:
    hosts = Layout(1, machines=True).hosts
    assert dict(machine._interfaces(hosts["nat-us-east-1a"])) == {
        "eth0": {
            "match": {"macaddress": "02:00:0a:00:01:0a"},
            "set-name": "eth0",
            "addresses": ["10.0.1.10/24"],
            "accept-ra": False,
            "routes": [{"to": "default", "via": "10.0.1.1"}],
        }
    }
    office = dict(machine._interfaces(hosts["office"]))
    assert {name: "routes" in str(interface) for name, interface in office.items()} == {"lan": False, "wan": True}


def test_only_real_hosts_are_machines() -> None:
    assert not any(host.machine for host in Layout(2).hosts.values())
    assert {host.name for host in Layout(2, machines=True).hosts.values() if host.machine} == {
        "office",
        "nat-us-east-1a",
        "nat-us-east-1b",
    }
