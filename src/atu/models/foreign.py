"""Files of other programs in the hands of the libraries that read them: what these raise and say, as one line."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from atu.errors import UserError, is_out_of_memory
from atu.processes.notices import notice
from atu.storage.user_files import read_json_object


@contextmanager
def reading(explain: Callable[[Exception], str]) -> Iterator[None]:
    """Turn whatever a library raises on a file into a UserError; the pages that transformers logs are left out.

    Args:
        explain: from what the library raised to the message; `errors.first_line` helps.

    Raises:
        UserError: in place of any error but that memory ran out.
    """
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise UserError(explain(error)) from error
    finally:
        transformers_logging.set_verbosity(verbosity)


def check_tensors(what: str, report: Mapping[str, Any], *, spare: Callable[[str], bool] | None = None) -> None:
    """Refuse weights that are not those of their config; transformers would fill the gaps with random numbers.

    Args:
        what: begins the message, such as "The weights of 'a' in b".
        report: the loading info of `from_pretrained` with `ignore_mismatched_sizes`.
        spare: tells tensors that may be missing, and lets those pass in silence that no part of the model reads.

    Raises:
        UserError: a tensor is missing, or has another shape; the first is named.
    """
    missing = sorted(key for key in report["missing_keys"] if spare is None or not spare(key))
    if missing:
        raise UserError(f"{what} are incomplete: {_count(missing)} missing, such as {missing[0]}.")
    mismatched = sorted(report["mismatched_keys"])
    if mismatched:
        name, found, wanted = mismatched[0][:3]
        raise UserError(
            f"{what} do not belong to config.json: {_count(mismatched)} of another shape, such as {name}, which has "
            f"{_shape(found)} where the config says {_shape(wanted)}."
        )
    unread = sorted(report["unexpected_keys"])
    if unread and spare is None:
        notice(f"{what}: {_count(unread)} not read, such as {unread[0]}; config.json has no place for it.")


def check_types(what: str, folder: Path, model: PreTrainedModel) -> None:
    """Refuse weights that are no fractions where config.json says nothing of it; transformers would take them as such.

    Args:
        what: begins the message.
        folder: with config.json and safetensors.
        model: read from them; what is no parameter of it (masks that older models were saved with) may be of any type.

    Raises:
        UserError: a weight is kept in whole or complex numbers, as those of quantised models are; the first is named.
    """
    if read_json_object(folder / "config.json", is_foreign=True).keys() & {"quantization_config", "compression_config"}:
        return
    names = {name for name, _ in model.named_parameters()}
    names |= {name.removeprefix(f"{model.base_model_prefix}.") for name in names}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  # it is no mapping
                kind = file.get_slice(name).get_dtype()
                if name in names and kind[0] in "IUBC" and not kind.startswith("BF"):
                    raise UserError(
                        f"{what}: {name} is of type {kind}, which no weight has, and config.json has no "
                        "quantization_config. Get the model again."
                    )


def check_finite(what: str, model: nn.Module) -> None:
    """Refuse weights that are not numbers, or too large for the type that they are loaded in.

    Raises:
        UserError: a tensor holds NaN or infinity; the first is named.
    """
    damaged = [name for name, tensor in model.named_parameters() if not _is_finite(tensor)]
    if damaged:
        raise UserError(
            f"{what}: {_count(damaged)} not made of finite numbers alone, such as {damaged[0]}. Get the model again, "
            "or load it in another type if this one is too narrow (dtype)."
        )


def _count(tensors: Collection[Any]) -> str:
    return "1 tensor is" if len(tensors) == 1 else f"{len(tensors)} tensors are"


def _is_finite(tensor: Tensor) -> bool:
    if tensor.dtype not in (torch.float32, torch.bfloat16, torch.float16):  # quantised: whole numbers
        return True
    # One sum costs a sixth of looking at each; a sum of finite numbers may pass the largest number, too.
    return bool(tensor.sum(dtype=torch.float32).isfinite()) or bool(tensor.isfinite().all())


def _shape(shape: Any) -> str:
    return "x".join(map(str, shape))
