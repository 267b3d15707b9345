"""Hosts' ssh host keys: asked for, compared with what their consoles show, and accepted for exactly those hosts.

A rebuild's `judge` takes a new key for one that is known. `trust` takes first keys, of a whole site by one question.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

import paramiko

from vpc_openvpn import system, terminal
from vpc_openvpn.site.plan import HostPlan
from vpc_openvpn.ssh import host_keys
from vpc_openvpn.ssh.fingerprints import Listed
from vpc_openvpn.text import printable

GLANCE, RETRY = 3.0, 1.0  # seconds for one look whether a machine has booted, and until the next
CONSOLE = "the machine's console output (EC2: Actions → Monitor and troubleshoot → Get system log)"
USUAL = ("ED25519", "ECDSA", "RSA")  # kinds of key that sshd makes by itself
ON_HOST = "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"


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
                causes.append(f"{name} ({hosts[name].ssh.host}): {_why(error)}")
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
    if not expected and key in known:
        print(f"{name} has the host key that it always had.")
        return
    if expected:
        key = _one_of(name, host, key, [expected])
    _refuse_revoked(name, host, key)
    if expected:
        print(f"{name} has the expected host key: {host_keys.describe(key)}")
    else:
        _ask(name, host, key, new=not known)
    if [key] != known:
        _accept({name: host}, {name: key})


def trust(hosts: Mapping[str, HostPlan], site: Mapping[str, HostPlan], listed: Listed | None) -> bool:
    """Accept the first keys of those of `hosts` that have none in known_hosts: by one question, or, without one, those
    that are `listed`. `site` has all hosts, these among them. Whether each of `hosts` is trusted now; says for each
    that is not why, on standard error.

    Raises AcceptanceError where there is no terminal to ask on, or the answer is not yes; nothing is accepted then.
    """
    known = {name: host_keys.known(host.ssh) for name, host in site.items()}
    refused = {
        name: _is_another(name, known[name], listed.by_host[name])
        for name in hosts
        if known[name] and listed and not {key.fingerprint for key in known[name]} & listed.of(name)
        if name in listed.by_host
    }
    unknown = {name: host for name, host in hosts.items() if not known[name]}
    if not unknown and not refused:
        file = next(iter(site.values())).ssh.known_hosts
        print(f"Nothing to do: {file} has the ssh host key of {', '.join(hosts)}.")
        return True
    shown = _first_keys(unknown, refused)
    if listed is not None:
        shown = _listed(unknown, shown, {name: keys for name, keys in known.items() if keys}, listed, refused)
        for name, key in shown.items():
            print(f"{name} has a host key that is listed: {host_keys.describe(key)}")
    elif shown:
        _ask_for_all(unknown, shown, refused)
    if shown:
        _accept(unknown, shown)
        print(f"Trusted, in {unknown[next(iter(shown))].ssh.known_hosts}: {', '.join(shown)}. Commit that file.")
    _say(refused)
    return not refused


def _first_keys(hosts: Mapping[str, HostPlan], refused: dict[str, str]) -> dict[str, paramiko.PKey]:
    """The key that each host shows, asked for at once; why there is none is added to `refused`."""

    def ask(name: str) -> paramiko.PKey | str:
        ssh = hosts[name].ssh
        try:
            key = next(host_keys.shown(ssh), None)
        except (OSError, EOFError, paramiko.SSHException) as error:
            return f"{name} does not answer ssh at {ssh.host} port {ssh.port}: {_why(error)}"
        return f"{name} has no host key of a kind that is used: {', '.join(host_keys.KINDS)}" if key is None else key

    shown = {}
    with ThreadPoolExecutor(max(1, len(hosts))) as at_once:
        for name, answer in zip(hosts, at_once.map(ask, hosts), strict=True):
            if isinstance(answer, str):
                refused[name] = answer
                continue
            try:
                _refuse_revoked(name, hosts[name], answer)
                shown[name] = answer
            except AcceptanceError as error:
                refused[name] = str(error)
    return shown


def _listed(
    hosts: Mapping[str, HostPlan],
    shown: Mapping[str, paramiko.PKey],
    known: Mapping[str, list[paramiko.PKey]],
    listed: Listed,
    refused: dict[str, str],
) -> dict[str, paramiko.PKey]:
    """Of the hosts, those with a key that is listed for them; why others are not is added to `refused`."""
    found = dict[str, paramiko.PKey]()
    for name, key in shown.items():
        try:
            found[name] = _one_of(name, hosts[name], key, listed.of(name))
            _refuse_revoked(name, hosts[name], found[name])
        except AcceptanceError as error:
            refused[name] = str(error)
            found.pop(name, None)
    having = defaultdict[str, list[str]](list)
    for name, keys in {**{name: [key] for name, key in found.items()}, **known}.items():
        for key in keys:
            having[key.fingerprint].append(name)
    for name, key in [*found.items()]:
        # One machine may be at the addresses of two: the list has to say whose its key is.
        if name not in listed.by_host and len(having[key.fingerprint]) > 1:
            refused[name] = (
                f"{' and '.join(having[key.fingerprint])} show the same host key, {key.fingerprint}. If that is right,"
                f" write in the list: {name} {key.fingerprint}"
            )
            del found[name]
    return found


def _one_of(name: str, host: HostPlan, key: paramiko.PKey, expected: Collection[str]) -> paramiko.PKey:
    """The host's key that has one of the fingerprints `expected`; `key` is the one that it shows first."""
    if key.fingerprint in expected:
        return key
    others = []
    try:
        for each in host_keys.shown(host.ssh):
            if each.fingerprint in expected:
                return each
            others.append(host_keys.describe(each))
    except (OSError, EOFError, paramiko.SSHException) as error:
        others.append(_why(error))
    what = f"the host key {next(iter(expected))}" if len(expected) == 1 else "a host key that is listed for it"
    raise AcceptanceError(
        f"{name} does not have {what}. At {host.ssh.host} it shows: {'; '.join(others)}. Either that"
        " is another machine (the old one?), or the fingerprint is not this one's. Nothing was accepted."
    )


def _is_another(name: str, known: list[paramiko.PKey], listed: Collection[str]) -> str:
    have = "; ".join(map(host_keys.describe, known))
    return (
        f"{name} is trusted by another host key than {' or '.join(sorted(listed))}: {have}. If its machine was"
        f" replaced, type: ./vpc rebuild {name}"
    )


def _refuse_revoked(name: str, host: HostPlan, key: paramiko.PKey) -> None:
    if host_keys.is_revoked(host.ssh.known_hosts, host_keys.name(host.ssh), key):
        raise AcceptanceError(
            f"{name} shows the host key {host_keys.describe(key)}, which a line @revoked of {host.ssh.known_hosts}"
            f" revokes: it is the old machine, or one that has its disk. Nothing was accepted for it. Give {name} a new"
            " machine, or this one a new host key (rm /etc/ssh/ssh_host_*; ssh-keygen -A; systemctl restart ssh), and"
            f" type: ./vpc rebuild {name}"
        )


def _accept(hosts: Mapping[str, HostPlan], keys: Mapping[str, paramiko.PKey]) -> None:
    """Raises AcceptanceError where known_hosts cannot be written."""
    try:
        host_keys.accept(*((hosts[name].ssh, key) for name, key in keys.items()))
    except OSError as error:
        file = hosts[next(iter(keys))].ssh.known_hosts
        raise AcceptanceError(f"nothing was accepted. {system.refusal(error, file)}") from None


def _say(refused: Mapping[str, str]) -> None:
    for why in refused.values():
        print(why, file=sys.stderr)


def _why(error: Exception) -> str:
    """In words; a host may have chosen them."""
    return printable(str(error), keep="") or type(error).__name__


def _ask(name: str, host: HostPlan, key: paramiko.PKey, *, new: bool) -> None:
    which = "a host key, and none is known" if new else "another host key than before"
    print(f"\n{name} ({host.ssh.host}) shows {which}:\n\n    {host_keys.describe(key)}\n\nCompare it with {CONSOLE}.")
    _warn(name, host)
    if not terminal.answers():
        raise AcceptanceError(
            f"the host key of {name} is not accepted. If it is the one on the console, type:\n"
            f"    ./vpc rebuild {name} --host-key {key.fingerprint}"
        )
    if not _yes("Is it the same? Type yes to accept it: "):
        raise AcceptanceError(f"the host key of {name} is not accepted; nothing was changed")


def _ask_for_all(hosts: Mapping[str, HostPlan], shown: Mapping[str, paramiko.PKey], refused: Mapping[str, str]) -> None:
    rows = [(name, hosts[name].ssh.host, key.algorithm_name, key.fingerprint) for name, key in shown.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    print("These hosts show an ssh host key, and none is known of them:\n")
    for *words, fingerprint in rows:
        print("    ", *(f"{word:{width}}" for word, width in zip(words, widths, strict=True)), f" {fingerprint}")
    print(f"\nCompare each with {CONSOLE}, or with what this prints there:\n\n    {ON_HOST}\n")
    for name in shown:
        _warn(name, hosts[name])
    if not terminal.answers():
        _say(refused)
        raise AcceptanceError(
            "there is no terminal to ask on, and nothing was written. Write the fingerprints that the consoles show"
            " into a file, as HOST SHA256:… for each, and type:\n    ./vpc trust --fingerprints FILE"
        )
    which = f"all {len(shown)} the same" if len(shown) > 1 else "it the same"
    if not _yes(f"{'Are' if len(shown) > 1 else 'Is'} {which}? Type yes to trust: "):
        _say(refused)
        raise AcceptanceError("nothing was accepted, and nothing was written")


def _warn(name: str, host: HostPlan) -> None:
    """Its old disk has keys of all kinds, and not each of them may be revoked."""
    if keys := host_keys.revoked(host.ssh):
        print(
            f"Of {name} {', '.join(map(host_keys.describe, keys))} {'is' if len(keys) == 1 else 'are'} revoked. A key"
            " of another kind may be the old machine's, too: compare with the console of the NEW machine.\n"
        )


def _yes(question: str) -> bool:
    try:
        return input(question).strip().lower() == "yes"
    except EOFError:
        print()
        return False
