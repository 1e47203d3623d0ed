"""The sweeper of this project, in the one package where Hydra looks for plugins."""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig


class AtuSweeper(BasicSweeper):
    """Reads the jobs of a sweep from the command line as Hydra's basic sweeper does; `atu.sweep` runs them."""

    def sweep(self, arguments: list[str]) -> None:
        """Run the jobs.

        Raises:
            SystemExit: a job failed.
        """
        from atu.sweep.sweep import run_sweep  # Hydra imports this module at every start

        assert self.hydra_context is not None
        assert self.config is not None
        assert self.launcher is not None
        loader, master = self.hydra_context.config_loader, self.config

        def compose(overrides: Sequence[str]) -> DictConfig:
            return loader.load_sweep_config(master, list(overrides))

        overrides = OverridesParser.create(config_loader=loader).parse_overrides([*self._parse_config(), *arguments])
        batches = self.split_arguments(overrides, self.max_batch_size)
        run_sweep(batches, compose, master, self.launcher)
