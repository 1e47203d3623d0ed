"""`atu export`: a run's model as a GGUF file, by the converter of llama.cpp. No torch here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from atu.errors import UserError
from atu.runs.run_folder import RunFolder
from atu.storage.digests import check_folder
from atu.storage.files import PARTIAL_SUFFIX, disk_errors

CONVERTER = "convert_hf_to_gguf.py"
FOLDER_VARIABLE = "LLAMA_CPP"


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """What the user gave."""

    run: Path
    out: Path
    type: str
    """Of the weights in the file, as the converter calls it."""


def export_run(request: ExportRequest) -> Path:
    """Convert the model of a run; the file is there whole, or not at all.

    Raises:
        UserError: it is no run with a model, the model is damaged, the file is there already, there is no converter,
            or it fails.
    """
    model = RunFolder(root=request.run).finished_model()
    if request.out.exists():
        raise UserError(f"{request.out} is there already: give another --out, or delete it.")
    converter = find_converter()
    check_folder(model, "Run its command again, which writes it anew.")
    partial = request.out.with_name(request.out.name + PARTIAL_SUFFIX)
    with disk_errors(request.out):
        request.out.parent.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        str(converter),
        str(model),
        "--outfile",
        str(partial),
        "--outtype",
        request.type,
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode != 0 or not partial.is_file():
            said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
            raise UserError(f"{converter} cannot convert {model}: {said}. The model itself is as it was.")
        with disk_errors(request.out):
            partial.rename(request.out)
    finally:
        partial.unlink(missing_ok=True)
    return request.out


def find_converter() -> Path:
    """llama.cpp's converter: in the folder that the environment names, or on the path.

    Raises:
        UserError: there is none.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        path = Path(named).expanduser() / CONVERTER
        if not path.is_file():
            raise UserError(f"${FOLDER_VARIABLE} is {named}, and there is no {CONVERTER} in it.")
        return path
    found = shutil.which(CONVERTER)
    if found is None:
        raise UserError(
            f"GGUF files are made by {CONVERTER} of llama.cpp, which is not on the path: clone "
            f"https://github.com/ggml-org/llama.cpp, install its requirements, and set {FOLDER_VARIABLE} to its folder."
        )
    return Path(found)
