"""Fixtures shared by all tests: a tiny random model, the embedded real model, the shared data folder."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from wandb_server import WandbServer, end_service, serve
from workplace import Workplace, save_tiny_encoder, save_tiny_model, write_files

if TYPE_CHECKING:
    from atu.models.language_model import LanguageModel

SHARED_DIR = Path(os.environ.get("ATU_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Several OpenMP threads on a shared machine are slower than one, and sums differ between them."""
    if "OMP_NUM_THREADS" not in os.environ:
        import torch

        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved random Llama (3 layers, width 64, 400 byte-level tokens, ChatML template), 1 MB.

    For tests that change weights: load their own copy from here.
    """
    folder = tmp_path_factory.mktemp("tiny")
    save_tiny_model(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_llm(tiny_folder: Path) -> LanguageModel:
    """The tiny random model, float32 on the CPU. Read only: it is shared by the whole session."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from atu.models.language_model import wrap

    model = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype="float32")
    return wrap(model, AutoTokenizer.from_pretrained(tiny_folder), label="tiny")


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved random sentence encoder of width 32."""
    folder = tmp_path_factory.mktemp("encoder")
    save_tiny_encoder(folder)
    return folder


@pytest.fixture
def workplace(tmp_path: Path, tiny_folder: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """All that a whole tiny run needs, in a folder of its own; the cache lies inside it."""
    monkeypatch.setenv("ATU_CACHE", str(tmp_path / "cache"))
    write_files(tmp_path)
    return Workplace(tmp_path, tiny_folder, tiny_encoder)


@pytest.fixture(scope="session")
def smollm2() -> LanguageModel:
    """SmolLM2-135M-Instruct, the embedded real model. Read only. Mark its tests with `model`."""
    from atu.models.load import load_language_model
    from atu.models.resolve import resolve_model

    return load_language_model(resolve_model("smollm2-135m-instruct"), device="cpu")


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder with real benchmark data and golden results, which are not part of the project."""
    if not SHARED_DIR.is_dir():
        pytest.skip(f"no shared data at {SHARED_DIR}; set ATU_SHARED to the folder that holds rwku/ and golden/")
    return SHARED_DIR


@pytest.fixture
def wandb_server(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """wandb on loopback, to which this process is logged in; wandb's own service ends with the test."""
    folder = tmp_path_factory.mktemp("wandb")
    with serve() as server:
        for name, value in {
            "WANDB_BASE_URL": server.url,
            "WANDB_API_KEY": "0" * 40,
            "WANDB_FINISH_TIMEOUT": "20",
            "WANDB_HTTP_TIMEOUT": "60",  # its service answers late on a busy machine
            "WANDB_CONFIG_DIR": str(folder),
            "WANDB_CACHE_DIR": str(folder),
            "WANDB_DATA_DIR": str(folder),
            "NETRC": str(folder / "netrc"),
        }.items():
            monkeypatch.setenv(name, value)
        pytest.importorskip("wandb")
        end_service()  # what an earlier test left would go on with another server's address
        yield server
        end_service()
        with warnings.catch_warnings():  # of its service, which wandb leaves to the collector
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
        assert server.unknown == []


@pytest.fixture
def bitsandbytes() -> None:
    """Skips where the optional package is not installed."""
    from atu.errors import UserError
    from atu.models.quantization import import_bitsandbytes

    try:
        import_bitsandbytes("this test")
    except UserError as error:
        pytest.skip(str(error))
