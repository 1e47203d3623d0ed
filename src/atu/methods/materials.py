"""Everything that a method reads and never changes: rows, references, windows, the concept as a vector."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from atu.embedding.encoder import TextEncoder
from atu.embedding.target import Concept, ConceptSpace
from atu.embedding.windows import Windows, embed_windows
from atu.errors import UserError
from atu.methods.concept_tokens import (
    concept_positions,
    concept_tokens,
    find_concept_words,
    name_words,
    named_positions,
    repeats_from,
    small_words,
    telling_positions,
)
from atu.methods.config import TaskConfig
from atu.methods.references import ReferenceStates, original_head, reference_states
from atu.methods.terms import Need, Term
from atu.models.hook import can_begin_at
from atu.models.language_model import LanguageModel
from atu.models.packing import can_pack
from atu.models.precision import Autocast
from atu.models.rows import Row
from atu.records import Target

Progress = Callable[[str], Callable[[int, int], None] | None]
"""Asked for a callback by what is going on; the callback gets (done, all)."""


@dataclass(frozen=True)
class RowSet:
    """Rows with what the reference says about them and, where an encoder is used, their windows."""

    rows: tuple[Row, ...]
    states: ReferenceStates
    blind: ReferenceStates | None = None
    """The same with the concept's words hidden from the model; only for forget rows that need it."""
    windows: Windows | None = None
    named: tuple[tuple[int, ...], ...] = ()
    """Of each row the positions that hold a name or number; only for forget rows that need them."""
    repeats: tuple[int, ...] = ()
    """Of each row the position from which on the concept's name would be said again; only for forget rows that need
    it."""
    telling: tuple[tuple[int, ...], ...] = ()
    """Of each row the positions that tell something of the concept, by which the stop rule judges: of its name alone
    where the texts tell nothing else. Only for held-out forget rows."""

    def num_tokens(self, index: int) -> int:
        """All tokens of a row, those that fill the text up too."""
        return len(self.rows[index].ids)

    def num_scored(self, index: int) -> int:
        """Its tokens that are predicted."""
        row = self.rows[index]
        return len(row.ids) - row.first_scored

    def num_windows(self, index: int) -> int:
        """Its positions that have a window."""
        assert self.windows is not None
        return self.windows.count(index)


@dataclass(frozen=True)
class Materials:
    """Fixed inputs of a run. `forget` and `retain` are trained on, the `held_out` sets only measured."""

    forget: RowSet
    retain: RowSet
    held_out_forget: RowSet
    held_out_retain: RowSet
    concept_words: tuple[str, ...]
    """Words that speak of the concept, as they are spelled in its texts."""
    concept_ids: tuple[int, ...]
    """Tokens that say one of them."""
    head: nn.Module
    hook_layer: int
    trained_layers: range
    """The blocks that move, counted from 0."""
    mean: Float[Tensor, " d_enc"] | None = None
    """Mean embedding of the corpus, zeros where embeddings are not centred; None without an encoder."""
    concepts: Mapping[Term, Concept] = field(default_factory=dict)
    """Of the terms that compare with the concept: where it lies in the encoder's space."""
    instead: Mapping[Term, RowSet] = field(default_factory=dict)
    """Of the terms that put answers in place of the rows of `forget`: these answers, in the order of the rows."""
    name_ids: tuple[int, ...] = ()
    """Those of `concept_ids` that say its name."""
    can_pack: bool = False
    """Whether the model reads several texts in one row as if each stood alone."""


@dataclass(frozen=True)
class SplitRows:
    """Rows by use."""

    forget: tuple[Row, ...]
    retain: tuple[Row, ...]
    held_out_forget: tuple[Row, ...]
    held_out_retain: tuple[Row, ...]
    instead: Mapping[Term, tuple[Row, ...]] = field(default_factory=dict)
    """Of the terms that need them: answers in place of the rows of `forget`, in their order."""
    general_subjects: frozenset[str] = frozenset()
    """Subjects of `retain` against which the concept's words are not counted."""


@dataclass(frozen=True)
class KeptStates:
    """Which states of the reference are kept for some rows: what a term reads, and where passes begin."""

    final: bool = False
    hook: bool = False
    frozen: bool = False
    """Behind the blocks that stay as they are."""


def kept_states(task: TaskConfig) -> dict[str, KeptStates]:
    """What is kept of the rows of each use.

    `blind` are the forget rows with the concept hidden; of the answers `instead` the final states are kept where the
    term that gives them needs it.
    """
    needs, aligns = task.needs, task.aligns
    has_frozen = bool(task.training_module.first_trained_layer)
    return {
        "forget": KeptStates(
            final=Need.REFERENCE_LOGITS in needs,
            hook=aligns or Need.REFERENCE_HOOK in needs,
            frozen=has_frozen and bool(Need.FORGET_TEXTS & needs),
        ),
        "blind": KeptStates(final=Need.BLIND_LOGITS in needs, hook=Need.BLIND_HOOK in needs),
        "retain": KeptStates(
            final=Need.REFERENCE_RETAIN in needs,
            hook=aligns,
            frozen=has_frozen and (aligns or Need.RETAIN in needs),
        ),
        "held_out": KeptStates(final=True, hook=aligns, frozen=has_frozen),
        "instead": KeptStates(frozen=has_frozen and Need.INSTEAD in needs),
    }


def prepare_materials(
    llm: LanguageModel,
    rows: SplitRows,
    *,
    target: Target,
    task: TaskConfig,
    hook_layer: int,
    trained_layers: range,
    encoder: TextEncoder | None,
    progress: Progress,
    autocast: Autocast = nullcontext,
) -> Materials:
    """Compute references and window embeddings; `llm` must be the reference.

    Args:
        autocast: the precision in which the references are computed; that of the training steps.

    Raises:
        UserError: the texts are too few or too short for the task.
    """
    words, concept_ids = _concept_words(rows, target, llm, task.needs)
    windows, mean, concepts = _in_encoder_space(rows, encoder, target, task, progress)
    kept = kept_states(task)
    references = _how_to_read(llm, rows, task.needs, hook_layer, trained_layers, progress, autocast)
    read = references.of
    blind = None
    if Need.BLIND & task.needs:
        places = [concept_positions(row, words) for row in rows.forget]
        blind = read(rows.forget, kept["blind"], "concept hidden", places)
    instead = {}
    for term, answer in rows.instead.items():
        keep = replace(kept["instead"], final=Need.REFERENCE_INSTEAD in term.needs)
        instead[term] = RowSet(answer, read(answer, keep, "answers in their place"))
    names = name_words(words, target.name)
    repeats = tuple(repeats_from(row, names) for row in rows.forget) if Need.REPEATS in task.needs else ()
    named, telling = _marks(rows, words, target, task.needs)
    return Materials(
        forget=RowSet(
            rows.forget,
            read(rows.forget, kept["forget"], "forget texts"),
            blind,
            windows[0],
            named,
            repeats,
        ),
        retain=RowSet(rows.retain, read(rows.retain, kept["retain"], "retain texts"), None, windows[1]),
        held_out_forget=RowSet(
            rows.held_out_forget,
            read(rows.held_out_forget, kept["held_out"], "held-out forget texts"),
            windows=windows[2],
            telling=telling,
        ),
        held_out_retain=RowSet(
            rows.held_out_retain,
            read(rows.held_out_retain, kept["held_out"], "held-out retain texts"),
            windows=windows[3],
        ),
        concept_words=words,
        concept_ids=concept_ids,
        name_ids=tuple(sorted({*concept_tokens(names, llm.tokenizer)} & {*concept_ids})),
        head=original_head(llm),
        hook_layer=hook_layer,
        trained_layers=trained_layers,
        mean=mean,
        concepts=concepts,
        instead=instead,
        can_pack=references.packed,
    )


@dataclass(frozen=True)
class _References:
    """How the reference reads rows."""

    llm: LanguageModel
    hook_layer: int
    frozen_blocks: int
    """Number of blocks behind which training begins; 0 where it begins at the tokens."""
    packed: bool
    progress: Progress
    autocast: Autocast

    def of(
        self, rows: Sequence[Row], keep: KeptStates, what: str, hidden: Sequence[Sequence[int]] | None = None
    ) -> ReferenceStates:
        """The states of `rows` that are to be kept, from one pass, or none where there are none.

        Args:
            what: the rows, for the progress bar.
            hidden: for each row the positions that no other may attend to.
        """
        frozen_blocks = self.frozen_blocks if keep.frozen else 0
        if not (keep.final or keep.hook or frozen_blocks):
            return ReferenceStates()
        with self.autocast():
            return reference_states(
                self.llm,
                rows,
                final=keep.final,
                hook_layer=self.hook_layer if keep.hook else None,
                frozen_blocks=frozen_blocks,
                hidden=hidden,
                packed=self.packed,
                progress=self.progress(f"reference: {what}"),
            )


def _how_to_read(
    llm: LanguageModel,
    rows: SplitRows,
    needs: Need,
    hook_layer: int,
    trained_layers: range,
    progress: Progress,
    autocast: Autocast,
) -> _References:
    """Several texts in one row, and training's passes above the frozen blocks, where the model can."""
    answers = [row for answer in rows.instead.values() for row in answer]
    every_row = [*rows.forget, *rows.retain, *rows.held_out_forget, *rows.held_out_retain, *answers]
    # Texts that are filled up to one length have no padding to save.
    packed = Need.FILLED_TEXTS not in needs and can_pack(llm, every_row)
    ids = torch.tensor([rows.forget[0].ids], device=llm.device)
    begins_above = trained_layers.start > 0 and can_begin_at(llm.model, ids, trained_layers.start)
    return _References(llm, hook_layer, trained_layers.start if begins_above else 0, packed, progress, autocast)


def _marks(
    rows: SplitRows, words: tuple[str, ...], target: Target, needs: Need
) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
    """`RowSet.named` of the forget rows, and `RowSet.telling` of the held-out ones."""
    small = small_words((*rows.forget, *rows.retain))
    named = tuple(named_positions(row, small) for row in rows.forget) if Need.NAMES in needs else ()
    telling = tuple(telling_positions(row, words, target.name, small) for row in rows.held_out_forget)
    if not any(telling):
        telling = tuple(concept_positions(row, words) for row in rows.held_out_forget)
    return named, telling


def _concept_words(
    rows: SplitRows, target: Target, llm: LanguageModel, needs: Need
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The words that speak of the concept, and the tokens that say one of them.

    Raises:
        UserError: there are none, and a term needs them.
    """
    words = find_concept_words(rows.forget, [row for row in rows.retain if row.subject not in rows.general_subjects])
    concept_ids = concept_tokens(words, llm.tokenizer)
    if not words and (Need.BLIND | Need.CONCEPT_TOKENS) & needs:
        raise UserError(
            f"No word is frequent in the texts about '{target.name}' and rare in the others, so there is nothing to "
            "hide: give more texts, above all texts that name the concept and texts that do not."
        )
    if not concept_ids and Need.CONCEPT_TOKENS in needs:
        raise UserError(
            f"The tokenizer cuts the words of the texts about '{target.name}' ({', '.join(words[:3])}) into pieces "
            "that stand in other words too, so no token can be forbidden: "
            "task.objective.distill.teacher=bounded hides them."
        )
    return words, concept_ids


def _in_encoder_space(
    rows: SplitRows, encoder: TextEncoder | None, target: Target, task: TaskConfig, progress: Progress
) -> tuple[Sequence[Windows | None], Float[Tensor, " d_enc"] | None, dict[Term, Concept]]:
    """Windows of forget, retain, held-out forget and held-out retain rows, the corpus mean, the terms' concepts.

    None of it without an encoder.
    """
    if encoder is None:
        return (None,) * 4, None, {}
    groups = (rows.forget, rows.retain, rows.held_out_forget, rows.held_out_retain)
    windows = _windows_of(groups, encoder, progress)
    mean = windows[0].with_rows_of(windows[1]).mean() if encoder.config.center else torch.zeros(encoder.dim)
    space = ConceptSpace(encoder, target, windows[1], mean)
    concepts = {term: term.concept(space) for term in task.terms.values()}
    return windows, mean, {term: concept for term, concept in concepts.items() if concept is not None}


def _windows_of(groups: Sequence[Sequence[Row]], encoder: TextEncoder, progress: Progress) -> list[Windows]:
    everything = [row for group in groups for row in group]
    windows = embed_windows(encoder, everything, progress=progress("window embeddings"))
    parts, start = [], 0
    for group, what in zip(groups, ("forget", "retain", "held-out forget", "held-out retain"), strict=True):
        part = windows.subset(range(start, start + len(group)))
        if not any(map(part.count, range(len(group)))):
            raise UserError(encoder.config.too_long(f"every {what} text"))
        parts.append(part)
        start += len(group)
    return parts
