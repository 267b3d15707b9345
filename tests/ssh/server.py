"""A host on loopback that shows an ssh host key, and notes who asks to be let in."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import paramiko
from paramiko.common import AUTH_FAILED


class Stranger(paramiko.ServerInterface):
    """Lets no one in; `asked` has what each has tried."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self.asked.append(f"{username} by {key.get_name()}")
        return AUTH_FAILED

    def check_auth_none(self, username: str) -> int:
        self.asked.append(username)
        return AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"


@contextmanager
def showing(*keys: paramiko.PKey) -> Iterator[tuple[int, Stranger]]:
    """A server that has these keys: its port, and what it is asked."""
    stranger = Stranger()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                transport = paramiko.Transport(connection)
                for key in keys:
                    transport.add_server_key(key)
                try:
                    transport.start_server(event=threading.Event(), server=stranger)
                except paramiko.SSHException:
                    continue

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listening.getsockname()[1], stranger
        finally:
            listening.shutdown(socket.SHUT_RDWR)
