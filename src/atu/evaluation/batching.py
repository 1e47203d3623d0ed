"""What asking in batches needs: prompts read together, halving when memory runs out, an untouched model."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad
from transformers import Cache, PreTrainedModel

from atu.errors import UserError
from atu.models.language_model import LanguageModel

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]
"""Called with (done, total) after each batch."""


@contextmanager
def judged(model: PreTrainedModel) -> Iterator[None]:
    """Evaluation mode, no gradients, no autocast; every module's training flag is put back afterwards.

    Not inference mode: buffers that a model makes on the way (rotary tables) must stay usable in training.
    """
    training = [module for module in model.modules() if module.training]
    model.train(False)
    try:
        with torch.no_grad(), torch.autocast(model.device.type, enabled=False):
            yield
    finally:
        for module in training:
            module.training = True


def in_batches(
    items: Sequence[Item],
    work: Callable[[Sequence[Item]], list[Result]],
    *,
    batch_size: int,
    progress: Progress | None = None,
) -> list[Result]:
    """`work` applied to runs of at most `batch_size` items; one result for each item, in order.

    When memory runs out the batch size is halved for good and the batch done again.
    Raises UserError when even a single item does not fit.
    """
    results: list[Result] = []
    while len(results) < len(items):
        batch = items[len(results) : len(results) + batch_size]
        try:
            results += work(batch)
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                raise UserError(
                    "Out of memory while asking a single probe: close other programs that use the device, "
                    "or take a smaller model or dtype."
                ) from error
            batch_size = len(batch) // 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            continue
        if progress is not None:
            progress(len(results), len(items))
    return results


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A batch of prompts that the model has read, ready to be continued."""

    logits: Float[Tensor, "batch vocab"]
    """After the last token of each prompt."""
    cache: Cache
    mask: Int[Tensor, "batch pos"]
    """1 where the cache holds a real token."""
    last: Int[Tensor, "batch 1"]
    """Position of each prompt's last token."""


def read_prompts(llm: LanguageModel, prompts: Sequence[Sequence[int]]) -> Reading:
    """One forward pass over the prompts, padded on the left; a beginning that all share is read only once."""
    shared = _shared_length(llm, prompts)
    cache = None
    if shared:
        beginning = torch.tensor([prompts[0][:shared]], device=llm.device)
        cache = continue_from(llm, None, input_ids=beginning, logits_to_keep=1)[1]
        cache.batch_repeat_interleave(len(prompts))
    ends = [prompt[shared:] for prompt in prompts]
    width = max(map(len, ends))
    # Padding is token 0; the mask hides it, so any id would do.
    ids = torch.tensor([[0] * (width - len(end)) + list(end) for end in ends], device=llm.device)
    own = torch.tensor([[0] * (width - len(end)) + [1] * len(end) for end in ends], device=llm.device)
    positions = shared + (own.cumsum(-1) - 1).clamp(min=0)
    mask = pad(own, (shared, 0), value=1)
    logits, cache = continue_from(
        llm, cache, input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=1
    )
    return Reading(logits=logits[:, -1], cache=cache, mask=mask, last=positions[:, -1:])


def continue_from(llm: LanguageModel, cache: Cache | None, **inputs: Any) -> tuple[Tensor, Cache]:
    """Logits and the grown cache of a forward pass; transformers 5.24 renamed the cache's argument."""
    name = "cache" if "cache" in inspect.signature(llm.model.forward).parameters else "past_key_values"
    output = llm.model(**inputs, use_cache=True, **{name: cache})
    return output.logits, output[name]


def _shared_length(llm: LanguageModel, prompts: Sequence[Sequence[int]]) -> int:
    """Number of first tokens that all prompts have in common, at least one less than the shortest has."""
    if len(prompts) == 1:
        return 0
    # Behind a shared beginning padding stands in the middle, where it would take places of a sliding window.
    window = getattr(llm.model.config.get_text_config(), "sliding_window", None)
    if window is not None and max(map(len, prompts)) >= window:
        return 0
    shared = common_length(min(map(tuple, prompts)), max(map(tuple, prompts)))
    return min(shared, min(map(len, prompts)) - 1)


def common_length(left: Sequence[int], right: Sequence[int]) -> int:
    """Number of first tokens that both have in common."""
    equal = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False))
    return sum(1 for _ in equal)


def check_length(llm: LanguageModel, ids: Sequence[int], new_tokens: int) -> None:
    """Raises UserError when a prompt and its answer leave the positions that the model was built for."""
    limit = getattr(llm.model.config.get_text_config(), "max_position_embeddings", None)
    if limit is not None and len(ids) + new_tokens > limit:
        raise UserError(
            f"{llm.label} reads at most {limit} tokens, but the prompt {quote(llm, ids)} has {len(ids)} "
            f"and its answer up to {new_tokens}. Leave this probe out or take a model with a longer context."
        )


def check_finite(llm: LanguageModel, ids: Sequence[int], finite: bool) -> None:
    """Raises UserError that names the prompt when the model's numbers for it are NaN or infinite."""
    if not finite:
        raise UserError(
            f"{llm.label} gives NaN or infinite logits for the prompt {quote(llm, ids)}: its weights are "
            "damaged (a learning rate too high?), so it has no scores."
        )


def quote(llm: LanguageModel, ids: Sequence[int]) -> str:
    """The end of a prompt, for error messages."""
    text = " ".join(str(llm.tokenizer.decode(list(ids), skip_special_tokens=True)).split())
    return repr(text if len(text) <= 100 else f"...{text[-97:]}")
