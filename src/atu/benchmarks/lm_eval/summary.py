"""Scores of lm-eval's tasks and groups, from answers alone."""

from __future__ import annotations

from collections.abc import Sequence

from atu.benchmarks.lm_eval.tasks import Loaded, row_key
from atu.evaluation.scores import bootstrap_mean, bootstrap_weighted_mean, summarize
from atu.records import Answer, Score


def task_scores(rows: Sequence[Answer], loaded: Loaded, *, samples: int) -> dict[str, Score]:
    """Percent, with intervals from resampled rows.

    `forget/wmdp_cyber`, `utility/mmlu_anatomy`: a task by the first of its metrics; `utility/arc_easy_acc_norm` by
    another; `utility/mmlu`: a group, as the harness weighs its tasks, rows resampled within each task. What
    `summarize` gives besides: `forget/all`, `@known`.
    """
    scores = dict(summarize(rows, samples=samples))
    by_task: dict[str, list[Answer]] = {}
    for row in rows:
        by_task.setdefault(row_key(row.probe_id).rpartition("/")[0], []).append(row)
    for task, answers in by_task.items():
        for metric in loaded.metrics(task)[1:]:
            numbers = [100 * row.values[metric.key] for row in answers if metric.key in row.values]
            if numbers:
                name = f"{loaded.side(task)}/{task}_{metric.key.replace(',', '_')}"
                scores[name] = bootstrap_mean(numbers, name=name, samples=samples, seed=0)
    for group in loaded.groups:
        sides = {loaded.side(task) for task in group.tasks}
        if len(sides) > 1 or not by_task.keys() >= set(group.tasks):
            continue  # of a part of its tasks, or of what should fall and what should stay, there is no one score
        for metric_name, by_size in group.metrics.items():
            keys = {task: {m.name: m.key for m in loaded.metrics(task)[::-1]}.get(metric_name) for task in group.tasks}
            if None in keys.values():
                continue
            columns = {task: [100 * row.values[str(keys[task])] for row in by_task[task]] for task in group.tasks}
            is_first = all(loaded.metrics(task)[0].key == keys[task] for task in group.tasks)
            name = f"{sides.copy().pop()}/{group.name}" + ("" if is_first else f"_{metric_name}")
            weights = {task: float(len(numbers)) if by_size else 1.0 for task, numbers in columns.items()}
            scores[name] = bootstrap_weighted_mean(columns, weights, name=name, samples=samples)
    return scores
