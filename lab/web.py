"""Some web server on the internet, which is also the hosts' package repository: `python -m lab.web FOLDER`.

/           the client's address as the server sees it, and nothing else
/zeros/N    N megabytes of zeros
/debian/    the packages
"""

from __future__ import annotations

import re
import sys
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

_MEGABYTE = bytes(1_000_000)


class Handler(SimpleHTTPRequestHandler):
    """Answers as the module says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/":
            self._answer([f"{self.client_address[0]}\n".encode()], "text/plain")
        elif match := re.fullmatch(r"/zeros/(\d{1,5})", self.path):
            self._answer([_MEGABYTE] * int(match[1]), "application/octet-stream")
        else:
            super().do_GET()

    def _answer(self, parts: list[bytes], kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(sum(map(len, parts))))
        self.end_headers()
        for part in parts:
            self.wfile.write(part)


if __name__ == "__main__":
    ThreadingHTTPServer(("", 80), partial(Handler, directory=sys.argv[1])).serve_forever()
