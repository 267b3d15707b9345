"""Fetches a heartbeat's URL once, as a process of its own: `python heartbeat.py`, with the URL on its standard input.

Each wait of a fetch has a limit of its own, so that a server which sends a byte now and then holds one for ever: from
outside all of it can be ended. It prints why it failed, without the URL, which is a secret of a kind.
"""

import http.client
import subprocess
import sys
import time
import urllib.error
import urllib.request

WITHIN = 10.0  # seconds for all of it


class Heartbeat:
    """One fetch, from now on."""

    def __init__(self, url: str) -> None:
        """Raises OSError."""
        self._until = time.monotonic() + WITHIN
        command = [sys.executable, "-I", __file__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin
        self._process.stdin.write(url)
        self._process.stdin.close()

    def ended(self) -> bool:
        """Whether it is over; one that takes too long is ended."""
        if self._process.poll() is None and time.monotonic() > self._until:
            self._process.kill()
            self._process.wait()
        return self._process.poll() is not None

    def failure(self) -> str:
        """Of one that has ended: why it was not heard; empty if it was."""
        assert self._process.stdout
        with self._process.stdout as said:
            found = said.read().strip()
        return found or ("" if self._process.returncode == 0 else "no answer in time")

    def end(self) -> None:
        """Now."""
        self._process.kill()
        self._process.wait()
        self.failure()


def fetch(url: str) -> str:
    """Why it could not be fetched; empty if it was."""
    try:
        with urllib.request.urlopen(url, timeout=WITHIN) as answer:
            answer.read(1)
    except urllib.error.HTTPError as error:
        return f"its server answers {error.code}"
    except urllib.error.URLError as error:
        reason = error.reason
        return (reason.strerror or "no answer") if isinstance(reason, OSError) else "no answer"
    except OSError as error:
        return error.strerror or "no answer in time"
    except (ValueError, http.client.HTTPException):
        return "its server does not answer as a web server does"
    return ""


if __name__ == "__main__":
    print(fetch(sys.stdin.read()))
