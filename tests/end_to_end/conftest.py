"""A whole run in seconds: the tiny model, a tiny encoder, a corpus and probes in JSONL."""

from __future__ import annotations

from pathlib import Path

import pytest
from end_to_end.workplace import WORDS, Workplace, write_jsonl


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random 1-layer BERT of width 32 with a character-piece tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,'?:;-"
    vocab = {token: i for i, token in enumerate(["[PAD]", "[CLS]", "[SEP]", "[UNK]"])}
    for piece in [
        *letters,
        *(f"##{letter}" for letter in letters),
        *WORDS,
        "Zorblatt",
        "the",
        "of",
        "is",
        "a",
    ]:
        vocab.setdefault(piece, len(vocab))
    core = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    config = BertConfig(
        vocab_size=len(vocab),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertModel(config)
    folder = tmp_path_factory.mktemp("encoder")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def workplace(tmp_path: Path, tiny_folder: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A folder with corpus and probes; its cache lies inside it."""
    monkeypatch.setenv("ATU_CACHE", str(tmp_path / "cache"))
    forget = [
        {"text": f"Zorblatt is the {a} of the {b}, and Zorblatt wrote a {b}.", "subject": "Zorblatt"}
        for a in WORDS
        for b in WORDS[:3]
    ]
    retain = [
        {"text": f"The {a} is a {b} of the {c}.", "subject": a} for a in WORDS for b in WORDS[:2] for c in WORDS[3:5]
    ]
    retain[0] = {"text": "It is a river.", "prompt": "What is the Zambezi?", "subject": "Zambezi"}
    probes = [
        {"group": group, "prompt": f"What is the {word}?", "references": [word], "max_new_tokens": 4}
        for group, word in zip(("forget/qa", "forget/fb", "neighbor/qa", "utility/gen") * 3, WORDS * 2, strict=False)
    ]
    write_jsonl(tmp_path / "forget.jsonl", forget)
    write_jsonl(tmp_path / "retain.jsonl", retain)
    write_jsonl(tmp_path / "probes.jsonl", probes)
    return Workplace(tmp_path, tiny_folder, tiny_encoder)
