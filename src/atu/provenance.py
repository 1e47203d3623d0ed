"""What a run was made from, kept in its manifest; a run that resumes must find the same."""

from __future__ import annotations

import torch

from atu.benchmarks.base import Benchmark
from atu.benchmarks.corpus import files_checksum
from atu.benchmarks.several import find_checksum
from atu.config import RunConfig, config_hash
from atu.embedding.encoder import encoder_checksum
from atu.errors import UserError
from atu.models.language_model import LanguageModel
from atu.records import Target
from atu.runs.manifest import manifest
from atu.runs.run_folder import RunFolder
from atu.training.device import Compute


def keep_manifest(
    folder: RunFolder,
    config: RunConfig,
    llm: LanguageModel,
    benchmark: Benchmark,
    target: Target,
    compute: Compute,
) -> None:
    """Write the manifest of a run.

    Raises:
        UserError: a run that resumes finds another model, other probes or other texts than it began with.
    """
    value = manifest(
        target=target.name,
        model=llm.label,
        method=config.task.describe(),
        seed=config.seed,
        device=str(llm.device),
        precision=compute.precision,
        threads=torch.get_num_threads(),
        config_hash=config_hash(config),
        checksums={
            "model": llm.provenance["sha256"],
            "tokenizer or chat template": llm.tokenizer_key,
            "model's configuration": llm.provenance["settings"],
            **({"text encoder": encoder_checksum(config.text_encoder)} if config.task.aligns else {}),
            "benchmark": find_checksum(benchmark, target.folder),
            **files_checksum(config.data.corpus),
        },
    )
    earlier = folder.read_manifest()
    began = earlier.get("checksums", {})
    changed = [name for name, checksum in began.items() if checksum != value["checksums"].get(name)]
    if changed and (folder.stage_labels() or folder.checkpoint_dir.exists()):
        raise UserError(
            f"The files of the {changed[0]} have changed since the run {folder.root} began. Choose another `name=`, "
            "or delete the folder to start anew."
        )
    folder.write_manifest(earlier | value)  # with what an earlier start has added
