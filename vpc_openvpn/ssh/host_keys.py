"""The ssh host key that a host shows, and the one that is accepted for it, in the site's known_hosts.

A line of that file is read on its own: one that is wrong keeps no other from counting, and is reported before anything
connects, because it may be what is left of a host's key.
"""

import base64
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import paramiko
from paramiko import Message, PKey, SSHException
from paramiko.hostkeys import HostKeyEntry
from paramiko.pkey import UnknownKeyType
from pyinfra.api.util import memoize
from pyinfra.connectors.sshuserclient import client as pyinfra_client
from pyinfra.connectors.sshuserclient.client import SSHClient

from vpc_openvpn.site.plan import Ssh

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
    for entry in _entries(ssh.known_hosts):
        if any(_is(each, host) for each in entry.hostnames):
            keys.append(entry.key)
    return keys


def accept(ssh: Ssh, key: paramiko.PKey) -> None:
    """From now on the host must show `key`, and none that it had before. Lines about other hosts stay as they are."""
    file, host = ssh.known_hosts, name(ssh)
    kept = "".join(_without(line, host) for line in _lines(file))
    if kept and not kept.endswith("\n"):
        kept += "\n"
    fresh = file.with_name(f".{file.name}.tmp")
    fresh.write_text(f"{kept}{_line(host, key)}", encoding="utf-8", errors="surrogateescape")
    fresh.replace(file)


def complaint_about(file: Path) -> tuple[str, str]:
    """What is wrong with a known_hosts file, and what to type; two empty strings for one that can be used."""
    if not file.parent.is_dir():
        return f"there is no folder {file.parent}", f"type: mkdir -p {file.parent}"
    try:
        lines = _lines(file)
    except OSError as error:
        return f"cannot be read: {error.strerror}", f"it has to be a file that you may read and write: ls -ld {file}"
    wrong = []
    for number, line in enumerate(lines, start=1):
        try:
            _entry(line)
        except ValueError:
            wrong.append(number)
    if not wrong:
        return "", ""
    which = f"line {wrong[0]} is" if len(wrong) == 1 else f"lines {', '.join(map(str, wrong))} are"
    delete = "".join(f"{number}d;" for number in wrong)
    return (
        f"{which} not `HOST KIND KEY`, and may be what is left of a host's key",
        f"correct it, or restore the file; to remove the lines: sed -i.old '{delete}' {file}",
    )


def adopt() -> None:
    """Have pyinfra read and extend known_hosts files so. Its own way voids what is below a line that it cannot read,
    and takes any key of the hosts there for a first one.
    """
    vars(pyinfra_client).update(get_host_keys=memoize(_host_keys), append_hostkey=_append)


def _host_keys(files: tuple[str, ...]) -> paramiko.HostKeys:
    """What pyinfra's client compares a host's key with. Of two keys of one kind for a host the first counts."""
    keys = paramiko.HostKeys()
    for file in files:
        for entry in _entries(Path(file)):
            for each in entry.hostnames:
                if entry.key.get_name() not in (keys.lookup(each) or ()):
                    keys.add(each, entry.key.get_name(), entry.key)
    return keys


def _append(client: SSHClient, host: str, key: PKey) -> None:
    """A host's first key, on a line of its own."""
    with Path(client._host_keys_filename).open("a+", encoding="utf-8", errors="surrogateescape") as file:
        file.seek(0)
        text = file.read()
        file.write(("" if text.endswith("\n") or not text else "\n") + _line(host, key))


def _line(host: str, key: PKey) -> str:
    return f"{host} {key.get_name()} {key.get_base64()}\n"


def describe(key: paramiko.PKey) -> str:
    """As ssh-keygen and a cloud's console print it: kind and fingerprint."""
    return f"{key.algorithm_name} {key.fingerprint}"


def _destination(ssh: Ssh) -> tuple[str, paramiko.Channel | None]:
    """Where ssh really goes, by the operator's ssh_config: a host name, and what is jumped through, if anything."""
    hostname, config, *_ = SSHClient().parse_config(ssh.host, {"port": ssh.port, "timeout": TIMEOUT})
    return hostname, config.get("sock")


def _lines(file: Path) -> list[str]:
    with suppress(FileNotFoundError):
        return file.read_text(encoding="utf-8", errors="surrogateescape").splitlines(keepends=True)
    return []


def _entries(file: Path) -> Iterator[HostKeyEntry]:
    for line in _lines(file):
        with suppress(ValueError):
            if entry := _entry(line):
                yield entry


def _entry(line: str) -> HostKeyEntry | None:
    """A line of known_hosts (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"); None for one that gives no host's key: a comment,
    a marker, a kind of key that no connection uses. Raises ValueError for what is no such line.
    """
    words = line.split()
    if not words or words[0].startswith("#"):
        return None
    marked = words[0] in ("@cert-authority", "@revoked")
    names, kind, text = words[marked : marked + 3]
    data = base64.b64decode(text, validate=True)
    hosts = names.split(",")
    if Message(data).get_binary() != kind.encode() or not all(map(_is_name, hosts)):
        raise ValueError
    try:
        key = PKey.from_type_string(kind, data)
    except UnknownKeyType:
        return None
    except SSHException as error:
        raise ValueError from error
    return None if marked else HostKeyEntry(hosts, key)


def _is_name(name: str) -> bool:
    """Whether it may stand for a host: in the clear or, hashed, as `|1|SALT|HASH` of 20 bytes each."""
    if not name.startswith("|"):
        return bool(name)
    parts = name.split("|")
    return parts[:2] == ["", "1"] and [len(base64.b64decode(part, validate=True)) for part in parts[2:]] == [20, 20]


def _without(line: str, host: str) -> str:
    """A line of known_hosts without the name `host`; empty if it has no other name."""
    words = line.split()
    if not words or words[0].startswith(("#", "@")):
        return line
    names = [each for each in words[0].split(",") if not _is(each, host)]
    if len(names) == len(words[0].split(",")):
        return line
    return f"{','.join(names)} {' '.join(words[1:])}\n" if names else ""


def _is(entry: str, host: str) -> bool:
    return entry == host or (entry.startswith("|1|") and paramiko.HostKeys.hash_host(host, entry) == entry)
