"""Ask a model every probe once and keep what it said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from atu.errors import UserError
from atu.evaluation.answering import answer_and_score
from atu.evaluation.batching import Progress, part_of
from atu.evaluation.collapse import is_degenerate
from atu.evaluation.config import EvaluationConfig
from atu.evaluation.generate import Generation, Prompt
from atu.evaluation.known import KnownAnswer, compare_known, is_known, known_answer, values_of
from atu.evaluation.likelihood import Completion, completion_nll, token_logprobs
from atu.evaluation.scorers import recall_lcs, score_generate, token_f1
from atu.models.language_model import LanguageModel
from atu.models.thinking import find_thought
from atu.records import UNFINISHED, Answer, Probe, Reference


def evaluate(
    llm: LanguageModel,
    probes: Sequence[Probe],
    *,
    reference: Reference,
    config: EvaluationConfig,
    progress: Progress | None = None,
) -> list[Answer]:
    """The model's answer to each probe, in the order of the probes.

    `reference`: what the model as it was said to the same probes, or that `llm` is that model itself. With None the
    answers have neither `known_before` nor `nll` and `p`.
    A likelihood probe has no right or wrong: its `values["loss"]` (nats per token) takes the place of a score.
    `values` of the other kinds: `recall` and `f1` (best over the references, 0..1) of a written answer;
    `choice` (index) and `margin` (nats, best right choice over best wrong one) of a chosen one; `nll` (nats a
    token) of the text that the reference gave, on rows that it answered rightly, and `p` (0..1), the probability of the
    words that made it right; `unfinished_thinking` (1) of a text that is a thought without an end, and so no answer.
    `progress` counts probes. Raises UserError for probe ids that occur twice, for probes missing in `reference`,
    and whatever keeps a probe from being asked (see `generate`, `token_logprobs`): never a score for it.
    """
    earlier = answers_by_id(reference)
    check_ids(probes, earlier)
    answers: dict[str, Answer] = {}

    def reference_answer(own: Answer) -> Answer | None:
        return None if reference is None else own if earlier is None else earlier[own.probe_id]

    ask_generate = partial(_ask_generate, reference_answer=reference_answer)
    for kind, ask in (("generate", ask_generate), ("choose", _ask_choose), ("likelihood", _ask_likelihood)):
        asked = [probe for probe in probes if probe.kind == kind]
        if asked:
            report = part_of(progress, first=len(answers), size=len(asked), total=len(probes))
            answers |= {answer.probe_id: answer for answer in ask(llm, asked, config.batch_size, report)}
    found = [answers[probe.id] for probe in probes]
    if reference is None:
        return found
    return compare_known(
        llm,
        probes,
        found,
        answers if earlier is None else earlier,
        can_be_known=lambda probe: probe.kind != "likelihood",
        behind=partial(_known, llm),
        batch_size=config.batch_size,
    )


def _ask_generate(
    llm: LanguageModel,
    probes: Sequence[Probe],
    batch_size: int,
    progress: Progress | None,
    *,
    reference_answer: Callable[[Answer], Answer | None],
) -> list[Answer]:
    """Written answers, those of known rows with `nll` and `p` where the text does not change the prompt's tokens."""
    prompts = [
        Prompt(
            ids=tuple(llm.encode(llm.render(probe.prompt, probe.answer_prefix))),
            max_new_tokens=probe.max_new_tokens,
        )
        for probe in probes
    ]
    answers: dict[int, Answer] = {}

    known: dict[int, KnownAnswer] = {}

    def wanted(i: int, generation: Generation) -> Completion | None:
        answers[i] = _written(llm, probes[i], prompts[i], generation)
        given = reference_answer(answers[i])
        if given is None or not is_known(given):
            return None
        known[i] = _known(llm, probes[i], given.text)
        completion = known[i].completion
        return completion if completion.prompt == prompts[i].ids else None

    _, logprobs = answer_and_score(llm, prompts, wanted, batch_size=batch_size, progress=progress)
    for i, found in logprobs.items():
        answers[i] = replace(answers[i], values={**answers[i].values, **values_of(known[i], found)})
    return [answers[i] for i in range(len(probes))]


def _written(llm: LanguageModel, probe: Probe, prompt: Prompt, generation: Generation) -> Answer:
    text = decode_answer(llm, prompt.ids, generation.ids)
    values = {
        "recall": max((recall_lcs(text, reference) for reference in probe.references), default=0.0),
        "f1": max((token_f1(text, reference) for reference in probe.references), default=0.0),
        **unfinished_thinking(llm, prompt.ids, generation.ids),
    }
    score = score_generate(probe, text)
    return Answer.to(probe, text=text, score=score, values=values, degenerate=is_degenerate(text))


def _ask_choose(
    llm: LanguageModel, probes: Sequence[Probe], batch_size: int, progress: Progress | None
) -> list[Answer]:
    """Each choice as the whole answer; the one with the greatest summed log-probability is chosen."""
    completions = []
    for probe in probes:
        if not 0 < len(set(probe.correct)) < len(probe.references) or not all(probe.references):
            raise UserError(f"Probe '{probe.id}' needs right and wrong choices, none of them empty.")
        for turn in (llm.turn(probe.prompt, choice, probe.answer_prefix) for choice in probe.references):
            joined = llm.encode_behind(turn.head, turn.body)
            completions.append(Completion(prompt=joined.prompt, ids=joined.ids))
    logprobs = iter(token_logprobs(llm, completions, batch_size=batch_size, progress=progress))
    answers = []
    for probe in probes:
        sums = [sum(next(logprobs)) for _ in probe.references]
        choice = sums.index(max(sums))
        wrong = [value for i, value in enumerate(sums) if i not in probe.correct]
        margin = max(sums[i] for i in probe.correct) - max(wrong)
        values = {"choice": float(choice), "margin": margin}
        score = float(choice in probe.correct)
        answers.append(Answer.to(probe, text=probe.references[choice], score=score, values=values))
    return answers


def _ask_likelihood(
    llm: LanguageModel, probes: Sequence[Probe], batch_size: int, progress: Progress | None
) -> list[Answer]:
    """The bare text without chat template; its first token is given, the others are scored."""
    rows = [tuple(llm.encode(probe.prompt)) for probe in probes]
    for probe, row in zip(probes, rows, strict=True):
        if len(row) < 2:
            raise UserError(f"Probe '{probe.id}' is a text of {len(row)} tokens; a likelihood takes two or more.")
    completions = [Completion(prompt=row[:1], ids=row[1:]) for row in rows]
    losses = completion_nll(llm, completions, batch_size=batch_size, progress=progress)
    return [
        Answer.to(probe, text="", score=0.0, values={"loss": loss}) for probe, loss in zip(probes, losses, strict=True)
    ]


def _known(llm: LanguageModel, probe: Probe, answer: str) -> KnownAnswer:
    """An answer behind its probe: a choice as the chat template writes an answer, else a text as it was written."""
    if probe.kind == "choose":
        turn = llm.turn(probe.prompt, answer, probe.answer_prefix)
        return known_answer(llm, probe, turn.head, turn.body)
    return known_answer(llm, probe, llm.head(probe.prompt, probe.answer_prefix), answer)


def decode_answer(llm: LanguageModel, prompt: Sequence[int], new: Sequence[int]) -> str:
    """The text that `new` adds. Decoded behind its prompt, since some tokenizers drop a first space.

    What the model thought before it answers is cut off, unless it never came to an end. A character that the token
    limit cut in half is left out.
    """
    thought = find_thought(llm, prompt, new)
    if thought.length and thought.is_finished:
        prompt, new = [*prompt, *new[: thought.length]], new[thought.length :]

    def decode(ids: Sequence[int]) -> str:
        return str(llm.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    before, whole = decode(prompt), decode([*prompt, *new])
    text = whole[len(before) :] if whole.startswith(before) else decode(new)
    return text.rstrip("\ufffd")


def unfinished_thinking(llm: LanguageModel, prompt: Sequence[int], new: Sequence[int]) -> dict[str, float]:
    """A value that marks an answer which is nothing but an unfinished thought; no value for any other."""
    return {} if find_thought(llm, prompt, new).is_finished else {UNFINISHED: 1.0}


def answers_by_id(reference: Reference) -> dict[str, Answer] | None:
    """The reference's answers by probe id; None where there are none, or where they are the model's own."""
    if reference is None or isinstance(reference, str):
        return None
    return {answer.probe_id: answer for answer in reference}


def check_ids(probes: Sequence[Probe], earlier: Mapping[str, Answer] | None) -> None:
    """Raises UserError for probe ids that occur twice, and for probes that the reference was never asked."""
    ids = Counter(probe.id for probe in probes)
    repeated = [probe_id for probe_id, times in ids.items() if times > 1]
    if repeated:
        raise UserError(f"Two probes have the id '{repeated[0]}': the benchmark must number its rows.")
    missing = [] if earlier is None else [probe_id for probe_id in ids if probe_id not in earlier]
    if missing:
        raise UserError(
            f"The reference model was never asked '{missing[0]}' ({len(missing)} such probes): "
            "evaluate it with the same benchmark first."
        )
