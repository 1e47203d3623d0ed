"""The sweeper of this project, in the one package where Hydra looks for plugins."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from atu.errors import UserError

_MAX_JOBS = 10_000


class AtuSweeper(BasicSweeper):
    """Reads the jobs of a sweep from the command line as Hydra's basic sweeper does; `atu.sweep` runs them.

    The basic sweeper is private in hydra-core 1.3; without it the product of the values would be drawn here again.
    """

    def __init__(
        self, max_batch_size: int | None, params: dict[str, str] | None = None, *, dry_run: bool = False
    ) -> None:
        super().__init__(max_batch_size, params)
        self.dry_run = dry_run

    def sweep(self, arguments: list[str]) -> None:
        """Run the jobs.

        Raises:
            SystemExit: a job failed.
            UserError: there is none, or more than `_MAX_JOBS`.
        """
        from atu.report.sweep_scores import print_scores  # Hydra imports this module at every start
        from atu.sweep.sweep import run_sweep

        assert self.hydra_context is not None
        assert self.config is not None
        assert self.launcher is not None
        loader, master = self.hydra_context.config_loader, self.config

        def compose(overrides: Sequence[str]) -> DictConfig:
            return loader.load_sweep_config(master, list(overrides))

        overrides = OverridesParser.create(config_loader=loader).parse_overrides([*self._parse_config(), *arguments])
        _check_count(overrides)
        batches = self.split_arguments(overrides, self.max_batch_size)
        run_sweep(batches, compose, master, self.launcher, print_scores, is_dry_run=self.dry_run)


def _check_count(overrides: Sequence[Override]) -> None:
    count = 1
    for override in overrides:
        if override.is_sweep_override():
            count *= sum(1 for _ in islice(override.sweep_string_iterator(), _MAX_JOBS + 1))
    if not count:
        raise UserError("This sweep has no jobs: one of its keys has no values.")
    if count > _MAX_JOBS:
        raise UserError(f"This sweep has more than {_MAX_JOBS:,} jobs: give fewer values.")
