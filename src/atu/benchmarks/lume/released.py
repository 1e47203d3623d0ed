"""How the organisers' evaluator (`evaluate_generations.py` of SemEval-2025 task 4) asks and scores.

The bare text is the prompt, whatever the model's chat template; 256 tokens are written, to the end token of the model's
generation config; a question is right when all that was written is its answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from atu.benchmarks.lume.scorers import as_read_back, exact_match
from atu.benchmarks.open_unlearning import decoded, end_ids
from atu.errors import UserError
from atu.evaluation.collapse import is_degenerate
from atu.evaluation.generate import Prompt
from atu.evaluation.likelihood import Completion, TokenStatistics
from atu.evaluation.membership import loss
from atu.evaluation.rouge import rouge
from atu.models.language_model import LanguageModel
from atu.records import Answer, Probe


def prompt(llm: LanguageModel, probe: Probe) -> Prompt:
    """The tokens to continue."""
    return Prompt(ids=_encode(llm, probe), max_new_tokens=probe.max_new_tokens, end_ids=end_ids(llm))


def completion(llm: LanguageModel, probe: Probe) -> Completion:
    """A membership text: all tokens but the first are scored."""
    ids = _encode(llm, probe)
    return Completion(prompt=ids[:1], ids=ids[1:])


def written(llm: LanguageModel, probe: Probe, new: Sequence[int]) -> Answer:
    """The row of the answers file for a text that was written."""
    text = decoded(llm, new)
    score, values = row_score(probe, text)
    return Answer.to(probe, text=text, score=score, values=values, degenerate=is_degenerate(text))


def row_score(probe: Probe, text: str) -> tuple[float, dict[str, float]]:
    """Score (0..1) of a written text, and further values of the row."""
    truth = probe.references[0]
    if "/knowledge_" in probe.group:
        return exact_match(truth, text), {}
    found = rouge(as_read_back(truth), as_read_back(text), use_stemmer=True)
    return found.rougeL_recall, {"rouge1": found.rouge1_recall}


def member(probe: Probe, tokens: TokenStatistics) -> Answer:
    """The row for a membership text: the organisers attack by the loss alone."""
    mean_loss = loss(tokens.logprobs)
    return Answer.to(probe, text="", score=mean_loss, values={"loss": mean_loss})


def _encode(llm: LanguageModel, probe: Probe) -> tuple[int, ...]:
    ids = tuple(llm.tokenizer(probe.prompt)["input_ids"])
    if len(ids) < 2:
        raise UserError(f"Probe '{probe.id}' is a text of {len(ids)} tokens, which cannot be asked.")
    return ids
