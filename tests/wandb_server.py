"""An HTTP server on loopback that speaks the part of wandb's protocol that its client uses.

Runs are created, get history by `file_stream`, files and artifacts, are resumed, listed page by page and read back.
What is not spoken here is answered with HTTP 400 and kept in `unknown`.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread, Timer
from typing import Any

import psutil

ENTITY = "me"
Json = dict[str, Any]


@dataclass
class StoredRun:
    """A run as the server knows it. Values of `config` are `{"value": ...}`, as wandb sends them."""

    id: str
    display_name: str = ""
    group: str | None = None
    state: str = "running"
    config: Json = field(default_factory=dict)
    summary: Json = field(default_factory=dict)
    history: list[Json] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    artifacts: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Name to files; the versions of one name replace each other."""


@dataclass
class WandbServer:
    """The store, and what a test may ask of it."""

    projects: dict[str, dict[str, StoredRun]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    """Operation names and paths, in the order they came."""
    unknown: list[str] = field(default_factory=list)
    is_down: bool = False
    """Answers every request with HTTP 500."""
    refuses_history: bool = False
    """Answers `file_stream` with HTTP 403."""
    refusal: str = ""
    """Answers the listing of runs with this error."""
    url: str = ""
    lock: Lock = field(default_factory=Lock)
    _artifacts: list[tuple[StoredRun, str, Json]] = field(default_factory=list)
    """By id: run, name and digest."""
    _uploads: dict[str, Callable[[bytes], None]] = field(default_factory=dict)

    def run(self, project: str, name: str) -> StoredRun:
        """The run of this id, made when it is not there."""
        runs = self.projects.setdefault(project, {})
        return runs.setdefault(name, StoredRun(id=name, display_name=name))

    def answer(self, operation: str, variables: Json) -> Json | None:
        """The `data` of an answer; None for an operation that is not spoken."""
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).lower()
        handler: Callable[[Json], Json] | None = getattr(self, f"_on_{name}", None)
        return None if handler is None else handler(variables)

    # -- who is asking

    def _on_viewer(self, _: Json) -> Json:
        viewer = {"id": "u1", "entity": ENTITY, "username": ENTITY, "email": "", "flags": "{}", "teams": {"edges": []}}
        return {"viewer": viewer, "serverInfo": None}

    _on_get_default_entity = _on_viewer

    # -- writing

    def _on_run_resume_status(self, v: Json) -> Json:
        project = {"id": "p", "name": v["project"], "entity": {"id": "e", "name": ENTITY}}
        run = self.projects.get(v["project"], {}).get(v["name"])
        if run is None:
            return {"model": project | {"bucket": None}}
        bucket = {
            "id": run.id,
            "name": run.id,
            "displayName": run.display_name,
            "summaryMetrics": json.dumps(run.summary),
            "logLineCount": 0,
            "historyLineCount": len(run.history),
            "eventsLineCount": 0,
            "historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]]),
            "eventsTail": "[]",
            "config": json.dumps(run.config),
            "tags": [],
            "notes": None,
            "wandbConfig": json.dumps({"t": {}}),
        }
        return {"model": project | {"bucket": bucket}}

    def _on_upsert_bucket(self, v: Json) -> Json:
        inserted = v["name"] not in self.projects.get(v["project"], {})
        run = self.run(v["project"], v["name"])
        run.state = "running"
        run.display_name = v["displayName"] or run.display_name
        run.group = v["groupName"] or run.group
        run.config |= json.loads(v["config"] or "{}")
        bucket = {
            "id": run.id,
            "name": run.id,
            "displayName": run.display_name,
            "description": None,
            "config": json.dumps(run.config),
            "sweepName": None,
            "project": {"id": "p", "name": v["project"], "entity": {"id": "e", "name": ENTITY}},
            "historyLineCount": len(run.history),
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def stream(self, project: str, name: str, body: Json) -> Json:
        """One request of `file_stream`: lines of history at an offset, the summary, and at the end the exit code."""
        run = self.run(project, name)
        for file, chunk in body.get("files", {}).items():
            rows = [json.loads(line) for line in chunk["content"]]
            if file == "wandb-history.jsonl":
                run.history[chunk["offset"] :] = rows
            elif file == "wandb-summary.json":
                run.summary = rows[-1]
        if body.get("complete"):
            run.state = {0: "finished", 255: "killed"}.get(body["exitcode"], "failed")
        return {}

    def _on_create_run_files(self, v: Json) -> Json:
        run = self.run(v["project"], v["run"])
        files = [self._upload(name, run.files) for name in v["files"]]
        return {"createRunFiles": {"runID": run.id, "uploadHeaders": [], "files": files}}

    def _upload(self, name: str, store: dict[str, bytes]) -> Json:
        path = f"/upload/{len(self._uploads)}"

        def keep(body: bytes) -> None:
            store[name] = body

        self._uploads[path] = keep
        return {"name": name, "uploadUrl": self.url + path}

    # -- artifacts

    def _on_artifact_type(self, _: Json) -> Json:
        return {"project": {"artifact": None}}

    def _on_server_features_query(self, _: Json) -> Json:
        return {"serverInfo": {"features": []}}

    def _on_xxhash_digests_enabled(self, _: Json) -> Json:
        return {"entity": {"xxhashDigestsEnabled": False}}

    def _on_fetch_artifact_digest_algorithm(self, _: Json) -> Json:
        return {"project": {"artifactType": None}}

    def _on_create_artifact(self, v: Json) -> Json:
        asked = v["input"]
        run = self.run(asked["projectName"], asked["runName"])
        name, digest = asked["artifactCollectionName"], asked["digest"]
        known = [i for i, kept in enumerate(self._artifacts) if kept == (run, name, digest)]
        if not known:
            self._artifacts.append((run, name, digest))
            run.artifacts[name] = {}
        artifact = {
            "id": str(known[0] if known else len(self._artifacts) - 1),
            "state": "COMMITTED" if known else "PENDING",
            "artifactSequence": {"latestArtifact": None},
        }
        return {"createArtifact": {"artifact": artifact}}

    def _on_create_artifact_manifest(self, v: Json) -> Json:
        upload = self._upload(v["name"], {})
        file = {"id": "f", "uploadUrl": upload["uploadUrl"], "uploadHeaders": []}
        return {"createArtifactManifest": {"artifactManifest": {"id": "m", "file": file}}}

    def _on_update_artifact_manifest(self, v: Json) -> Json:
        file = {"id": "f", "uploadUrl": self._upload("manifest", {})["uploadUrl"], "uploadHeaders": []}
        return {"updateArtifactManifest": {"artifactManifest": {"id": "m", "file": file}}}

    def _on_create_artifact_files(self, v: Json) -> Json:
        edges = []
        for file in v["input"]["artifactFiles"]:
            run, name, _ = self._artifacts[int(file["artifactID"])]
            node = {
                "storagePath": file["name"],
                "uploadUrl": self._upload(file["name"], run.artifacts[name])["uploadUrl"],
                "uploadHeaders": [],
                "uploadMultipartUrls": None,
                "artifact": {"id": file["artifactID"]},
            }
            edges.append({"node": node})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _on_commit_artifact(self, v: Json) -> Json:
        return {"commitArtifact": {"artifact": {"id": v["artifactID"], "digest": "d"}}}

    def _on_artifact_by_id(self, v: Json) -> Json:
        run, name, digest = self._artifacts[int(v["id"])]
        project = {"id": "p", "internalId": "1", "name": "p", "entity": {"name": ENTITY}}
        artifact = {
            "__typename": "Artifact",
            "id": v["id"],
            "artifactSequence": {"__typename": "ArtifactSequence", "name": name, "project": project},
            "versionIndex": 0,
            "artifactType": {"name": "run"},
            "description": None,
            "metadata": None,
            "ttlDurationSeconds": 0,
            "ttlIsInherited": True,
            "tags": [],
            "historyStep": None,
            "state": "COMMITTED",
            "size": 1,
            "digest": digest,
            "commitHash": "c",
            "fileCount": len(run.artifacts[name]),
            "createdAt": "2026-01-01T00:00:00Z",
            "updatedAt": None,
            "aliases": [],
        }
        return {"artifact": artifact}

    # -- reading back

    def _on_runs(self, v: Json) -> Json:
        if v["entity"] != ENTITY or v["project"] not in self.projects:
            return {"project": None}
        runs = [run for run in self.projects[v["project"]].values() if _matches(run, json.loads(v["filters"]))]
        start = int(v["cursor"] or 0)
        page = runs[start : start + v["perPage"]]
        end = start + len(page)
        edges = [{"node": self._node(v["project"], run), "cursor": str(end)} for run in page]
        info = {"endCursor": str(end), "hasNextPage": end < len(runs)}
        found = {"edges": edges, "pageInfo": info}
        return {"project": {"internalId": "1", "runCount": len(runs), "readOnly": False, "runs": found}}

    def _on_run(self, v: Json) -> Json:
        run = self.projects.get(v["project"], {}).get(v["name"])
        return {"project": {"run": run and self._node(v["project"], run)}}

    def _node(self, project: str, run: StoredRun) -> Json:
        return {
            "id": run.id,
            "name": run.id,
            "displayName": run.display_name,
            "state": run.state,
            "config": json.dumps(run.config),
            "summaryMetrics": json.dumps(run.summary),
            "systemMetrics": "{}",
            "historyKeys": _history_keys(run),
            "historyLineCount": len(run.history),
            "createdAt": "2026-01-01T00:00:00Z",
            "heartbeatAt": "2026-01-01T00:00:00Z",
            "tags": [],
            "group": run.group,
            "jobType": None,
            "description": None,
            "notes": None,
            "commit": None,
            "sweepName": None,
            "readOnly": False,
            "projectId": "1",
            "user": {"name": ENTITY, "username": ENTITY},
        }

    def _on_run_history_keys(self, v: Json) -> Json:
        return {"project": {"run": {"historyKeys": _history_keys(self.projects[v["project"]][v["name"]])}}}

    def _on_run_parquet_history(self, v: Json) -> Json:
        run = self.projects[v["project"]][v["runName"]]
        live = [{key: row.get(key) for key in v["liveKeys"]} for row in run.history]
        return {"project": {"run": {"parquetHistory": {"parquetUrls": [], "liveData": live}}}}

    def _on_history_page(self, v: Json) -> Json:
        rows = self.projects[v["project"]][v["run"]].history
        page = [row for row in rows if v["minStep"] <= row["_step"] < v["maxStep"]][: v["pageSize"]]
        return {"project": {"run": {"history": [_wandb_json(row) for row in page]}}}

    def upload(self, path: str, body: bytes) -> None:
        """The PUT of a file to the address that it was given."""
        self._uploads[path](body)


def _history_keys(run: StoredRun) -> Json:
    keys = {key: {"typeCounts": [{"type": "number", "count": 1}]} for row in run.history for key in row}
    return {"sets": [], "keys": keys, "lastStep": run.history[-1]["_step"] if run.history else -1}


def _wandb_json(row: Json) -> str:
    """A row as wandb's server writes it: what JSON has no number for is text, such as "NaN"."""
    text = {math.inf: "Infinity", -math.inf: "-Infinity"}
    return json.dumps(
        {
            key: text.get(value, "NaN") if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in row.items()
        }
    )


def _matches(run: StoredRun, filters: Json) -> bool:
    """The three forms of filter that are asked for here."""
    if "$or" in filters:
        return any(_matches(run, part) for part in filters["$or"])
    fields = {"name": run.id, "displayName": run.display_name}
    return all(fields[key] in rule["$in"] for key, rule in filters.items())


def _handler(server: WandbServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self._body()  # a client that is slow to send or to read does not hold up the others
            with server.lock:
                status, value = self._post(body)
            self._answer(status, value)

        def do_PUT(self) -> None:
            body = self._body()
            with server.lock:
                server.upload(self.path, body)
            self._answer(200, {})

        def _post(self, body: bytes) -> tuple[int, Json]:
            if server.is_down:
                return 500, {"errors": [{"message": "the server is down"}]}
            if self.path == "/graphql":
                return self._graphql(json.loads(body))
            if stream := re.fullmatch(r"/files/[^/]*/([^/]+)/([^/]+)/file_stream", self.path):
                server.requests.append("file_stream")
                if server.refuses_history:
                    return 403, {}
                return 200, server.stream(stream[1], stream[2], json.loads(body))
            server.unknown.append(self.path)
            return 400, {}

        def _graphql(self, asked: Json) -> tuple[int, Json]:
            named = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])
            operation = asked.get("operationName") or (named[1] if named else "?")
            server.requests.append(operation)
            if server.refusal and operation == "Runs":
                return 200, {"data": None, "errors": [{"message": server.refusal}]}
            data = server.answer(operation, asked.get("variables") or {})
            if data is None:
                server.unknown.append(operation)
                return 400, {"errors": [{"message": f"this server does not speak {operation}"}]}
            return 200, {"data": data}

        def _body(self) -> bytes:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

        def _answer(self, status: int, value: Json) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


class _Http(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away without a word is nothing to report."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serve() -> Iterator[WandbServer]:
    """The server on a free port of 127.0.0.1, until the block ends."""
    server = WandbServer()
    http = _Http(("127.0.0.1", 0), _handler(server))
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def kill_service() -> None:
    """wandb's own process beside this one dies."""
    for child in psutil.Process().children():
        if child.name() == "wandb-core":
            child.kill()


def end_service() -> None:
    """`wandb.teardown()`, which waits for wandb's service without limit: one that is there after a minute is killed."""
    import wandb

    timer = Timer(60, kill_service)
    timer.start()
    try:
        with suppress(SystemExit):  # with the exit status of a killed one
            wandb.teardown()
    finally:
        timer.cancel()  # else it would end the service of a later test
