"""`atu push`: what goes to the hub, and what is said where nothing can."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub_server import HubServer, running_hub
from workplace import Workplace

from atu.run import run
from atu.runs.run_folder import RunFolder
from atu.storage.digests import write_digests
from atu.storage.files import write_text_atomic

SHORT = "task.stages=[{type: training, steps: 1}, {type: unlearning, steps: 1}]"


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with running_hub() as server:
        yield server


@pytest.fixture
def finished(workplace: Workplace) -> RunFolder:
    """A finished run of a tiny model from a folder whose card says a license."""
    model = workplace.root / "base"
    shutil.copytree(workplace.model, model)
    front = "---\nbase_model: org/ancestor\nlicense: apache-2.0\n---\n# Base\n"
    write_text_atomic(model / "README.md", front)
    folder = run(workplace.config(SHORT, f"pre_trained_llm={model}"))
    folder.close()
    return folder


def push(hub: HubServer, folder: RunFolder, *more: str, token: str = "secret") -> subprocess.CompletedProcess[str]:
    environment = {"HF_ENDPOINT": hub.url, "HF_TOKEN": token, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
    return subprocess.run(
        [sys.executable, "-m", "atu", "push", str(folder.root), *(more or ("me/forgetful",))],
        capture_output=True,
        text=True,
        env={**{key: value for key, value in os.environ.items() if not key.startswith("HF_")}, **environment},
        check=False,
    )


def front_of(card: bytes) -> dict[str, Any]:
    found = yaml.safe_load(card.decode().split("---\n")[1])
    assert isinstance(found, dict)
    return found


def test_a_run_goes_to_the_hub_with_a_card_that_it_reads(hub: HubServer, finished: RunFolder) -> None:
    dry = push(hub, finished, "me/forgetful", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "model.safetensors" in dry.stdout
    assert "license: apache-2.0" in dry.stdout
    assert not hub.repositories

    done = push(hub, finished, "me/forgetful", "--private")
    assert done.returncode == 0, done.stderr
    assert f"{hub.url}/me/forgetful" in done.stdout
    assert not hub.unknown
    assert hub.private == {"me/forgetful"}
    sent = hub.repositories["me/forgetful"]
    kept = {path.name: path.read_bytes() for path in finished.model_dir.iterdir() if path.name != "digests.json"}
    assert sent.keys() == kept.keys()
    assert {name: sent[name] for name in sent if name != "README.md"} == {
        name: kept[name] for name in kept if name != "README.md"
    }
    front = front_of(sent["README.md"])
    assert (front["base_model"], front["license"]) == ("org/ancestor", "apache-2.0")
    assert "unlearning" in front["tags"]
    results = front["model-index"][0]["results"]
    assert {metric["type"] for result in results for metric in result["metrics"]} >= {"forget/all"}
    # The text below the front matter is that of the folder.
    assert (
        sent["README.md"].decode().split("---\n", 2)[2].strip()
        == kept["README.md"].decode().split("---\n", 2)[2].strip()
    )


def test_the_license_of_a_base_on_the_hub_is_asked_for(hub: HubServer, finished: RunFolder) -> None:
    config = finished.read_config()
    config["pre_trained_llm"]["model_name"] = "org/on-the-hub"
    finished.write_config(config, "as of a run from the hub")
    hub.pages["org/on-the-hub"] = {"license": "other", "license_name": "own", "license_link": "https://x.example"}
    done = push(hub, finished)
    assert done.returncode == 0, done.stderr
    front = front_of(hub.repositories["me/forgetful"]["README.md"])
    assert (front["base_model"], front["license"], front["license_name"]) == ("org/on-the-hub", "other", "own")


def test_a_base_whose_page_is_not_shown_costs_the_license_alone(hub: HubServer, finished: RunFolder) -> None:
    config = finished.read_config()
    config["pre_trained_llm"]["model_name"] = "org/gone"
    finished.write_config(config, "as of a run from the hub")
    done = push(hub, finished)
    assert done.returncode == 0, done.stderr
    assert "the card names no license" in done.stderr
    front = front_of(hub.repositories["me/forgetful"]["README.md"])
    assert (front["base_model"], front.get("license")) == ("org/gone", None)


def test_what_cannot_be_sent_is_one_line(hub: HubServer, finished: RunFolder, tmp_path: Path) -> None:
    refused = push(hub, finished, token="wrong")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: The hub did not take me/forgetful: ")
    assert "hf auth login" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not hub.repositories

    strange = push(hub, finished, "forgetful")
    assert (strange.returncode, strange.stderr) == (
        2, "error: 'forgetful' is no name of a repository: write user/name.\n",
    )  # fmt: skip
    weights = finished.model_dir / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    damaged = push(hub, finished)
    assert damaged.returncode == 2
    assert "model.safetensors" in damaged.stderr
    assert not hub.repositories
    write_digests(finished.model_dir)
    shutil.rmtree(finished.model_dir)
    without = push(hub, finished)
    assert "has no model yet" in without.stderr
