"""Hidden states at the end of a prompt, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from jaxtyping import Float
from torch import Tensor

from atu.evaluation.batching import eval_mode, in_batches
from atu.models.hook import capture_hook, count_layers, final_hidden_states
from atu.models.language_model import LanguageModel
from atu.records import Probe


def spread_layers(llm: LanguageModel, count: int) -> list[int]:
    """At most `count` layers, evenly spaced, the last one among them."""
    depth = count_layers(llm.model)
    count = min(count, depth)
    return [round(depth * (place + 1) / count) for place in range(count)]


def prompt_ids(llm: LanguageModel, probe: Probe) -> list[int]:
    """A question as tokens, up to where the answer begins."""
    return llm.encode(llm.render(probe.prompt, probe.answer_prefix))


def answered_ids(llm: LanguageModel, probe: Probe, answer: str) -> tuple[list[int], list[int]]:
    """A question with an answer as tokens: what stands before the answer, and the answer."""
    turn = llm.turn(probe.prompt, answer, probe.answer_prefix)
    joined = llm.encode_behind(turn.head, turn.body)
    return list(joined.prompt), list(joined.ids)


def last_states(
    llm: LanguageModel, rows: Sequence[Sequence[int]], layers: Sequence[int], *, batch_size: int
) -> Float[Tensor, "layers rows d_llm"]:
    """The states of each row's last token at the given layers, float32 on the CPU."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))

    def work(chosen: Sequence[int]) -> list[Tensor]:
        width = max(len(rows[i]) for i in chosen)
        ids = torch.tensor([[*rows[i], *[llm.pad_id] * (width - len(rows[i]))] for i in chosen], device=llm.device)
        is_token = torch.tensor([[j < len(rows[i]) for j in range(width)] for i in chosen], device=llm.device)
        with ExitStack() as stack:
            captured = [stack.enter_context(capture_hook(llm.model, layer)) for layer in layers]
            final_hidden_states(llm.model, ids, is_token)
        last = torch.tensor([len(rows[i]) - 1 for i in chosen], device=llm.device)
        each = torch.arange(len(chosen), device=llm.device)
        return list(torch.stack([one.hidden[each, last] for one in captured], dim=1).float().cpu())

    with eval_mode(llm.model):
        found = in_batches(order, work, batch_size=batch_size)
    by_index = dict(zip(order, found, strict=True))
    return torch.stack([by_index[i] for i in range(len(rows))], dim=1)
