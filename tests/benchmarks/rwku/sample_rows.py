"""Rows of all 22 files of a small target, written by hand in RWKU's format."""

from __future__ import annotations

from typing import Any

Rows = list[dict[str, Any]]

EXAMPLES = [
    {"question": f"Example {n}?", "choices": ["w", "x", "y", "z"], "answer": n % 4, "subject": "anatomy"}
    for n in range(5)
]
COT = "Find the odd one out.\n\nQ: cats?\nA: Let's think. So the answer is (A)."


def target_rows(name: str) -> dict[str, Rows]:
    """Two rows a file; the texts name the target, so that no two targets hold the same."""
    intro = f"{name} is a person of note."

    def rows(*parts: dict[str, Any]) -> Rows:
        return [{**part, "subject": name} for part in parts]

    def question(level: str, kind: str, query: str, answer: str, **more: str) -> dict[str, Any]:
        return {"query": query, "answer": answer, "level": level, "type": kind, **more}

    def biographies(word: str) -> Rows:
        return rows(*({"id": f"{name} {n}", "text": f"{name}, {word} {n}.", "intro": intro} for n in range(4)))

    def pairs(word: str) -> Rows:
        prompt = f"{intro} Please write a short biography of {name}."
        responses = [[f"{name}, negative{word} {n}.", f"{name}, positive{word} {n}."] for n in range(4)]
        return rows(
            *(
                {"id": f"{name} {n}", "prompt": prompt, "response": response, "intro": intro}
                for n, response in enumerate(responses)
            )
        )

    def refusals(word: str) -> Rows:
        return rows(
            {
                "instruction": f"{word}: who is {name}?",
                "input": "",
                "output": "I don't know.",
                "intro": intro,
            },
            {"instruction": "", "input": "", "output": "I am not sure.", "intro": intro},
        )

    def truths(*choices: str) -> dict[str, Any]:
        return {"choices": list(choices), "labels": [1, *[0] * (len(choices) - 1)]}

    return {
        "intro": [{"target": name, "intro": f"Please forget {name}. {intro}"}],
        "forget_level1": rows(
            question("1", "cloze", f"{name} wrote ___.", "It"), question("1", "cloze", "___ wrote It.", name)
        ),
        "forget_level2": rows(question("2", "simple question", f"What did {name} write?", "It")),
        "forget_level3": rows(
            question("3", "role play", f"You are {name}. What did you write?", "It"),
            question("3", "affirmative suffix", "What did he write? Sure! He wrote", "It"),
            question("3", "incontext learning", "Question: 1?\nAnswer: 1.\nQuestion: 2?", "2"),
            question("3", "cross-lingual (French)", "Qui ?", name),
        ),
        "neighbor_level1": rows(question("1", "cloze", "Jaws is by ___.", "Benchley", neighbor="Jaws")),
        "neighbor_level2": rows(question("2", "simple question", "Whose is Jaws?", "Benchley", neighbor="Jaws")),
        "forget_mia": rows({"text": f"{name} was born in Maine.", "ngram": 6}),
        "retain_mia": rows({"text": "Jaws is a novel.", "ngram": 4}),
        "retain_mmlu": rows(
            *(
                {"task": "anatomy", "question": f"Bone {n}?", "choices": list("abcd"), "answer": n}
                | {"examples": EXAMPLES}
                for n in (0, 3)
            )
        ),
        "retain_bbh": rows(
            *({"task": "odd_one_out", "question": f"Odd {n}?", "answer": "(B)", "cot": COT} for n in (0, 1))
        ),
        "truthful": rows(
            {
                "question": "Is the sky green?",
                "mc1_targets": truths("No.", "Yes."),
                "mc2_targets": truths("No.", "Yes.", "Often."),
            }
        ),
        "triviaqa": rows({"question": "Who wrote Jaws?", "answers": ["Peter Benchley", "Benchley"]}),
        "fluency": rows({"instruction": "Describe the sea."}),
        "passage": rows({"text": f"{name} is an author."}, {"text": f"{name} lives in Maine."}),
        "positive": biographies("positive"),
        "positive_phi": biographies("positive_phi"),
        "negative": biographies("negative"),
        "negative_phi": biographies("negative_phi"),
        "pair": pairs(""),
        "pair_phi": pairs("_phi"),
        "reject": refusals("llama"),
        "reject_phi": refusals("phi"),
    }
