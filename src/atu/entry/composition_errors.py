"""Hydra's refusals as one line each, with the nearest thing that exists."""

from __future__ import annotations

import dataclasses
import difflib
import re
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from atu.entry.overrides import quoted_for_shell
from atu.errors import UserError, did_you_mean
from atu.methods.old_keys import refuse_old_keys
from atu.methods.terms import TERMS

_OBJECTIVE = "task.objective."


@contextmanager
def explained(folder: Path, arguments: Sequence[str]) -> Iterator[None]:
    """Raise what Hydra refuses inside of the block as a UserError; see `explain`."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except UserError:
        raise
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, folder, arguments) from error
    except Exception as error:
        # Hydra raises any kind where it is told something odd, such as task=3.
        source = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        if not {"hydra", "omegaconf"} & set(source.parts):
            raise
        raise UserError(f"Hydra cannot make a config of this command line: {error}. See --help.") from error


def explain(error: Exception, folder: Path, arguments: Sequence[str]) -> UserError:
    """The UserError that says what is wrong with the command line.

    Args:
        error: what Hydra raised while it composed the config.
        folder: the config folder, searched for the nearest key.
        arguments: the command line as it was given; the groups it chooses decide which keys there are.
    """
    from hydra.errors import MissingConfigException, OverrideParseException

    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        return UserError(f"There is no {group or 'config'} '{option}'.{did_you_mean(option, error.options)}")
    if isinstance(error, OverrideParseException):
        return UserError(f"Cannot read '{error.override}': write key=value.")
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if match := re.match(r"Could not override '(.+?)'", lines[0]):
        key = match[1].lstrip("+")
        known = _known_keys(folder, arguments, key)
        if key.startswith(_OBJECTIVE):
            return _wrong_in_objective(key, known)
        if key in known:
            return UserError(
                f"'{key}' cannot be replaced as a whole. Set its keys one by one: {key}.NAME=VALUE, or "
                f"+{key}.NAME=VALUE for one that it does not have."
            )
        return UserError(f"There is no key '{key}'.{nearest_key(key, known)}")
    if match := re.match(r"Ambiguous value for argument '\+*(.+?)=(.*)'", lines[0]):
        key, value = match.groups()
        given = [text.partition("=")[2] for text in arguments if text.partition("=")[0].lstrip("+") == key]
        value = given[-1] if given else value
        return UserError(
            f"'{key}={value}' has a comma: add -m to run once for each value, or quote it twice, "
            f"{quoted_for_shell(key, value)}, when the comma belongs to the value."
        )
    cause = str(error.__cause__ or "").partition("\n")[0]
    return UserError(" ".join([*lines, cause]).strip())


def _wrong_in_objective(key: str, known: Sequence[str]) -> UserError:
    """What to say of a term, or an option of one, that the composed objective does not have."""
    refuse_old_keys([key])
    name, _, option = key.removeprefix(_OBJECTIVE).partition(".")
    if name not in TERMS:
        return UserError(f"There is no term '{name}'. Known: {', '.join(TERMS)}.")
    has = [one.removeprefix(_OBJECTIVE) for one in known if one.startswith(_OBJECTIVE)]
    if name not in has:
        terms = [one for one in has if "." not in one]
        return UserError(f"The objective has no term '{name}' (it has {', '.join(terms)}): write +{key}=... to add it.")
    options = sorted(one.name for one in dataclasses.fields(TERMS[name]))
    if option in options:
        return UserError(f"No yaml lists '{key}': write +{key}=... to set it.")
    return UserError(f"Unknown key '{key}'. Known in {_OBJECTIVE}{name}: {', '.join(options)}.")


def nearest_key(wrong: str, known: Iterable[str]) -> str:
    """The end of a message about a key that does not exist: the nearest by its whole or by its last part."""
    keys = list(known)
    parent, _, leaf = wrong.rpartition(".")
    leaves = {key.rpartition(".")[2]: key for key in reversed(keys)}
    near = (
        difflib.get_close_matches(wrong, [key for key in keys if key.rpartition(".")[0] == parent], cutoff=0.7)
        or difflib.get_close_matches(wrong, keys, cutoff=0.8)
        or [leaves[name] for name in difflib.get_close_matches(leaf, leaves, cutoff=0.7)]
        or [key for key in keys if leaf in key.rpartition(".")[2]]
    )
    return f" Did you mean '{near[0]}'?" if near else " See --help for all keys."


def _known_keys(folder: Path, arguments: Sequence[str], wrong: str) -> list[str]:
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException

    from atu.config import dotted_keys, field_keys

    groups = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_dir()]
    # Not the model folders that `pre_trained_llm=` takes too, nor an option of a folder of the user's (--config-dir).
    choices = [text for text in arguments if (folder / f"{text.replace('=', '/', 1)}.yaml").is_file()]
    GlobalHydra.instance().clear()
    keys = field_keys()
    with suppress(HydraException), initialize_config_dir(str(folder), version_base="1.3"):
        keys += dotted_keys(compose("train", choices, return_hydra_config=True))
    # Hydra's own keys are many: they only compete when one of them was meant.
    return groups + [key for key in keys if key.startswith("hydra.") == wrong.startswith("hydra.")]
