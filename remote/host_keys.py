"""The ssh host key that a host shows, and the one that is accepted for it, in the site's known_hosts."""

import socket
from collections.abc import Iterator

import paramiko
from paramiko.hostkeys import HostKeyEntry, InvalidHostKey
from pyinfra.connectors.sshuserclient.client import SSHClient

from topology.plan import Ssh

TIMEOUT = 10  # seconds
# What a host may have, best first; the same order in which pyinfra's client asks.
KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-512")


def name(ssh: Ssh) -> str:
    """What known_hosts calls a host."""
    hostname, _ = _destination(ssh)
    return hostname if ssh.port == 22 else f"[{hostname}]:{ssh.port}"


def shown(ssh: Ssh, patience: float = TIMEOUT) -> Iterator[paramiko.PKey]:
    """The host's keys, the one first that a connection would be made with. Asked for one by one; none is trusted.
    `patience`: seconds for a connection, and again for its key.

    Raises OSError or paramiko.SSHException where the host does not answer as sshd does.
    """
    for kind in KINDS:
        hostname, via = _destination(ssh)
        address = via or socket.create_connection((hostname, ssh.port), timeout=patience)
        transport = paramiko.Transport(address)
        try:
            transport.get_security_options().key_types = (kind,)
            transport.start_client(timeout=patience)
            yield transport.get_remote_server_key()
        except paramiko.ssh_exception.IncompatiblePeer:
            continue  # it has no key of this kind
        finally:
            transport.close()


def known(ssh: Ssh) -> list[paramiko.PKey]:
    """The keys that are accepted for the host."""
    keys, host = [], name(ssh)
    for line in _lines(ssh):
        try:
            entry = None if line.startswith("@") else HostKeyEntry.from_line(line)
        except InvalidHostKey:
            continue  # whatever it is, it is not this host's key
        if entry is not None and entry.key is not None and any(_is(each, host) for each in entry.hostnames or ()):
            keys.append(entry.key)
    return keys


def accept(ssh: Ssh, key: paramiko.PKey) -> None:
    """From now on the host must show `key`, and none that it had before. Lines about other hosts stay as they are."""
    file, host = ssh.known_hosts, name(ssh)
    kept = "".join(_without(line, host) for line in _lines(ssh))
    if kept and not kept.endswith("\n"):
        kept += "\n"
    fresh = file.with_name(f".{file.name}.tmp")
    fresh.write_text(f"{kept}{host} {key.get_name()} {key.get_base64()}\n", encoding="utf-8")
    fresh.replace(file)


def describe(key: paramiko.PKey) -> str:
    """As ssh-keygen and a cloud's console print it: kind and fingerprint."""
    return f"{key.algorithm_name} {key.fingerprint}"


def _destination(ssh: Ssh) -> tuple[str, paramiko.Channel | None]:
    """Where ssh really goes, by the operator's ssh_config: a host name, and what is jumped through, if anything."""
    hostname, config, *_ = SSHClient().parse_config(ssh.host, {"port": ssh.port, "timeout": TIMEOUT})
    return hostname, config.get("sock")


def _lines(ssh: Ssh) -> list[str]:
    file = ssh.known_hosts
    return file.read_text(encoding="utf-8").splitlines(keepends=True) if file.exists() else []


def _without(line: str, host: str) -> str:
    """A line of known_hosts that no longer speaks of `host`; empty if it spoke of nobody else."""
    words = line.split()
    if not words or words[0].startswith(("#", "@")):
        return line
    names = [each for each in words[0].split(",") if not _is(each, host)]
    if len(names) == len(words[0].split(",")):
        return line
    return f"{','.join(names)} {' '.join(words[1:])}\n" if names else ""


def _is(entry: str, host: str) -> bool:
    return entry == host or (entry.startswith("|1|") and paramiko.HostKeys.hash_host(host, entry) == entry)
