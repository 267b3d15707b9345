"""The ssh host key that a host shows, and the one that is accepted for it, in the site's known_hosts.

No host is connected to that shows another key, or that none is accepted for. A line of that file is read on its own:
one that is wrong keeps no other from counting, and is reported before anything connects, because it may be what is left
of a host's key.
"""

import base64
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from shlex import quote

import paramiko
from paramiko import Message, MissingHostKeyPolicy, PKey, SSHException
from paramiko import SSHClient as ParamikoClient
from paramiko.pkey import UnknownKeyType
from pyinfra.api.util import memoize
from pyinfra.connectors.sshuserclient import client as pyinfra_client
from pyinfra.connectors.sshuserclient.client import SSHClient

from vpc_openvpn import whole
from vpc_openvpn.site.plan import Ssh

TIMEOUT = 10  # seconds
COMPARE = "Compare the key, by typing: ./vpc trust"
# What a host may have, best first; the same order in which pyinfra's client asks.
KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-512")


class UnknownKeyError(SSHException):
    """A host shows a `key` that is not accepted for it; the message says which, and why not."""

    def __init__(self, file: Path, hostname: str, key: PKey) -> None:
        revoked = is_revoked(file, hostname, key)
        super().__init__(f"{describe(key)}, which {file} revokes" if revoked else describe(key))
        self.key, self.revoked = key, revoked


class Strict(MissingHostKeyPolicy):
    """Accepts no key. Raises UnknownKeyError."""

    def missing_host_key(self, client: ParamikoClient, hostname: str, key: PKey) -> None:
        raise UnknownKeyError(Path(vars(client)["_host_keys_filename"]), hostname, key)


class _Explained(Strict):
    """In a run of pyinfra, which names the host before the message."""

    def missing_host_key(self, client: ParamikoClient, hostname: str, key: PKey) -> None:
        try:
            super().missing_host_key(client, hostname, key)
        except UnknownKeyError as error:
            mend = "Give it a new machine, and type: ./vpc rebuild" if error.revoked else COMPARE
            raise SSHException(f"its ssh host key is not trusted: {error}. Nothing was sent to it. {mend}") from None


def complaint_about_config() -> str:
    """Why OpenSSH's configuration of this user cannot be read; empty where it can."""
    try:
        pyinfra_client.get_ssh_config(None)
    except (OSError, SSHException, ValueError) as error:
        return str(error)
    return ""


def name(ssh: Ssh) -> str:
    """What known_hosts calls a host. Connects nowhere."""
    config = pyinfra_client.get_ssh_config(None)
    hostname = str(config.lookup(ssh.host).get("hostname", ssh.host)) if config else ssh.host
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
            key = transport.get_remote_server_key()
        except paramiko.ssh_exception.IncompatiblePeer:
            continue  # it has no key of this kind
        except (OSError, EOFError, SSHException):
            raise
        except Exception as error:  # what paramiko's parser meets in what a host has chosen to say
            raise SSHException(f"what it says is no ssh: {error}") from None
        finally:
            transport.close()
        yield key


def known(ssh: Ssh) -> list[paramiko.PKey]:
    """The keys that are accepted for the host. One that is revoked is not."""
    host, entries = name(ssh), [*_entries(ssh.known_hosts)]
    keys = [entry.key for entry in entries if not entry.marker and any(_is(each, host) for each in entry.names)]
    return [key for key in keys if not _revoked(entries, host, key)]


def is_revoked(file: Path, host: str, key: PKey) -> bool:
    """Whether a line of the known_hosts `file` revokes the `key` for `host`, which is named as it names hosts."""
    return _revoked(_entries(file), host, key)


def accept(*accepted: tuple[Ssh, PKey]) -> None:
    """From now on each host must show the key beside it, and none that it had before. Lines about other hosts stay as
    they are. All hosts have one known_hosts file, which is written in one piece or not at all.

    Raises OSError where it cannot be written.
    """
    _rewrite(accepted[0][0].known_hosts, {name(ssh): f"{name(ssh)} {_public(key)}\n" for ssh, key in accepted})


def revoke(ssh: Ssh, others: Iterable[PKey] = ()) -> list[PKey]:
    """The keys that are accepted for the host, and `others` of its disk, are refused from now on, shown by a thief or
    by a machine that was not given another one: these. As with `accept`, other hosts' lines stay. Raises OSError where
    it cannot be written.
    """
    host, entries = name(ssh), [*_entries(ssh.known_hosts)]
    keys = {key.fingerprint: key for key in (*known(ssh), *others)}.values()
    lines = [f"@revoked {host} {_public(key)}\n" for key in keys if not _revoked(entries, host, key)]
    _rewrite(ssh.known_hosts, {host: "".join(lines)})
    return [*keys]


def revoked(ssh: Ssh) -> list[PKey]:
    """The keys that `revoke` has refused for the host."""
    host = name(ssh)
    entries = [entry for entry in _entries(ssh.known_hosts) if entry.marker == "@revoked"]
    return [entry.key for entry in entries if any(_is(each, host) for each in entry.names)]


def of_its_disk(ssh: Ssh, patience: float = TIMEOUT) -> list[PKey]:
    """The keys of every kind that the host shows now. Empty where none of them is accepted for it, or was until it was
    revoked: that may be another machine, its replacement. Empty as well where it does not answer.
    """
    found: list[PKey] = []
    with suppress(OSError, EOFError, SSHException):
        for key in shown(ssh, patience):
            found.append(key)  # what came before an error counts
    ours = {key.fingerprint for key in (*known(ssh), *revoked(ssh))}
    return found if ours & {key.fingerprint for key in found} else []


def _rewrite(path: Path, hosts: Mapping[str, str]) -> None:
    """The lines about each of `hosts` go, and the one beside it comes. Two runs at once do it one after the other."""
    file = path.resolve()
    with whole.alone(file.parent, [file.name], wait=True):
        lines = _lines(file)
        for host in hosts:
            lines = [_without(line, host) for line in lines]
        kept = "".join(lines)
        if kept and not kept.endswith("\n"):
            kept += "\n"
        mode = file.stat().st_mode & 0o777 if file.exists() else 0o644
        whole.write(file, _encoded(kept + "".join(hosts.values())), mode)


def complaint_about(file: Path) -> tuple[str, str]:
    """What is wrong with a known_hosts file, and what to type; two empty strings for one that can be used."""
    if not file.parent.is_dir():
        return f"there is no folder {file.parent}", f"type: mkdir -p {quote(str(file.parent))}"
    try:
        lines = _lines(file)
    except OSError as error:
        return (
            f"cannot be read: {error.strerror}",
            f"it has to be a file that you may read and write: ls -ld {quote(str(file))}",
        )
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
        f"correct it, or restore the file; to remove the lines: sed -i.old '{delete}' {quote(str(file))}",
    )


def adopt() -> None:
    """Have pyinfra read known_hosts files so, and explain a key that is not known. Its own way voids what is below a
    line that it cannot read, and then takes any key of the hosts there for a first one.
    """
    vars(pyinfra_client).update(get_host_keys=memoize(_host_keys), StrictPolicy=_Explained)


def _host_keys(files: tuple[str, ...]) -> paramiko.HostKeys:
    """What pyinfra's client compares a host's key with. Of two keys of one kind for a host the first counts."""
    keys = paramiko.HostKeys()
    for file in files:
        entries = [*_entries(Path(file))]
        for entry in entries:
            for each in [] if entry.marker else entry.names:
                if entry.key.get_name() not in (keys.lookup(each) or ()) and not _revoked(entries, each, entry.key):
                    keys.add(each, entry.key.get_name(), entry.key)
    return keys


def _public(key: PKey) -> str:
    return f"{key.get_name()} {key.get_base64()}"


def describe(key: paramiko.PKey) -> str:
    """As ssh-keygen and a cloud's console print it: kind and fingerprint."""
    return f"{key.algorithm_name} {key.fingerprint}"


def _destination(ssh: Ssh) -> tuple[str, paramiko.Channel | None]:
    """Where ssh really goes, by the operator's ssh_config: a host name, and what is jumped through, if anything."""
    hostname, config, *_ = SSHClient().parse_config(ssh.host, {"port": ssh.port, "timeout": TIMEOUT})
    return hostname, config.get("sock")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line that gives a key: `marker` is empty for a host's own, or `@revoked`, or `@cert-authority`."""

    marker: str
    names: list[str]
    key: PKey


def _lines(file: Path) -> list[str]:
    """With their ends, as ssh has them: by `\\n` alone, and of any bytes."""
    with suppress(FileNotFoundError):
        return re.findall(r"[^\n]*\n|[^\n]+", file.read_bytes().decode("ascii", errors="surrogateescape"))
    return []


def _encoded(text: str) -> bytes:
    return text.encode("ascii", errors="surrogateescape")


def _words(line: str) -> list[str]:
    return re.findall(r"[^ \t\r\n]+", line)


def _entries(file: Path) -> Iterator[_Entry]:
    for line in _lines(file):
        with suppress(ValueError):
            if entry := _entry(line):
                yield entry


def _entry(line: str) -> _Entry | None:
    """A line of known_hosts (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"); None for one that gives no key: a comment, a kind
    of key that no connection uses. Raises ValueError for what is no such line.
    """
    words = _words(line)
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
    except Exception as error:  # SSHException, and what else paramiko's parser meets
        raise ValueError from error
    return _Entry(words[0] if marked else "", hosts, key)


def _is_name(name: str) -> bool:
    """Whether it may stand for a host: in the clear or, hashed, as `|1|SALT|HASH` of 20 bytes each."""
    if not name.startswith("|"):
        return bool(name)
    parts = name.split("|")
    return parts[:2] == ["", "1"] and [len(base64.b64decode(part, validate=True)) for part in parts[2:]] == [20, 20]


def _without(line: str, host: str) -> str:
    """A line of known_hosts without the name `host`; empty if it has no other name."""
    words = _words(line)
    if not words or words[0].startswith(("#", "@")):
        return line
    names = [each for each in words[0].split(",") if not _is(each, host)]
    if len(names) == len(words[0].split(",")):
        return line
    return f"{','.join(names)} {' '.join(words[1:])}\n" if names else ""


def _is(entry: str, host: str) -> bool:
    if not entry.startswith("|1|"):
        return entry == host
    with suppress(ValueError):  # a line that is wrong is no host's
        return _is_name(entry) and paramiko.HostKeys.hash_host(host, entry) == entry
    return False


def _revoked(entries: Iterable[_Entry], host: str, key: PKey) -> bool:
    """Here a name may be a pattern of `*` and `?`. A pattern that excludes hosts, by `!`, is not heeded: rather one key
    too many is revoked.
    """
    return any(
        entry.key == key and any(_is(each, host) or fnmatchcase(host, each.replace("[", "[[]")) for each in entry.names)
        for entry in entries
        if entry.marker == "@revoked"
    )
