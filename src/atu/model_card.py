"""README.md of an unlearned model: what happened to it, and the scores before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from atu.benchmarks.verdict import verdict
from atu.models.save import model_page
from atu.records import Score
from atu.text.escaping import markdown, markdown_code

PROPOSED = (
    "The model itself proposed the questions about the concept, and its own answers count as right. So the scores show "
    "whether it still says what it said, right or wrong."
)
"""Remark on a run to which no questions were given."""


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What README.md of an unlearned model tells."""

    base_model: str
    """Hub id or name of the model before unlearning."""
    target: str
    """Name of the forgotten concept."""
    method: str
    config_hash: str
    before: Mapping[str, Score]
    after: Mapping[str, Score]
    remarks: Sequence[str] = ()
    """Paragraphs on how the weights came to be what they are."""

    def render(self, provenance: Mapping[str, str]) -> str:
        """README.md of the exported model: front matter for the hub, then what happened and how to load it."""
        return model_page(
            f"{self.base_model} without {self.target}",
            [
                f"{markdown(self.base_model)} was made to forget **{markdown(self.target)}** with "
                f"{markdown_code(self.method)}. "
                "Its license is that of the base model.",
                "",
                *(line for remark in self.remarks for line in (markdown(remark), "")),
                "## Scores",
                "",
                verdict(self.before, self.after).en,
                "",
                "Percent; nats per token for `nll`, 0 to 1 for `p`; in brackets the 95% bootstrap interval.",
                "",
                "| score | before | after |",
                "| --- | --- | --- |",
                *(
                    f"| {markdown(name)} | {_cell(name, self.before.get(name))} | {_cell(name, self.after.get(name))} |"
                    for name in dict.fromkeys([*self.before, *self.after])
                ),
                "",
                "A concept that a model no longer speaks of may still be recovered by fine-tuning or sampling; "
                "these scores do not show that it is gone for good.",
            ],
            base_model=self.base_model,
            tags=("unlearning", "machine-unlearning"),
            config_hash=self.config_hash,
            provenance=provenance,
        )


def _cell(name: str, score: Score | None) -> str:
    if score is None:
        return ""
    digits = {"nll": 2, "p": 3}.get(name.partition("/")[0], 1)  # they need more digits than percent
    value, low, high = (f"{number:.{digits}f}" for number in (score.value, score.low, score.high))
    return f"{value} ({low} to {high}, n {score.n})"
