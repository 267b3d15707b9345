"""A service that counts heartbeats: `python heartbeats.py PORT` prints a line for each request, with its path."""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        print("heard", self.path, flush=True)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the line above is all."""


if __name__ == "__main__":
    HTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
