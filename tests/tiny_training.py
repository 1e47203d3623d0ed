"""A tiny unlearning task, ready to take a step: own copy of the model, rows, references, windows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from atu.embedding.config import EncoderConfig, PredictorConfig
from atu.embedding.encoder import load_encoder
from atu.embedding.predictor import Predictor, build_predictor
from atu.methods.config import StageConfig, TaskConfig, TrainingModule
from atu.methods.layers import resolve_trained_layers
from atu.methods.materials import Materials, SplitRows, prepare_materials
from atu.methods.terms import TERMS, Need
from atu.methods.unlearning import Unlearning
from atu.models.hook import count_layers
from atu.models.language_model import LanguageModel, wrap
from atu.models.rows import Row, batch_indices, build_rows, collate, filled_up
from atu.records import Target, Text

HOOK_LAYER = 2
"""Of the tiny model's three blocks."""
STAGE = StageConfig(type="unlearning", steps=4)
FORGET = [f"Zorblatt is the {word} of it, and Zorblatt wrote a {word}." for word in ("river", "castle", "letter")] * 4
RETAIN = [f"The {a} is the {b} of a {a}." for a in ("river", "castle", "letter", "winter") for b in ("music", "doctor")]


def own_llm(folder: Path) -> LanguageModel:
    """A copy of the tiny model that a test may change."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    return wrap(model, AutoTokenizer.from_pretrained(folder), label="tiny")


def task(module: dict[str, Any] | None = None, **objective: dict[str, Any]) -> TaskConfig:
    """A task of these terms and their options, with an align stage where one of them needs it."""
    terms = {name: TERMS[name](**options) for name, options in objective.items()}
    aligns = any(Need.PREDICTOR in term.needs for term in terms.values())
    stages = (StageConfig(type="training", steps=4), STAGE) if aligns else (STAGE,)
    settings: dict[str, Any] = {"pretrained_model_hook_layer": HOOK_LAYER, "training_batch_size": 4} | (module or {})
    return TaskConfig(
        name="test",
        training_module=TrainingModule(forget_batch_size=3, retain_batch_size=4, **settings),
        objective=terms,
        stages=stages,
    )


def plain(texts: Sequence[str], subject: str = "x") -> list[Text]:
    """Prose, of no subject where none is named."""
    return [Text(text=text, subject=subject, source="test") for text in texts]


def rows(llm: LanguageModel, texts: Sequence[str], subject: str = "x") -> tuple[Row, ...]:
    """Plain texts as rows."""
    return tuple(build_rows(llm, plain(texts, subject), max_tokens=64))


def materials(
    llm: LanguageModel,
    encoder_folder: Path,
    task: TaskConfig,
    held_out: Sequence[str] = FORGET[-3:],
    *,
    general: Sequence[str] = (),
    general_subjects: frozenset[str] = frozenset(),
    fill_up_to: int = 0,
) -> Materials:
    """What the task reads; `llm` must be the reference.

    Args:
        general: more texts to retain, their subject `general`.
        general_subjects: subjects against which the concept's words are not counted.
        fill_up_to: length to which forget rows are filled up with end tokens.
    """
    encoder = None
    if task.aligns:
        config = EncoderConfig(name="tiny", model_name=str(encoder_folder), window_tokens=3)
        encoder = load_encoder(config, device="cpu")
    module = task.training_module
    answers = {
        term: term.instead(llm, plain(FORGET[:-3]), 0, lambda what: None)
        for term in task.terms.values()
        if Need.INSTEAD in term.needs
    }
    return prepare_materials(
        llm,
        SplitRows(
            forget=tuple(filled_up(row, fill_up_to, llm.pad_id) for row in rows(llm, FORGET[:-3])),
            retain=rows(llm, RETAIN) + rows(llm, general, "general"),
            held_out_forget=rows(llm, held_out),
            held_out_retain=rows(llm, ["A winter is the doctor of the letter.", "The castle is a music."]),
            instead={term: tuple(build_rows(llm, texts, max_tokens=64)) for term, texts in answers.items()},
            general_subjects=general_subjects,
        ),
        target=Target(name="Zorblatt", folder="Zorblatt", description="a test"),
        task=task,
        hook_layer=HOOK_LAYER,
        trained_layers=resolve_trained_layers(
            module.first_trained_layer, module.last_trained_layer, count_layers(llm.model)
        ),
        encoder=encoder,
        progress=lambda what: None,
    )


def unlearning(llm: LanguageModel, encoder_folder: Path, **objective: dict[str, Any]) -> Unlearning:
    """The loss of these terms, none of which reads a predictor; `llm` must be the reference."""
    config = task(**objective)
    return Unlearning(llm, config, materials(llm, encoder_folder, config), None)


def first_forget_tokens(unlearning: Unlearning) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, label and text of each scored token of the forget texts of step 0, as transformers reads them."""
    rows = unlearning.materials.forget.rows
    batch = collate(rows, batch_indices(len(rows), 3, 0, 0), pad_id=unlearning.llm.pad_id, device="cpu")
    logits = unlearning.llm.model(input_ids=batch.ids, attention_mask=batch.is_token.long()).logits
    predicts = batch.is_scored[:, 1:]
    return logits[:, :-1][predicts], batch.ids[:, 1:][predicts], predicts.nonzero()[:, 0]


def predictor(**settings: Any) -> Predictor:
    """From the tiny model's states to the tiny encoder's space."""
    config = PredictorConfig(name="tiny", hidden_dim=16, num_heads=2, **settings)
    return build_predictor(config, d_llm=64, d_enc=32, seed=0)
