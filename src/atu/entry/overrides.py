"""The command line as Hydra wants it."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import NoReturn

from atu.config import field_keys, text_keys
from atu.errors import UserError, did_you_mean
from atu.models.resolve import resolve_model

_MAPPINGS = ("pre_trained_llm.chat_template_kwargs",)
"""Keys whose own keys are the user's to name."""
_DRY_RUN = "--dry-run"
_NICKNAMES = {
    "model": "pre_trained_llm",
    "llm": "pre_trained_llm",
    "encoder": "text_encoder",
    "method": "task",
    "output_dir": "runs_dir",
    "out": "runs_dir",
}
"""What other programs, and other commands of this one, call a key."""
_ONE_OF = ("run", "multirun", "cfg", "info", "shell_completion")
_QUOTED = re.compile(r"""(["']).*\1""", re.DOTALL)
_MAX_LENGTH = 10_000
"""Hydra reads about 2,000 characters a second."""
_UNSAFE_IN_SHELL = set('"$`\\!')


def complete(arguments: Sequence[str]) -> list[str]:
    """Rewrite what is right by our rules but not by Hydra's.

    - Flags and overrides may stand in any order: the overrides go to the end.
    - `--target Japan` is `unlearning_target=Japan`, as in the other commands.
    - `--dry-run` is a key of Hydra's sweeper.
    - A key that no yaml lists may still be set, since the dataclasses know it: `text_encoder.revision=...`
      becomes `++text_encoder.revision=...`.
    - `pre_trained_llm=` takes a folder or a hub id besides the names of its group.
    - The text of a key that takes nothing but a text need not be quoted for Hydra (`name=2024`, `exp=it's`), nor one
      with letters that its grammar does not know (`unlearning_target=24_Beyoncé`, `=鲁迅`).

    Raises:
        UserError: a flag that does not exist, or a value that Hydra cannot read; `pre_trained_llm=` names a folder that
            holds no model.
    """
    known = {key for key in field_keys() if "." in key}
    flags: list[str] = []
    models: list[str] = []
    overrides: list[str] = []
    for argument in _target_as_key(arguments):
        key, is_override, value = argument.partition("=")
        if argument == _DRY_RUN:
            overrides.append("hydra.sweeper.dry_run=true")
            continue
        if argument.startswith("-") or not (is_override or argument.startswith("~")):
            flags.append(argument)
            continue
        if key == "pre_trained_llm" and "/" in value and ("," not in value or _QUOTED.fullmatch(value)):
            models += _model_overrides(value[1:-1] if _QUOTED.fullmatch(value) else value)
            continue
        argument = _readable(argument)
        is_known = key in known or any(key.startswith(f"{mapping}.") for mapping in _MAPPINGS)
        overrides.append(f"++{argument}" if is_known else argument)
    _check_flags(flags)
    if flags and flags[-1] in ("--info", "-i"):  # else it takes the first override for its value
        flags[-1] = "--info=all"
    # The whole model first, as Hydra does with a group: a key of it counts wherever it stands.
    return [*flags, *models, *overrides]


def target_as_flag(arguments: Sequence[str]) -> list[str]:
    """A command line in which the key `unlearning_target=Japan` is the option `--target Japan`."""
    found: list[str] = []
    for argument in arguments:
        key, is_override, value = argument.partition("=")
        found += ["--target", value] if is_override and key == "unlearning_target" else [argument]
    return found


def _target_as_key(arguments: Sequence[str]) -> Iterator[str]:
    """A command line in which the option `--target Japan` is the key `unlearning_target=Japan`.

    Raises:
        UserError: the option has no value.
    """
    left = iter(arguments)
    for argument in left:
        flag, has_value, value = argument.partition("=")
        if flag != "--target":
            yield argument
            continue
        target = value if has_value else next(left, "")
        if not target or target.startswith("-"):
            raise UserError("--target needs the name of a concept behind it, such as --target Japan.")
        yield f"unlearning_target={target}"


def quoted_for_shell(key: str, value: str) -> str:
    """`key=value` as it can be pasted into a shell, the value one text for Hydra."""
    quoted = as_override(value)
    if _UNSAFE_IN_SHELL & set(quoted) or not quoted.isprintable():
        return shlex.quote(f"{key}={quoted}")
    return f'{key}="{quoted}"'


def _readable(argument: str) -> str:
    """An override that Hydra can read, its text quoted where it must be.

    Raises:
        UserError: Hydra cannot read it.
    """
    key, is_override, value = argument.partition("=")
    name = key.lstrip("+")
    if len(argument) > _MAX_LENGTH:
        raise UserError(
            f"'{argument[:60]}...' is longer than {_MAX_LENGTH:,} characters, which is the most that is read."
        )
    takes_text = name in text_keys()
    if _can_read(argument, takes_text=takes_text):
        return argument
    if (
        is_override
        and (takes_text or not value.isascii())
        and not _QUOTED.fullmatch(value)
        and value[:1] not in ("[", "{")
    ):
        # With a comma it may be several texts, of a sweep.
        quoted = ",".join(map(_quoted_part, value.split(","))) if "," in value else as_override(value)
        if _can_read(f"{key}={quoted}", takes_text=True):
            return f"{key}={quoted}"
    if is_override and value.startswith("[") and value.endswith("]"):
        quoted = f"[{','.join(_quoted_part(part.strip()) for part in value[1:-1].split(','))}]"
        if _can_read(f"{key}={quoted}", takes_text=False):
            return f"{key}={quoted}"
    hint = quoted_for_shell(key, value[1:-1] if _QUOTED.fullmatch(value) else value)
    more = f", as in {hint}" if is_override and len(hint) < 300 else ""
    raise UserError(
        f"Cannot read '{argument[:300]}': write key=value, and quote a value with special characters twice{more}."
    )


def _quoted_part(text: str) -> str:
    """One of several texts with commas between them."""
    return text if _can_read(f"x={text}", takes_text=True) or _QUOTED.fullmatch(text) else as_override(text)


@cache
def _can_read(argument: str, *, takes_text: bool) -> bool:
    """Whether Hydra can read an override; where a text is wanted, as one, or as several of a sweep."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    try:
        override = OverridesParser.create().parse_override(argument)
    except Exception:  # of half a dozen kinds, from its grammar and from what that calls
        return False
    if not takes_text or override.is_sweep_override():
        return True
    value = override.value()
    return value is None or not isinstance(value, bool | int | float)


def _check_flags(flags: Sequence[str]) -> None:
    """Refuse what Hydra's own parser would answer with a page of usage, or with a traceback.

    Raises:
        UserError: no such flag, one without its value, or two that exclude each other.
    """
    parser = hydra_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    parser.allow_abbrev = False
    for place, flag in enumerate(flags):
        name = flag.partition("=")[0]
        # argparse tells its flags in no public way (Python 3.11 to 3.13).
        if name.startswith("-") and name not in parser._option_string_actions and flag != "--":
            raise UserError(_unknown_flag(flag, flags[place + 1 : place + 2], parser))
    given = parser.parse_args(list(flags))
    for word in given.overrides:
        raise UserError(f"Cannot read '{word[:300]}': write key=value, such as seed=1 or unlearning_target=Japan.")
    chosen = [name for name in _ONE_OF if getattr(given, name)]
    if len(chosen) > 1:
        raise UserError(f"--{chosen[0]} and --{chosen[1].replace('_', '-')} exclude each other: give one of them.")
    if given.resolve and not (given.cfg or given.help):
        raise UserError("--resolve belongs to --cfg: write --cfg job --resolve.")
    if given.experimental_rerun is not None:
        raise UserError("--experimental-rerun opens a pickle, which can run code: it is not supported.")


def hydra_parser() -> argparse.ArgumentParser:
    """The parser of Hydra's own flags. It is private in hydra-core 1.3, which has no other list of them."""
    from hydra._internal.utils import get_args_parser

    return get_args_parser()


def _refuse(message: str) -> NoReturn:
    raise UserError(f"{message}. See --help.")


def _unknown_flag(flag: str, following: Sequence[str], parser: argparse.ArgumentParser) -> str:
    """What to say to `--seed 1`, `--seed=1`, `--method unlearning_npo` and `--wrong`."""
    name, has_value, value = flag.lstrip("-").partition("=")
    key = name.replace("-", "_")
    key = _NICKNAMES.get(key, key)
    if key in field_keys():
        if not has_value:
            value = following[0] if following and not following[0].startswith("-") else "VALUE"
        plain = f"{key}={value}"
        is_plain = bool(re.fullmatch(r"[\w./=-]+", plain, re.ASCII))
        return f"There is no flag '{flag[:60]}': write {plain if is_plain else quoted_for_shell(key, value)[:200]}."
    known = [option for option in parser._option_string_actions if option.startswith("--")]
    keys = difflib.get_close_matches(key, field_keys(), n=1, cutoff=0.75)
    if keys and not difflib.get_close_matches(flag, known, n=1):
        return f"There is no flag '{flag[:60]}'. Keys are written key=value. Did you mean {keys[0]}=...?"
    return f"There is no flag '{flag[:60]}'.{did_you_mean(flag, known)}"


def _model_overrides(model: str) -> list[str]:
    """Every key of the group, so that nothing of the default model is left."""
    values = dataclasses.asdict(resolve_model(model))
    return [f"++pre_trained_llm.{key}={as_override(value)}" for key, value in values.items()]


def as_override(value: object) -> str:
    """A value in Hydra's grammar, a text quoted."""
    if isinstance(value, str):
        # In Hydra's grammar a backslash is one, unless a quote follows it.
        escaped = re.sub(r"(\\*)('|$)", lambda match: match[1] * 2 + match[2].replace("'", "\\'"), value)
        return f"'{escaped}'"
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {as_override(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(as_override, value)) + "]"
    return str(value).lower()
