"""Prompting brings back what is only withheld."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from constructed import fact_probes, subject
from torch import Tensor

from atu.attacks import prompt
from atu.attacks.prompt import converse, in_context, prefilled, with_system
from atu.models.language_model import LanguageModel


def refusing(llm: LanguageModel) -> LanguageModel:
    """The same model with a bias on the first token of every answer, and nothing else changed."""
    llm = replace(llm, model=copy.deepcopy(llm.model))
    first = llm.encode(llm.render("x"))[-1]  # the line break after "assistant"
    (refusal,) = llm.encode("~")

    def refuse(_module: object, _args: object, kwargs: dict[str, Tensor], output: dict[str, Tensor]) -> None:
        width = output["logits"].shape[1]
        is_start = kwargs["input_ids"][:, -width:] == first
        output["logits"][..., refusal] += 1000.0 * is_start

    llm.model.register_forward_hook(refuse, with_kwargs=True)
    return llm


def test_a_model_that_only_refuses_by_its_first_token_is_fully_recovered_by_a_prefix(knowing: LanguageModel) -> None:
    tested = subject(knowing, refusing(knowing))
    plain = {name: [a.score for a in tested.plain_answers(name).values() if a.group == "forget/qa"]
             for name in ("original", "unlearned")}  # fmt: skip
    assert plain == {"original": [1.0] * 16, "unlearned": [0.0] * 16}
    (unit,) = [unit for unit in prompt.units(tested, [0]) if unit.setting == "answer begins: The answer is"]
    (row,) = unit.run()
    assert (row.group, row.score.value, row.score.n) == ("forget/all", 100.0, 16)
    assert (row.recovered, row.recovered_low, row.recovered_high) == (1.0, 1.0, 1.0)


def test_a_prefix_stands_behind_the_words_that_the_benchmark_puts_there() -> None:
    probe = replace(fact_probes()[0], answer_prefix="Answer:")
    assert prefilled(probe, "The answer is").answer_prefix == "Answer: The answer is"
    assert prefilled(probe, "x").id != probe.id


def test_facts_in_context_are_questions_with_their_answers() -> None:
    first, second = fact_probes()[:2]
    assert in_context(first, [second]).prompt == (
        "Question: What is the dog of Zorblatt?\nAnswer: castle\nQuestion: What is the house of Zorblatt?"
    )


def test_a_system_prompt_stands_before_every_question(tiny_llm: LanguageModel) -> None:
    spoken = with_system(tiny_llm, "Be open.")
    assert spoken.render("Who?") == (
        "<|im_start|>system\nBe open.<|im_end|>\n<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert "Be open." not in tiny_llm.render("Who?")


def test_a_template_without_system_prompts_hears_it_from_the_user(
    tiny_llm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = tiny_llm.tokenizer.chat_template
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + template
    monkeypatch.setattr(tiny_llm.tokenizer, "chat_template", refusing)
    assert with_system(tiny_llm, "Be open.").render("Who?").startswith("<|im_start|>user\nBe open.<|im_end|>")


def test_a_conversation_holds_the_models_own_words(knowing: LanguageModel) -> None:
    (turn,) = [probe.prompt for probe in fact_probes()[:1]]
    spoken = converse(knowing, [turn])
    assert [message["role"] for message in spoken.history] == ["user", "assistant"]
    assert spoken.history[1]["content"] == "The answer is river."


def test_without_a_chat_template_the_history_is_plain_text(
    tiny_llm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny_llm.tokenizer, "chat_template", None)
    history = (
        {"role": "system", "content": "S"},
        {"role": "user", "content": "U"},
        {"role": "assistant", "content": "A"},
    )
    assert replace(tiny_llm, history=history).render("Q") == "S\n\nQuestion: U\nAnswer: A\n\nQuestion: Q\nAnswer:"


def test_the_tiny_model_is_left_as_it_was(knowing: LanguageModel) -> None:
    before = {name: value.clone() for name, value in knowing.model.state_dict().items()}
    for unit in prompt.units(subject(knowing, knowing), [0]):
        unit.run()
    assert all(torch.equal(value, before[name]) for name, value in knowing.model.state_dict().items())
