"""What the tests of the experiments' scripts share."""

from __future__ import annotations

from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "experiments"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts can be imported; they share one another's parts."""
    monkeypatch.syspath_prepend(str(SCRIPTS))


@pytest.fixture
def workplace_with_taught_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: empty but for model folders where the taught ones are looked for."""
    monkeypatch.chdir(tmp_path)
    for name in ("taught-model", "tofu-taught"):
        taught = tmp_path / "runs" / name
        taught.mkdir(parents=True)
        (taught / "config.json").write_text("{}")  # what makes a folder a model's
        (taught / "model.safetensors").touch()
    return tmp_path
