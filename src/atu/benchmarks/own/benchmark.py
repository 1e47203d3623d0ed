"""A concept of the user's own: a name and one sentence, with or without probes of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from atu.benchmarks.base import Benchmark
from atu.benchmarks.general import files_sha256, general_file, general_probes
from atu.benchmarks.gold import GOLD, GoldConfig, gold_answers
from atu.benchmarks.icu import forget_in_context
from atu.benchmarks.options import Option
from atu.benchmarks.own.texts import ask_texts, text_probes
from atu.benchmarks.privacy import GRADNORM, MEMBERS, OTHERS, PRIVACY_SCORES, PRIVACY_WORDS, privacy_scores
from atu.errors import UserError
from atu.extras import SCIKIT_LEARN, Package
from atu.records import Answer, Judgement, Probe, Reference, Scoring, Target
from atu.storage.user_files import file_sha256, json_rows, shown

if TYPE_CHECKING:
    from atu.evaluation.batching import Progress
    from atu.evaluation.config import EvaluationConfig
    from atu.models.language_model import LanguageModel

_GROUPS = ("forget/fb", "forget/qa", "forget/aa", "neighbor/fb", "neighbor/qa", "utility/gen")
"""Of the user's questions and the general facts."""
_FIELDS = {"group", "prompt", "references", "max_new_tokens", "answer_prefix", "attack", "target", "answer"}
"""Of a row. `answer` is for who reads the file: the whole answer that a model gave which proposed the question."""
_MAX_NEW_TOKENS = 4096
"""Of an answer: a model that never ends would write for hours beyond it."""


@dataclass(frozen=True, kw_only=True)
class OwnConfig(GoldConfig):
    """What the user says of the concept."""

    benchmark: str = "own"
    description: str | None = None
    """One sentence about the concept."""
    neighbors: tuple[str, ...] = ()
    """Names that must stay; filled up from a general list."""
    probes_path: str | None = None
    """JSONL with the user's own probes."""
    mia: tuple[str, ...] = ()
    """Two files of texts in JSONL for the membership attacks: those that were trained on, and others; or none."""
    gradnorm: bool = False
    """Whether the attack by gradients is made too: it computes a gradient for each text."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.mia) not in (0, 2):
            raise UserError(f"data.mia takes two files, texts that were trained on and others, not {len(self.mia)}.")
        for key in ("gold", "gradnorm"):
            if not self.mia and getattr(self, key):
                raise UserError(f"data.{key} is for the membership attacks: give their texts by data.mia (--mia).")
        if len(self.neighbors) > self.corpus.num_neighbors:
            raise UserError(
                f"data.neighbors names {len(self.neighbors)} concepts, but data.corpus.num_neighbors is "
                f"{self.corpus.num_neighbors}: raise it, or the last ones would be left out."
            )


class OwnConcept(Benchmark):
    """The concept that `unlearning_target` names, described by `data.description`.

    Without `data.probes_path` the model itself proposes probes (`proposed.py`). With `data.allow_no_verdict` only the
    general facts are asked then, which show damage, not forgetting.
    """

    name = "own"
    groups = (*_GROUPS, MEMBERS, OTHERS)
    further_scores = PRIVACY_SCORES
    words = PRIVACY_WORDS
    config: OwnConfig
    config_class = OwnConfig
    options = (
        Option(flag="--probes", key="probes_path", help="File of your own questions (docs/own-concept.md)."),
        Option(
            flag="--mia",
            key="mia",
            help="Two files of texts: was the model trained on the first, as against the second?",
            values=("MEMBERS", "NON-MEMBERS"),
            commands=("evaluate",),
        ),
        GOLD,
        GRADNORM,
    )
    asked_by_attacks: ClassVar = {"mia": (), "gold": None, "gradnorm": False}
    how_to_ask = "give questions by data.probes_path"

    @property
    def proposes_probes(self) -> bool:
        """See `Benchmark.proposes_probes`."""
        config = self.config
        return config.probes_path is None and not config.mia and not config.allow_no_verdict

    def propose_probes(
        self, path: Path, llm: LanguageModel, target: Target, *, seed: int, progress: Callable[[str], Progress | None]
    ) -> str:
        """See `Benchmark.propose_probes`."""
        from atu.benchmarks.own.proposed import describe_proposals, propose, write_proposals  # brings torch

        num_neighbors = self.config.corpus.num_neighbors
        proposals = propose(llm, target, num_neighbors=num_neighbors, seed=seed, progress=progress)
        write_proposals(path, proposals, target)
        return describe_proposals(proposals, target)

    def with_probes(self, path: Path) -> OwnConcept:
        """See `Benchmark.with_probes`."""
        return OwnConcept(replace(self.config, probes_path=str(path)))

    @property
    def default_target(self) -> str | None:
        """Texts alone are about no concept."""
        return "texts" if self._has_texts_alone else None

    def targets(self) -> list[str]:
        """Any name is a target here, so none is listed."""
        return []

    def target(self, folder: str) -> Target:
        """The concept itself."""
        name = folder.replace("_", " ")
        return Target(
            name=name,
            folder=folder,
            description=self.config.description or name,
            neighbors=self.config.neighbors,
        )

    def probes(self, folder: str) -> list[Probe]:
        """The user's probes, but those whose `target` is another concept, the general facts, and texts for the attacks.

        Raises:
            UserError: a file is missing, or a row of it is broken (its line is named).
        """
        texts = text_probes(Path(self.config.mia[0]), Path(self.config.mia[1]), folder) if self.config.mia else []
        if self._has_texts_alone:
            return texts
        own: list[Probe] = []
        if self.config.probes_path is not None:
            own = _read_probes(Path(self.config.probes_path), folder)
        asked = own + general_probes()
        return [*(forget_in_context(asked, self.target(folder).name) if self.config.icu else asked), *texts]

    def checksum(self, folder: str) -> str:
        """sha256 of the probes' file, or of the general facts where there is none, and of the attacks' texts."""
        if self.config.mia:
            paths = {path: Path(path) for path in (self.config.probes_path, *self.config.mia) if path is not None}
            return files_sha256({path.name: path for path in paths.values()})
        if self.config.probes_path is None:
            return files_sha256({"general": general_file()})
        return file_sha256(Path(self.config.probes_path))

    def packages(self, scoring: str) -> dict[str, Package]:
        """See `Benchmark.packages`."""
        return {"The membership attacks (--mia)": SCIKIT_LEARN} if self.config.mia else {}

    def settings(self) -> dict[str, Any]:
        """See `Benchmark.settings`."""
        return {"gradnorm": True, **super().settings()} if self.config.gradnorm else super().settings()

    def ask(
        self,
        llm: LanguageModel,
        probes: Sequence[Probe],
        *,
        reference: Reference,
        as_loaded: bool,
        config: EvaluationConfig,
        progress: Progress | None = None,
    ) -> dict[Scoring, list[Answer]]:
        """See `Benchmark.ask`; the texts of the attacks are asked last."""
        texts = [probe for probe in probes if probe.group in (MEMBERS, OTHERS)]
        if not texts:
            return super().ask(llm, probes, reference=reference, as_loaded=as_loaded, config=config, progress=progress)
        from atu.evaluation.batching import part_of  # these bring torch

        questions = [probe for probe in probes if probe.group not in (MEMBERS, OTHERS)]
        found: list[Answer] = []
        if questions:
            report = part_of(progress, first=0, size=len(questions), total=len(probes))
            found = super().ask(
                llm, questions, reference=reference, as_loaded=as_loaded, config=config, progress=report
            )["corrected"]
        found += ask_texts(
            llm,
            texts,
            batch_size=config.batch_size,
            with_gradients=self.config.gradnorm,
            progress=part_of(progress, first=len(questions), size=len(texts), total=len(probes)),
        )
        by_id = {answer.probe_id: answer for answer in found}
        return {"corrected": [by_id[probe.id] for probe in probes]}

    def judge(self, answers: Mapping[Scoring, Sequence[Answer]], *, samples: int) -> dict[Scoring, Judgement]:
        """See `Benchmark.judge`."""
        judgements = super().judge(answers, samples=samples)
        gold = self._gold(answers["corrected"])
        scores = privacy_scores(answers["corrected"], gold, samples=samples)
        judged = judgements["corrected"]
        return {"corrected": replace(judged, scores={**judged.scores, **scores})}

    def check(self, probes: Sequence[Probe], scoring: str) -> None:
        """See `Benchmark.check`: the gold model's answers are to the same texts."""
        self._gold(probes)

    @property
    def _has_texts_alone(self) -> bool:
        return bool(self.config.mia) and self.config.probes_path is None

    def _gold(self, asked: Sequence[Probe | Answer]) -> list[Answer] | None:
        if self.config.gold is None:
            return None
        return gold_answers(self.config.gold, [one for one in asked if one.group in (MEMBERS, OTHERS)])


def _read_probes(path: Path, folder: str) -> list[Probe]:
    if not path.exists():
        raise UserError(f"data.probes_path: the file {shown(path)} does not exist.")
    rows = [(_to_probe(row, where, f"own/{folder}/{number}"), row) for where, number, row in json_rows(path)]
    probes = [probe for probe, row in rows if row.get("target", folder) == folder]
    if not rows:
        raise UserError(f"data.probes_path: the file {path} holds no probe.")
    return probes


def _to_probe(row: dict[str, Any], where: str, probe_id: str) -> Probe:
    if row.get("group") not in _GROUPS:
        raise UserError(f'{where}: each line must be an object with a "group", one of {", ".join(_GROUPS)}.')
    unknown = sorted(set(row) - _FIELDS)
    if unknown:
        raise UserError(f"{where}: unknown field '{unknown[0]}'; known are {', '.join(sorted(_FIELDS))}.")
    references = row.get("references")
    if not isinstance(references, list) or not references or not all(isinstance(r, str) and r for r in references):
        raise UserError(f'{where}: "references" must be a list of accepted answers.')
    if not isinstance(row.get("prompt"), str) or not row["prompt"]:
        raise UserError(f'{where}: "prompt" must be a non-empty string.')
    max_new_tokens = row.get("max_new_tokens", 24)
    if type(max_new_tokens) is not int or not 1 <= max_new_tokens <= _MAX_NEW_TOKENS:
        raise UserError(f'{where}: "max_new_tokens" must be a whole number in 1..{_MAX_NEW_TOKENS}.')
    for key in ("answer_prefix", "attack", "target"):
        if not isinstance(row.get(key, ""), str):
            raise UserError(f'{where}: "{key}" must be a string.')
    return Probe(
        id=probe_id,
        group=row["group"],
        kind="generate",
        prompt=row["prompt"],
        references=tuple(references),
        max_new_tokens=max_new_tokens,
        answer_prefix=row.get("answer_prefix", ""),
        attack=row.get("attack", ""),
    )
