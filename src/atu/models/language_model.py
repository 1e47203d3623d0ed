"""A causal language model with its tokenizer: prompts and turns as text and as tokens, true end-of-turn tokens."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from atu.errors import UserError
from atu.models.chat_template import ChatSettings, render_chat
from atu.models.turns import PLAIN_FORM, Turn, TurnForm, find_turn_form, plain_prompt
from atu.storage.files import content_key


@dataclass(frozen=True)
class LanguageModel:
    """A loaded model. Build it by `atu.models.load.load_language_model` or `wrap`."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    label: str
    end_ids: tuple[int, ...]
    """Token ids that end an answer, never empty."""
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Where the weights come from: `source`, `revision`, `sha256`, `settings` (checksum of the other files), and
    `quantization` where they were quantised."""
    history: tuple[Mapping[str, str], ...] = ()
    """Messages (`role`, `content`) that stand before every user's message; none in the plain use of a model."""
    chat: ChatSettings = field(default_factory=ChatSettings)
    """What the chat template is given besides the messages."""

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.device
        return device

    @property
    def weights_key(self) -> str:
        """What tells a reference from others: weights, config.json and its like, quantisation.

        Empty when the weights are not known.
        """
        if not self.provenance.get("sha256"):
            return ""
        return "-".join(filter(None, (self.provenance.get(name) for name in ("sha256", "settings", "quantization"))))

    @cached_property
    def reading_key(self) -> str:
        """What tells how this model reads and answers from others: weights, tokenizer, chat template and its variables.

        Empty when the weights are not known.
        """
        if not self.weights_key:
            return ""
        parts = {
            "tokenizer": _tokenizer_digest(self.tokenizer),
            "template": self.tokenizer.chat_template,
            "variables": self.chat.given,
            "date": self.chat.date,
            "history": list(map(dict, self.history)),
            "end_ids": self.end_ids,
        }
        return f"{self.weights_key}-{content_key(parts)}"

    @property
    def tokenizer_key(self) -> str:
        """Checksum of the tokenizer's words and its chat template, the same under all versions of the libraries."""
        return content_key({"vocab": self.tokenizer.get_vocab(), "template": self.tokenizer.chat_template})

    @property
    def pad_id(self) -> int:
        """Token for padding: the tokenizer's own, else the first end token."""
        pad = self.tokenizer.pad_token_id
        return pad if isinstance(pad, int) else self.end_ids[0]

    @property
    def plain_history(self) -> str:
        """The history for a model without a chat template."""
        return "".join(map(_as_plain_turn, self.history))

    @property
    def has_template(self) -> bool:
        """Whether the tokenizer has a chat template; else questions are asked in plain text."""
        return self.tokenizer.chat_template is not None

    @property
    def form(self) -> TurnForm:
        """How an assistant's turn is written."""
        return self._template_form if self.has_template else PLAIN_FORM

    @cached_property
    def _template_form(self) -> TurnForm:
        return find_form(self.tokenizer, self.chat)

    @property
    def turn_end(self) -> int:
        """The token that really ends an assistant's turn: what training rows end in."""
        if self.form.end is not None:
            return int(self.tokenizer.convert_tokens_to_ids(self.form.end))
        return self.end_ids[0]

    def render(self, user: str, answer_prefix: str = "") -> str:
        """The text after which the model writes its answer to `user`.

        The chat template with its generation prompt, then `answer_prefix` as an answer that begins so stands there.
        A tokenizer without a chat template gets `Question: {user}\\nAnswer:`, with a space before the prefix; a prefix
        that is such an `Answer:` itself stands in its place.
        """
        if self.has_template and self.chat.wants_thinking and "</think" in self.form.opening:
            asked = self._asked(user)  # the empty thought is left to the model, which has more to think
            return asked + (self.form.space + answer_prefix if answer_prefix else "")
        return self.head(user, answer_prefix)

    def head(self, user: str, answer_prefix: str = "", *, answer: str = "") -> str:
        """The text after which a given answer to `user` stands: `render`, and with thinking on an empty thought.

        `answer`: what follows, which may be an "Answer:" as in `render`.
        """
        if not self.has_template:
            asked = self.plain_history + plain_prompt(user, answer_prefix or answer)
            gap = "" if asked[-1].isspace() else " "
            return asked + (gap + answer_prefix if answer_prefix else "")
        return self._asked(user) + self.form.opening + (self.form.space + answer_prefix if answer_prefix else "")

    def turn(self, user: str, answer: str, answer_prefix: str = "") -> Turn:
        """A user's message with a given answer, as the template writes both.

        Where a space belongs before the answer, there is one, whether or not `answer` begins with it: behind a prefix,
        and behind a prompt such as Mistral's `[/INST]` or a plain `Answer:`.
        """
        head, body = self.head(user, answer_prefix, answer=answer), self.form.write(answer)
        space = " " if answer_prefix else self.form.space
        if head[-1:].isspace() or body[:1].isspace():
            space = ""
        return Turn(head, space + body, self.form.closing)

    def _asked(self, user: str) -> str:
        messages = [*self.history, {"role": "user", "content": user}]
        return render_chat(self.tokenizer, self.chat, messages, True)

    def encode_behind(self, head: str, body: str) -> Joined:
        """Tokens of `body` as the model writes them behind `head`, whose tokens stay as they are alone.

        Where the text as a whole has a token that spans the border, the body is cut into tokens by itself. Only where
        that changes the text (a tokenizer that puts a space before the first word) does such a token stay; then it
        belongs to the body.
        """
        before, whole = self.encode(head), self.encode(head + body)
        if whole[: len(before)] == before:
            return Joined(tuple(before), tuple(whole[len(before) :]))
        rest = _encode_plain(self.tokenizer, body)
        if self._decode([*before, *rest]) == self._decode(before) + body:
            return Joined(tuple(before), tuple(rest), is_whole=False)
        border = common_length(before, whole)
        return Joined(tuple(whole[:border]), tuple(whole[border:]))

    def ends_behind(self, head: str, body: str, joined: Joined) -> tuple[int, ...]:
        """For each token of what `encode_behind` gave, the character of `head + body` at which it ends."""
        if joined.is_whole:
            return self._ends(head + body, len(joined.prompt) + len(joined.ids))
        rest = (len(head) + end for end in self._ends(body, len(joined.ids)))
        return (*self._ends(head, len(joined.prompt)), *rest)

    def _ends(self, text: str, count: int) -> tuple[int, ...]:
        """For each of the `count` tokens of a text the character at which it ends; a BOS before it ends at 0."""
        plain = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ends = [end for _, end in plain["offset_mapping"]]
        return (*[0] * (count - len(ends)), *ends)

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

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


@dataclass(frozen=True)
class Joined:
    """A prompt and what stands behind it, as tokens."""

    prompt: tuple[int, ...]
    ids: tuple[int, ...]
    """Of what stands behind it."""
    is_whole: bool = True
    """Whether they are the tokens of the text as a whole, rather than of its two parts."""


def common_length(left: Sequence[int], right: Sequence[int]) -> int:
    """Number of first tokens that both have in common."""
    equal = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False))
    return sum(1 for _ in equal)


def wrap(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    label: str,
    provenance: Mapping[str, str] | None = None,
    chat: ChatSettings | None = None,
) -> LanguageModel:
    """A LanguageModel around a model and a tokenizer that are already loaded.

    Raises UserError when neither of them names an end token, and for a chat template that fails or leaves out what was
    said.
    """
    chat = chat or ChatSettings()
    end_ids = find_end_ids(model, tokenizer, chat)
    if not end_ids:
        raise UserError(f"{label}: neither tokenizer nor generation config names an end token (eos_token).")
    return LanguageModel(model, tokenizer, label, end_ids, provenance or {}, chat=chat)


def find_end_ids(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, chat: ChatSettings | None = None
) -> tuple[int, ...]:
    """All tokens that end an answer: tokenizer's eos, generation config's list, chat template's end of turn.

    Stopping at the tokenizer's eos alone lets chat models (Phi-3, for one) run on into turns of their own.
    """
    generation = model.generation_config
    listed = generation.eos_token_id if generation is not None else None
    listed_ids = listed if isinstance(listed, list) else [listed]
    end = find_form(tokenizer, chat or ChatSettings()).end
    end_of_turn = None if end is None else tokenizer.convert_tokens_to_ids(end)
    found = [tokenizer.eos_token_id, *listed_ids, end_of_turn]
    return tuple(dict.fromkeys(token_id for token_id in found if isinstance(token_id, int)))


def find_form(tokenizer: PreTrainedTokenizerBase, chat: ChatSettings) -> TurnForm:
    """The form of an assistant's turn; see `find_turn_form`."""
    if tokenizer.chat_template is None:
        return PLAIN_FORM
    # Also those that are not marked as special: some GGUF files leave the mark out.
    added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.content.strip()}
    label = tokenizer.name_or_path or "the tokenizer"
    return find_turn_form(
        partial(render_chat, tokenizer, chat), sorted(added | set(tokenizer.all_special_tokens)), label
    )


def _tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """Of all that decides which tokens a text has; a tokenizer that transformers wraps tells all of it itself."""
    whole = tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else content_key({"vocab": tokenizer.get_vocab()})
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    return content_key({"class": type(tokenizer).__name__, "whole": whole, "special": special})


def _as_plain_turn(message: Mapping[str, str]) -> str:
    form = {"user": "Question: {}\nAnswer:", "assistant": " {}\n\n"}.get(message["role"], "{}\n\n")
    return form.format(message["content"])


def _encode_plain(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
