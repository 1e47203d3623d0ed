"""Which benchmark judges a run, and which texts it is trained on. No torch here.

What only one benchmark has stands in a subclass of `DataConfig` in its folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from atu.errors import UserError, did_you_mean
from atu.typed import HasKinds, check_sizes


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """The texts of a run: about the concept (forget), its neighbours and anything else (retain)."""

    source: str = "generated"
    """`generated`: the model writes them; `jsonl`: the two files below; the benchmark's name: those that it has."""
    forget_path: str | None = None
    retain_path: str | None = None
    num_forget_texts: int = 48
    num_neighbors: int = 8
    """Concepts of the same kind that must stay."""
    num_texts_per_neighbor: int = 6
    num_general_texts: int = 24
    """Texts about anything else."""
    num_question_rows: int = 64
    """Questions about the concept and about names in its texts."""
    num_neighbor_question_rows: int = 96
    """The same about all its neighbors together."""
    num_quiz_rows: int = 128
    """Questions put to the concept: what the model asks about it or a neighbor, or a benchmark's questionnaire."""
    num_neighbor_quiz_rows: int = 160
    """The same put to all its neighbors together."""
    num_general_question_rows: int = 0
    """Questions about anything else."""
    num_related_rows: int = 0
    """Questions about names in the concept's texts, asked without the concept, whose answers must stay."""
    max_new_tokens: int = 48
    """Length of a generated text, in tokens of the language model."""
    temperature: float = 0.5
    """Of the sampling that writes the texts."""
    max_input_length: int = 256
    """Longer texts are cut here, in tokens of the language model."""
    held_out_share: float = 0.1
    """Share of the texts that is never trained on, 0..1. With 0 all are trained on, and a tenth of them is measured."""

    @property
    def has_questions(self) -> bool:
        """Whether questions are added to the texts."""
        of_concept = self.num_question_rows + self.num_quiz_rows + self.num_related_rows
        of_others = self.num_neighbor_question_rows + self.num_neighbor_quiz_rows + self.num_general_question_rows
        return of_concept + of_others > 0

    def __post_init__(self) -> None:
        if self.source == "jsonl" and self.forget_path is None:
            raise UserError("forget_path is missing: source 'jsonl' reads the texts about the concept there.")
        if self.source != "jsonl" and (self.forget_path or self.retain_path):
            raise UserError(f"forget_path and retain_path belong to source 'jsonl', not to '{self.source}'.")
        check_sizes(self, dict.fromkeys(("num_forget_texts", "max_new_tokens", "max_input_length"), 10**6))
        counts = (
            "num_neighbors",
            "num_texts_per_neighbor",
            "num_general_texts",
            "num_question_rows",
            "num_neighbor_question_rows",
            "num_quiz_rows",
            "num_neighbor_quiz_rows",
            "num_general_question_rows",
            "num_related_rows",
        )
        check_sizes(self, dict.fromkeys(counts, 10**6), least=0)
        if not 0.01 <= self.temperature <= 100:
            raise UserError(f"temperature must lie in 0.01..100, not {self.temperature}.")
        if not 0 <= self.held_out_share < 1:
            raise UserError(f"held_out_share must lie in 0..1, and be less than 1, not {self.held_out_share}.")


@dataclass(frozen=True, kw_only=True)
class DataConfig(HasKinds):
    """The judge and the corpus: what every benchmark has."""

    benchmark: str = "builtin"
    """Name in `atu.benchmarks.catalog`, which says what further keys there are."""
    data_dir: str | None = None
    """Folder with the benchmark's files, where it needs some."""
    allow_no_verdict: bool = False
    """Whether a run may train although no probe asks about the concept, or the model answers none rightly, so that
    there can be no verdict."""
    icu: bool = False
    """In-context unlearning: every prompt begins with the request to act as if the target were unknown."""
    corpus: CorpusConfig = field(default_factory=CorpusConfig)

    def __post_init__(self) -> None:
        source, kinds = self.corpus.source, self.kinds()
        if source in ("generated", "jsonl") or (source == self.benchmark and kinds[source].has_texts):
            return
        if source in kinds and kinds[source].has_texts:
            raise UserError(f"corpus.source '{source}' needs benchmark '{source}', not '{self.benchmark}'.")
        known = ["generated", "jsonl", *(name for name, kind in kinds.items() if kind.has_texts)]
        hint = did_you_mean(source, known)
        raise UserError(f"corpus.source: '{source}' is not one of {', '.join(known)}.{hint if 'Did' in hint else ''}")

    has_texts = False
    """Whether the benchmark has texts to train on."""

    @classmethod
    def kinds(cls) -> Mapping[str, type[DataConfig]]:
        """The config class of each benchmark, by name."""
        from atu.benchmarks.catalog import BENCHMARKS  # it imports the benchmarks, and these import this

        return {name: benchmark.config_class for name, benchmark in BENCHMARKS.items()}

    @classmethod
    def kind_of(cls, data: Mapping[str, object], where: str) -> tuple[type[DataConfig], Mapping[str, object]]:
        """See `HasKinds.kind_of`: the keys that are another benchmark's are refused, unless they say nothing.

        Raises:
            UserError: there is no such benchmark, or a key of another one has a value.
        """
        from atu.benchmarks.catalog import keys_of

        return keys_of(data, data.get("benchmark", cls.benchmark), where)
