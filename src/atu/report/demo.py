"""`atu demo`: a local web page on which both models of a run are asked.

A server of the standard library and a page of this program's own: a framework for such pages would bring dozens of
packages, and fonts and scripts from other hosts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any

from atu.errors import UserError

HOST = "127.0.0.1"
_MAX_BYTES = 64_000
"""Of a request."""
Ask = Callable[[str], Sequence[Sequence[tuple[str, bool]]]]
"""From a prompt to the answers, in parts."""


class _Handler(BaseHTTPRequestHandler):
    page: bytes
    ask: Ask
    lock: Lock
    """One question at a time: the models share the processor."""

    def log_message(self, format: str, *args: object) -> None:
        """Silence: what is asked is nobody else's."""

    def do_GET(self) -> None:
        if self._is_from_elsewhere() or self.path not in ("/", "/index.html"):
            self._answer(b"", "text/plain", 404)
        else:
            self._answer(self.page, "text/html; charset=utf-8")

    def do_POST(self) -> None:
        size = self.headers.get("Content-Length", "")
        if self._is_from_elsewhere() or self.path != "/ask" or not size.isdecimal() or int(size) > _MAX_BYTES:
            self.close_connection = True
            self._answer(b"", "text/plain", 403)
            return
        try:
            prompt = json.loads(self.rfile.read(int(size)))["prompt"]
            with self.lock:
                answers = self.ask(str(prompt))
        except (KeyError, TypeError, UserError, ValueError) as error:  # a prompt that is too long, or none
            self._answer(json.dumps({"error": str(error)}).encode(), "application/json", 400)
            return
        self._answer(json.dumps({"prompt": prompt, "answers": answers}).encode(), "application/json")

    def _is_from_elsewhere(self) -> bool:
        """Whether a page of another host asks, perhaps under a name that leads here."""
        address = f"{HOST}:{self.server.server_port}"  # type: ignore[attr-defined]
        origin = self.headers.get("Origin")
        return self.headers.get("Host") != address or origin not in (None, f"http://{address}")

    def _answer(self, content: bytes, kind: str, code: int = 200) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def demo_server(page: str, ask: Ask, port: int) -> Iterator[tuple[ThreadingHTTPServer, str]]:
    """A server of the page on this machine alone, and its address; `serve_forever` starts it.

    Args:
        port: 0 for one that is free.

    Raises:
        UserError: the port is taken.
    """
    values: dict[str, Any] = {"page": page.encode(), "ask": staticmethod(ask), "lock": Lock()}
    try:
        server = ThreadingHTTPServer((HOST, port), type("Handler", (_Handler,), values))
    except (OSError, OverflowError) as error:
        raise UserError(f"Port {port} is taken, or not allowed: give another one by --port.") from error
    server.daemon_threads = True
    try:
        yield server, f"http://{HOST}:{server.server_port}/"
    finally:
        server.server_close()
