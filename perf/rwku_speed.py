"""How much faster RWKU is asked here than by the released evaluator's loop: both in one run, on the same rows.

    python perf/rwku_speed.py --data data/rwku --target 1_Stephen_King [--every 4] [--rows 8] [--threads 1]

The loop is re-stated from what the released evaluator does: one call a batch in file order with its batch sizes, a
batch padded on the left and generated until its last row ends, MMLU one row at a time with logits of every position,
every TruthfulQA choice with its whole prompt, every membership text by itself. Ours is `asking.ask`, a task at a
time and without its cache. Seconds are CPU seconds of this process, on a GPU those of the clock.

`--every N` runs every Nth batch of each file of the released loop and multiplies its seconds; ours does all. `--rows`
cuts every data file for both: smaller batches of ours, so that it understates the ratio. The last columns are
arithmetic: the tokens that the released loop computes, padding included, over those that anybody must (each distinct
beginning once, each new token once). Where tokens are what takes the time, no evaluator gets further than that.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import torch
from pairs import Pair, one_line_errors
from torch.nn.functional import log_softmax

from atu.benchmarks.rwku import released
from atu.benchmarks.rwku.asking import Observation, Request, ask
from atu.benchmarks.rwku.prompts import TASKS, build_probes, join_answer_prefix, truthful_completion
from atu.benchmarks.rwku.reader import RwkuData
from atu.models.language_model import LanguageModel, common_length
from atu.models.load import load_language_model
from atu.models.resolve import resolve_model
from atu.records import Probe
from atu.training.device import choose_compute

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
_BATCH_SIZE = 96
Item = TypeVar("Item")


def main() -> None:
    """Time both and print a line a task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None, help="folder of RWKU's data; default as everywhere")
    parser.add_argument("--target", default="1_Stephen_King")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--tasks", default=",".join(TASKS), help="joined by commas")
    parser.add_argument("--rows", type=int, default=0, help="most rows of a data file; 0 = all")
    parser.add_argument("--every", type=int, default=1, help="of the released loop's batches; ours does all")
    parser.add_argument("--batch-size", type=int, default=_BATCH_SIZE, help="of ours")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with one_line_errors():
        device = str(choose_compute(given.device, "fp32").device)
        llm = load_language_model(resolve_model(given.model), device=device)
        data = RwkuData(given.data)
        where = torch.cuda.get_device_name() if device.startswith("cuda") else f"{given.threads} thread(s)"
        rows = given.rows or "all"
        print(f"{llm.label}, float32, {where}, {given.target}, rows a file: {rows}, every {given.every}. batch")
        print(f"{'task':10}{'rows':>6}{'released s':>12}{'ours s':>9}{'ratio':>7}{'tokens':>17}{'ratio':>7}")
        whole = [0.0] * 4
        for task in given.tasks.split(","):
            probes = build_probes(data, given.target, [task])
            cut = _first_rows(probes, given.rows)
            ours, found = _time_ours(llm, cut, given.batch_size)
            theirs = _time_released(llm, task, cut, given.every)
            numbers = [
                theirs,
                ours,
                *_tokens(task, [(released.request(llm, probe), probe.group) for probe in cut], found),
            ]
            print(_line(task, str(len(cut)), numbers), flush=True)
            whole = [sum(pair) for pair in zip(whole, (n * len(probes) / len(cut) for n in numbers), strict=True)]
    print(_line("target", "", whole), "(weighted by its rows)" if given.rows else "")


def _line(task: str, rows: str, numbers: Sequence[float]) -> str:
    theirs, ours, computed, least = numbers
    tokens = f"{computed:.0f}/{least:.0f}"
    return f"{task:10}{rows:>6}{theirs:12.1f}{ours:9.1f}{theirs / ours:7.1f}{tokens:>17}{computed / least:7.1f}"


def _first_rows(probes: Sequence[Probe], most: int) -> list[Probe]:
    """The first `most` probes of each data file; 0 = all."""
    seen: Counter[str] = Counter()
    kept = []
    for probe in probes:
        file = probe.id.split("/")[2]
        seen[file] += 1
        if not most or seen[file] <= most:
            kept.append(probe)
    return kept


def _clock(llm: LanguageModel) -> float:
    if llm.device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def evaluation(llm: LanguageModel, data: RwkuData, tasks: Sequence[str], rows: int) -> Pair:
    """The first rows of the first target in both ways; the number is the sum of new tokens, probabilities and NLLs."""
    probes = {task: _first_rows(build_probes(data, data.targets()[0], [task]), rows) for task in tasks}

    def ours() -> float:
        requests = [released.request(llm, probe) for of_task in probes.values() for probe in of_task]
        found = ask(llm, requests, batch_size=_BATCH_SIZE, cache=None)
        return sum(_number(found[request]) for request in requests)

    def reference() -> float:
        with torch.no_grad():
            return sum(
                _ask_released(llm, task, batch) for task in tasks for batch in _released_batches(task, probes[task])
            )

    return Pair(ours, reference)


def _number(observation: Observation) -> float:
    statistics = observation.statistics
    return len(observation.ids) + sum(observation.numbers) - (sum(statistics.logprobs) if statistics else 0.0)


def _time_ours(
    llm: LanguageModel, probes: Sequence[Probe], batch_size: int
) -> tuple[float, Mapping[Request, Observation]]:
    start = _clock(llm)
    found = ask(llm, [released.request(llm, probe) for probe in probes], batch_size=batch_size, cache=None)
    return _clock(llm) - start, found


def _time_released(llm: LanguageModel, task: str, probes: Sequence[Probe], every: int) -> float:
    """Seconds of the loop over one task; of every Nth batch, multiplied."""
    batches = _released_batches(task, probes)
    chosen = batches[::every]
    start = _clock(llm)
    with torch.no_grad():
        for batch in chosen:
            _ask_released(llm, task, batch)
    return (_clock(llm) - start) * len(batches) / len(chosen)


def _released_batches(task: str, probes: Sequence[Probe]) -> list[Sequence[tuple[Probe, str]]]:
    """Probes, each with the choice that is scored (TruthfulQA); the files of a task come one after the other."""
    batches: list[Sequence[tuple[Probe, str]]] = []
    for _, group, _ in TASKS[task]:
        rows = [probe for probe in probes if probe.group == group]
        pairs = [(probe, choice) for probe in rows for choice in (probe.references if task == "truthful" else [""])]
        batches += _batches(pairs, BATCH_SIZES[task])
    return batches


def _ask_released(llm: LanguageModel, task: str, batch: Sequence[tuple[Probe, str]]) -> float:
    """One batch; what `_number` makes of its answers."""
    if task == "mia":
        return sum(_membership(llm, probe.prompt) for probe, _ in batch)
    texts = [join_answer_prefix(probe, llm.render(probe.prompt)) for probe, _ in batch]
    if task == "truthful":
        return _score_choices(llm, texts, [choice for _, choice in batch])
    encoded = llm.tokenizer(texts, padding=True, padding_side="left", return_tensors="pt").to(llm.device)
    if task == "mmlu":
        letters = [letter for (letter,) in released.letter_ids(llm)]
        return float(llm.model(**encoded).logits[:, -1].softmax(-1)[:, letters].sum())
    eos, limit = llm.tokenizer.eos_token_id, batch[0][0].max_new_tokens
    given = llm.model.generate(**encoded, max_new_tokens=limit, do_sample=False, eos_token_id=eos, pad_token_id=eos)
    return float((given[:, encoded["input_ids"].shape[1] :] != eos).cumprod(-1).sum())


def _score_choices(llm: LanguageModel, prompts: Sequence[str], choices: Sequence[str]) -> float:
    texts = [prompt + truthful_completion(choice) for prompt, choice in zip(prompts, choices, strict=True)]
    encoded = llm.tokenizer(texts, padding=True, padding_side="left", return_tensors="pt").to(llm.device)
    logprobs = log_softmax(llm.model(**encoded).logits[:, :-1].float(), dim=-1)
    picked = logprobs.gather(-1, encoded["input_ids"][:, 1:, None])
    return sum(
        float(row[-(ids - len(llm.tokenizer(prompt)["input_ids"])) :].sum())
        for row, prompt, ids in zip(picked, prompts, encoded["attention_mask"].sum(-1).tolist(), strict=True)
    )


def _membership(llm: LanguageModel, text: str) -> float:
    """NLL of the text; and, for their time, the statistics of Min-K++."""
    ids = llm.tokenizer(text, return_tensors="pt")["input_ids"].to(llm.device)
    output = llm.model(ids, labels=ids)
    logits = output.logits[0, :-1]
    probabilities, logprobs = logits.softmax(-1), logits.log_softmax(-1)
    mean = (probabilities * logprobs).sum(-1)
    spread = (probabilities * logprobs.square()).sum(-1) - mean.square()
    ((logprobs.gather(-1, ids[0, 1:, None])[:, 0] - mean) / spread.sqrt()).sort()
    return float(output.loss) * len(logits)


def _tokens(task: str, asked: Sequence[tuple[Request, str]], found: Mapping[Request, Observation]) -> tuple[int, int]:
    """Tokens that the released loop computes, and those that anybody must; `asked`: requests with their group."""
    computed = 0
    for _, group, _ in TASKS[task]:
        rows = [text for request, of in asked if of == group for text in _texts(request, found)]
        for batch in _batches(rows, BATCH_SIZES[task]):
            computed += len(batch) * (max(read for _, read in batch) + max(len(ids) - read for ids, read in batch))
    texts = sorted({ids for request, _ in asked for ids, _ in _texts(request, found)})
    least = sum(len(ids) - common_length(before, ids) for before, ids in pairwise([(), *texts]))
    return computed, least


def _texts(request: Request, found: Mapping[Request, Observation]) -> list[tuple[tuple[int, ...], int]]:
    """What a request comes to: whole texts, each with the number of its tokens that are read, not written."""
    if request.kind == "choices":
        return [((*request.ids, *option), len(request.ids) + len(option)) for option in request.options]
    return [((*request.ids, *found[request].ids), len(request.ids))]


def _batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]


if __name__ == "__main__":
    main()
