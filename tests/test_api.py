"""The Python API gives what the command line does, as plain values, tables and models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer
from workplace import Workplace

import atu
from atu.runs.run_folder import RunFolder


def tiny(workplace: Workplace, **more: object) -> dict[str, object]:
    """The keys of a tiny run, but for model and concept."""
    pairs = (override.partition("=") for override in workplace.overrides())
    keys = {key: value for key, _, value in pairs if key not in ("pre_trained_llm", "unlearning_target")}
    return {**keys, **more}


def test_a_run_is_tables_and_a_model(workplace: Workplace) -> None:
    run = atu.unlearn(workplace.model, "Zorblatt", overrides=tiny(workplace), seed=3)

    assert run.folder == workplace.root / "runs/tiny"
    assert run.config["seed"] == 3
    kept = RunFolder(root=run.folder).read_stage("04-unlearn").scores
    assert run.scores.loc["degenerate/forget", "after"] == kept["degenerate/forget"].value
    assert list(run.scores.columns) == ["before", "after", "low", "high", "n"]
    rows = (run.folder / "stages/04-unlearn/answers.corrected.jsonl").read_text().splitlines()
    assert list(run.answers["text_after"]) == [json.loads(row)["text"] for row in rows]
    assert {"text_before", "known_before", "group", "prompt"} <= set(run.answers.columns)
    model, tokenizer = run.load()
    assert model.config.vocab_size >= len(tokenizer)
    assert "<iframe srcdoc=" in run._repr_html_()
    assert atu.Run(run.folder).scores.equals(run.scores)

    found = atu.evaluate(run, before=run, out=workplace.root / "out")
    assert found.scores["corrected"].loc["degenerate/forget", "value"] == run.scores.loc["degenerate/forget", "after"]
    assert list(found.answers["corrected"]["text"]) == list(run.answers["text_after"])


def test_a_loaded_model_gives_the_same_run_as_its_folder(workplace: Workplace) -> None:
    loaded = (AutoModelForCausalLM.from_pretrained(workplace.model), AutoTokenizer.from_pretrained(workplace.model))
    short = {"task.stages": [{"type": "training", "steps": 6}, {"type": "unlearning", "steps": 2}]}

    one = atu.unlearn(loaded, "Zorblatt", overrides=tiny(workplace, name="one", **short))
    other = atu.unlearn(workplace.model, "Zorblatt", overrides=tiny(workplace, name="other", **short))

    assert one.scores.equals(other.scores)
    assert list(one.answers["text_after"]) == list(other.answers["text_after"])


def test_attacks_are_a_table(workplace: Workplace) -> None:
    run = atu.unlearn(workplace.model, "Zorblatt", overrides=tiny(workplace))

    rows = atu.attack(run, ["logit-lens"], out=workplace.root / "attacked")

    assert set(rows["attack"]) == {"logit-lens"}
    assert {"unlearned", "original"} <= set(rows["model"])
    assert rows["value"].notna().all()


def test_what_is_wrong_is_one_line(workplace: Workplace) -> None:
    with pytest.raises(atu.UserError, match=r"^Unknown key 'task\.objective\.retain_kl\.wight'"):
        atu.unlearn(workplace.model, "Zorblatt", overrides=tiny(workplace) | {"task.objective.retain_kl.wight": 2})
    with pytest.raises(atu.UserError, match="The target 'Zorblatt' is named twice"):
        atu.unlearn(workplace.model, ["Zorblatt", "Yolk", "Zorblatt"], overrides=tiny(workplace))
    with pytest.raises(atu.UserError, match="is not a run folder"):
        atu.Run(workplace.root)
    with pytest.raises(AttributeError, match="'atu' has no attribute 'unlern'"):
        _ = atu.unlern


def test_the_names_come_without_torch() -> None:
    code = (
        "import sys, atu\n"
        "assert 'torch' not in sys.modules and 'atu.api' not in sys.modules\n"
        "assert [callable(getattr(atu, name)) for name in atu.__all__]\n"
        "assert not {'torch', 'transformers', 'pandas'} & set(sys.modules)\n"
    )
    source = Path(__file__).resolve().parents[1] / "src"
    code = f"import sys; sys.path.insert(0, {str(source)!r})\n{code}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
