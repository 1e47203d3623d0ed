"""Prompts, BOS and end-of-turn tokens, on tokenizers of a dozen words."""

from __future__ import annotations

import dataclasses

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from atu.errors import UserError
from atu.models.chat_template import ChatSettings
from atu.models.language_model import LanguageModel, find_end_ids, wrap

WORDS = ["<unk>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|end|>", "hello", "answer", "question"]
BOS, EOS, USER, ASSISTANT, END, HELLO = 1, 2, 3, 4, 5, 6

# The way of Phi-3: the turn ends with its own token, not with the tokenizer's eos.
TURNS = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def build_tokenizer(*, template: str | None = TURNS, adds_bos: bool = True, **names: str) -> PreTrainedTokenizerFast:
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.add_special_tokens(WORDS[:6])
    if adds_bos:
        core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", BOS)])
    names = {"bos_token": "<s>", "eos_token": "</s>"} | names
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", **names)
    tokenizer.chat_template = template
    return tokenizer


def build_model(**generation: object) -> LlamaForCausalLM:
    config = LlamaConfig(vocab_size=9, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(**generation)
    return model


def build(tokenizer: PreTrainedTokenizerFast, **generation: object) -> LanguageModel:
    return wrap(build_model(**generation), tokenizer, label="test")


def test_a_template_that_writes_bos_gets_no_second_one() -> None:
    llm = build(build_tokenizer(template="<s>" + TURNS))
    rendered = llm.render("hello")
    assert rendered == "<s><|user|>hello<|end|><|assistant|>"
    assert llm.tokenizer(rendered)["input_ids"][:2] == [BOS, BOS]  # the trap
    assert llm.encode(rendered) == [BOS, USER, HELLO, END, ASSISTANT]


def test_a_template_without_bos_gets_the_tokenizers() -> None:
    llm = build(build_tokenizer())
    assert llm.encode(llm.render("hello")) == [BOS, USER, HELLO, END, ASSISTANT]


def test_plain_text_gets_one_bos_when_the_tokenizer_adds_it() -> None:
    llm = build(build_tokenizer())
    assert llm.encode("hello hello") == [BOS, HELLO, HELLO]
    assert llm.encode("") == [BOS]


def test_a_tokenizer_that_adds_no_bos_gets_none() -> None:
    llm = build(build_tokenizer(adds_bos=False))
    assert llm.encode("hello") == [HELLO]


def test_answer_prefix_stands_literally_at_the_end_of_the_prompt() -> None:
    llm = build(build_tokenizer())
    assert llm.render("hello", "The answer").endswith("<|assistant|>The answer")


def test_without_chat_template_question_and_answer_stand_in() -> None:
    llm = build(build_tokenizer(template=None))
    assert llm.render("hello") == "Question: hello\nAnswer:"
    assert llm.render("hello", "It is") == "Question: hello\nAnswer: It is"


def test_a_broken_chat_template_is_the_users_to_mend() -> None:
    broken = build_tokenizer(template="{{ raise_exception('no user role') }}")
    with pytest.raises(UserError, match=r"chat template .* fails: no user role"):
        build(broken)


def test_end_tokens_are_eos_generation_config_and_the_templates_end_of_turn() -> None:
    tokenizer = build_tokenizer()
    assert find_end_ids(build_model(), tokenizer) == (EOS, END)
    assert find_end_ids(build_model(eos_token_id=ASSISTANT), tokenizer) == (EOS, ASSISTANT, END)
    assert find_end_ids(build_model(eos_token_id=[EOS, USER]), tokenizer) == (EOS, USER, END)


def test_without_chat_template_only_eos_ends_an_answer() -> None:
    assert find_end_ids(build_model(), build_tokenizer(template=None)) == (EOS,)


def test_a_model_without_any_end_token_is_refused() -> None:
    tokenizer = build_tokenizer(template=None)
    tokenizer.eos_token = None
    with pytest.raises(UserError, match=r"test: neither .* names an end token"):
        build(tokenizer)


def test_padding_is_the_tokenizers_token_or_else_the_end_token() -> None:
    assert build(build_tokenizer(pad_token="<unk>")).pad_id == 0
    assert build(build_tokenizer()).pad_id == EOS


def test_a_language_model_cannot_be_changed() -> None:
    llm = build(build_tokenizer())
    with pytest.raises(dataclasses.FrozenInstanceError):
        llm.label = "other"  # type: ignore[misc]
    assert str(llm.device) == "cpu"


def test_whatever_decides_how_a_model_reads_is_in_its_key() -> None:
    llm = dataclasses.replace(build(build_tokenizer()), provenance={"sha256": "0" * 64})
    more = build_tokenizer()
    more.add_tokens(["hello question"])  # the same words otherwise
    others = [
        dataclasses.replace(llm, provenance={"sha256": "1" * 64}),
        dataclasses.replace(llm, provenance={"sha256": "0" * 64, "quantization": "nf4"}),
        dataclasses.replace(llm, provenance={"sha256": "0" * 64, "settings": "another config.json"}),
        dataclasses.replace(llm, tokenizer=build_tokenizer(template=TURNS.replace("<|assistant|>", "<|user|>"))),
        dataclasses.replace(llm, tokenizer=build_tokenizer(template=None)),
        dataclasses.replace(llm, tokenizer=build_tokenizer(adds_bos=False)),
        dataclasses.replace(llm, tokenizer=build_tokenizer(bos_token="<unk>")),
        dataclasses.replace(llm, tokenizer=more),
        dataclasses.replace(llm, chat=ChatSettings(kwargs={"enable_thinking": True})),
        dataclasses.replace(llm, chat=ChatSettings(date="2025-01-01")),
        dataclasses.replace(llm, history=({"role": "user", "content": "hello"},)),
        dataclasses.replace(llm, end_ids=(EOS,)),
    ]
    assert len({one.reading_key for one in (llm, *others)}) == len(others) + 1
    assert dataclasses.replace(llm, tokenizer=build_tokenizer(), label="again").reading_key == llm.reading_key
    assert dataclasses.replace(llm, provenance={}).reading_key == ""
