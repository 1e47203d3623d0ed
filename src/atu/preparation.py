"""What a run needs before its first step: corpus, rows, what the reference says of them, window embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from atu.benchmarks.build import build_corpus
from atu.benchmarks.catalog import build_benchmark
from atu.benchmarks.corpus import Corpus, without_questions
from atu.config import RunConfig
from atu.embedding.encoder import load_encoder
from atu.methods.layers import resolve_layers
from atu.methods.materials import Materials, SplitRows, prepare_materials
from atu.methods.terms import Need
from atu.models.hook import count_layers
from atu.models.language_model import LanguageModel
from atu.models.rows import Row, build_rows, filled_up
from atu.processes import peers
from atu.records import Probe, Target
from atu.runs.progress import RunProgress
from atu.training.device import Compute


def prepare(
    config: RunConfig,
    llm: LanguageModel,
    target: Target,
    compute: Compute,
    progress: RunProgress,
    *,
    apart_from: Sequence[Probe] = (),
    keep_corpus: Callable[[Corpus], object] = lambda corpus: None,
) -> Materials:
    """Everything that a method reads and never changes; `llm` must be the reference.

    Args:
        apart_from: probes whose questions no text may answer.
        keep_corpus: called with the texts by the process that wrote them.

    Raises:
        UserError: layers that the model does not have, or texts that are too few or too short.
    """
    # What may be wrong with the config comes first: writing a corpus takes minutes.
    layers = resolve_layers(config.task, count_layers(llm.model))
    needs = config.task.needs
    encoder = None
    if config.task.aligns:
        encoder = peers.main_first(lambda: load_encoder(config.text_encoder, device=str(llm.device)))
    with progress.steps() as report:
        # One process writes it: what a model says when it is sampled differs from machine to machine.
        benchmark = build_benchmark(config.data)

        def write_corpus() -> Corpus:
            corpus = without_questions(
                build_corpus(benchmark, llm, target, seed=config.seed, progress=report),
                [probe.prompt for probe in apart_from],
            )
            keep_corpus(corpus)
            return corpus

        corpus = peers.from_main(write_corpus)
        cut = config.data.corpus.max_input_length
        terms = [term for term in config.task.terms.values() if Need.INSTEAD in term.needs]
        answers = peers.from_main(
            lambda: {term: term.instead(llm, corpus.forget, config.seed, report) for term in terms}
        )
        # What is only measured is not filled up: there padding would count as text that is said.
        fill = _filler(llm, cut) if Need.FILLED_TEXTS in needs else tuple
        rows = SplitRows(
            forget=fill(build_rows(llm, corpus.forget, max_tokens=cut)),
            retain=fill(build_rows(llm, corpus.retain, max_tokens=cut)),
            held_out_forget=tuple(build_rows(llm, corpus.held_out_forget, max_tokens=cut)),
            held_out_retain=tuple(build_rows(llm, corpus.held_out_retain, max_tokens=cut)),
            instead={term: tuple(build_rows(llm, texts, max_tokens=cut)) for term, texts in answers.items()},
            general_subjects=corpus.general_subjects,
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
                autocast=compute.autocast,
            )
        )


def _filler(llm: LanguageModel, length: int) -> Callable[[Sequence[Row]], tuple[Row, ...]]:
    """What fills rows up as the released code does: with the tokenizer's eos, to one length."""
    eos = llm.tokenizer.eos_token_id
    token_id = eos if isinstance(eos, int) else llm.pad_id
    return lambda rows: tuple(filled_up(row, length, token_id) for row in rows)
