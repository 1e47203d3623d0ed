"""Forget a concept of your own: from its name to a verdict.

    python examples/own_concept.py "Marie Curie" "a Polish-French physicist"

The model writes texts about the concept and proposes the questions that judge it. What it proposed lies in the run's
folder, in probes.jsonl; look through it before you trust the verdict (docs/own-concept.md).
"""

from __future__ import annotations

import sys

import atu


def main() -> None:
    """Unlearn, then show the scores and the answers that changed."""
    name, description = sys.argv[1], sys.argv[2]
    run = atu.unlearn("smollm2-135m-instruct", name, data="own", overrides={"data.description": description})

    print(run.scores.round(1).to_string())
    answers = run.answers[run.answers["group"].str.startswith("forget/")]
    for row in answers.itertuples():
        print(f"\n{row.prompt}\n  before: {row.text_before}\n  after:  {row.text_after}")
    print(f"\nmodel:  {run.model_dir}\nreport: {run.report}")


if __name__ == "__main__":
    main()
