"""Our model handed to the harness, and what the harness logs of each row as our answers."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from atu.benchmarks.lm_eval.tasks import Loaded, prepare, quiet, row_key, silent_bars
from atu.errors import UserError, first_line, is_out_of_memory
from atu.evaluation.batching import Progress, eval_mode
from atu.evaluation.collapse import is_degenerate
from atu.models.language_model import LanguageModel
from atu.records import Answer, Probe

_PART = 32
"""Batches between two reports of progress."""


def harness_model(llm: LanguageModel, batch_size: int, report: Callable[[int], None]) -> Any:
    """The loaded model as the harness takes one: an instance of its own `HFLM`.

    It is asked in parts: there is progress then, and smaller batches when memory runs out. The tokenizer is a copy: the
    harness gives one without a padding token the eos for it.
    """
    from lm_eval.models.huggingface import HFLM

    class Parted(HFLM):  # type: ignore[misc]
        def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[Any]:
            return self._in_parts(super().loglikelihood, requests)

        def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[Any]:
            return self._in_parts(super().loglikelihood_rolling, requests)

        def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[Any]:
            return self._in_parts(super().generate_until, requests)

        def _in_parts(self, ask: Callable[..., list[Any]], requests: Sequence[Any]) -> list[Any]:
            found: list[Any] = []
            while len(found) < len(requests):
                part = requests[len(found) : len(found) + _PART * self.batch_size_per_gpu]
                try:
                    answers = ask(list(part), disable_tqdm=True)
                except Exception as error:
                    if not is_out_of_memory(error):
                        raise
                    if self.batch_size_per_gpu == 1:
                        raise UserError(
                            f"Out of memory while {llm.label} is asked a single row: close other programs that use "
                            "the device, or take a smaller model or dtype."
                        ) from error
                    self.batch_size_per_gpu //= 2
                    continue
                found += answers
                report(len(answers))
            return found

    return Parted(
        pretrained=llm.model,
        tokenizer=copy.deepcopy(llm.tokenizer),
        backend="causal",
        batch_size=batch_size,
        chat_template_args=dict(llm.chat.given),
    )


def ask_tasks(
    llm: LanguageModel,
    probes: Sequence[Probe],
    loaded: Loaded,
    *,
    batch_size: int,
    apply_chat_template: bool,
    progress: Progress | None,
) -> list[Answer]:
    """The model's answer to each probe, in the order of the probes; nothing in it compares with a reference.

    `values`: each of the task's numbers under its own name, for choices `choice` (index of the likeliest) and
    `logprob_<n>` (nats, summed over the tokens of choice n).
    Raises UserError for a probe that is not the task's any more, for NaN, and for what the harness refuses.
    """
    from lm_eval.evaluator import evaluate

    if apply_chat_template and not llm.has_template:
        raise UserError(f"The tokenizer of {llm.label} has no chat template: leave out --apply-chat-template.")
    for probe in probes:
        row = loaded.rows.get(row_key(probe.id))
        if row is None or replace(row.probe, id=probe.id) != probe:
            raise UserError(
                f"lm-eval asks its rows in its own words: it cannot ask '{probe.id}' as {probe.prompt[-60:]!r}."
            )
    rows: dict[str, list[int]] = {}
    for probe in probes:
        task, _, number = row_key(probe.id).rpartition("/")
        rows.setdefault(task, []).append(int(number))
    total = sum(loaded.rows[row_key(probe.id)].num_requests for probe in probes)
    done = 0

    def report(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(min(len(probes), len(probes) * done // total), len(probes))

    logged: dict[str, Any] = {}
    for task in rows:
        prepare(loaded.tasks[task])
    with quiet(), silent_bars(), eval_mode(llm.model):
        try:
            found = evaluate(
                lm=harness_model(llm, batch_size, report),
                task_dict={"tasks": {name: loaded.tasks[name] for name in rows}, "groups": {}},
                samples=_samples(loaded, rows),
                bootstrap_iters=0,  # the intervals are ours
                apply_chat_template=apply_chat_template,
                fewshot_as_multiturn=apply_chat_template,
            )
        except UserError:
            raise
        except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise UserError(f"lm-evaluation-harness cannot ask {', '.join(rows)}: {first_line(error)}.") from error
    for task, samples in found["samples"].items():
        for sample in samples:
            key = f"{task}/{sample['doc_id']}"
            if not apply_chat_template and str(sample["arguments"][0][0]) != loaded.rows[key].context:
                raise UserError(
                    f"lm-eval task '{task}' draws other worked examples for a part of its rows: ask in one process, or "
                    "set data.num_fewshot=0."
                )
            logged.setdefault(key, {})[sample["filter"]] = sample
    return [_answer(llm, probe, logged[row_key(probe.id)], loaded) for probe in probes]


def _samples(loaded: Loaded, rows: Mapping[str, list[int]]) -> dict[str, Sequence[int]]:
    """The rows of each task that is not asked whole; as a range where they are one, which is quicker to search."""
    samples: dict[str, Sequence[int]] = {}
    for task, wanted in rows.items():
        wanted = sorted(wanted)
        if len(wanted) < len(loaded.tasks[task].eval_docs):
            whole = range(wanted[0], wanted[-1] + 1)
            samples[task] = whole if len(whole) == len(wanted) else wanted
    return samples


def _answer(llm: LanguageModel, probe: Probe, logged: Mapping[str, Any], loaded: Loaded) -> Answer:
    task = row_key(probe.id).rpartition("/")[0]
    metrics = loaded.metrics(task)
    first = logged[metrics[0].filter]
    values: dict[str, float] = {}
    if probe.kind == "choose":
        logprobs = [float(part[0][0]) for part in first["resps"][: len(probe.references)]]
        if any(map(math.isnan, logprobs)):
            raise UserError(
                f"{llm.label} gives NaN log-likelihoods for '{probe.id}': its weights are damaged (a learning rate too "
                "high?), so it has no scores."
            )
        choice = logprobs.index(max(logprobs))
        text = probe.references[choice]
        values = {"choice": float(choice), **{f"logprob_{n}": value for n, value in enumerate(logprobs)}}
    else:
        text = str(first["resps"][0][0])
    for metric in metrics:
        if metric.name in logged[metric.filter]:
            values[metric.key] = float(logged[metric.filter][metric.name])
    if metrics[0].key not in values or not 0 <= values[metrics[0].key] <= 1:
        raise UserError(f"lm-eval task '{task}': its {metrics[0].key} is no share in 0..1, so it is no score here.")
    degenerate = probe.kind == "generate" and is_degenerate(text)
    return Answer.to(probe, text=text, score=values[metrics[0].key], values=values, degenerate=degenerate)
