"""A turn is the same tokens in training, scoring and writing, in every family of chat templates and without one."""

from __future__ import annotations

import dataclasses
from functools import cache

import pytest
import torch
from chat_shapes import SHAPES, SMOLLM_2, build_llm, build_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken

from atu.attacks.prompt import with_system
from atu.attacks.states import answered_ids
from atu.benchmarks.rwku import corrected
from atu.errors import UserError
from atu.evaluation.config import EvaluationConfig
from atu.evaluation.evaluate import _written, decode_answer, evaluate
from atu.evaluation.generate import Generation, Prompt, generate
from atu.models.chat_template import ChatSettings, render_chat
from atu.models.config import ModelConfig
from atu.models.hook import final_hidden_states, logits_from_hidden
from atu.models.language_model import LanguageModel
from atu.models.rows import Row, build_row
from atu.records import Answer, Probe, Text

QUESTION, ANSWER = "Who wrote Hamlet?", "William Shakespeare."


@cache
def llm_of(name: str) -> LanguageModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_llm(build_tokenizer(SHAPES[name]))


def row_of(llm: LanguageModel, question: str, answer: str) -> Row:
    return build_row(llm, Text(text=answer, subject="x", source="test", prompt=question), max_tokens=400)


def written_ids(row: Row) -> tuple[int, ...]:
    """What the model is to write, without the token that ends the turn."""
    return row.ids[row.first_scored : -1]


@pytest.mark.parametrize("name", SHAPES)
def test_a_row_ends_in_the_token_that_ends_the_turn_in_its_template(name: str) -> None:
    llm = llm_of(name)
    row = row_of(llm, QUESTION, ANSWER)
    assert llm.tokenizer.convert_ids_to_tokens(row.ids[-1]) == SHAPES[name].end
    assert row.ids[-1] in llm.end_ids


def test_a_turn_may_end_in_a_token_that_is_not_marked_as_special() -> None:
    """As in some tokenizers that come from GGUF files."""
    tokenizer = build_tokenizer(dataclasses.replace(SHAPES["Phi-3"], special=SHAPES["Phi-3"].special[:-1]))
    tokenizer.add_tokens([AddedToken("<|end|>", special=False, normalized=False)])
    llm = build_llm(tokenizer)
    assert tokenizer.convert_ids_to_tokens(row_of(llm, QUESTION, ANSWER).ids[-1]) == "<|end|>"
    assert llm.turn_end in llm.end_ids


@pytest.mark.parametrize("name", [name for name in SHAPES if SHAPES[name].template and name != "R1"])
def test_a_row_is_the_templates_own_conversation_up_to_its_end(name: str) -> None:
    llm = llm_of(name)
    messages = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
    whole = llm.encode(render_chat(llm.tokenizer, llm.chat, messages, False))
    last = len(whole) - whole[::-1].index(llm.turn_end)
    assert list(row_of(llm, QUESTION, ANSWER).ids) == whole[:last]


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("Phi-3", "<|assistant|>\n", "William Shakespeare."),
        ("Llama-3", "<|start_header_id|>assistant<|end_header_id|>\n\n", "William Shakespeare."),
        ("Gemma", "<start_of_turn>model\n", "William Shakespeare."),
        ("Mistral", "Hamlet? [/INST]", " William Shakespeare."),
        ("Llama-2", "Hamlet? [/INST]", " William Shakespeare. "),
        ("Qwen3", "<|im_start|>assistant\n<think>\n\n</think>\n\n", "William Shakespeare."),
        ("R1", "<|assistant|><think>\n\n</think>\n\n", "William Shakespeare."),
        ("SmolLM2", "<|im_start|>assistant\n", "William Shakespeare."),
        ("header only", "<|end|>\n<|assistant|>\n", "William Shakespeare."),
        ("none, bytes", "Question: Who wrote Hamlet?\nAnswer:", " William Shakespeare."),
        ("none, metaspace", "Question: Who wrote Hamlet?\nAnswer:", " William Shakespeare."),
    ],
)
def test_where_the_prompt_ends_and_the_answer_begins(name: str, before: str, after: str) -> None:
    """By hand from the templates."""
    llm = llm_of(name)
    row = row_of(llm, QUESTION, ANSWER)
    assert row.string[: row.body_start].endswith(before)
    assert row.string[row.body_start :] == after
    assert llm.render(QUESTION) == row.string[: row.body_start]


WORDS = st.text("abcShakespeareXYZ .,\n'?1564", min_size=1, max_size=30).filter(str.strip)


@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(question=WORDS, answer=WORDS)
def test_trained_scored_and_written_are_the_same_tokens(name: str, question: str, answer: str) -> None:
    llm = llm_of(name)
    row = row_of(llm, question, answer)
    prompt = llm.encode(llm.render(question))
    # What generation reads is what stands before the answer in training.
    assert list(row.ids[: row.first_scored]) == prompt
    # What the trained model writes is scored as the tokens that it was trained on.
    said = decode_answer(llm, prompt, written_ids(row))
    scored = llm.encode_behind(llm.head(question), said)
    assert (list(scored.prompt), scored.ids) == (prompt, written_ids(row))
    # And so is the answer as a choice among others.
    closing = len(llm.form.closing)
    behind = answered_ids(llm, Probe(id="p", group="forget/qa", kind="choose", prompt=question), answer)
    assert [*behind[0], *behind[1]] == list(row.ids[: -1 - closing])


@pytest.mark.parametrize("name", SHAPES)
def test_an_answer_that_begins_with_a_prefix_has_the_tokens_of_the_whole(name: str) -> None:
    """RWKU asks with `Answer:` already said; a lesson teaches `Answer: ...` as the answer."""
    llm = llm_of(name)
    probe = Probe(id="p", group="forget/qa", kind="generate", prompt=f"{QUESTION}\n", answer_prefix="Answer:")
    row = row_of(llm, f"{QUESTION}\n", f"Answer: {ANSWER}")
    prompt = llm.encode(llm.render(probe.prompt, probe.answer_prefix))
    assert list(row.ids[: len(prompt)]) == prompt
    assert list(corrected.request(llm, probe).ids) == prompt
    scored = llm.encode_behind(llm.head(probe.prompt, "Answer:"), f" {ANSWER}{llm.form.closing}")
    assert (*scored.prompt, *scored.ids) == row.ids[:-1]


@pytest.mark.parametrize("name", ["Phi-3", "Gemma", "Mistral", "none, bytes", "none, metaspace"])
def test_a_model_that_learnt_a_row_writes_it_and_ends_there(name: str) -> None:
    """Trained on one row until it is sure of it; then asked as the judge asks."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        llm = build_llm(llm_of(name).tokenizer)
    row = row_of(llm, QUESTION, ANSWER)
    ids = torch.tensor([row.ids])
    optimizer = torch.optim.AdamW(llm.model.parameters(), lr=1e-2)
    for _ in range(60):
        states = final_hidden_states(llm.model, ids, torch.ones_like(ids))[0, row.first_scored - 1 : -1]
        loss = torch.nn.functional.cross_entropy(logits_from_hidden(llm.model, states), ids[0, row.first_scored :])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1
    [said] = generate(llm, [Prompt(ids=tuple(llm.encode(llm.render(QUESTION))), max_new_tokens=40)], batch_size=1)
    assert (said.ids, said.stop_id) == (written_ids(row), llm.turn_end)
    probe = Probe(
        id="p", group="forget/qa", kind="generate", prompt=QUESTION, references=("Shakespeare",), max_new_tokens=40
    )
    [answer] = evaluate(llm, [probe], reference="itself", config=EvaluationConfig())
    assert answer.text.strip() == ANSWER
    assert answer.score == 1.0
    assert answer.values["nll"] < 0.1


def test_templates_that_trim_answers_trim_those_of_the_rows() -> None:
    for name in ("Llama-3", "Gemma"):
        assert row_of(llm_of(name), QUESTION, f" {ANSWER}\n\n").ids == row_of(llm_of(name), QUESTION, ANSWER).ids
    assert row_of(llm_of("Qwen3"), QUESTION, f"\n{ANSWER}").ids == row_of(llm_of("Qwen3"), QUESTION, ANSWER).ids


def test_without_a_template_a_space_that_is_there_is_not_put_twice() -> None:
    for name in ("none, bytes", "none, metaspace", "Mistral"):
        assert row_of(llm_of(name), QUESTION, f" {ANSWER}").ids == row_of(llm_of(name), QUESTION, ANSWER).ids


def test_a_template_that_knows_no_system_role_hears_it_from_the_user() -> None:
    spoken = with_system(llm_of("Gemma"), "You know all.")
    assert [message["role"] for message in spoken.history] == ["user", "assistant"]
    # Left out without a word: as good as refused.
    spoken = with_system(llm_of("Mistral"), "You know all.")
    assert "You know all." in spoken.render("Who?")


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("", "leaves out what the user says"),
        ("{{ bos_token }}", "leaves out what the user says"),
        (
            "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}",
            "leaves out what the assistant says",
        ),
        ("{{ raise_exception('roles must alternate\nalways') }}", "fails: roles must alternate"),
        ("{{ messages[7].content }}", "fails: "),
        ("{{ 1 / 0 }}", "fails: division by zero"),
        ("{% for m in messages %}{{ m.content }", "fails: "),
        ("{% for i in range(10 ** 9) %}{% endfor %}", "fails: "),
    ],
)
def test_a_template_of_no_use_is_one_clear_line(template: str, reason: str) -> None:
    tokenizer = build_tokenizer(dataclasses.replace(SHAPES["SmolLM2"], template=template))
    with pytest.raises(UserError) as caught:
        build_llm(tokenizer)
    assert reason in str(caught.value)
    assert "chat template" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_template_that_writes_a_date_writes_the_same_one_every_day() -> None:
    llm = llm_of("Llama-3")
    assert "Today Date: 26 Jul 2024\n" in llm.render(QUESTION)
    other = build_llm(llm.tokenizer, ChatSettings(date="2025-03-09"))
    assert "Today Date: 09 Mar 2025\n" in other.render(QUESTION)


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("%d %b %Y", "26 Jul 2024"),
        ("%B %d, %Y", "July 26, 2024"),
        ("%Y-%m-%d", "2024-07-26"),
        ("%A, %-d/%-m", "Friday, 26/7"),
        ("100%% at %H:%M", "100% at 00:00"),
    ],
)
def test_every_way_to_write_the_date(format: str, expected: str) -> None:
    template = "{{ strftime_now('" + format + "') + '.' }}" + SMOLLM_2
    llm = build_llm(build_tokenizer(dataclasses.replace(SHAPES["SmolLM2"], template=template)))
    assert llm.render(QUESTION).startswith(f"{expected}.<|im_start|>system\n")


def test_a_templates_own_first_line_feed_stays() -> None:
    template = "\n{{ strftime_now('%Y') }}" + SMOLLM_2
    llm = build_llm(build_tokenizer(dataclasses.replace(SHAPES["SmolLM2"], template=template)))
    assert llm.render(QUESTION).startswith("\n2024<|im_start|>system")


def test_variables_of_the_template_are_the_users_to_set() -> None:
    tokenizer = llm_of("Llama-3").tokenizer
    llm = build_llm(tokenizer, ChatSettings(kwargs={"date_string": "1 May 1999"}))
    assert "Today Date: 1 May 1999\n" in llm.render(QUESTION)
    assert "Today Date: 1 May 1999\n" in row_of(llm, QUESTION, ANSWER).string


def test_variables_that_the_program_sets_are_refused() -> None:
    with pytest.raises(UserError, match=r"chat_template_kwargs cannot set 'messages'"):
        ModelConfig(name="x", model_name="x", chat_template_kwargs={"messages": "none"})


@pytest.mark.parametrize("date", ["today", "2024-7-1", "2024-02-30", "20240701", "2024-07-01T00:00:00"])
def test_a_date_is_a_day(date: str) -> None:
    with pytest.raises(UserError, match="chat_template_date must be a day"):
        ModelConfig(name="x", model_name="x", chat_template_date=date)


def test_thinking_is_off_unless_it_is_asked_for() -> None:
    off = llm_of("Qwen3")
    assert off.render(QUESTION).endswith("assistant\n<think>\n\n</think>\n\n")
    on = build_llm(off.tokenizer, ChatSettings(kwargs={"enable_thinking": True}))
    assert on.render(QUESTION).endswith("<|im_start|>assistant\n")
    # A given answer stands behind an empty thought, as the template writes it, and so do rows.
    assert row_of(on, QUESTION, ANSWER).ids == row_of(off, QUESTION, ANSWER).ids
    assert on.head(QUESTION) == off.head(QUESTION)
    begun = build_llm(llm_of("R1").tokenizer, ChatSettings(kwargs={"enable_thinking": True}))
    assert begun.render(QUESTION).endswith("<|assistant|><think>\n")


def answer_of(llm: LanguageModel, prompt: str, said: str) -> str:
    return decode_answer(llm, llm.encode(prompt), llm.tokenizer(said, add_special_tokens=False)["input_ids"])


def test_what_a_model_thought_is_cut_off() -> None:
    llm = llm_of("Qwen3")
    prompt = "<|im_start|>assistant\n"
    assert (
        answer_of(llm, prompt, "<think>\nHe is a prince.\n</think>\n\nParis </think> it is.") == "Paris </think> it is."
    )
    assert answer_of(llm, prompt, "Paris <think> it is.</think> Rome") == "Paris <think> it is.</think> Rome"
    assert answer_of(llm, f"{prompt}<think>\n", "He is a prince.</think>Paris") == "Paris"
    assert answer_of(llm, f"{prompt}<think>\n\n</think>\n\n", "Paris") == "Paris"


def test_cut_off_also_where_the_marks_are_special_tokens() -> None:
    shape = dataclasses.replace(SHAPES["Qwen3"], special=(*SHAPES["Qwen3"].special, "<think>", "</think>"))
    llm = build_llm(build_tokenizer(shape))
    assert answer_of(llm, "<|im_start|>assistant\n", "<think>He is a prince.</think>\n\nParis") == "Paris"


def asked(llm: LanguageModel, said: str) -> Answer:
    """The answer of a model that says just this, whatever it is asked."""
    ids = tuple(llm.tokenizer(said, add_special_tokens=False)["input_ids"])
    probe = Probe(id="p", group="forget/qa", kind="generate", prompt=QUESTION, references=("prince",))
    prompt = Prompt(ids=tuple(llm.encode(llm.render(QUESTION))), max_new_tokens=len(ids))
    return _written(llm, probe, prompt, Generation(ids=ids, stop_id=None))


def test_a_thought_without_an_end_is_no_answer() -> None:
    llm = build_llm(llm_of("Qwen3").tokenizer, ChatSettings(kwargs={"enable_thinking": True}))
    unfinished = asked(llm, "<think>\nHe is a prince, or")
    assert unfinished.values["unfinished_thinking"] == 1.0
    assert unfinished.text == "<think>\nHe is a prince, or"
    assert "unfinished_thinking" not in asked(llm, "<think>\nHm.</think>A prince").values
