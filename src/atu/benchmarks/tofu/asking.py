"""TOFU's probes asked of a model under one scoring: what the tokens are differs, what is computed of them does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from atu.benchmarks import open_unlearning
from atu.benchmarks.privacy import MEMBERS, OTHERS
from atu.benchmarks.tofu import corrected, released
from atu.benchmarks.tofu.files import Row
from atu.benchmarks.tofu.probes import FORGET
from atu.benchmarks.tofu.scorers import telling_recall
from atu.benchmarks.tofu.truth import EPSILON, truth_ratio
from atu.evaluation.batching import Progress, part_of
from atu.evaluation.collapse import is_degenerate
from atu.evaluation.evaluate import unfinished_thinking
from atu.evaluation.generate import generate
from atu.evaluation.gradient_norms import GradientNorm, gradient_norms
from atu.evaluation.likelihood import Completion, TokenStatistics, completion_statistics, token_logprobs
from atu.evaluation.membership import attack_values, loss
from atu.evaluation.memorization import exact_memorization, extraction_strength, released_extraction_strength
from atu.evaluation.rouge import rouge
from atu.models.language_model import LanguageModel
from atu.records import Answer, Probe, Scoring

_PRIVACY = (MEMBERS, OTHERS)


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How a model is asked."""

    scoring: Scoring
    template: str | None
    """`data.template`."""
    gradnorm: bool
    batch_size: int

    @property
    def is_released(self) -> bool:
        return self.scoring == "released"


def ask_rows(
    llm: LanguageModel, probes: Sequence[Probe], rows: Mapping[str, Row], how: Asking, progress: Progress | None
) -> list[Answer]:
    """The answer to each probe, in their order, with its numbers in `values`:

    - `avg_loss` (nats per token) of the true answer, `paraphrased_loss`, `perturbed_loss_0` ... of the others, and
      `truth_ratio`; of the forget rows also `strength` and `exact` (0..1);
    - of a written text `rouge1_recall`, `rougeL_f1` and `rougeL_recall` (0..1);
    - of the `privacy/` rows what the membership attacks make of them.

    A probe that an attack has made of another (`id#how`) gets its text alone.

    Args:
        rows: what each probe asks about, by its id.
        progress: counts probes; the likelihoods are the first half of the way, the texts the second.

    Raises:
        UserError: whatever keeps a probe from being asked.
    """
    count = len(probes)
    values = _likelihoods(llm, probes, rows, how, part_of(progress, first=0, size=count, total=2 * count))
    written = [probe for probe in probes if probe.group not in _PRIVACY]
    texts = _texts(llm, written, rows, how, part_of(progress, first=count, size=count, total=2 * count))
    return [
        _written(probe, rows[probe.id], texts[probe.id], values.get(probe.id, {}), how)
        if probe.id in texts
        else Answer.to(probe, text="", score=0.0, values=values[probe.id])
        for probe in probes
    ]


@dataclass(frozen=True, kw_only=True)
class _Text:
    """What a model wrote, and what it is compared with."""

    text: str
    truth: str
    values: Mapping[str, float]


def _texts(
    llm: LanguageModel, probes: Sequence[Probe], rows: Mapping[str, Row], how: Asking, progress: Progress | None
) -> dict[str, _Text]:
    rules = released if how.is_released else corrected
    prompts = [rules.prompt(llm, probe.prompt, how.template, probe.max_new_tokens) for probe in probes]
    hidden_id = open_unlearning.hidden_id(llm) if how.is_released else None
    found = generate(llm, prompts, batch_size=how.batch_size, hidden_id=hidden_id, progress=progress)
    texts = {}
    for probe, prompt, new in zip(probes, prompts, found, strict=True):
        answer = rows[probe.id].answer
        if how.is_released:
            truth = released.ground_truth(llm, probe.prompt, answer, how.template)
            text = open_unlearning.cut_answer(llm, open_unlearning.decoded(llm, new.ids))
            texts[probe.id] = _Text(text=text, truth=truth, values={})
        else:
            text = corrected.text(llm, prompt.ids, new.ids, how.template)
            texts[probe.id] = _Text(text=text, truth=answer, values=unfinished_thinking(llm, prompt.ids, new.ids))
    return texts


def _written(probe: Probe, row: Row, found: _Text, values: Mapping[str, float], how: Asking) -> Answer:
    overlap = asdict(rouge(found.truth, found.text, use_stemmer=True))
    recall = telling_recall(row.question, row.answer, found.text)
    return Answer.to(
        replace(probe, references=(found.truth,)),
        text=found.text,
        score=overlap["rougeL_recall"] if how.is_released else recall,
        values={**values, **overlap, **found.values},
        degenerate=is_degenerate(found.text),
    )


def _likelihoods(
    llm: LanguageModel, probes: Sequence[Probe], rows: Mapping[str, Row], how: Asking, progress: Progress | None
) -> dict[str, dict[str, float]]:
    """The numbers of all probes but those of attacks, by id. Equal texts are read once."""
    rules = released if how.is_released else corrected
    hidden_id = open_unlearning.hidden_id(llm) if how.is_released else None
    own = [probe for probe in probes if "#" not in probe.id]
    texts = {
        probe.id: [rules.completion(llm, probe.prompt, text, how.template) for text in _given(probe, rows[probe.id])]
        for probe in own
    }
    by_token = list(dict.fromkeys(texts[probe.id][0] for probe in own if probe.group in (FORGET, *_PRIVACY)))
    seen = set(by_token)
    others = [one for one in dict.fromkeys(one for given in texts.values() for one in given) if one not in seen]
    total = len(by_token) + len(others)
    statistics = dict(
        zip(
            by_token,
            completion_statistics(
                llm,
                by_token,
                batch_size=how.batch_size,
                hidden_id=hidden_id,
                progress=_share_of(progress, 0, len(by_token), total, len(probes)),
            ),
            strict=True,
        )
    )
    logprobs = token_logprobs(
        llm,
        others,
        batch_size=how.batch_size,
        hidden_id=hidden_id,
        progress=_share_of(progress, len(by_token), len(others), total, len(probes)),
    )
    losses = {one: loss(found.logprobs) for one, found in statistics.items()}
    losses |= {one: loss(found) for one, found in zip(others, logprobs, strict=True)}
    norms = _gradient_norms(llm, [texts[probe.id][0] for probe in own if probe.group in _PRIVACY], how, hidden_id)
    values = {}
    for probe in own:
        first = texts[probe.id][0]
        if probe.group in _PRIVACY:
            values[probe.id] = {**_attacks(llm, probe, first, statistics[first], how), **norms.get(first, {})}
        else:
            values[probe.id] = _of_answers(rows[probe.id], [losses[one] for one in texts[probe.id]], how)
            if probe.group == FORGET:
                values[probe.id] |= _memorized(statistics[first].right[:-1], how)
    return values


def _given(probe: Probe, row: Row) -> list[str]:
    """The answers that are scored behind a question: the true one, perhaps in other words, and the wrong ones."""
    if probe.group in _PRIVACY:
        return [row.answer]
    return [text for text in (row.answer, row.paraphrased_answer, *row.perturbed_answers) if text]


def _of_answers(row: Row, losses: Sequence[float], how: Asking) -> dict[str, float]:
    answer, *rest = losses
    values = {"avg_loss": answer}
    right = answer
    if row.paraphrased_answer:
        right, *rest = rest
        values["paraphrased_loss"] = right
    values |= {f"perturbed_loss_{number}": one for number, one in enumerate(rest)}
    return values | {"truth_ratio": truth_ratio(right, rest, epsilon=EPSILON if how.is_released else 0.0)}


def _memorized(right: Sequence[bool], how: Asking) -> dict[str, float]:
    strength = released_extraction_strength(right) if how.is_released else extraction_strength(right)
    values = {"strength": strength, "exact": exact_memorization(right)}
    return {name: value for name, value in values.items() if value is not None}


def _attacks(
    llm: LanguageModel, probe: Probe, completion: Completion, tokens: TokenStatistics, how: Asking
) -> dict[str, float]:
    if how.is_released:
        text = str(llm.tokenizer.decode(list(completion.ids), skip_special_tokens=True))
        return attack_values(tokens, text, is_released=True)
    answer = TokenStatistics(
        logprobs=tokens.logprobs[:-1], means=tokens.means[:-1], spreads=tokens.spreads[:-1], right=tokens.right[:-1]
    )
    return attack_values(answer, probe.references[0])


def _gradient_norms(
    llm: LanguageModel, completions: Sequence[Completion], how: Asking, hidden_id: int | None
) -> dict[Completion, dict[str, float]]:
    """GradNorm of each text without its last token, where that is wanted; 0 where no other token is left."""
    if not how.gradnorm:
        return {}
    distinct = list(dict.fromkeys(completions))
    cut = [replace(one, ids=one.ids[:-1]) for one in distinct if len(one.ids) > 1]
    found = iter(gradient_norms(llm, cut, hidden_id=hidden_id))
    norms = {}
    for one in distinct:
        norm = next(found) if len(one.ids) > 1 else GradientNorm(whole=0.0, mean_of_tensors=0.0)
        norms[one] = {"gradnorm": norm.mean_of_tensors if how.is_released else norm.whole}
    return norms


def _share_of(progress: Progress | None, first: int, size: int, total: int, count: int) -> Progress | None:
    """Progress of some of `total` texts, counted in `count` probes."""
    if not total:
        return None
    return part_of(progress, first=first * count // total, size=size * count // total, total=count)
