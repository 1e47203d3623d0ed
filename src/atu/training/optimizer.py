"""The optimiser of unlearning, by its name in the config."""

from __future__ import annotations

from collections.abc import Iterable

from torch.nn import Parameter
from torch.optim import SGD, AdamW, Optimizer

from atu.methods.config import TrainingModule
from atu.models.quantization import import_bitsandbytes


def unlearn_optimizer(parameters: Iterable[Parameter], module: TrainingModule) -> Optimizer:
    """The configured optimiser over `parameters`.

    Raises:
        UserError: `adamw8bit` (AdamW with 8-bit state, arXiv 2110.02861) without the package that has it.
    """
    name, rate, decay = module.unlearning_optimizer, module.rate, module.unlearning_weight_decay
    if name == "adamw8bit":
        package = import_bitsandbytes("task.training_module.unlearning_optimizer=adamw8bit")
        optimizer: Optimizer = package.optim.AdamW8bit(parameters, lr=rate, weight_decay=decay)
        return optimizer
    kind: type[AdamW] | type[SGD] = {"adamw": AdamW, "sgd": SGD}[name]
    return kind(parameters, lr=rate, weight_decay=decay)
