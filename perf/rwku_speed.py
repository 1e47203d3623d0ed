"""How much faster RWKU is asked here than by the released evaluator's loop: both in one run, on the same rows.

    python perf/rwku_speed.py --data data/rwku --target 1_Stephen_King [--rows 8] [--threads 1]

The loop is re-stated from what the released evaluator does: one call a batch in file order with its batch sizes, a
batch padded on the left and generated until its last row ends, MMLU one row at a time with logits of every position,
every TruthfulQA choice with its whole prompt, every membership text by itself. Ours is `asking.ask`, a task at a
time and without its cache. Seconds are CPU seconds of this process, on a GPU those of the clock. `--rows` cuts every
data file; the last line weighs each task by the rows that the target has of it, so fewer rows (smaller batches of ours)
understate the ratio.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch.nn.functional import log_softmax

from atu.benchmarks.rwku import released
from atu.benchmarks.rwku.asking import ask
from atu.benchmarks.rwku.prompts import TASKS, build_probes, join_answer_prefix, truthful_completion
from atu.benchmarks.rwku.reader import RwkuData
from atu.errors import UserError
from atu.models.language_model import LanguageModel
from atu.models.load import load_language_model
from atu.models.resolve import resolve_model
from atu.records import Probe
from atu.training.device import build_accelerator

BATCH_SIZES = {
    "forget": 16,
    "neighbor": 16,
    "mmlu": 1,
    "bbh": 8,
    "truthful": 4,
    "triviaqa": 16,
    "mia": 1,
    "fluency": 8,
}
"""Of the released scripts."""


def main() -> None:
    """Time both and print a line a task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None, help="folder of RWKU's data; default as everywhere")
    parser.add_argument("--target", default="1_Stephen_King")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--tasks", default=",".join(TASKS), help="joined by commas")
    parser.add_argument("--rows", type=int, default=8, help="most rows of a data file; 0 = all")
    parser.add_argument("--batch-size", type=int, default=96, help="of ours")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    try:
        device = str(build_accelerator(given.device, "fp32").device)
        llm = load_language_model(resolve_model(given.model), device=device)
        data = RwkuData(given.data)
        where = torch.cuda.get_device_name() if device.startswith("cuda") else f"{given.threads} thread(s)"
        print(f"{llm.label}, float32, {where}, {given.target}, rows a file: {given.rows or 'all'}")
        print(f"{'task':10}{'rows':>6}{'released s':>12}{'ours s':>9}{'ratio':>7}")
        whole = [0.0, 0.0]
        for task in given.tasks.split(","):
            probes = build_probes(data, given.target, [task])
            cut = _first_rows(probes, given.rows)
            seconds = [_seconds(work, llm, task, cut, given.batch_size) for work in (_released_loop, _ours)]
            print(f"{task:10}{len(cut):6}{seconds[0]:12.1f}{seconds[1]:9.1f}{seconds[0] / seconds[1]:7.1f}", flush=True)
            whole = [sum(pair) for pair in zip(whole, (s * len(probes) / len(cut) for s in seconds), strict=True)]
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    print(f"{'target':10}{'':6}{whole[0]:12.0f}{whole[1]:9.0f}{whole[0] / whole[1]:7.1f}   (weighted by its rows)")


def _first_rows(probes: Sequence[Probe], most: int) -> list[Probe]:
    """The first `most` probes of each data file."""
    seen: Counter[str] = Counter()
    kept = []
    for probe in probes:
        file = probe.id.split("/")[2]
        seen[file] += 1
        if not most or seen[file] <= most:
            kept.append(probe)
    return kept


Work = Callable[[LanguageModel, str, Sequence[Probe], int], None]


def _seconds(work: Work, llm: LanguageModel, task: str, probes: Sequence[Probe], batch_size: int) -> float:
    clock = time.process_time if llm.device.type == "cpu" else time.perf_counter
    start = clock()
    with torch.no_grad():
        work(llm, task, probes, batch_size)
    if llm.device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def _ours(llm: LanguageModel, _task: str, probes: Sequence[Probe], batch_size: int) -> None:
    ask(llm, [released.request(llm, probe) for probe in probes], batch_size=batch_size, cache=None)


def _released_loop(llm: LanguageModel, task: str, probes: Sequence[Probe], _batch_size: int) -> None:
    llm.tokenizer.padding_side = "left"
    if task == "mia":
        for probe in probes:
            _membership(llm, probe.prompt)
        return
    for _, group, _ in TASKS[task]:  # the files of a task are asked one after the other
        rows = [probe for probe in probes if probe.group == group]
        texts = [join_answer_prefix(probe, llm.render(probe.prompt)) for probe in rows]
        if task == "truthful":
            pairs = [(text, choice) for text, probe in zip(texts, rows, strict=True) for choice in probe.references]
            for batch in _batches(pairs, BATCH_SIZES[task]):
                _score_choices(llm, batch)
            continue
        for batch in _batches(list(zip(texts, rows, strict=True)), BATCH_SIZES[task]):
            encoded = llm.tokenizer([text for text, _ in batch], padding=True, return_tensors="pt").to(llm.device)
            if task == "mmlu":
                llm.model(**encoded).logits[:, -1].softmax(-1)
            else:
                eos = llm.tokenizer.eos_token_id
                limit = batch[0][1].max_new_tokens
                llm.model.generate(**encoded, max_new_tokens=limit, do_sample=False, eos_token_id=eos, pad_token_id=eos)


def _score_choices(llm: LanguageModel, pairs: Sequence[tuple[str, str]]) -> None:
    texts = [text + truthful_completion(choice) for text, choice in pairs]
    encoded = llm.tokenizer(texts, padding=True, return_tensors="pt").to(llm.device)
    logprobs = log_softmax(llm.model(**encoded).logits[:, :-1].float(), dim=-1)
    picked = logprobs.gather(-1, encoded["input_ids"][:, 1:, None])
    for row, (text, _), ids in zip(picked, pairs, encoded["attention_mask"].sum(-1).tolist(), strict=True):
        row[-(ids - len(llm.tokenizer(text)["input_ids"])) :].sum().item()


def _membership(llm: LanguageModel, text: str) -> None:
    ids = llm.tokenizer(text, return_tensors="pt")["input_ids"].to(llm.device)
    logits = llm.model(ids, labels=ids).logits[0, :-1]
    probabilities, logprobs = logits.softmax(-1), logits.log_softmax(-1)
    mean = (probabilities * logprobs).sum(-1)
    spread = (probabilities * logprobs.square()).sum(-1) - mean.square()
    ((logprobs.gather(-1, ids[0, 1:, None])[:, 0] - mean) / spread.sqrt()).sort()


def _batches(items: Sequence[tuple[str, Probe]] | Sequence[tuple[str, str]], size: int) -> Iterator[Sequence]:  # type: ignore[type-arg]
    for first in range(0, len(items), size):
        yield items[first : first + size]


if __name__ == "__main__":
    main()
