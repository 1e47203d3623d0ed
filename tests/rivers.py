"""A benchmark of a few lines, as a contributor would write one: questions, texts, a score against a gold model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import ClassVar, Literal

from atu.benchmarks.base import Benchmark, GivenTexts
from atu.benchmarks.gold import GOLD, GoldConfig, gold_answers
from atu.benchmarks.options import Option
from atu.errors import UserError
from atu.records import Answer, Judgement, Probe, Score, Scoring, Target, Text, Words
from atu.text.metric_words import Family, MetricWords

THINGS = ("source", "mouth", "bridge", "island", "harbor", "castle", "fish", "boat")


@dataclass(frozen=True, kw_only=True)
class RiversConfig(GoldConfig):
    """Which questions are asked."""

    has_texts = True
    benchmark: str = "rivers"
    wording: Literal["short", "long"] = "short"


class Rivers(Benchmark):
    """What the model knows of the Nile."""

    name = "rivers"
    config: RiversConfig
    config_class = RiversConfig
    options = (Option(flag="--wording", key="wording", help="How the questions are asked: short or long."), GOLD)
    groups = ("forget/qa", "neighbor/qa")
    further_scores = ("depth/way",)
    words: ClassVar = MetricWords(
        families={
            "depth": Family(
                label=Words("Depth", "深度"),
                direction="lower",
                unit="points",
                meaning=Words("How far the answers are from the gold model's.", "与金标准模型回答的差距。"),
                pitfall=Words("Small where nothing is known.", "什么都不会时也很小。"),
            )
        },
        kinds={"way": Words("way to the gold model", "与金标准模型的差距")},
    )

    def targets(self) -> list[str]:
        return ["Nile"]

    def target(self, folder: str) -> Target:
        if folder != "Nile":
            raise UserError(f"There is no river '{folder}'.")
        return Target(name="Nile", folder=folder, description="a river", neighbors=("Rhine",))

    def probes(self, folder: str) -> list[Probe]:
        end = "" if self.config.wording == "short" else " Answer in a whole sentence."
        return [
            Probe(
                id=f"rivers/{folder}/{group}/{number}",
                group=group,
                kind="generate",
                prompt=f"What is the {thing} of the {river}?{end}",
                references=(thing,),
                max_new_tokens=4,
            )
            for group, river in (("forget/qa", self.target(folder).name), ("neighbor/qa", "Rhine"))
            for number, thing in enumerate(THINGS)
        ]

    def checksum(self, folder: str) -> str:
        return "0" * 64

    def texts(self, target: Target, *, writer: str, seed: int) -> GivenTexts:
        def about(river: str) -> list[Text]:
            texts = [f"The {thing} of the {river} is a {other}." for thing in THINGS for other in THINGS[:3]]
            return [Text(text=text, subject=river, source="rivers") for text in texts]

        return GivenTexts(forget=about("Nile"), retain=about("Rhine"))

    def judge(self, answers: Mapping[Scoring, Sequence[Answer]], *, samples: int) -> dict[Scoring, Judgement]:
        judgements = super().judge(answers, samples=samples)
        if self.config.gold is None:
            return judgements
        rows = answers["corrected"]
        gold = gold_answers(self.config.gold, rows)
        gap = 100 * abs(fmean(row.score for row in rows) - fmean(row.score for row in gold))
        scores = {**judgements["corrected"].scores, "depth/way": Score(value=gap, n=len(rows), low=gap, high=gap)}
        return {"corrected": replace(judgements["corrected"], scores=scores)}
