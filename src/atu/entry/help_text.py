"""What `--help` prints: the groups with their options, and every key with its default."""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf, open_dict

from atu.config import with_defaults
from atu.entry.composition_errors import explained
from atu.entry.overrides import hydra_parser
from atu.methods.terms import TERMS, Term
from atu.storage.config_dir import config_dir


def help_text(arguments: Sequence[str]) -> str:
    """The text of `config/hydra/help/atu.yaml`, filled with the config that the overrides among `arguments` compose.

    Hydra's own help has the keys that a yaml lists, and no others.

    Raises:
        UserError: an override that Hydra refuses.
    """
    from hydra import compose, initialize_config_dir

    given = hydra_parser().parse_args(list(arguments))
    folder = config_dir()
    overrides = list(given.overrides)
    if given.config_dir is not None:
        overrides.append(f"hydra.searchpath=[file://{given.config_dir}]")
    with explained(folder, arguments), initialize_config_dir(str(folder), version_base="1.3"):
        cfg = compose(given.config_name or "train", overrides, return_hydra_config=True)
    template = string.Template(cfg.hydra.help.template)
    with open_dict(cfg):
        del cfg["hydra"]
    folders = [folder, *([Path(given.config_dir)] if given.config_dir is not None else [])]
    terms = {name: term() for name, term in TERMS.items()}
    return template.substitute(
        APP_CONFIG_GROUPS="\n".join(f"{group}: {', '.join(names)}" for group, names in _options(folders).items()),
        TERMS="\n".join(f"{name}: {_options_of(term)}. {term.sentence.en}" for name, term in terms.items()),
        CONFIG=OmegaConf.to_yaml(OmegaConf.create(with_defaults(cfg))),
    ).rstrip()


def _options_of(term: Term) -> str:
    """Options of a term with their defaults."""
    return ", ".join(f"{option.name}={str(getattr(term, option.name)).lower()}" for option in dataclasses.fields(term))


def _options(folders: Sequence[Path]) -> dict[str, list[str]]:
    """Names of the options of each group but Hydra's own."""
    found: dict[str, set[str]] = {}
    for folder in folders:
        for path in folder.rglob("*.yaml"):
            group = path.parent.relative_to(folder).as_posix()
            if group != "." and not group.startswith("hydra"):
                found.setdefault(group, set()).add(path.stem)
    return {group: sorted(names) for group, names in sorted(found.items())}
