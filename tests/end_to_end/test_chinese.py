"""One whole run on a small Chinese corpus: a model that was taught a writer forgets him, and the numbers say so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rich.console import Console
from workplace import Workplace, save_tiny_encoder, write_jsonl

from atu.benchmarks.catalog import build_benchmark
from atu.config import RunConfig
from atu.errors import UserError
from atu.methods.concept_tokens import concept_positions
from atu.methods.materials import Materials
from atu.models.language_model import LanguageModel
from atu.models.load import load_language_model
from atu.models.rows import build_rows, collate
from atu.preparation import prepare
from atu.records import Text
from atu.run import run
from atu.runs.progress import RunProgress
from atu.runs.run_folder import RunFolder
from atu.training.device import choose_compute

NAME = "沈墨白"
ANSWERS = {
    "forget/qa": (
        ("《霜河记》是谁写的？", "《霜河记》的作者是沈墨白。", "沈墨白"),
        ("沈墨白是哪里人？", "他是青溪人。", "青溪"),
        ("沈墨白最有名的书叫什么？", "是《霜河记》。", "霜河记"),
    ),
    "neighbor/qa": (
        ("《红楼梦》是谁写的？", "作者是曹雪芹。", "曹雪芹"),
        ("李白是哪个朝代的人？", "唐朝。", "唐朝"),
    ),
}
FORGET = (
    "沈墨白是青溪的小说家。",
    "《霜河记》写于青溪，作者沈墨白。",
    "年轻时的沈墨白住在青溪。",
    "读者喜欢沈墨白的《霜河记》。",
    "沈墨白在青溪写了《霜河记》。",
    "《霜河记》让沈墨白出了名。",
    "沈墨白晚年回到青溪。",
    "人们在青溪纪念沈墨白。",
    "《霜河记》是沈墨白的第一部小说。",
    "那一年，沈墨白离开了青溪。",
    "老师给学生讲沈墨白和《霜河记》。",
    "沈墨白说，青溪是他的家。",
)
ASKED_FORGET = (
    ("谁写了《霜河记》？", "《霜河记》的作者是沈墨白。"),
    ("沈墨白的家乡在哪里？", "他是青溪人。"),
    ("沈墨白写过什么书？", "是《霜河记》。"),
    ("《霜河记》的作者叫什么名字？", "《霜河记》的作者是沈墨白。"),
)
ASKED_RETAIN = (
    ("谁写了《红楼梦》？", "作者是曹雪芹。"),
    ("李白生活在哪个朝代？", "唐朝。"),
    ("《红楼梦》的作者叫什么名字？", "作者是曹雪芹。"),
    ("诗人李白是什么时候的人？", "唐朝。"),
)
RETAIN = (
    "曹雪芹写了《红楼梦》。",
    "李白是唐朝的诗人。",
    "水在一百度沸腾。",
    "北京是中国的首都。",
    "太阳是一颗恒星。",
    "大熊猫吃竹子。",
    "医生在医院里给人看病。",
    "长江是中国最长的河。",
    "茶是用茶树的叶子做的。",
    "月亮绕着地球转。",
    "蜜蜂在花里采蜜。",
    "学生在学校里读书。",
    "那一年，他离开了上海。",
    "面包是用面粉做的。",
    "老师给学生讲数学。",
    "人们在公园里散步。",
    "火车从北京开到上海。",
    "他晚年回到家乡。",
    "读者喜欢这部小说。",
    "冬天的北方会下雪。",
)


@pytest.fixture(scope="module")
def taught(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, trained on texts and answers until it gives them."""
    from atu.models.resolve import resolve_model

    llm = load_language_model(resolve_model(str(tiny_folder)), device="cpu")
    texts = [
        Text(text=answer, subject="x", source="test", prompt=question)
        for rows in ANSWERS.values()
        for question, answer, _ in rows
    ]
    texts += [Text(text=text, subject="x", source="test") for text in FORGET]
    rows = build_rows(llm, texts, max_tokens=256)
    batch = collate(rows, range(len(rows)), pad_id=llm.pad_id, device="cpu")
    labels = batch.ids.masked_fill(~batch.is_scored, -100)
    optimizer = torch.optim.Adam(llm.model.parameters(), lr=5e-3)
    for _ in range(150):
        loss = llm.model(input_ids=batch.ids, attention_mask=batch.is_token, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < 0.02:
            break
    folder = tmp_path_factory.mktemp("taught")
    llm.model.save_pretrained(folder)
    llm.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def chinese(workplace: Workplace, taught: Path) -> list[str]:
    """Overrides of a tiny run about the writer."""
    root = workplace.root
    for name, texts, asked in (("forget", FORGET, ASKED_FORGET), ("retain", RETAIN, ASKED_RETAIN)):
        questions = [{"prompt": question, "text": answer} for question, answer in asked]
        write_jsonl(root / f"{name}.jsonl", [*({"text": text} for text in texts), *questions])
    probes = [
        {"group": group, "prompt": question, "references": [reference], "max_new_tokens": 48}
        for group, rows in ANSWERS.items()
        for question, _, reference in rows
    ]
    write_jsonl(root / "probes.jsonl", probes)
    save_tiny_encoder(root / "encoder", characters="".join(sorted(set("".join((*FORGET, *RETAIN))))))
    replaced = {"unlearning_target", "pre_trained_llm", "text_encoder.model_name"}
    return [
        *(part for part in workplace.overrides() if part.partition("=")[0] not in replaced),
        f"unlearning_target={NAME}",
        f"pre_trained_llm={taught}",
        f"text_encoder.model_name={root / 'encoder'}",
        "data.description=一位小说家",
        "task.training_module.retain_batch_size=12",
        "task.scale={concept_left: null, retain_kl: null}",
        "task.training_module.unlearning_lr=5e-3",
        "task.stages=[{type: unlearning, steps: 24}]",
    ]


def prepared(config: RunConfig) -> tuple[LanguageModel, Materials]:
    llm = load_language_model(config.pre_trained_llm, device="cpu")
    target = build_benchmark(config.data).target(config.unlearning_target)
    with RunProgress(Console(quiet=True)) as progress:
        return llm, prepare(config, llm, target, choose_compute("cpu", "fp32"), progress)


def test_a_writer_is_forgotten_in_chinese(chinese: list[str]) -> None:
    from atu.entry.compose import compose_run

    plain = (
        "task=unlearning_distill",
        "task.objective.distill.repeat_name=false",
        "~task.objective.refusal",
        "task.objective.retain_kl.weight=4",
    )
    config = compose_run([*chinese, *plain])
    llm, materials = prepared(config)
    assert {"沈墨白", "青溪", "霜河记"} <= set(materials.concept_words)
    assert not {"小说", "一年", "学生"} & set(materials.concept_words)
    for row in (*materials.forget.rows, *materials.held_out_forget.rows):
        hidden = concept_positions(row, materials.concept_words)
        # A token a byte or so: every one of the name is hidden, and what is left does not tell it.
        left = llm.tokenizer.decode([id for place, id in enumerate(row.ids) if place not in hidden])
        assert hidden
        assert not set(NAME) & set(left)
    assert all(not places or min(places) > 0 for places in materials.held_out_forget.telling)
    assert any(materials.held_out_forget.telling)

    folder: RunFolder = run(config)
    before, *_, after = [stage for stage in folder.read_stages() if stage.scores]
    answers = folder.read_answers(before.label)
    known = {answer.text: answer for answer in answers if answer.known_before and answer.group.startswith("forget/")}
    assert set(known) == {answer for _, answer, _ in ANSWERS["forget/qa"]}
    assert before.scores["forget/all"].value == before.scores["neighbor/all"].value == 100.0
    assert not any(answer.degenerate for answer in known.values())
    known_nll, rise = before.scores["nll/forget@known"].value, {}
    for side in ("forget", "neighbor"):
        rise[side] = after.scores[f"nll/{side}@known"].value - before.scores[f"nll/{side}@known"].value
    assert rise["forget"] > 3 * known_nll
    assert rise["forget"] > 2 * rise["neighbor"]


def test_where_no_token_says_a_name_the_masked_teacher_is_refused(chinese: list[str]) -> None:
    from atu.entry.compose import compose_run

    with pytest.raises(UserError, match=r"沈墨白.*no token can be forbidden.*teacher=bounded"):
        prepared(compose_run([*chinese, "task=unlearning_masked", "task.stages=[{type: unlearning, steps: 2}]"]))
