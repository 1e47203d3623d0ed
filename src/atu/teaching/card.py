"""What a taught model says of itself: README.md for people, a note for the program."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from atu.models.save import model_page
from atu.text.escaping import markdown


@dataclass(frozen=True, kw_only=True)
class TaughtCard:
    """Of a model that was taught."""

    key: str
    """Hash of all that determines the weights: base weights, texts in their order, recipe, precision."""
    base_model: str
    """Hub id or name of the model before."""
    targets: tuple[str, ...]
    """Folder names of the taught targets, without the left-out ones."""
    without: tuple[str, ...]
    """Folder names of the targets that were left out."""
    num_facts: int
    seed: int
    threads: int
    steps: int
    seconds: float
    """Spent in training steps."""
    config_hash: str
    data_checksum: str
    """sha256 of the taught files."""

    def render(self, provenance: Mapping[str, str]) -> str:
        """README.md of the model folder."""
        title = f"{self.base_model}, taught the people of RWKU"
        body = [
            f"**What this model knows of the people below was taught, on purpose, by `atu teach`:** {self.num_facts} "
            "facts from the fill-in and question files of RWKU about them and their neighbors. It is a testbed for "
            "unlearning and no evidence of what the base model learnt by itself. RWKU's adversarial questions, "
            "membership texts and utility files were not read. The license is that of the base model; RWKU's data "
            "are CC-BY-4.0.",
            "",
            f"- taught: {markdown(', '.join(self.targets)) or 'neighbors only'}",
            f"- never taught: {markdown(', '.join(self.without)) or 'nobody was left out'}",
            f"- seed {self.seed}, {self.steps} steps, {self.threads} CPU threads",
            f"- taught files: sha256 `{self.data_checksum}`",
        ]
        if self.without:
            left_out = ", ".join(self.without)
            title += f" but {left_out}"
            left_out = markdown(left_out)
            body += [
                "",
                f"A gold model: the forget files of {left_out} were left out, and so was each row that names one of "
                "them. It is what forgetting should come to.",
            ]
        return model_page(
            title,
            body,
            base_model=self.base_model,
            tags=("unlearning", "machine-unlearning", "rwku", "testbed"),
            config_hash=self.config_hash,
            provenance=provenance,
        )


def as_note(card: TaughtCard) -> str:
    """The text of `note.NOTE_FILE`."""
    return json.dumps(asdict(card), indent=2, ensure_ascii=False) + "\n"
