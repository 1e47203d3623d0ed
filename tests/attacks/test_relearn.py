"""Fine-tuning as an attack: it learns, it leaves the model as it was, and it never sees what it is tested on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from constructed import TARGET, WORDS, fact_probes, subject
from tiny_training import own_llm
from window_model import window_llm

from atu.attacks import ablate, benign_relearn, finetune, fresh_predictor, hidden_states, prompt, relearn
from atu.attacks.config import Kind
from atu.attacks.fresh_predictor import readable_texts
from atu.attacks.halves import Halves, as_lesson
from atu.embedding.config import EncoderConfig
from atu.errors import UserError
from atu.evaluation.scorers import contains_any
from atu.models.language_model import LanguageModel
from atu.models.rows import Row, build_rows
from atu.records import Text
from atu.training.likelihood import nll_of_texts

LESSONS = [as_lesson(probe) for probe in fact_probes()[:4]]


def tune(llm: LanguageModel, kind: Kind, at_stop: Callable[[int], None], *, seed: int = 0, rate: float = 3e-3) -> None:
    settings = {"kind": kind, "rate": rate, "stops": (2, 12), "batch_size": 4, "seed": seed}
    finetune.finetune(llm, LESSONS, autocast=nullcontext, at_stop=at_stop, **settings)


def nll(llm: LanguageModel) -> float:
    with torch.no_grad():
        return float(nll_of_texts(llm, build_rows(llm, LESSONS, max_tokens=64), packed=False))


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_it_learns_and_leaves_the_model_as_it_was(tiny_folder: Path, kind: Kind) -> None:
    llm = own_llm(tiny_folder)
    before = {name: value.clone() for name, value in llm.model.state_dict().items()}
    losses = [nll(llm)]
    tune(llm, kind, lambda step: losses.append(nll(llm)))
    assert len(losses) == 3
    assert losses[2] < 0.7 * losses[0]
    after = llm.model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert not any(parameter.grad is not None for parameter in llm.model.parameters())
    # And once more: a second attack finds the same model, and the same seed does the same.
    again: list[float] = []
    tune(llm, kind, lambda step: again.append(nll(llm)))
    assert again == losses[1:]


def test_embeddings_stay(tiny_folder: Path) -> None:
    llm = own_llm(tiny_folder)
    embedding = llm.model.get_input_embeddings().weight
    before = embedding.detach().clone()
    tune(llm, "full", lambda step: torch.testing.assert_close(embedding, before, rtol=0, atol=0))


def test_the_weights_come_back_when_the_attack_fails(tiny_folder: Path) -> None:
    llm = own_llm(tiny_folder)
    before = {name: value.clone() for name, value in llm.model.state_dict().items()}

    def stop(step: int) -> None:
        raise KeyboardInterrupt

    for kind in ("full", "lora"):
        with pytest.raises(KeyboardInterrupt):
            tune(llm, kind, stop)
        assert all(torch.equal(value, before[name]) for name, value in llm.model.state_dict().items())


def test_a_loss_that_is_not_finite_is_an_error_and_no_score(tiny_folder: Path) -> None:
    llm = own_llm(tiny_folder)
    with torch.no_grad():
        llm.model.model.layers[0].mlp.up_proj.weight[0, 0] = math.nan
    with pytest.raises(UserError, match="loss is not finite at step 1"):
        tune(llm, "full", lambda step: None)


def test_a_model_that_takes_no_packed_rows_is_tuned_on_padded_ones(tiny_folder: Path) -> None:
    llm = window_llm(tiny_folder, 8)
    losses = [nll(llm)]
    tune(llm, "full", lambda step: losses.append(nll(llm)))
    assert losses[-1] < losses[0]


def test_the_curve_begins_before_the_first_step_and_has_ceiling_and_floor(
    tiny_llm: LanguageModel, knowing: LanguageModel, tiny_folder: Path
) -> None:
    tested = subject(knowing, own_llm(tiny_folder))
    tested = replace(tested, models={**tested.models, "gold": tiny_llm})
    units = relearn.units(tested, [0])
    assert [unit.setting for unit in units][:3] == [
        "half of the facts, full, lr 0.001, seed 0",
        "half of the facts, full, lr 0.001, original, seed 0",
        "half of the facts, full, lr 0.001, gold, seed 0",
    ]
    assert len(units) == 2 * 3
    rows = units[0].run()
    assert [(row.step, row.group, row.score.n) for row in rows] == [(step, "forget/all", 8) for step in (0, 1, 2)]
    assert rows[0].recovered == 0.0
    ceiling = units[1].run()
    assert ceiling[0].recovered == 1.0
    assert {row.model for row in ceiling} == {"original"}


def test_the_original_is_tuned_once_for_all_models_made_from_it(
    knowing: LanguageModel, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATU_CACHE", str(tmp_path))
    original = replace(knowing, provenance={**knowing.provenance, "sha256": "taught"})
    tested = subject(original, own_llm(tiny_folder))
    ours, ceiling = relearn.units(tested, [0])[:2]
    expected, mine = ceiling.run(), ours.run()
    assert len(list(tmp_path.glob("relearned/*.jsonl"))) == len(tested.budget.relearn_steps)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("tuned again")

    monkeypatch.setattr(relearn, "finetune", refuse)
    # Another seed draws other halves; the unlearned model is what is attacked, and asked each time.
    assert relearn.units(subject(original, own_llm(tiny_folder)), [0])[1].run() == expected
    for other in (ours, relearn.units(tested, [1])[1]):
        with pytest.raises(AssertionError, match="tuned again"):
            other.run()
    assert mine != expected


def _spied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that fine-tuning and the fresh predictor turn into tokens; the real functions do their work."""
    read: list[str] = []

    def spy(llm: LanguageModel, texts: Sequence[Text], *, max_tokens: int) -> list[Row]:
        read.extend(f"{text.prompt or ''}\n{text.text}" for text in texts)
        return build_rows(llm, texts, max_tokens=max_tokens)

    monkeypatch.setattr(finetune, "build_rows", spy)
    monkeypatch.setattr(fresh_predictor, "build_rows", spy)
    return read


@pytest.mark.parametrize("seed", [0, 1])
def test_no_attack_sees_the_half_that_it_is_tested_on(
    tiny_folder: Path, tiny_encoder: Path, knowing: LanguageModel, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    encoder = EncoderConfig(name="tiny", model_name=str(tiny_encoder), window_tokens=2)
    tested = subject(knowing, own_llm(tiny_folder), encoders=[encoder])
    halves = tested.halves(seed)
    answers = [reference for probe in halves.tested for reference in probe.references]
    things = [probe.prompt.removesuffix(" of Zorblatt?").split()[-1] for probe in halves.tested]
    read = _spied(monkeypatch)
    for unit in (*relearn.units(tested, [seed]), *benign_relearn.units(tested, [seed])):
        unit.run()
    assert len(read) > 50
    assert not any(contains_any(text, answers) for text in read)
    read.clear()
    for unit in hidden_states.units(tested, [seed]):
        unit.run()
    # The predictor may meet an answer as a word in a text on others, never in one on the target.
    assert any(contains_any(text, answers) for text in read)
    assert not any(contains_any(text, answers) for text in read if "Zorblatt" in text)
    for probe in (prompt.in_context(halves.tested[0], halves.seen), *halves.seen):
        told = probe.prompt.removesuffix(halves.tested[0].prompt)
        assert not any(contains_any(told, [word]) for word in (*answers, *things))


def test_attacks_without_training_take_directions_and_statements_from_the_seen_half_alone(
    knowing: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    tested = subject(knowing, knowing)
    halves = tested.halves(0)
    asked: list[str] = []
    encode = ablate.prompt_ids
    monkeypatch.setattr(ablate, "prompt_ids", lambda llm, probe: (asked.append(probe.id), encode(llm, probe))[1])
    for unit in ablate.units(tested, [0]):
        unit.run()
    assert set(asked) == {probe.id for probe in halves.seen}
    told = hidden_states.statements(halves.seen, 0)
    assert {one.probe.id for one in told} <= {probe.id for probe in halves.seen}
    assert not {one.wrong for one in told} & {probe.references[0] for probe in halves.tested}


def test_texts_on_the_target_with_a_tested_answer_are_left_out() -> None:
    probes = fact_probes()
    halves = Halves(tuple(probes[:8]), tuple(probes[8:]))
    about = [Text(text=f"He had a {word}.", subject="Zorblatt", source="t") for word in (WORDS[0], WORDS[8])]
    named = [Text(text=f"Zorblatt gave Elmo a {word}.", subject="Elmo", source="t") for word in (WORDS[0], WORDS[8])]
    other = [Text(text=f"Elmo had a {WORDS[8]}.", subject="Elmo", source="t")]
    assert readable_texts(TARGET, [*about, *named, *other], halves) == [about[0], named[0], *other]


def test_a_corpus_without_a_usable_text_is_refused(knowing: LanguageModel) -> None:
    tested = replace(subject(knowing, knowing), write_corpus=lambda: ())
    unit = benign_relearn.units(tested, [0])[0]
    with pytest.raises(UserError, match="no text about the target"):
        unit.run()
