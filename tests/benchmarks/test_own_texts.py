"""Membership attacks on texts of one's own: which texts are read, the scores, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result
from workplace import Workplace, write_jsonl

from atu.benchmarks.own.benchmark import OwnConcept, OwnConfig
from atu.benchmarks.own.texts import ask_texts, text_probes
from atu.benchmarks.privacy import MEMBERS, OTHERS
from atu.errors import UserError
from atu.models.language_model import LanguageModel


def files(folder: Path, members: Sequence[dict[str, object]], others: Sequence[dict[str, object]]) -> tuple[Path, Path]:
    paths = folder / "members.jsonl", folder / "others.jsonl"
    for path, rows in zip(paths, (members, others), strict=True):
        write_jsonl(path, rows)
    return paths


def texts(*rows: str) -> list[dict[str, object]]:
    return [{"text": row} for row in rows]


def evaluate(model: Path, out: Path, *more: object) -> Result:
    from atu.cli import app

    common = ["evaluate", model, "--benchmark", "own", "--out", out, "--device", "cpu"]
    return CliRunner().invoke(app, [str(part) for part in (*common, *more)])


def nats(llm: LanguageModel, ids: list[int], start: int) -> float:
    """The definition: mean negative log-likelihood of the tokens from `start` on."""
    with torch.no_grad():
        logprobs = llm.model(torch.tensor([ids])).logits[0].log_softmax(-1)
    return -sum(logprobs[place - 1, ids[place]].item() for place in range(start, len(ids))) / (len(ids) - start)


def test_a_bare_text_and_one_behind_a_prompt(tiny_llm: LanguageModel, tmp_path: Path) -> None:
    question: dict[str, object] = {"text": "Tokyo is the capital.", "prompt": "What is Tokyo?"}
    bare = text_probes(*files(tmp_path, texts("Tokyo is the capital."), texts("Paris is a town.")), "texts")
    assert [(probe.id, probe.group) for probe in bare] == [
        ("own/texts/members/0", MEMBERS), ("own/texts/others/0", OTHERS),
    ]  # fmt: skip
    first, _ = ask_texts(tiny_llm, bare, batch_size=4, with_gradients=True)
    assert first.values["loss"] == pytest.approx(nats(tiny_llm, tiny_llm.encode("Tokyo is the capital."), 1), abs=1e-4)
    assert first.values.keys() == {"loss", "zlib", "min_k", "min_k++", "gradnorm"}

    other: dict[str, object] = {"text": "Tokyo is a town.", "prompt": "What is Tokyo?"}
    asked = text_probes(*files(tmp_path, [question], [other]), "texts")
    row = ask_texts(tiny_llm, asked, batch_size=4, with_gradients=False)[0]
    head = tiny_llm.encode(tiny_llm.render("What is Tokyo?"))
    ids = [*head, *tiny_llm.encode_behind(tiny_llm.render("What is Tokyo?"), "Tokyo is the capital.").ids]
    assert row.values["loss"] == pytest.approx(nats(tiny_llm, ids, len(head)), abs=1e-4)


def test_a_model_that_learned_the_members_is_found_out(workplace: Workplace, tmp_path: Path) -> None:
    """The tiny model trained on three texts: the attacks tell them from three others, not so before."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    names = ("river", "castle", "garden", "letter", "winter", "music")
    rows = texts(*(f"The {name} is near the town of {name[::-1]}." for name in names))
    paths = files(tmp_path, rows[:3], rows[3:])
    tokenizer = AutoTokenizer.from_pretrained(workplace.model)
    model = AutoModelForCausalLM.from_pretrained(workplace.model, dtype="float32")
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(25):
        for row in rows[:3]:
            ids = tokenizer(row["text"], return_tensors="pt")["input_ids"]
            model(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    model.save_pretrained(tmp_path / "taught")
    tokenizer.save_pretrained(tmp_path / "taught")

    assert evaluate(workplace.model, tmp_path / "gold", "--mia", *paths).exit_code == 0
    done = evaluate(tmp_path / "taught", tmp_path / "out", "--mia", *paths, "--gold", tmp_path / "gold", "--gradnorm")
    assert done.exit_code == 0, done.output
    scores: dict[str, Any] = json.loads((tmp_path / "out" / "scores.json").read_text())["corrected"]
    for attack in ("loss", "zlib", "min_k", "min_k++", "gradnorm", "reference"):
        assert scores[f"privacy/auc_{attack}"] == {"value": 100.0, "n": 6, "low": 100.0, "high": 100.0}
    assert scores["privacy/leak"]["value"] < 0 < scores["privacy/gap"]["value"]
    assert scores["privacy/members"]["value"] < scores["privacy/others"]["value"]
    assert not any(name.startswith(("forget", "utility")) for name in scores)
    identity = json.loads((tmp_path / "out" / "evaluation.json").read_text())["benchmark"]
    assert identity["target"] == "texts"
    assert identity["gradnorm"] is True


def test_questions_and_texts_in_one_evaluation(workplace: Workplace, tmp_path: Path) -> None:
    paths = files(tmp_path, texts("The river is long."), texts("The castle is old."))
    probes = workplace.root / "probes.jsonl"
    done = evaluate(
        workplace.model, tmp_path / "out", "--mia", *paths, "--probes", probes, "--target", "Zorblatt", "--before",
        workplace.model,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())["corrected"]
    assert {"forget/all", "utility/gen", "privacy/auc_loss"} <= scores.keys()


@pytest.mark.parametrize(
    ("members", "others", "message"),
    [
        (texts("a b"), texts("a b"), r"both hold the text 'a b'\.$"),
        (texts("a b"), [{"text": "c d", "prompt": "e"}], r'some rows of .* have a "prompt" and some have none\.'),
        ([{"texts": "a b"}], texts("c d"), r"members\.jsonl, line 1: each line must be an object with a non-empty"),
    ],
)
def test_wrong_files_are_one_line(
    members: list[dict[str, object]], others: list[dict[str, object]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        text_probes(*files(tmp_path, members, others), "texts")


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^data\.mia: the file .*none\.jsonl does not exist\.$"):
        OwnConcept(OwnConfig(mia=(str(tmp_path / "none.jsonl"), "b"))).probes("texts")
    with pytest.raises(UserError, match=r"^data\.mia takes two files, texts that were trained on and others, not 1\.$"):
        OwnConfig(mia=("a",))
    with pytest.raises(UserError, match=r"^data\.gradnorm is for the membership attacks: give their texts"):
        OwnConfig(gradnorm=True)
    with pytest.raises(UserError, match=r"^data\.gold is for the membership attacks"):
        OwnConfig(gold="folder")
    lone = evaluate(tmp_path, tmp_path / "out", "--mia", "a.jsonl")
    assert lone.exit_code == 2
    assert "requires 2 arguments" in lone.output
    builtin = evaluate(tmp_path, tmp_path / "out", "--benchmark", "builtin", "--mia", "a", "b")
    assert builtin.output == "error: --mia is for --benchmark own, not for builtin.\n"
