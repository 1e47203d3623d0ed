"""Logit lens: what each layer would answer if it were the last one.

Source: nostalgebraist 2020, "interpreting GPT: the logit lens".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from atu.attacks.config import ModelName
from atu.attacks.halves import is_plain
from atu.attacks.states import answered_ids, last_states, spread_layers
from atu.attacks.subject import Reporter, Subject, Unit, altered, labelled
from atu.models.hook import count_layers, final_norm, logits_from_hidden
from atu.models.language_model import LanguageModel
from atu.records import AttackRow, Probe

_BEGUN = "Answer:"
_ARTICLE = re.compile(r"(?:the|an?)\s+", re.IGNORECASE)


def units(subject: Subject, seeds: Sequence[int]) -> list[Unit]:
    """One unit for each model; nothing is drawn."""

    def unit(model: ModelName) -> Unit:
        setting = labelled("first token of the answer", model, None)
        report = Reporter(subject, "logit-lens", setting, model, None)
        return Unit("logit-lens", setting, None, lambda: _measure(subject, report))

    return [unit(model) for model in subject.models]


@torch.no_grad()
def read_through(
    llm: LanguageModel, states: Float[Tensor, "layers rows d_llm"], tokens: Int[Tensor, " rows"]
) -> tuple[Float[Tensor, "layers rows"], Int[Tensor, "layers rows"]]:
    """Probability of each row's token by layer, and its rank among all tokens, 1 = the likeliest."""
    norm = final_norm(llm.model)
    probabilities, ranks = [], []
    for layer in states:
        logits = logits_from_hidden(llm.model, norm(layer.to(llm.device, llm.model.dtype))).float().cpu()
        own = logits.gather(1, tokens[:, None])
        probabilities.append(logits.softmax(-1).gather(1, tokens[:, None])[:, 0])
        ranks.append(1 + (logits > own).sum(dim=1))
    return torch.stack(probabilities), torch.stack(ranks)


def begun(probe: Probe) -> tuple[Probe, str]:
    """The probe with its answer begun, as far as an article, and what then must come.

    After the bare question a model would begin a sentence, and the first token of the answer be improbable to it
    whatever it knows.
    """
    answer = probe.references[0]
    article = _ARTICLE.match(answer)
    words = article[0] if article and article.end() < len(answer) else ""
    prefix = f"{probe.answer_prefix or _BEGUN} {words}".strip()
    return altered(probe, "begun", answer_prefix=prefix), answer.removeprefix(words)


def _measure(subject: Subject, report: Reporter) -> list[AttackRow]:
    probes = [probe for probe in subject.group("forget") if is_plain(probe)]
    parts = [answered_ids(subject.original, *begun(probe)) for probe in probes]
    prompts, tokens = [before for before, _ in parts], torch.tensor([answer[0] for _, answer in parts])
    size = subject.evaluation.batch_size

    def look(name: ModelName, layers: Sequence[int]) -> dict[str, Tensor]:
        llm = subject.models[name]
        probabilities, ranks = read_through(llm, last_states(llm, prompts, layers, batch_size=size), tokens)
        return {"lens/probability": probabilities, "lens/reciprocal-rank": 1 / ranks}

    depth = count_layers(subject.original.model)
    before, after = look("original", [depth]), look("unlearned", [depth])
    layers = spread_layers(subject.original, subject.budget.num_layers)
    rows = []
    for group, by_layer in look(report.model, layers).items():
        known, left = before[group][0].tolist(), after[group][0].tolist()
        for layer, values in zip(layers, by_layer, strict=True):
            rows.append(report.measured(group, values.tolist(), layer, before=known, after=left))
    return rows
