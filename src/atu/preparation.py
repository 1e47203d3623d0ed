"""What a run needs before its first step: corpus, rows, references of the untouched model, window embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from accelerate import Accelerator

from atu.benchmarks.build import build_corpus
from atu.benchmarks.catalog import build_benchmark
from atu.config import RunConfig
from atu.embedding.encoder import load_encoder
from atu.methods.layers import resolve_layers
from atu.methods.materials import Materials, SplitRows, prepare_materials
from atu.methods.refusals import refusal_texts
from atu.models.hook import count_layers
from atu.models.language_model import LanguageModel
from atu.models.rows import Row, build_rows, filled_up
from atu.processes import peers
from atu.records import Target
from atu.runs.progress import RunProgress


def prepare(
    config: RunConfig, llm: LanguageModel, target: Target, accelerator: Accelerator, progress: RunProgress
) -> Materials:
    """Everything that a method reads and never changes; `llm` must be the untouched model.

    Raises:
        UserError: layers that the model does not have, or texts that are too few or too short.
    """
    # What may be wrong with the config comes first: writing a corpus takes minutes.
    layers = resolve_layers(config.task, count_layers(llm.model))
    objective = config.task.objective
    encoder = None
    if config.task.needs_predictor:
        encoder = peers.main_first(lambda: load_encoder(config.text_encoder, device=str(llm.device)))
    with progress.steps() as report:
        # One process writes it: what a model says when it is sampled differs from machine to machine.
        benchmark = build_benchmark(config.data)
        corpus = peers.from_main(lambda: build_corpus(benchmark, llm, target, seed=config.seed, progress=report))
        cut = config.data.corpus.max_input_length
        refusals = refusal_texts(corpus.forget, config.seed) if objective.needs_refusals else []
        # What is only measured is not filled up: there padding would count as text that is said.
        fill = _filler(llm, cut) if objective.embedding_positions == "all" else tuple
        rows = SplitRows(
            forget=fill(build_rows(llm, corpus.forget, max_tokens=cut)),
            retain=fill(build_rows(llm, corpus.retain, max_tokens=cut)),
            held_out_forget=tuple(build_rows(llm, corpus.held_out_forget, max_tokens=cut)),
            held_out_retain=tuple(build_rows(llm, corpus.held_out_retain, max_tokens=cut)),
            refusals=tuple(build_rows(llm, refusals, max_tokens=cut)),
            beside=corpus.beside,
        )
        return peers.main_first(
            lambda: prepare_materials(
                llm,
                rows,
                target=target,
                task=config.task,
                hook_layer=layers.hook,
                trained_layers=layers.trained,
                encoder=encoder,
                progress=report,
                autocast=accelerator.autocast,
            )
        )


def _filler(llm: LanguageModel, length: int) -> Callable[[Sequence[Row]], tuple[Row, ...]]:
    """What fills rows up as the released code does: with the tokenizer's eos, to one length."""
    eos = llm.tokenizer.eos_token_id
    token_id = eos if isinstance(eos, int) else llm.pad_id
    return lambda rows: tuple(filled_up(row, length, token_id) for row in rows)
