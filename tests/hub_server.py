"""An HTTP server on loopback that speaks the part of the Hugging Face hub's protocol that a push uses.

Repositories are created, large files go by LFS, small ones inside of the commit. What is not spoken here is answered
with HTTP 400 and kept in `unknown`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

Json = dict[str, Any]


@dataclass
class HubServer:
    """The store, and what a test may ask of it."""

    url: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    commits: list[str] = field(default_factory=list)
    """Their messages."""
    pages: dict[str, Json] = field(default_factory=dict)
    """Front matter of the models that are there already."""
    uploaded: dict[str, bytes] = field(default_factory=dict)
    """LFS objects by sha256."""
    tokens: set[str] = field(default_factory=set)
    unknown: list[str] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, value: object, code: int = 200) -> None:
        text = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _is_allowed(self) -> bool:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token in self.hub.tokens:
            return True
        self._answer({"error": "Invalid username or password."}, 401)
        return False

    def do_GET(self) -> None:
        model = self.path.removeprefix("/api/models/").partition("?")[0]
        if model in self.hub.pages:
            self._answer({"id": model, "sha": "0" * 40, "cardData": self.hub.pages[model], "siblings": []})
        else:
            self._answer({"error": "unknown"}, 404)

    def do_PUT(self) -> None:
        content = self._body()
        self.hub.uploaded[hashlib.sha256(content).hexdigest()] = content
        self._answer({})

    def do_POST(self) -> None:
        body = self._body()
        if not self._is_allowed():
            return
        if self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif self.path == "/api/repos/create":
            wanted = json.loads(body)
            name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
            self.hub.repositories.setdefault(name, {})
            if wanted.get("private") or wanted.get("visibility") == "private":
                self.hub.private.add(name)
            self._answer({"url": f"{self.hub.url}/{name}", "name": name, "id": name})
        elif match := re.fullmatch(r"/api/models/(.+)/preupload/main", self.path):
            files = json.loads(body)["files"]
            modes = [{"path": file["path"], "uploadMode": _mode(file["path"]), "shouldIgnore": False} for file in files]
            self._answer({"files": modes})
        elif re.fullmatch(r"/(.+)\.git/info/lfs/objects/batch", self.path):
            objects = [
                {**one, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            self._answer({"transfer": "basic", "objects": objects})
        elif match := re.fullmatch(r"/api/models/(.+)/commit/main", self.path):
            self._commit(match[1], [json.loads(line) for line in body.splitlines()])
        else:
            self.hub.unknown.append(f"POST {self.path}")
            self._answer({"error": "unknown"}, 400)

    def _commit(self, name: str, rows: list[Json]) -> None:
        for row in rows:
            value = row["value"]
            if row["key"] == "header":
                self.hub.commits.append(value["summary"])
            elif row["key"] == "file":
                self.hub.repositories[name][value["path"]] = base64.b64decode(value["content"])
            elif row["key"] == "lfsFile":
                self.hub.repositories[name][value["path"]] = self.hub.uploaded[value["oid"]]
        self._answer({"commitUrl": f"{self.hub.url}/{name}/commit/{'1' * 40}", "commitOid": "1" * 40, "success": True})


def _mode(path: str) -> str:
    return "lfs" if path.endswith(".safetensors") else "regular"


@contextmanager
def running_hub() -> Iterator[HubServer]:
    """A server with one token, `secret`."""
    hub = HubServer(tokens={"secret"})
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
