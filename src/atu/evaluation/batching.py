"""What asking in batches needs: halving when memory runs out, a model left as it was, checks that name the prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from transformers import PreTrainedModel

from atu.errors import UserError
from atu.models.language_model import LanguageModel

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]
"""Called with (done, total) after each batch."""


@contextmanager
def eval_mode(model: PreTrainedModel) -> Iterator[None]:
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


def part_of(progress: Progress | None, *, first: int, size: int, total: int) -> Progress | None:
    """Progress of one part (in whatever items it counts) as progress over everything, of which `first` came before."""
    if progress is None:
        return None
    return lambda done, items: progress(first + size * done // items, total)


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
