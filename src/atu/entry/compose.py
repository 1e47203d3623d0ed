"""The config of a run from overrides, for programs that are not Hydra's main."""

from __future__ import annotations

from collections.abc import Sequence

from atu.config import RunConfig, load
from atu.entry.composition_errors import explained
from atu.entry.overrides import complete
from atu.storage.config_dir import config_dir


def compose_run(arguments: Sequence[str]) -> RunConfig:
    """What `python launch_training.py ARGUMENTS` would run.

    Raises:
        UserError: an override that Hydra or the checks of the config refuse.
    """
    import hydra

    folder = config_dir()
    completed = complete(arguments)
    with explained(folder, arguments), hydra.initialize_config_dir(str(folder), version_base="1.3"):
        return load(hydra.compose("train", overrides=completed))
