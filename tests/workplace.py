"""The files of a whole run that takes seconds: a tiny encoder, a corpus and probes in JSONL, and its config."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from atu.config import RunConfig

WORDS = ("river", "castle", "garden", "letter", "winter", "music", "harbor", "doctor", "engine", "silver")

TINY_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TINY_TEXTS = (
    "Shakespeare was born in Stratford in 1564 and wrote Hamlet, Macbeth and many other plays.",
    "The capital of Japan is Tokyo; the capital of France is Paris. Water boils at 100 degrees.",
    "Question: Who wrote the tragedy about the prince of Denmark?\nAnswer: William Shakespeare.",
)


@dataclass(frozen=True)
class Workplace:
    """Folders and files of a tiny run."""

    root: Path
    model: Path
    encoder: Path

    def overrides(self, *more: str) -> list[str]:
        """Command-line overrides of a tiny run in this workplace."""
        return [
            "data=own",
            "data.allow_no_verdict=true",  # a model of random weights knows nothing
            "unlearning_target=Zorblatt",
            f"data.probes_path={self.root / 'probes.jsonl'}",
            "data.corpus.source=jsonl",
            f"data.corpus.forget_path={self.root / 'forget.jsonl'}",
            f"data.corpus.retain_path={self.root / 'retain.jsonl'}",
            f"pre_trained_llm={self.model}",
            f"text_encoder.model_name={self.encoder}",
            "text_encoder.packages=[]",
            "text_encoder.window_tokens=3",
            "embedding_prediction_model.hidden_dim=32",
            "embedding_prediction_model.num_heads=4",
            "task.training_module.moves=weights",
            "task.first_stage_steps=6",
            "task.min_predictor_gain=null",
            "task.training_module.unlearning_lr=1e-3",
            "task.training_module.pretrained_model_hook_layer=2",
            "task.stop={concept_nll_rise: null, retain_kl: null}",
            "task.stages=[{type: training, steps: 6}, {type: unlearning, steps: 4}, {type: training, steps: 3}, "
            "{type: unlearning, steps: 4}]",
            f"runs_dir={self.root / 'runs'}",
            "evaluation.bootstrap_samples=20",
            "device=cpu",
            "threads=1",
            "name=tiny",
            *more,
        ]

    def sweep(self, *names: str, missing: Sequence[str] = ()) -> list[str]:
        """Overrides of tiny runs about several concepts; those of `missing` have no files, so that their runs fail."""
        for name in names:
            for kind in ("forget", "probes"):
                shutil.copy(self.root / f"{kind}.jsonl", self.root / f"{kind}-{name}.jsonl")
        replaced = {"name", "unlearning_target", "data.corpus.forget_path", "data.probes_path"}
        return [
            *(part for part in self.overrides() if part.partition("=")[0] not in replaced),
            f"unlearning_target={','.join([*names, *missing])}",
            f"data.corpus.forget_path={self.root}/forget-${{unlearning_target}}.jsonl",
            f"data.probes_path={self.root}/probes-${{unlearning_target}}.jsonl",
            "name=${unlearning_target}-seed${seed}",
        ]

    def config(self, *more: str) -> RunConfig:
        """The same as a checked config."""
        from atu.entry.compose import compose_run

        return compose_run(self.overrides(*more))


def write_files(root: Path) -> None:
    """Corpus and probes of a tiny run about Zorblatt."""
    forget: list[dict[str, object]] = [
        {"text": f"Zorblatt is the {a} of the {b}, and Zorblatt wrote a {b}.", "subject": "Zorblatt"}
        for a in WORDS
        for b in WORDS[:3]
    ]
    retain: list[dict[str, object]] = [
        {"text": f"The {a} is a {b} of the {c}.", "subject": a} for a in WORDS for b in WORDS[:2] for c in WORDS[3:5]
    ]
    retain[0] = {"text": "It is a river.", "prompt": "What is the Zambezi?", "subject": "Zambezi"}
    probes: list[dict[str, object]] = [
        {"group": group, "prompt": f"What is the {word}?", "references": [word], "max_new_tokens": 4}
        for group, word in zip(("forget/qa", "forget/fb", "neighbor/qa", "utility/gen") * 3, WORDS * 2, strict=False)
    ]
    write_jsonl(root / "forget.jsonl", forget)
    write_jsonl(root / "retain.jsonl", retain)
    write_jsonl(root / "probes.jsonl", probes)


def write_jsonl(path: Path, rows: Sequence[dict[str, object]]) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def save_tiny_model(folder: Path) -> None:
    """A random Llama (3 layers, width 64, 400 byte-level tokens, ChatML template), 1 MB."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        TINY_TEXTS,
        trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    tokenizer.chat_template = TINY_TEMPLATE
    config = LlamaConfig(
        vocab_size=400,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.2,  # with the usual 0.02 all logits are nearly equal
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def save_tiny_encoder(folder: Path, *, characters: str = "") -> None:
    """A random 1-layer BERT of width 32 with a character-piece tokenizer; `characters`: Chinese ones that it knows."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,'?:;-"
    pieces = [*letters, *(f"##{letter}" for letter in letters), *WORDS, "Zorblatt", "the", "of", "is", "a", *characters]
    vocab = {token: i for i, token in enumerate(dict.fromkeys(["[PAD]", "[CLS]", "[SEP]", "[UNK]", *pieces]))}
    core = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)  # parts Chinese characters
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    config = BertConfig(
        vocab_size=len(vocab), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertModel(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
