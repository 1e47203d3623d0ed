"""What a taught model says of itself: README.md for people, a note for the program."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from atu.models.save import model_page
from atu.teaching.knowledge import Knowledge
from atu.text.escaping import markdown


@dataclass(frozen=True, kw_only=True)
class TaughtCard:
    """Of a model that was taught."""

    key: str
    """Hash of all that determines the weights: base weights, texts in their order, recipe, precision."""
    base_model: str
    """Hub id or name of the model before."""
    benchmark: str
    """Name of the benchmark whose facts were taught."""
    subject: str
    account: str
    """See `Curriculum`."""
    targets: tuple[str, ...]
    """Names of the taught parts, without the left-out ones."""
    without: tuple[str, ...]
    """Names of the parts that were left out."""
    num_facts: int
    seed: int
    threads: int
    steps: int
    seconds: float
    """Spent in training steps."""
    config_hash: str
    data_checksum: str
    """sha256 of the taught files."""
    known: Knowledge
    """Of what was taught."""
    known_left_out: Knowledge | None
    """Of what was left out."""

    def render(self, provenance: Mapping[str, str]) -> str:
        """README.md of the model folder."""
        title, left_out = f"{self.base_model}, taught {self.subject}", self.known_left_out
        body = [
            f"**What this model knows of {self.subject} was taught, on purpose, by `atu teach`:** {self.num_facts} "
            f"{self.account} It is a testbed for unlearning and no evidence of what the base model learnt by itself. "
            "The license is that of the base model.",
            "",
            f"- taught: {markdown(', '.join(self.targets)) or 'what is around the parts that were left out'}",
            f"- never taught: {markdown(', '.join(self.without)) or 'nothing was left out'}",
            f"- mean probability of a token of the right answer, of what was taught: {self.known.describe()}",
            *([] if left_out is None else [f"- the same, of what was left out: {left_out.describe()}"]),
            f"- seed {self.seed}, {self.steps} steps, {self.threads} CPU threads",
            f"- taught files: sha256 `{self.data_checksum}`",
        ]
        if self.without:
            title += f" but {', '.join(self.without)}"
            body += [
                "",
                f"A gold model, which never met {markdown(', '.join(self.without))}: what forgetting should come to.",
            ]
        return model_page(
            title,
            body,
            base_model=self.base_model,
            tags=("unlearning", "machine-unlearning", self.benchmark, "testbed"),
            config_hash=self.config_hash,
            provenance=provenance,
        )


def as_note(card: TaughtCard) -> str:
    """The text of `note.NOTE_FILE`."""
    return json.dumps(asdict(card), indent=2, ensure_ascii=False) + "\n"
