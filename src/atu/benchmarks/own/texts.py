"""Texts of the user's own before the membership attacks: were they in a model's training data?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from atu.benchmarks.corpus import read_texts
from atu.benchmarks.privacy import MEMBERS, OTHERS
from atu.errors import UserError
from atu.records import Answer, Probe, Text
from atu.storage.user_files import shown

if TYPE_CHECKING:
    from atu.evaluation.batching import Progress
    from atu.evaluation.likelihood import Completion
    from atu.models.language_model import LanguageModel


def text_probes(members: Path, others: Path, folder: str) -> list[Probe]:
    """The rows of two files of JSON lines, each a `text`, perhaps behind a `prompt`.

    Args:
        members: texts that were trained on.
        others: texts that were not.

    Raises:
        UserError: a file is missing, empty or broken; a text is in both; or not all texts of both have a prompt, or
            none: the attacks would tell the two apart by that alone.
    """
    rows = {group: _read(path) for group, path in ((MEMBERS, members), (OTHERS, others))}
    both = {(text.prompt, text.text) for text in rows[MEMBERS]} & {(text.prompt, text.text) for text in rows[OTHERS]}
    if both:
        raise UserError(f"data.mia: {shown(members)} and {shown(others)} both hold the text {min(both)[1][:60]!r}.")
    if len({text.prompt is None for texts in rows.values() for text in texts}) > 1:
        raise UserError(
            f'data.mia: some rows of {shown(members)} and {shown(others)} have a "prompt" and some have none. Give all '
            "of them one, or none."
        )
    return [
        Probe(
            id=f"own/{folder}/{group.partition('/')[2]}/{number}",
            group=group,
            kind="likelihood",
            prompt=text.text if text.prompt is None else text.prompt,
            references=() if text.prompt is None else (text.text,),
        )
        for group, texts in rows.items()
        for number, text in enumerate(texts)
    ]


def ask_texts(
    llm: LanguageModel,
    probes: Sequence[Probe],
    *,
    batch_size: int,
    with_gradients: bool,
    progress: Progress | None = None,
) -> list[Answer]:
    """What the attacks say of each text.

    A bare text is read as it is, its first token given; a text behind a prompt as the assistant's answer to it, without
    the token that ends the turn.

    Args:
        progress: counts probes.

    Raises:
        UserError: a text of which no token can be scored, or one that is longer than the model reads.
    """
    from atu.evaluation.batching import part_of
    from atu.evaluation.gradient_norms import gradient_norms
    from atu.evaluation.likelihood import completion_statistics
    from atu.evaluation.membership import attack_values

    completions = [_completion(llm, probe) for probe in probes]
    size, total = len(probes), len(probes) * (1 + with_gradients)
    statistics = completion_statistics(
        llm, completions, batch_size=batch_size, progress=part_of(progress, first=0, size=size, total=total)
    )
    values = [
        attack_values(tokens, probe.references[0] if probe.references else probe.prompt)
        for probe, tokens in zip(probes, statistics, strict=True)
    ]
    if with_gradients:
        report = part_of(progress, first=size, size=size, total=total)
        for row, gradient in zip(values, gradient_norms(llm, completions, progress=report), strict=True):
            row["gradnorm"] = gradient.whole
    return [Answer.to(probe, text="", score=0.0, values=row) for probe, row in zip(probes, values, strict=True)]


def _completion(llm: LanguageModel, probe: Probe) -> Completion:
    from atu.evaluation.likelihood import Completion

    if probe.references:
        turn = llm.turn(probe.prompt, probe.references[0])
        joined = llm.encode_behind(turn.head, turn.body)
        return Completion(prompt=joined.prompt, ids=joined.ids)
    ids = tuple(llm.encode(probe.prompt))
    if len(ids) < 2:
        raise UserError(f"Probe '{probe.id}' is a text of {len(ids)} tokens; a likelihood takes two or more.")
    return Completion(prompt=ids[:1], ids=ids[1:])


def _read(path: Path) -> tuple[Text, ...]:
    if not path.exists():
        raise UserError(f"data.mia: the file {shown(path)} does not exist.")
    return read_texts(path)
