"""Downloads from a folder, and through the shell script from a stand-in for the hub on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from atu.benchmarks.rwku import download
from atu.benchmarks.rwku.reader import RwkuData
from atu.errors import UserError

from .conftest import MakeTarget
from .sample_rows import target_rows

SCRIPT = Path(__file__).parents[3] / "data/rwku/download_rwku_data.sh"
COMMIT = "1" * 40
KING = "1_Stephen_King"


def fetch(*targets: str, source: Path, out: Path, all_targets: bool = False) -> list[str]:
    lines: list[str] = []
    download.download(targets, all_targets=all_targets, source=source, revision=None, out=out, report=lines.append)
    return lines


def test_from_a_copy_with_difficult_names(make_target: MakeTarget, tmp_path: Path) -> None:
    folders = [KING, "10_Prince_Harry,_Duke_of_Sussex", "24_Beyoncé", "87_Robert_Downey_Jr."]
    for folder in folders:
        source = make_target(folder)
    (source / "Target" / KING / "forget_words.json").write_text("[]")  # some copies hold files of their own
    out = tmp_path / "out"
    lines = fetch(source=source, out=out, all_targets=True)
    assert lines[3].startswith("[4/4] 87_Robert_Downey_Jr.: 22 files, 0.0 MB")
    assert RwkuData(out).targets() == folders
    assert download.verify(out) == 4 * 22
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    entry = manifest["targets"]["24_Beyoncé"]["files"]["intro.json"]
    content = (out / "Target/24_Beyoncé/intro.json").read_bytes()
    assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    assert {path.name for path in out.iterdir()} == {"Target", "manifest.json", ".download.lock"}


def test_chosen_targets_are_kept_when_the_command_comes_again(two_targets: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fetch(KING, source=two_targets, out=out)
    before = (out / "Target" / KING / "intro.json").stat().st_mtime_ns
    assert fetch(source=two_targets, out=out, all_targets=True)[0] == f"[1/2] {KING}: already there"
    assert (out / "Target" / KING / "intro.json").stat().st_mtime_ns == before
    assert download.verify(out) == 44


def test_a_file_that_differs_from_the_manifest_is_named(two_targets: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fetch(KING, source=two_targets, out=out)
    changed = out / "Target" / KING / "forget_level1.json"
    changed.write_text("[]")
    for again in (lambda: download.verify(out), lambda: fetch(KING, source=two_targets, out=out)):
        with pytest.raises(UserError, match=r"1_Stephen_King/forget_level1\.json differs from the manifest"):
            again()
    changed.unlink()
    with pytest.raises(UserError, match=r"forget_level1\.json is missing"):
        download.verify(out)
    fetch(KING, source=two_targets, out=out)
    assert download.verify(out) == 22


def test_a_target_that_was_put_there_by_hand_is_taken_over_when_it_is_equal(
    two_targets: Path, make_target: MakeTarget
) -> None:
    out = make_target(KING, root="out/Target", passage=None)
    fetch(KING, source=two_targets, out=out)
    assert download.verify(out) == 22
    other = make_target(KING, root="other/Target", passage=target_rows("Stephen King")["passage"][:1])
    with pytest.raises(UserError, match=r"passage\.json differs from the source's"):
        fetch(KING, source=two_targets, out=other)


def test_a_source_that_has_more_files_completes_a_target(
    two_targets: Path, make_target: MakeTarget, tmp_path: Path
) -> None:
    poor, out = make_target(KING, root="poor/Target", pair=None, pair_phi=None), tmp_path / "out"
    assert fetch(KING, source=poor, out=out)[0].endswith("(the source lacks 2 training files)")
    fetch(KING, source=two_targets, out=out)
    assert download.verify(out) == 22


def test_a_source_without_an_evaluation_file_is_refused(make_target: MakeTarget, tmp_path: Path) -> None:
    source = make_target(KING, triviaqa=None)
    with pytest.raises(UserError, match=r"lacks 1_Stephen_King/triviaqa\.json"):
        fetch(KING, source=source, out=tmp_path / "out")


def test_a_cut_file_is_never_published(two_targets: Path, tmp_path: Path) -> None:
    cut = two_targets / "Target" / KING / "fluency.json"
    whole = cut.read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"fluency\.json: not valid JSON"):
        fetch(KING, source=two_targets, out=out)
    assert not (out / "Target").exists()
    cut.write_bytes(whole)
    fetch(KING, source=two_targets, out=out)
    assert download.verify(out) == 22


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["1_Steven_King"], r"Did you mean '1_Stephen_King'\?"),
        ([], "Name the targets to fetch"),
    ],
)
def test_wrong_names(two_targets: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        fetch(*arguments, source=two_targets, out=tmp_path / "out")


def test_nothing_to_verify(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no manifest\.json"):
        download.verify(tmp_path)


class StandInHub(ThreadingHTTPServer):
    """Answers the three requests that the hub client makes for a data set; can cut one file short."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), StandInHandler)
        self.files = files
        self.cut: str | None = None
        self.sent: list[str] = []


class StandInHandler(BaseHTTPRequestHandler):
    server: StandInHub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(send_body=False)

    def do_GET(self) -> None:
        self.answer(send_body=True)

    def answer(self, *, send_body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        files, resolve = self.server.files, f"/datasets/{download.REPOSITORY}/resolve/{COMMIT}/"
        if path.startswith(f"/api/datasets/{download.REPOSITORY}/revision/"):
            siblings = [{"rfilename": name} for name in files]
            self.reply(json.dumps({"id": download.REPOSITORY, "sha": COMMIT, "siblings": siblings}).encode())
        elif path.startswith(f"/api/datasets/{download.REPOSITORY}/tree/"):
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": etag(content)}
                for name, content in files.items()
            ]
            self.reply(json.dumps(entries).encode())
        elif path.startswith(resolve) and path.removeprefix(resolve) in files:
            self.send_file(path.removeprefix(resolve), send_body=send_body)
        else:
            self.send_error(404)

    def reply(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_file(self, name: str, *, send_body: bool) -> None:
        content = self.server.files[name]
        self.send_response(200)
        self.send_header("ETag", f'"{etag(content)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if send_body:
            self.server.sent.append(name)
            self.wfile.write(content[: len(content) // 2] if name == self.server.cut else content)
            self.close_connection = name == self.server.cut


def etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@pytest.fixture
def hub(two_targets: Path) -> Iterator[StandInHub]:
    files = {
        path.relative_to(two_targets).as_posix(): path.read_bytes() for path in sorted(two_targets.rglob("*.json"))
    }
    server = StandInHub({"README.md": b"RWKU", "All/intro.json": b"[]", **files})
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def run_script(hub: StandInHub, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_HOME": str(tmp_path / "hub-cache"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DOWNLOAD_TIMEOUT": "5",
        "NO_PROXY": "127.0.0.1",
    }
    environment.pop("HF_HUB_OFFLINE", None)
    command = ["bash", str(SCRIPT), "--out", str(tmp_path / "out"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_from_the_hub(hub: StandInHub, tmp_path: Path) -> None:
    done = run_script(hub, tmp_path, KING)
    assert done.returncode == 0, done.stderr
    assert f"[1/1] {KING}: 22 files" in done.stdout
    out = tmp_path / "out"
    assert RwkuData(out).targets() == [KING]
    assert download.verify(out) == 22
    entry = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["targets"][KING]
    assert (entry["revision"], entry["commit"]) == ("main", COMMIT)
    assert not any(name.startswith(("All", "README", "Target/2")) for name in hub.sent)


def test_a_connection_that_breaks_leaves_no_target_and_is_taken_up_again(hub: StandInHub, tmp_path: Path) -> None:
    hub.cut = f"Target/{KING}/passage.json"
    broken = run_script(hub, tmp_path, "--all")
    assert broken.returncode == 2
    assert "The hub did not give jinzhuoran/RWKU" in broken.stderr
    assert not (tmp_path / "out/Target").exists()
    hub.cut = None
    hub.sent.clear()
    assert run_script(hub, tmp_path, "--all").returncode == 0
    assert download.verify(tmp_path / "out") == 44
    assert f"Target/{KING}/passage.json" in hub.sent


def test_an_unknown_name_on_the_hub(hub: StandInHub, tmp_path: Path) -> None:
    wrong = run_script(hub, tmp_path, "2_Confuzius")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "error: RWKU has no target '2_Confuzius' there. Did you mean '2_Confucius'?\n"
