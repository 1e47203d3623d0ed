from __future__ import annotations

import copy
import dataclasses

from atu.benchmarks.open_unlearning import cut_answer, decoded, ground_truth, hidden_id
from atu.models.language_model import LanguageModel


def test_texts_are_cleaned_up(tiny_llm: LanguageModel) -> None:
    ids = tiny_llm.encode("Tokyo , the capital . Is n't it ?")
    assert decoded(tiny_llm, [*ids, *tiny_llm.end_ids]) == "Tokyo, the capital. Isn't it?"


def test_the_prompt_is_taken_away_wherever_it_stands(tiny_llm: LanguageModel) -> None:
    prompt, whole = tiny_llm.encode("Japan"), tiny_llm.encode("Japan is in Asia, says Japan")
    assert ground_truth(tiny_llm, prompt, whole) == "is in Asia, says"


def test_an_answer_ends_at_the_first_stop_word(tiny_llm: LanguageModel) -> None:
    end = tiny_llm.tokenizer.decode([tiny_llm.tokenizer.eos_token_id])
    assert cut_answer(tiny_llm, " Tokyo\nQuestion: Who?\n\nNo", ["\n\n", "\nQuestion"]) == "Tokyo"
    assert cut_answer(tiny_llm, f"Tokyo{end} and more") == "Tokyo"


def test_the_end_token_pads_where_there_is_no_other(tiny_llm: LanguageModel) -> None:
    llm = dataclasses.replace(tiny_llm, tokenizer=copy.deepcopy(tiny_llm.tokenizer))
    llm.tokenizer.pad_token = None
    assert hidden_id(llm) == llm.tokenizer.eos_token_id
    llm.tokenizer.pad_token = "a"
    assert hidden_id(llm) == llm.tokenizer.convert_tokens_to_ids("a")
