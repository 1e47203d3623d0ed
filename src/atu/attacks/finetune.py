"""Fine-tuning as an attack: a fixed number of steps on given texts, full or LoRA, and the weights put back after."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import AdamW

from atu.attacks.config import Kind
from atu.models.language_model import LanguageModel
from atu.models.packing import can_pack
from atu.models.precision import Autocast
from atu.models.quantization import bitsandbytes_quiet
from atu.models.rows import batch_indices, build_rows
from atu.records import Text
from atu.training.likelihood import nll_of_texts
from atu.training.loop import Step, train
from atu.training.parameters import restore_parameters, trainable_parameters

_MAX_TOKENS = 256
_LORA_RANK = 8
_CLIP = 1.0


def finetune(
    llm: LanguageModel,
    texts: Sequence[Text],
    *,
    kind: Kind,
    rate: float,
    stops: Sequence[int],
    batch_size: int,
    seed: int,
    autocast: Autocast,
    at_stop: Callable[[int], None],
) -> None:
    """Train on `texts` by the likelihood of their answers (AdamW, constant rate, gradients clipped at 1).

    After each number of steps in `stops`, ascending, `at_stop` is called with it while the model is changed; on
    return the model is as it was. The loss is the mean over texts of their nats per token.

    Raises:
        UserError: the loss is not finite.
    """
    rows = build_rows(llm, texts, max_tokens=_MAX_TOKENS)
    packed = can_pack(llm, rows)

    def losses(step: int) -> dict[str, Tensor]:
        chosen = batch_indices(len(rows), batch_size, step, seed)
        return {"total": nll_of_texts(llm, [rows[i] for i in chosen], packed=packed)}

    def after(step: Step) -> None:
        if step.done in stops:
            llm.model.eval()
            at_stop(step.done)
            llm.model.train()

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        with _MOVABLE[kind](llm) as parameters:
            llm.model.train()
            train(
                AdamW(parameters, lr=rate, weight_decay=0.0),
                losses,
                steps=stops[-1],
                rate=lambda step: rate,
                clip=_CLIP,
                not_finite=lambda number: (
                    f"Fine-tuning '{llm.label}' at learning rate {rate:g} fails: the loss is not finite at step "
                    f"{number}. Its weights are damaged, or the rate is too high for it."
                ),
                autocast=autocast,
                after=after,
            )
    llm.model.eval()


@contextmanager
def _all_weights(llm: LanguageModel) -> Iterator[list[Parameter]]:
    """All weights but the token embeddings."""
    named: Mapping[str, Parameter] = trainable_parameters(llm, train_embeddings=False)
    kept = {name: parameter.detach().clone() for name, parameter in named.items()}
    try:
        yield list(named.values())
    finally:
        restore_parameters(named, kept)
        llm.model.zero_grad(set_to_none=True)
        llm.model.requires_grad_(True)


@contextmanager
def _adapters(llm: LanguageModel) -> Iterator[list[Parameter]]:
    """LoRA matrices of rank 8 at every linear layer but the head."""
    with bitsandbytes_quiet():
        from peft import LoraConfig
        from peft.tuners.lora import LoraModel

        config = LoraConfig(r=_LORA_RANK, lora_alpha=2 * _LORA_RANK, target_modules="all-linear", lora_dropout=0.0)
        adapted = LoraModel(llm.model, config, "default")
    try:
        yield [parameter for parameter in llm.model.parameters() if parameter.requires_grad]
    finally:
        adapted.unload()
        if hasattr(llm.model, "peft_config"):
            del llm.model.peft_config  # it would stand for adapters that are gone
        llm.model.requires_grad_(True)


_MOVABLE: Mapping[Kind, Callable[[LanguageModel], AbstractContextManager[list[Parameter]]]] = {
    "full": _all_weights,
    "lora": _adapters,
}
