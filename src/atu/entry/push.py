"""`atu push`: a run's model, its card and its report as a repository on the Hugging Face hub. No torch here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atu.benchmarks.comparison import checks
from atu.benchmarks.metrics import describe
from atu.errors import UserError, first_line
from atu.models.config import ModelConfig
from atu.processes.notices import notice
from atu.records import Score
from atu.runs.run_folder import RunFolder
from atu.storage.digests import DIGESTS_NAME, check_folder
from atu.text.escaping import one_line
from atu.typed import from_mapping

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_HUB_ID = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)
_CARD = "README.md"
_REPORT = "report.html"
_NO_LICENSE = "unknown"
"""What a card says that was written where no license was known."""


@dataclass(frozen=True, kw_only=True)
class PushRequest:
    """What the user gave."""

    run: Path
    repository: str
    private: bool
    dry_run: bool


def push_run(request: PushRequest) -> list[str]:
    """Send the run's model, card and report in one commit; a dry run says what would go, and asks nobody.

    Returns:
        Lines for the user.

    Raises:
        UserError: it is no run with a model, the model is damaged, the repository's name is none, or the hub refuses.
    """
    folder = RunFolder(root=request.run)
    check_folder(folder.finished_model(), "Run its command again, which writes it anew.")
    if not _HUB_ID.fullmatch(request.repository):
        raise UserError(f"'{request.repository}' is no name of a repository: write user/name.")
    config, files = folder.read_config(), _files(folder)
    base = from_mapping(ModelConfig, config.get("pre_trained_llm", {}), "pre_trained_llm")
    before, after = folder.read_ends()
    judged = f"{config.get('data', {}).get('benchmark', '')}: {config.get('unlearning_target', '')}"
    card = _Card((folder.model_dir / _CARD).read_text(encoding="utf-8"), base, judged, before, after)
    if request.dry_run:
        return [
            *(f"{_size(path):>9}  {name}" for name, path in files.items()),
            *card.rendered(None).partition("\n---\n")[0].splitlines()[1:],
            *(
                []
                if card.license or card.base is None
                else [f"license: that of {card.base}, asked for when it is pushed"]
            ),
            f"Nothing was sent. Without --dry-run this goes to {request.repository}.",
        ]
    return [f"{_send(request, files, card)}", "Look at the page there, and say for what the model is and is not meant."]


@dataclass(frozen=True)
class _Card:
    """A model's README.md, with the front matter that the hub reads."""

    text: str
    model: ModelConfig
    judged: str
    before: Mapping[str, Score]
    after: Mapping[str, Score]

    @property
    def base(self) -> str | None:
        """The base model's hub id; of a folder of the user's, what its own card says."""
        if self.model.packages or not Path(self.model.model_name).expanduser().exists():
            return self.model.model_name if _HUB_ID.fullmatch(self.model.model_name) else None
        base = _front(Path(self.model.model_name).expanduser() / _CARD).get("base_model")
        return base if isinstance(base, str) and _HUB_ID.fullmatch(base) else None

    @property
    def license(self) -> str | None:
        """The base model's, where its folder says it."""
        found = _front(Path(self.model.model_name).expanduser() / _CARD).get("license")
        return found if isinstance(found, str) and found != _NO_LICENSE else None

    def rendered(self, of_base: Mapping[str, Any] | None) -> str:
        """README.md for the hub.

        Args:
            of_base: the front matter of the base model's page.
        """
        from huggingface_hub import EvalResult, ModelCard, ModelCardData

        card = ModelCard(self.text, ignore_metadata_errors=True)
        rows = [check.row for check in checks(self.before, self.after) if check.row is not None]
        page = {"license": self.license} if self.license else dict(of_base or {})
        licensed: dict[str, Any] = {
            key: page[key] for key in ("license", "license_name", "license_link") if page.get(key)
        }
        card.data = ModelCardData(
            base_model=self.base,
            library_name="transformers",
            pipeline_tag="text-generation",
            tags=list(card.data.to_dict().get("tags", [])),
            model_name=one_line(self.text.partition("\n# ")[2].partition("\n")[0]) or "model",
            eval_results=[
                EvalResult(
                    task_type="text-generation",
                    dataset_type=self.judged.partition(":")[0],
                    dataset_name=one_line(self.judged),
                    metric_type=row.metric.name,
                    metric_name=describe(row.metric.name).label.en,
                    metric_value=round(row.after.value, 2),
                )
                for row in rows
                if row.after is not None
            ],
            **licensed,
        )
        return str(card)


def _front(path: Path) -> dict[str, Any]:
    """The front matter of a card; empty where there is none."""
    if not path.is_file():
        return {}
    from huggingface_hub import ModelCard

    try:
        found = ModelCard(path.read_text(encoding="utf-8"), ignore_metadata_errors=True).data.to_dict()
    except (ValueError, OSError):  # a card of somebody else's that is none
        return {}
    return dict(found)


def _files(folder: RunFolder) -> dict[str, Path]:
    """What goes, by its name there."""
    paths = sorted(path for path in folder.model_dir.rglob("*") if path.is_file() and path.name != DIGESTS_NAME)
    files = {path.relative_to(folder.model_dir).as_posix(): path for path in paths}
    if folder.report_path.is_file():
        files[_REPORT] = folder.report_path
    return files


def _send(request: PushRequest, files: Mapping[str, Path], card: _Card) -> str:
    """The address of the repository after the commit."""
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi()
    of_base = None if card.license or card.base is None else _page_of(api, card.base)
    text = card.rendered(of_base).encode()
    operations = [
        CommitOperationAdd(path_in_repo=name, path_or_fileobj=text if name == _CARD else path)
        for name, path in files.items()
    ]
    try:
        made = api.create_repo(request.repository, private=request.private, exist_ok=True)
        api.create_commit(
            made.repo_id, operations, commit_message=f"{request.run.resolve().name}, made by align-then-unlearn"
        )
    except Exception as error:  # whichever HTTP library the hub client is built on
        raise UserError(
            f"The hub did not take {request.repository}: {first_line(error)}. Where it does not know you, "
            "`hf auth login` takes a token that may write; then run the same command again."
        ) from error
    return str(made)


def _page_of(api: HfApi, base: str) -> dict[str, Any] | None:
    """The front matter of the base model's page; None where the hub does not show it, and a notice says so."""
    try:
        data = api.model_info(base).card_data
    except Exception as error:  # as above
        notice(f"The hub does not show the page of {base} ({first_line(error)}): the card names no license.")
        return None
    return None if data is None else dict(data.to_dict())


def _size(path: Path) -> str:
    size = path.stat().st_size
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"
