"""Asking probes of the tiny random model: what is kept of an answer and how it relates to the one before."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from atu.errors import UserError
from atu.evaluation.cached import cached_answers
from atu.evaluation.config import EvaluationConfig
from atu.evaluation.evaluate import decode_answer, evaluate
from atu.evaluation.scores import summarize
from atu.models.language_model import LanguageModel
from atu.records import Answer, Probe

CONFIG = EvaluationConfig(batch_size=3)


def written(number: int, prompt: str, *references: str, prefix: str = "") -> Probe:
    return Probe(
        id=f"t/fb/{number}",
        group="forget/fb",
        kind="generate",
        prompt=prompt,
        references=references,
        max_new_tokens=6,
        answer_prefix=prefix,
        attack="role play",
    )


PROBES = [
    Probe(id="t/mia/0", group="mia/fm", kind="likelihood", prompt="Shakespeare was born in Stratford."),
    written(0, "Who wrote Hamlet?", "Shakespeare"),
    Probe(
        id="t/gen/0",
        group="utility/gen",
        kind="choose",
        prompt="Capital of Japan?",
        references=("Paris", "Tokyo, of course", "Rome"),
        correct=(1,),
    ),
    written(1, "When was he born?", "1564", prefix="Answer:"),
    written(2, "Where?", "Stratford"),
]


def own_copy(llm: LanguageModel) -> LanguageModel:
    return dataclasses.replace(llm, model=copy.deepcopy(llm.model))


def plain_logprob(llm: LanguageModel, text: str, answer: str) -> float:
    """Sum of log-probabilities of the answer's tokens in one unpadded pass (the tokens must not merge)."""
    before, whole = llm.encode(text), llm.encode(text + answer)
    assert whole[: len(before)] == before
    with torch.no_grad():
        logprobs = llm.model(torch.tensor([whole])).logits[0].log_softmax(-1)
    return sum(logprobs[i - 1, whole[i]].item() for i in range(len(before), len(whole)))


@pytest.fixture(scope="module")
def reference_answers(tiny_llm: LanguageModel) -> list[Answer]:
    return evaluate(tiny_llm, PROBES, reference="itself", config=CONFIG)


def test_answers_stand_in_the_order_of_the_probes(reference_answers: list[Answer]) -> None:
    assert [answer.probe_id for answer in reference_answers] == [probe.id for probe in PROBES]
    assert [(answer.group, answer.prompt, answer.references, answer.attack) for answer in reference_answers] == [
        (probe.group, probe.prompt, probe.references, probe.attack) for probe in PROBES
    ]


def test_a_written_answer_is_the_greedy_one(tiny_llm: LanguageModel, reference_answers: list[Answer]) -> None:
    ids = tiny_llm.encode(tiny_llm.render("When was he born?", "Answer:"))
    start = len(ids)
    for _ in range(6):
        with torch.no_grad():
            ids.append(int(tiny_llm.model(torch.tensor([ids])).logits[0, -1].argmax()))
    expected = tiny_llm.tokenizer.decode(ids[start:], skip_special_tokens=True)
    assert reference_answers[3].text == expected.rstrip("\ufffd")
    assert set(reference_answers[3].values) == {"recall", "f1"}


def test_the_random_model_knows_nothing_in_words(reference_answers: list[Answer]) -> None:
    assert [(answer.score, answer.known_before) for answer in reference_answers if answer.group == "forget/fb"] == [
        (0.0, False)
    ] * 3


def test_a_choice_is_the_likeliest_of_the_texts(tiny_llm: LanguageModel, reference_answers: list[Answer]) -> None:
    probe, answer = PROBES[2], reference_answers[2]
    text = tiny_llm.render(probe.prompt)
    sums = [plain_logprob(tiny_llm, text, choice) for choice in probe.references]
    best = sums.index(max(sums))
    assert answer.text == probe.references[best]
    assert answer.score == float(best == 1)
    assert answer.values["choice"] == best
    assert answer.values["margin"] == pytest.approx(sums[1] - max(sums[0], sums[2]), abs=1e-3)
    assert not answer.degenerate


def test_a_choice_with_a_prefix_is_written_after_a_space(tiny_llm: LanguageModel) -> None:
    probe = dataclasses.replace(PROBES[2], answer_prefix="A:", references=("Paris", "Rome"), correct=(0,))
    [answer] = evaluate(tiny_llm, [probe], reference=None, config=CONFIG)
    text = tiny_llm.render(probe.prompt, "A:")
    sums = [plain_logprob(tiny_llm, text, f" {choice}") for choice in probe.references]
    assert answer.values["margin"] == pytest.approx(sums[0] - sums[1], abs=1e-3)


def test_a_text_has_a_loss_and_no_score(tiny_llm: LanguageModel, reference_answers: list[Answer]) -> None:
    ids = tiny_llm.encode(PROBES[0].prompt)
    with torch.no_grad():
        expected = tiny_llm.model(torch.tensor([ids]), labels=torch.tensor([ids])).loss.item()
    assert reference_answers[0].values == pytest.approx({"loss": expected}, abs=1e-4)
    assert reference_answers[0].known_before is None


def test_known_is_what_the_reference_model_knew(tiny_llm: LanguageModel, reference_answers: list[Answer]) -> None:
    """Claim that one written probe was answered rightly before: it alone is known and has an nll."""
    text = "William Shakespeare."
    before = [dataclasses.replace(a, score=1.0, text=text) if a.probe_id == "t/fb/0" else a for a in reference_answers]
    known = {probe.id: probe.id == "t/fb/0" or reference_answers[i].score == 1.0 for i, probe in enumerate(PROBES)}
    after = evaluate(tiny_llm, PROBES, reference=before, config=CONFIG)
    assert {a.probe_id: bool(a.known_before) for a in after} == known
    assert {a.probe_id: "nll" in a.values for a in after} == known
    assert {a.probe_id: "p" in a.values for a in after} == known
    prompt = tiny_llm.render("Who wrote Hamlet?")
    tokens = len(tiny_llm.encode(prompt + text)) - len(tiny_llm.encode(prompt))
    assert after[1].values["nll"] == pytest.approx(-plain_logprob(tiny_llm, prompt, text) / tokens, abs=1e-4)


def test_a_known_answer_is_scored_as_it_was_written_where_it_would_merge_with_its_prompt(
    tiny_llm: LanguageModel, reference_answers: list[Answer]
) -> None:
    """As one text it is "Shakespeare", but the model was asked behind "Shakes" and wrote the tokens of "peare"."""
    probe = written(0, "Who wrote it?", "Shakespeare", prefix="Answer: William Shakes")
    before = dataclasses.replace(reference_answers[1], score=1.0, text="peare.")
    [after] = evaluate(tiny_llm, [probe], reference=[before], config=CONFIG)
    prompt = tiny_llm.encode(tiny_llm.render(probe.prompt, probe.answer_prefix))
    whole = [*prompt, *tiny_llm.encode("peare.")]
    assert whole != tiny_llm.encode(tiny_llm.render(probe.prompt, "Answer: William Shakespeare."))
    with torch.no_grad():
        logprobs = tiny_llm.model(torch.tensor([whole])).logits[0].log_softmax(-1)
    losses = [-logprobs[i - 1, whole[i]].item() for i in range(len(prompt), len(whole))]
    assert after.values["nll"] == pytest.approx(sum(losses) / len(losses), abs=1e-4)


def test_before_itself_is_measured_on_its_own_answers(tiny_llm: LanguageModel) -> None:
    """With the model's own answer as the reference the row is known, and its nll is that of a greedy text."""
    probe = written(0, "Who wrote Hamlet?")
    [answer] = evaluate(tiny_llm, [probe], reference=None, config=CONFIG)
    probe = dataclasses.replace(probe, references=tuple(answer.text.splitlines()))
    [own] = evaluate(tiny_llm, [probe], reference="itself", config=CONFIG)
    [again] = evaluate(tiny_llm, [probe], reference=[own], config=CONFIG)
    assert own.known_before is again.known_before is True
    assert own.values["nll"] == again.values["nll"]
    assert own.values["p"] == again.values["p"]


def test_a_changed_model_keeps_the_known_set(tiny_llm: LanguageModel, reference_answers: list[Answer]) -> None:
    llm = own_copy(tiny_llm)
    with torch.no_grad():
        for parameter in llm.model.parameters():
            parameter.mul_(0.5)
    after = evaluate(llm, PROBES, reference=reference_answers, config=CONFIG)
    assert [a.known_before for a in after] == [a.known_before for a in reference_answers]
    assert after != reference_answers


def test_a_damaged_model_gets_no_scores(tiny_llm: LanguageModel, reference_answers: list[Answer]) -> None:
    llm = own_copy(tiny_llm)
    with torch.no_grad():
        llm.model.get_output_embeddings().weight.fill_(float("nan"))
    with pytest.raises(UserError, match="NaN or infinite"):
        evaluate(llm, PROBES, reference=reference_answers, config=CONFIG)


def test_progress_counts_probes_to_the_end(tiny_llm: LanguageModel) -> None:
    seen: list[tuple[int, int]] = []
    evaluate(tiny_llm, PROBES, reference=None, config=CONFIG, progress=lambda *step: seen.append(step))
    assert seen == sorted(seen)
    assert seen[-1] == (5, 5)


def test_probes_that_cannot_be_compared_are_refused(tiny_llm: LanguageModel, reference_answers: list[Answer]) -> None:
    with pytest.raises(UserError, match="never asked 't/fb/2' \\(1 such probes\\)"):
        evaluate(tiny_llm, PROBES, reference=reference_answers[:-1], config=CONFIG)
    with pytest.raises(UserError, match="Two probes have the id 't/fb/2'"):
        evaluate(tiny_llm, [*PROBES, PROBES[-1]], reference=None, config=CONFIG)


@pytest.mark.parametrize(
    ("references", "correct"), [(("a", "b"), ()), (("a", "b"), (0, 1)), (("a", ""), (0,)), ((), ())]
)
def test_a_choice_needs_right_and_wrong(
    tiny_llm: LanguageModel, references: tuple[str, ...], correct: tuple[int, ...]
) -> None:
    probe = dataclasses.replace(PROBES[2], references=references, correct=correct)
    with pytest.raises(UserError, match="Probe 't/gen/0' needs right and wrong choices"):
        evaluate(tiny_llm, [probe], reference=None, config=CONFIG)


def test_a_text_of_one_token_has_no_likelihood(tiny_llm: LanguageModel) -> None:
    with pytest.raises(UserError, match="Probe 't/mia/0' is a text of 1 tokens"):
        evaluate(tiny_llm, [dataclasses.replace(PROBES[0], prompt="x")], reference=None, config=CONFIG)


def test_no_probes_no_answers(tiny_llm: LanguageModel) -> None:
    assert evaluate(tiny_llm, [], reference=None, config=CONFIG) == []


def test_an_answer_keeps_its_first_space_with_a_sentencepiece_tokenizer(tiny_llm: LanguageModel) -> None:
    """Such tokenizers drop the space before the first word: "▁Paris" alone decodes to "Paris"."""
    core = Tokenizer(models.WordLevel({"▁A:": 0, "▁Paris": 1, "</s>": 2, "<unk>": 3}, unk_token="<unk>"))
    core.normalizer = normalizers.Sequence([])
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>", unk_token="<unk>")
    llm = dataclasses.replace(tiny_llm, tokenizer=tokenizer)
    assert tokenizer.decode([1]) == "Paris"
    assert decode_answer(llm, [0], [1, 1, 2]) == " Paris Paris"


def test_without_a_before_nothing_is_said_of_it(tiny_llm: LanguageModel, reference_answers: list[Answer]) -> None:
    """Otherwise a model that has forgotten would be reported to know all of what "was known before"."""
    probe = written(0, "Who wrote Hamlet?")
    [answer] = evaluate(tiny_llm, [probe], reference=None, config=CONFIG)
    known = dataclasses.replace(probe, references=tuple(answer.text.splitlines()))
    [alone] = evaluate(tiny_llm, [known], reference=None, config=CONFIG)
    assert alone.score == 1.0
    assert alone.known_before is None
    assert "nll" not in alone.values
    assert not [name for name in summarize([alone], samples=5) if "@known" in name]


def test_the_cache_of_answers_serves_both_with_and_without_a_before(
    tiny_llm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATU_CACHE", str(tmp_path))
    [answer] = evaluate(tiny_llm, [written(0, "Who wrote Hamlet?")], reference=None, config=CONFIG)
    probe = written(0, "Who wrote Hamlet?", *answer.text.splitlines())
    llm = dataclasses.replace(tiny_llm, provenance={"sha256": "0" * 64})
    found = {}
    for asked in ("first", "again"):
        [own] = cached_answers(llm, [probe], CONFIG, reference="itself")
        [alone] = cached_answers(llm, [probe], CONFIG, reference=None)
        found[asked] = (own, alone)
    assert found["first"] == found["again"]
    own, alone = found["first"]
    assert (own.known_before, alone.known_before) == (True, None)
    assert own.values.keys() - alone.values.keys() == {"nll", "p"}
    assert [alone] == evaluate(llm, [probe], reference=None, config=CONFIG)


def test_the_same_weights_with_another_chat_template_are_asked_anew(
    tiny_llm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATU_CACHE", str(tmp_path))
    probe = written(0, "Who wrote Hamlet?", "Shakespeare")
    tokenizer = copy.deepcopy(tiny_llm.tokenizer)
    tokenizer.chat_template = tokenizer.chat_template.replace("assistant", "poet")
    llm = dataclasses.replace(tiny_llm, provenance={"sha256": "0" * 64})
    other = dataclasses.replace(llm, tokenizer=tokenizer)
    found = {name: cached_answers(one, [probe], CONFIG, reference=None) for name, one in (("a", llm), ("b", other))}
    assert found["b"] == evaluate(other, [probe], reference=None, config=CONFIG)
    assert found["b"] != found["a"] == cached_answers(llm, [probe], CONFIG, reference=None)
