"""The command line as Hydra wants it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from atu.config import field_keys
from atu.models.resolve import resolve_model

_MAPPINGS = ("pre_trained_llm.chat_template_kwargs",)
"""Keys whose own keys are the user's to name."""


def complete(arguments: Sequence[str]) -> list[str]:
    """Rewrite what is right by our rules but not by Hydra's.

    - Flags and overrides may stand in any order: the overrides go to the end.
    - A key that no yaml lists may still be set, since the dataclasses know it: `text_encoder.revision=...`
      becomes `++text_encoder.revision=...`.
    - A value with letters that Hydra's grammar does not know (`unlearning_target=24_Beyoncé`, `=鲁迅`) needs no quotes.
    - `pre_trained_llm=` takes a folder or a hub id beside the names of its group.

    Raises:
        UserError: `pre_trained_llm=` names a folder that holds no model.
    """
    known = {key for key in field_keys() if "." in key}
    flags: list[str] = []
    models: list[str] = []
    overrides: list[str] = []
    for argument in arguments:
        key, is_override, value = argument.partition("=")
        if argument.startswith("-") or not (is_override or argument.startswith("~")):
            flags.append(argument)
        elif key == "pre_trained_llm" and "/" in value and "," not in value:
            models += _model_overrides(value)
        else:
            argument = f"{key}={_quoted(value)}" if is_override else argument
            is_known = key in known or any(key.startswith(f"{mapping}.") for mapping in _MAPPINGS)
            overrides.append(f"++{argument}" if is_known else argument)
    # The whole model first, as Hydra does with a group: a key of it counts wherever it stands.
    return [*flags, *models, *overrides]


def _quoted(value: str) -> str:
    """A value, or several parted by commas, in quotes where a letter is none of Hydra's; a list or mapping stays."""
    if value.isascii() or any(c in value for c in "'\"[]{}()$="):
        return value
    return ",".join(part if part.isascii() else _as_override(part) for part in value.split(","))


def _model_overrides(model: str) -> list[str]:
    """Every key of the group, so that nothing of the default model is left."""
    values = dataclasses.asdict(resolve_model(model))
    return [f"++pre_trained_llm.{key}={_as_override(value)}" for key, value in values.items()]


def _as_override(value: object) -> str:
    if isinstance(value, str):
        # In Hydra's grammar a backslash is one, unless a quote follows it.
        escaped = re.sub(r"(\\*)('|$)", lambda match: match[1] * 2 + match[2].replace("'", "\\'"), value)
        return f"'{escaped}'"
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_as_override(item)}" for key, item in value.items()) + "}"
    return "[]" if value == () else str(value).lower()
