"""The lab's command line, loaded once. It forks for each command, at a tenth of the cost of a new Python: to start
`python -m lab exec` took a quarter of the processors' time in a run of all scenarios.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from lab import cli

_REQUEST = 1 << 17  # bytes: words and environment


class Console:
    """A process that runs the lab's verbs in children of its own, as `python -m lab` does. Ends with this process."""

    def __init__(self, root: Path, environment: dict[str, str]) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            words = [sys.executable, "-m", __name__, str(theirs.fileno())]
            self._process = subprocess.Popen(words, cwd=root, env=environment, pass_fds=[theirs.fileno()])
        self._turn = threading.Lock()

    def run(self, words: list[str], environment: dict[str, str], stdin: str, timeout: float) -> tuple[int, str]:
        """A verb's exit status, and all that it printed. Raises subprocess.TimeoutExpired; the command may go on."""
        status, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        reading, writing = os.pipe()
        asked = os.memfd_create("stdin")
        try:
            os.write(asked, stdin.encode())
            os.lseek(asked, 0, os.SEEK_SET)
            request = json.dumps([words, environment]).encode()
            with self._turn:
                socket.send_fds(self._ours, [request], [asked, writing, theirs.fileno()])
            os.close(writing)
            writing = -1
            theirs.close()
            said = _all(reading, words, timeout)
            status.settimeout(timeout)
            return int(status.recv(16) or b"137"), said.decode(errors="replace")
        finally:
            for each in (reading, writing, asked):
                if each >= 0:
                    os.close(each)
            theirs.close()
            status.close()


def _all(reading: int, words: list[str], timeout: float) -> bytes:
    end, said = time.monotonic() + timeout, b""
    while True:
        ready, _, _ = select.select([reading], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            raise subprocess.TimeoutExpired(words, timeout, said)
        piece = os.read(reading, 1 << 16)
        if not piece:
            return said
        said += piece


def _serve(requests: socket.socket) -> None:
    """Until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the tests' to judge
    waiting: dict[int, tuple[int, socket.socket]] = {}  # by pidfd: the child, and who hears of its end
    while True:
        for ready in select.select([requests.fileno(), *waiting], [], [])[0]:
            if ready in waiting:
                child, answer = waiting.pop(ready)
                status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                os.close(ready)
                with answer, suppress(OSError):  # who asked may have gone
                    answer.send(str(status).encode())
                continue
            request, given, _, _ = socket.recv_fds(requests, _REQUEST, 3)
            if not request:
                return
            child = os.fork()
            if child == 0:
                _run(request, given)
            waiting[os.pidfd_open(child)] = child, socket.socket(fileno=given[2])
            for each in given[:2]:
                os.close(each)


def _run(request: bytes, given: list[int]) -> None:
    """In the child: it becomes the command."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(given[0], 0)
        os.dup2(given[1], 1)
        os.dup2(given[1], 2)
        words, environment = json.loads(request)
        os.environ.clear()
        os.environ.update(environment)
        status = cli.main(words)
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
