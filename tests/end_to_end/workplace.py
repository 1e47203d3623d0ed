"""Files of a tiny run, and its config."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from atu.config import RunConfig, load
from atu.config_dir import config_dir
from atu.overrides import complete

WORDS = ("river", "castle", "garden", "letter", "winter", "music", "harbor", "doctor", "engine", "silver")


@dataclass(frozen=True)
class Workplace:
    """Folders and files of a tiny run."""

    root: Path
    model: Path
    encoder: Path

    def overrides(self, *more: str) -> list[str]:
        """Command-line overrides of a tiny run in this workplace."""
        return [
            "data=own",
            "unlearning_target=Zorblatt",
            f"data.probes_path={self.root / 'probes.jsonl'}",
            "data.corpus.source=jsonl",
            f"data.corpus.forget_path={self.root / 'forget.jsonl'}",
            f"data.corpus.retain_path={self.root / 'retain.jsonl'}",
            f"pre_trained_llm={self.model}",
            f"text_encoder.model_name={self.encoder}",
            "text_encoder.packages=[]",
            "text_encoder.window_tokens=3",
            "embedding_prediction_model.hidden_dim=32",
            "embedding_prediction_model.num_heads=4",
            "task.first_stage_steps=6",
            "task.min_predictor_gain=null",
            "task.training_module.unlearning_lr=1e-3",
            "task.training_module.pretrained_model_hook_layer=2",
            "task.stop={concept_nll_rise: null, retain_kl: null}",
            "task.stages=[{type: training, steps: 6}, {type: unlearning, steps: 4}, {type: training, steps: 3}, "
            "{type: unlearning, steps: 4}]",
            f"runs_dir={self.root / 'runs'}",
            "evaluation.bootstrap_samples=20",
            "device=cpu",
            "threads=1",
            "name=tiny",
            *more,
        ]

    def config(self, *more: str) -> RunConfig:
        """The same as a checked config."""
        from hydra import compose, initialize_config_dir

        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            return load(compose("train", overrides=complete(self.overrides(*more))))


def write_jsonl(path: Path, rows: list[dict[str, object]]) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
