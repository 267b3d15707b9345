"""A page in Chromium without a screen, spoken to by a pipe in the DevTools protocol; what it lays out and paints."""

import json
import os
import shutil
import subprocess
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO, Any

OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--mute-audio")


def program() -> str | None:
    """Chromium's name on this machine; None where it is not installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@dataclass
class Browser:
    """One page of a browser. Answers come in the order of questions; events between them are of no interest."""

    _to: IO[bytes]
    _from: IO[bytes]
    _numbers: Iterator[int]
    _session: str = ""

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the protocol, and its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        self._to.flush()
        while (answer := self._read()).get("id") != number:
            pass
        assert "error" not in answer, answer["error"]
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, file: Path, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Load the file, and wait until it is laid out. Up to 500 pixels wide the screen is a phone's."""
        if not self._session:
            target = self.ask("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        phone = width <= 500
        size = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1}
        self.ask("Emulation.setDeviceMetricsOverride", **size, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.ask("Page.enable")
        number = next(self._numbers)
        message = {"id": number, "method": "Page.navigate", "params": {"url": file.as_uri()}}
        self._to.write(json.dumps({**message, "sessionId": self._session}).encode() + b"\0")
        self._to.flush()
        while self._read().get("method") != "Page.loadEventFired":
            pass

    def value(self, expression: str) -> Any:
        """Of an expression in the page."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self, file: Path, *, most: int = 2000) -> None:
        """All of the page as a PNG, `most` pixels high."""
        height = min(most, self.value("document.documentElement.scrollHeight"))
        width = self.value("document.documentElement.clientWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = self.ask("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        file.write_bytes(b64decode(shot["data"]))

    def _read(self) -> dict[str, Any]:
        text = bytearray()
        while (character := self._from.read(1)) != b"\0":
            assert character, "the browser has ended"
            text += character
        message: dict[str, Any] = json.loads(text)
        return message


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser of its own, with an empty profile; it ends with the block."""
    name = program()
    assert name, "no Chromium: make test-pages installs it"
    (read, to), (back, write) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [name, *OPTIONS, "--remote-debugging-pipe", f"--user-data-dir={profile}"]

        def arrange() -> None:  # it takes commands from descriptor 3, and answers on 4
            commands, answers = os.dup(read), os.dup(write)
            os.dup2(commands, 3)
            os.dup2(answers, 4)

        process = subprocess.Popen(command, preexec_fn=arrange, close_fds=False, stderr=subprocess.DEVNULL)
        os.close(read)
        os.close(write)
        with os.fdopen(to, "wb") as commands, os.fdopen(back, "rb") as answers:
            try:
                yield Browser(commands, answers, count(1))
            finally:
                process.kill()
                process.wait()
