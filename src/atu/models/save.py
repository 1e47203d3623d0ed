"""Export of a trained model: an ordinary transformers folder with a model card."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import yaml
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from atu import __version__
from atu.errors import UserError, first_line
from atu.models.answers import greedy_answer
from atu.models.chat_template import ChatSettings
from atu.models.config import CHAT_NOTE
from atu.models.foreign import reading
from atu.models.language_model import LanguageModel
from atu.processes.notices import notice
from atu.storage.digests import write_digests
from atu.storage.files import PARTIAL_SUFFIX, disk_errors, publish_folder
from atu.text.escaping import markdown, markdown_code, one_line

_NAMED = re.compile(r"^- `(\w+)`", re.M)


@runtime_checkable
class Card(Protocol):
    """What an exported model is, for its README.md."""

    def render(self, provenance: Mapping[str, str]) -> str:
        """README.md; `provenance` is that of the base weights."""


def export_model(
    llm: LanguageModel, folder: Path, card: Card, *, notes: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Write weights, tokenizer, generation config with all end tokens, and README.md into `folder`.

    `notes`: further small files, name to text. Written as `<folder>.partial`, synced and renamed; an earlier
    export there is replaced. Raises UserError when the disk is full or the folder holds something else than a model.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "config.json").is_file():
        raise UserError(f"{folder} exists and is no model folder; it was left alone. Choose another one.")
    partial = folder.with_name(folder.name + PARTIAL_SUFFIX)
    replaced = folder.with_name(folder.name + ".replaced")
    with disk_errors(folder):
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            _write_files(llm, partial, {"README.md": card.render(llm.provenance), **notes})
            write_digests(partial)
            if folder.is_dir():
                shutil.rmtree(replaced, ignore_errors=True)
                folder.rename(replaced)
            publish_folder(partial, folder)
        except SafetensorError as error:  # its own class for what is an OSError elsewhere
            raise UserError(f"Cannot write {folder}: {error}. Free some space and run again.") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            if replaced.is_dir() and not folder.is_dir():
                replaced.rename(folder)
    shutil.rmtree(replaced, ignore_errors=True)


def check_export(llm: LanguageModel) -> None:
    """Try all that the export of a freshly loaded model will need, but for the weights, before hours go into it.

    One line names the settings of its generation config that have no effect (a temperature without sampling); the
    export leaves them out, since transformers would not save them.
    Raises UserError when config or tokenizer can't be saved, or the saved tokenizer reads otherwise.
    """
    with TemporaryDirectory(prefix="atu-export-") as name, _generation_config(llm) as dropped:
        folder = Path(name)
        if dropped:
            names = ", ".join(dropped)
            notice(
                f"The generation config of {llm.label} sets {names} to no effect; the exported model leaves that out."
            )
        with reading(lambda error: f"'{llm.label}' could not be exported after training: {first_line(error)}."):
            if llm.provenance.get("quantization"):  # exported only when it has been made float32
                llm.model.config.save_pretrained(folder)
                if llm.model.generation_config is not None:
                    llm.model.generation_config.save_pretrained(folder)
            else:
                llm.model.save_pretrained(folder, state_dict={})
            llm.tokenizer.save_pretrained(folder)
            again = AutoTokenizer.from_pretrained(folder, trust_remote_code=_is_foreign(llm.tokenizer))
        text = llm.render("What is it?")
        if again(text)["input_ids"] != llm.tokenizer(text)["input_ids"] or (
            again.chat_template != llm.tokenizer.chat_template
        ):
            raise UserError(
                f"'{llm.label}' could not be exported after training: its tokenizer, saved and loaded again, reads "
                "text as other tokens."
            )


def _is_foreign(loaded: object) -> bool:
    """Whether its code came with the model, so that it was allowed to run."""
    return type(loaded).__module__.startswith("transformers_modules.")


def check_reload(llm: LanguageModel, folder: Path, prompts: Sequence[str]) -> None:
    """Raise UserError unless plain transformers loads `folder` and answers `prompts` like `llm`.

    Prompts are texts as the model reads them (already rendered), continued greedily by up to 16 tokens, one
    at a time, in the dtype and on the device of `llm`; the continuations must agree token for token. End
    tokens come from the folder, so a wrong generation config shows too.
    """
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=llm.model.dtype, use_safetensors=True, trust_remote_code=_is_foreign(llm.model)
    )
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=_is_foreign(llm.tokenizer))
    reloaded = LanguageModel(model.to(llm.device).eval(), tokenizer, llm.label, llm.end_ids)
    for prompt in prompts:
        expected = greedy_answer(llm.model, llm.encode(prompt), llm.end_ids, llm.pad_id)
        ids = reloaded.encode(prompt)
        found = greedy_answer(reloaded.model, ids, model.generation_config.eos_token_id, reloaded.pad_id)
        if found != expected:
            raise UserError(
                f"The exported model in {folder} does not answer like the one in memory: given "
                f"{prompt[-60:]!r} it says {tokenizer.decode(found)!r}, not "
                f"{llm.tokenizer.decode(expected)!r}. Do not use it."
            )


def model_page(
    title: str,
    body: Sequence[str],
    *,
    base_model: str,
    tags: Sequence[str],
    config_hash: str,
    provenance: Mapping[str, str],
) -> str:
    """README.md of a model made here: front matter for the hub, `body` (lines), how to load it, where it comes from."""
    versions = {"atu": __version__, "torch": version("torch"), "transformers": version("transformers")}
    front = {
        "base_model": one_line(base_model),
        "license": "unknown",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": list(tags),
    }
    lines = [
        "---",
        yaml.safe_dump(front, sort_keys=False, allow_unicode=True).strip(),
        "---",
        "",
        f"# {markdown(title)}",
        "",
        *body,
        "",
        "## Loading",
        "",
        "```python",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        'folder = "."  # this folder',
        "model = AutoModelForCausalLM.from_pretrained(folder)",
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        "```",
        "",
        "## Origin",
        "",
        f"- config hash: {markdown_code(config_hash)}",
        f"- base weights: sha256 {markdown_code(provenance.get('sha256', 'unknown'))}",
        *(f"- {library} {number}" for library, number in versions.items()),
        "",
    ]
    return "\n".join(lines)


def _write_files(llm: LanguageModel, folder: Path, notes: Mapping[str, str]) -> None:
    with _generation_config(llm):
        llm.model.save_pretrained(folder)
    llm.tokenizer.save_pretrained(folder)
    if llm.chat != ChatSettings():
        asked = {"chat_template_kwargs": dict(llm.chat.kwargs), "chat_template_date": llm.chat.date}
        (folder / CHAT_NOTE).write_text(json.dumps(asked, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, text in notes.items():
        (folder / name).write_text(text, encoding="utf-8")


@contextmanager
def _generation_config(llm: LanguageModel) -> Iterator[list[str]]:
    """Inside the context the model has the generation config of its export.

    It has all end tokens, and no setting without effect, with which transformers would refuse to save it: gives the
    names of those.
    """
    before = llm.model.generation_config
    generation, dropped = copy.deepcopy(before), []
    if generation is not None:
        generation.eos_token_id = list(llm.end_ids)
        generation.pad_token_id = llm.pad_id
        # Private in transformers 5.24, which derives it from config.json anew where this is true.
        generation._from_model_config = False
        if faults := _faults(generation):
            dropped = [name for name in _NAMED.findall(faults) if hasattr(generation, name)]
            for name in dropped:
                setattr(generation, name, getattr(GenerationConfig(), name, None))
    try:
        llm.model.generation_config = generation
        yield dropped
    finally:
        llm.model.generation_config = before


def _faults(generation: GenerationConfig) -> str:
    """What transformers has against saving it; a line for each setting, which begins with its name."""
    try:
        generation.validate(strict=True)
    except (TypeError, ValueError) as error:
        return str(error)
    return ""
