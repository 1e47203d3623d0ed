"""Logit lens: what each layer would answer if it were the last one.

Source: nostalgebraist 2020, "interpreting GPT: the logit lens".
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from atu.attacks.config import ModelName
from atu.attacks.halves import is_plain
from atu.attacks.states import answered_ids, last_states, spread_layers
from atu.attacks.subject import Reporter, Subject, Unit, labelled
from atu.models.hook import count_layers, final_norm, logits_from_hidden
from atu.models.language_model import LanguageModel
from atu.records import AttackRow


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


def _measure(subject: Subject, report: Reporter) -> list[AttackRow]:
    probes = [probe for probe in subject.group("forget") if is_plain(probe)]
    parts = [answered_ids(subject.original, probe, probe.references[0]) for probe in probes]
    prompts, tokens = [before for before, _ in parts], torch.tensor([answer[0] for _, answer in parts])
    size = subject.evaluation.batch_size

    def look(name: ModelName, layers: Sequence[int]) -> tuple[Tensor, Tensor]:
        llm = subject.models[name]
        return read_through(llm, last_states(llm, prompts, layers, batch_size=size), tokens)

    depth = count_layers(subject.original.model)
    before, after = (look(name, [depth])[0][0].tolist() for name in ("original", "unlearned"))
    layers = spread_layers(subject.original, subject.budget.num_layers)
    probabilities, ranks = look(report.model, layers)
    rows = []
    for layer, probability, rank in zip(layers, probabilities, ranks, strict=True):
        rows.append(report.measured("lens/probability", probability.tolist(), layer, before=before, after=after))
        rows.append(report.measured("lens/reciprocal-rank", (1 / rank).tolist(), layer))
    return rows
