"""Small tokenizers with chat templates in the shapes that are in use, each with the trap of its family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from atu.models.chat_template import ChatSettings
from atu.models.language_model import LanguageModel, wrap

_TEXTS = (
    "Shakespeare was born in Stratford in 1564 and wrote Hamlet, Macbeth and many other plays.",
    "Question: Who wrote the tragedy about the prince of Denmark?\nAnswer: William Shakespeare.",
    "user model assistant system\n\nThe capital of Japan is Tokyo; the capital of France is Paris.",
)

PHI_3 = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
LLAMA_3 = (
    "{{- bos_token }}{%- if not date_string is defined %}{%- if strftime_now is defined %}"
    "{%- set date_string = strftime_now('%d %b %Y') %}{%- else %}{%- set date_string = '26 Jul 2024' %}{%- endif %}"
    "{%- endif %}{{- '<|start_header_id|>system<|end_header_id|>\n\nToday Date: ' + date_string + '\n\n<|eot_id|>' }}"
    "{%- for message in messages %}{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for message in messages %}{% set role = 'model' if message['role'] == 'assistant' else "
    "message['role'] %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}"
    "{% endfor %}"
)
LLAMA_2 = MISTRAL.replace("message['content'] + eos_token", "message['content'] | trim + ' ' + eos_token")
QWEN_3 = (
    "{%- for message in messages %}{%- if message.role == 'assistant' and loop.last %}"
    "{{- '<|im_start|>assistant\n<think>\n\n</think>\n\n' + message.content.lstrip('\n') + '<|im_end|>\n' }}{%- else %}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{%- endif %}"
)
R1 = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}{{ '<|user|>' + message.content }}"
    "{% else %}{{ '<|assistant|>' + message.content + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|><think>\n' }}{% endif %}"
)
SMOLLM_2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
HEADER_ONLY = "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"


@dataclass(frozen=True)
class Shape:
    """A family of tokenizers with their template."""

    build: Callable[[list[AddedToken], bool], Tokenizer]
    special: tuple[str, ...]
    """Special tokens; the first two are BOS and EOS."""
    template: str | None
    end: str
    """What ends an assistant's turn."""
    swallows: bool = False
    """Whether special tokens swallow the blanks behind them."""
    adds_bos: bool = False


def _byte_level(special: list[AddedToken], adds_bos: bool) -> Tokenizer:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return _trained(core, special, adds_bos, pre_tokenizers.ByteLevel.alphabet())


def _byte_level_words(special: list[AddedToken], adds_bos: bool) -> Tokenizer:
    """As Llama 3's and Qwen's: line feeds in a row are one token, whatever comes behind them."""
    core = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(
        Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"), "isolated"
    )
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    core.decoder = decoders.ByteLevel()
    return _trained(core, special, adds_bos, pre_tokenizers.ByteLevel.alphabet())


def _metaspace(special: list[AddedToken], adds_bos: bool) -> Tokenizer:
    """As Llama 2's: a space goes before each piece of text, and words carry theirs."""
    core = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return _trained(core, special, adds_bos, _letters())


def _gemma(special: list[AddedToken], adds_bos: bool) -> Tokenizer:
    core = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    core.normalizer = normalizers.Replace(" ", "▁")
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return _trained(core, special, adds_bos, _letters())


def _letters() -> list[str]:
    return [*map(chr, range(32, 127)), "\n", "\t", "▁"]


def _trained(core: Tokenizer, special: list[AddedToken], adds_bos: bool, alphabet: list[str]) -> Tokenizer:
    trainer = trainers.BpeTrainer(
        vocab_size=460,
        special_tokens=["<unk>", *special],
        initial_alphabet=alphabet,
        show_progress=False,
        max_token_length=12,
    )
    core.train_from_iterator([*(word for text in _TEXTS for word in _words(text)), "\n\n", "\n\n"], trainer)
    if adds_bos:
        bos = special[0].content
        core.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, core.token_to_id(bos))]
        )
    return core


def _words(text: str) -> list[str]:
    """One by one, so that no token spans two words."""
    return text.replace("\n", " \n ").split(" ")


SHAPES = {
    "Phi-3": Shape(
        _metaspace, ("<s>", "<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>"), PHI_3, "<|end|>", swallows=True
    ),
    "Llama-3": Shape(
        _byte_level_words,
        ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        LLAMA_3,
        "<|eot_id|>",
        adds_bos=True,
    ),
    "Gemma": Shape(
        _gemma, ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"), GEMMA, "<end_of_turn>", adds_bos=True
    ),
    "Mistral": Shape(_metaspace, ("<s>", "</s>"), MISTRAL, "</s>", adds_bos=True),
    "Llama-2": Shape(_metaspace, ("<s>", "</s>"), LLAMA_2, "</s>", adds_bos=True),
    "Qwen3": Shape(
        _byte_level_words, ("<|endoftext|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"), QWEN_3, "<|im_end|>"
    ),
    "R1": Shape(_byte_level_words, ("<|bos|>", "<|eos|>", "<|user|>", "<|assistant|>"), R1, "<|eos|>", adds_bos=True),
    "SmolLM2": Shape(_byte_level, ("<|im_start|>", "<|im_end|>"), SMOLLM_2, "<|im_end|>"),
    "header only": Shape(
        _byte_level, ("<s>", "</s>", "<|user|>", "<|assistant|>", "<|end|>"), HEADER_ONLY, "<|end|>", adds_bos=True
    ),
    "none, bytes": Shape(_byte_level, ("<s>", "</s>"), None, "</s>"),
    "none, metaspace": Shape(_metaspace, ("<s>", "</s>"), None, "</s>", adds_bos=True),
}


def build_tokenizer(shape: Shape) -> PreTrainedTokenizerFast:
    """A tokenizer of that shape."""
    special = [AddedToken(name, special=True, rstrip=shape.swallows) for name in dict.fromkeys(shape.special)]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=shape.build(special, shape.adds_bos),
        bos_token=shape.special[0],
        eos_token=shape.special[1],
        unk_token="<unk>",
    )
    tokenizer.chat_template = shape.template
    return tokenizer


def build_llm(tokenizer: PreTrainedTokenizerFast, chat: ChatSettings | None = None) -> LanguageModel:
    """A random model of width 32 that has no end tokens of its own."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        eos_token_id=None,
        bos_token_id=None,
    )
    return wrap(LlamaForCausalLM(config), tokenizer, label="shape", chat=chat)
