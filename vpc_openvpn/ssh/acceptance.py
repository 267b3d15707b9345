"""A host's new ssh host key: waited for, compared with its console's, and accepted for exactly that host."""

import sys
import time
from collections.abc import Mapping

import paramiko

from vpc_openvpn.site.plan import HostPlan
from vpc_openvpn.ssh import host_keys

GLANCE, RETRY = 3.0, 1.0  # seconds for one look whether a machine has booted, and until the next
CONSOLE = "the machine's console output (EC2: Actions → Monitor and troubleshoot → Get system log)"


class AcceptanceError(Exception):
    """Why a host is not taken for the one that it should be, in words for the person at the screen."""


def wait_for_ssh(hosts: Mapping[str, HostPlan], deadline: float) -> dict[str, paramiko.PKey]:
    """The key that each host shows, once it shows one. Says what it waits for.

    Raises AcceptanceError where one has not answered by the `deadline`, a moment by time.monotonic().
    """
    shown: dict[str, paramiko.PKey] = {}
    said, began = 0.0, time.monotonic()
    while missing := [name for name in hosts if name not in shown]:
        causes = []
        for name in missing:
            try:
                shown[name] = next(host_keys.shown(hosts[name].ssh, GLANCE))
                print(f"{name} answers ssh at {hosts[name].ssh.host}.")
            except (OSError, EOFError, paramiko.SSHException, StopIteration) as error:
                causes.append(f"{name} ({hosts[name].ssh.host}): {str(error) or type(error).__name__}")
        now = time.monotonic()
        if causes and now > deadline:
            raise AcceptanceError(
                f"no ssh after {now - began:.0f} s: {'; '.join(causes)}. Does the machine run, has it the address that"
                " the site file gives it, and does its security group admit you?"
            )
        if causes and now - said > 5:
            said = now
            print(f"waiting for ssh, {now - began:.0f} s of {deadline - began:.0f}: {'; '.join(causes)}")
        if causes:
            time.sleep(RETRY)
    return shown


def judge(name: str, host: HostPlan, key: paramiko.PKey, expected: str | None) -> None:
    """Accept the `key` that a host shows, if it has the fingerprint `expected` or the operator says so.

    Raises AcceptanceError, and has accepted nothing then.
    """
    known = host_keys.known(host.ssh)
    if expected:
        if key.fingerprint != expected:
            key = _of_fingerprint(name, host, expected)
        print(f"{name} has the expected host key: {host_keys.describe(key)}")
    elif key in known:
        print(f"{name} has the host key that it always had.")
        return
    else:
        _ask(name, host, key, new=not known)
    if [key] != known:
        host_keys.accept(host.ssh, key)


def _of_fingerprint(name: str, host: HostPlan, expected: str) -> paramiko.PKey:
    others = []
    for key in host_keys.shown(host.ssh):
        if key.fingerprint == expected:
            return key
        others.append(host_keys.describe(key))
    raise AcceptanceError(
        f"{name} does not have the host key {expected}. At {host.ssh.host} it shows: {'; '.join(others)}. Either that"
        " is another machine (the old one?), or the fingerprint is not this one's. Nothing was accepted."
    )


def _ask(name: str, host: HostPlan, key: paramiko.PKey, *, new: bool) -> None:
    which = "a host key, and none is known" if new else "another host key than before"
    print(f"\n{name} ({host.ssh.host}) shows {which}:\n\n    {host_keys.describe(key)}\n\nCompare it with {CONSOLE}.")
    if not sys.stdin.isatty():
        raise AcceptanceError(
            f"the host key of {name} is not accepted. If it is the one on the console, type:\n"
            f"    ./vpc rebuild {name} --host-key {key.fingerprint}"
        )
    if input("Is it the same? Type yes to accept it: ").strip().lower() != "yes":
        raise AcceptanceError(f"the host key of {name} is not accepted; nothing was changed")
