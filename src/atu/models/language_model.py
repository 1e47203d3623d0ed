"""A causal language model with its tokenizer: prompt rendering, encoding, true end-of-turn tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jinja2 import TemplateError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from atu.errors import UserError

_MARK = "answer"


@dataclass(frozen=True)
class LanguageModel:
    """A loaded model. Build it by `atu.models.load.load_language_model` or `wrap`."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    label: str
    end_ids: tuple[int, ...]
    """Token ids that end an answer, never empty."""
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Where the weights come from: `source`, `revision`, `sha256`, and `quantization` where they were quantised."""
    history: tuple[Mapping[str, str], ...] = ()
    """Messages (`role`, `content`) that stand before every user's message; none in the plain use of a model."""

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.device
        return device

    @property
    def weights_key(self) -> str:
        """What tells the untouched weights from others: checksum and quantisation; empty when not known."""
        checksum, quantization = self.provenance.get("sha256", ""), self.provenance.get("quantization", "")
        return f"{checksum}-{quantization}" if checksum and quantization else checksum

    @property
    def pad_id(self) -> int:
        """Token for padding: the tokenizer's own, else the first end token."""
        pad = self.tokenizer.pad_token_id
        return pad if isinstance(pad, int) else self.end_ids[0]

    @property
    def plain_history(self) -> str:
        """The history for a model without a chat template."""
        return "".join(map(_as_plain_turn, self.history))

    def render(self, user: str, answer_prefix: str = "") -> str:
        """The text after which the model's answer to `user` begins.

        The chat template with its generation prompt, then `answer_prefix` as it stands. A tokenizer without
        a chat template gets `Question: {user}\\nAnswer:`, with a space before the prefix.
        """
        if self.tokenizer.chat_template is None:
            asked = f"{self.plain_history}Question: {user}\nAnswer:"
            return asked + (f" {answer_prefix}" if answer_prefix else "")
        messages = [*self.history, {"role": "user", "content": user}]
        return _apply_template(self.tokenizer, messages, generation_prompt=True) + answer_prefix

    def encode(self, text: str) -> list[int]:
        """Token ids of plain or rendered text, with exactly one BOS where the tokenizer uses one.

        Chat templates often write the BOS themselves; tokenizing their text with special tokens would then
        put two. No end token is added.
        """
        ids = _encode_plain(self.tokenizer, text)
        bos = self.tokenizer.bos_token_id
        if self._adds_bos and ids[:1] != [bos]:
            return [bos, *ids]
        return ids

    @cached_property
    def _adds_bos(self) -> bool:
        bos = self.tokenizer.bos_token_id
        return bos is not None and list(self.tokenizer("a")["input_ids"])[:1] == [bos]


def wrap(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    label: str,
    provenance: Mapping[str, str] | None = None,
) -> LanguageModel:
    """A LanguageModel around a model and a tokenizer that are already loaded.

    Raises UserError when neither of them names an end token.
    """
    end_ids = find_end_ids(model, tokenizer)
    if not end_ids:
        raise UserError(f"{label}: neither tokenizer nor generation config names an end token (eos_token).")
    return LanguageModel(model, tokenizer, label, end_ids, provenance or {})


def find_end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """All tokens that end an answer: tokenizer's eos, generation config's list, chat template's end of turn.

    Stopping at the tokenizer's eos alone lets chat models (Phi-3, for one) run on into turns of their own.
    """
    generation = model.generation_config
    listed = generation.eos_token_id if generation is not None else None
    listed_ids = listed if isinstance(listed, list) else [listed]
    found = [tokenizer.eos_token_id, *listed_ids, _find_end_of_turn(tokenizer)]
    return tuple(dict.fromkeys(token_id for token_id in found if isinstance(token_id, int)))


def _find_end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The first special token that the chat template writes after an assistant's answer."""
    if tokenizer.chat_template is None:
        return None
    messages = [{"role": "user", "content": "question"}, {"role": "assistant", "content": _MARK}]
    text = _apply_template(tokenizer, messages, generation_prompt=False)
    after = text.rpartition(_MARK)[2]
    special = {token_id for token_id, token in tokenizer.added_tokens_decoder.items() if token.special}
    special.update(tokenizer.all_special_ids)
    return next((token_id for token_id in _encode_plain(tokenizer, after) if token_id in special), None)


def _apply_template(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, str]], *, generation_prompt: bool
) -> str:
    try:
        text = tokenizer.apply_chat_template(
            list(map(dict, messages)), tokenize=False, add_generation_prompt=generation_prompt
        )
    except TemplateError as error:
        raise UserError(f"The chat template of {tokenizer.name_or_path} fails: {error}") from error
    return str(text)


def _as_plain_turn(message: Mapping[str, str]) -> str:
    form = {"user": "Question: {}\nAnswer:", "assistant": " {}\n\n"}.get(message["role"], "{}\n\n")
    return form.format(message["content"])


def _encode_plain(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
