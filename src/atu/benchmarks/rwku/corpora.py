"""Training texts of RWKU: biographies and Wikipedia passages."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Literal

from atu.benchmarks.rwku.files import PASSAGE, POSITIVE, POSITIVE_PHI, RwkuFile
from atu.benchmarks.rwku.reader import RwkuData, target_name
from atu.benchmarks.rwku.rows import BiographyRow, PassageRow
from atu.errors import UserError, did_you_mean
from atu.records import Text

Writer = Literal["llama3", "phi3"]

OWN = "own"
"""Choice of corpus: the biographies that this very model wrote."""
WRITERS: dict[Writer, str] = {"llama3": "Meta-Llama-3-8B-Instruct", "phi3": "Phi-3-mini-4k-instruct"}
"""The two models whose own texts RWKU holds. Later versions of them wrote none."""
_PROSE: dict[str, tuple[RwkuFile[BiographyRow] | RwkuFile[PassageRow], Writer | None]] = {
    "positive": (POSITIVE, "llama3"),
    "positive_phi": (POSITIVE_PHI, "phi3"),
    "passage": (PASSAGE, None),
}
_BATCH = re.compile(r"1-(\d+)")


def find_writer(model_name: str) -> Writer:
    """Which of RWKU's two sets of self-written texts belongs to a model (hub id or folder).

    Raises UserError for any other model: texts of a model not its own hold what that other model believed.
    """
    base = _base_name(model_name)
    for writer, name in WRITERS.items():
        if base == name.lower():
            return writer
    raise UserError(
        f"RWKU has no texts written by '{model_name}', only by {' and '.join(WRITERS.values())}: let the "
        "model write its own (source 'generated'), or name the file (positive, positive_phi or passage)."
    )


def corpus_file(choice: str, model_name: str) -> str:
    """The file of forget texts: `own` becomes the model's own biographies, a file name stays.

    Raises UserError for an unknown name, and for `own` where RWKU has no text by this model.
    """
    if choice == OWN:
        own = find_writer(model_name)
        return next(name for name, (_, writer) in _PROSE.items() if writer == own)
    if choice not in _PROSE:
        raise UserError(f"RWKU has no corpus '{choice}'.{did_you_mean(choice, [OWN, *_PROSE])}")
    return choice


def foreign_writer(file: str, model_name: str) -> str | None:
    """The model that wrote a corpus file, when it is not the one to be trained; for a warning."""
    writer = _PROSE[file][1]
    if writer is None or WRITERS[writer].lower() == _base_name(model_name):
        return None
    return WRITERS[writer]


def read_texts(data: RwkuData, folder: str, file: str) -> tuple[Text, ...]:
    """All texts of `positive`, `positive_phi` or `passage` about a target, in data order, as plain prose.

    Raises UserError for data faults.
    """
    return tuple(
        Text(text=row.text, subject=target_name(folder), source=f"rwku/{folder}/{file}/{number}")
        for number, row in enumerate(data.read(folder, _PROSE[file][0]))
    )


def forget_and_retain(
    data: RwkuData,
    folder: str,
    file: str,
    *,
    num_forget_texts: int,
    num_others: int,
    num_texts_per_other: int,
    seed: int,
) -> tuple[list[Text], list[Text]]:
    """Texts about the target, and texts of other targets chosen by `seed`.

    Where fewer texts are asked for than there are, `seed` chooses them; they stay in data order.
    """
    forget = choose_by_seed(read_texts(data, folder, file), num_forget_texts, seed)
    retain = []
    for other in choose_others(data, folder, num_others, seed):
        retain += choose_by_seed(read_texts(data, other, file), num_texts_per_other, seed)
    return forget, retain


def choose_others(data: RwkuData, folder: str, count: int, seed: int) -> list[str]:
    """Other targets than `folder`, the same for any order or file system the folders lie on.

    Raises UserError when fewer than `count` are there.
    """
    others = [name for name in data.targets() if name != data.path(folder).name]
    if len(others) < count:
        raise UserError(f"{count} other targets are asked for, but {data.root} holds {len(others)}: fetch more.")
    return sorted(others, key=lambda name: _rank(name, seed))[:count]


def choose_by_seed(texts: Sequence[Text], count: int, seed: int) -> list[Text]:
    """At most `count` of the texts, chosen by the hash of seed and source, in their given order."""
    chosen = {text.source for text in sorted(texts, key=lambda text: _rank(text.source, seed))[:count]}
    return [text for text in texts if text.source in chosen]


def expand_batch(data: RwkuData, folder: str) -> tuple[str, ...]:
    """The targets that a name stands for: itself, or for a batch `1-10` the first ten targets.

    Raises UserError for an unknown target, and for a batch of which a target is not in the data folder.
    """
    batch = _BATCH.fullmatch(folder)
    if batch is None:
        data.path(folder)
        return (folder,)
    by_number = {int(name.split("_", 1)[0]): name for name in data.targets()}
    numbers = range(1, int(batch[1]) + 1)
    missing = [number for number in numbers if number not in by_number]
    if missing or not numbers:
        raise UserError(f"Batch {folder} needs target {missing[0] if missing else 1}, which {data.root} lacks.")
    return tuple(by_number[number] for number in numbers)


def _base_name(model_name: str) -> str:
    return model_name.rstrip("/").rpartition("/")[2].replace("_", "-").lower()


def _rank(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}\0{name}".encode()).hexdigest()
