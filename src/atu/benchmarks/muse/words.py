"""What MUSE's scores mean. No torch here."""

from __future__ import annotations

from typing import Any

from atu.benchmarks.privacy import PRIVACY_WORDS
from atu.records import Words
from atu.text.metric_words import MetricWords, joined

_ROUGE: dict[str, Any] = {
    "meaning": Words(
        "Mean ROUGE-L F1 of the answers to questions about the texts, behind worked examples. The goal on texts to "
        "forget is the score of a model that never read them, on the others that of the model before.",
        "在若干示例之后，对有关文本的问题的回答的平均 ROUGE-L F1。对待遗忘文本，目标是从未读过它们的模型的得分；"
        "对其他文本，目标是遗忘之前的得分。",
    ),
    "pitfall": Words(
        "Short answers share words by chance, so it is not 0 without knowledge, and it falls in a broken model too.",
        "简短回答会偶然共用词语，因此没有知识时也不为 0；模型损坏时它同样会下降。",
    ),
}

MUSE_WORDS = joined(
    [
        MetricWords(
            families={"forget": None, "neighbor": None},
            kinds={
                "knowmem": Words("knowledge", "知识记忆"),
                "verbmem": Words("word for word", "逐字记忆"),
            },
            special={
                "forget/knowmem": _ROUGE,
                "neighbor/knowmem": _ROUGE,
                "forget/verbmem": {
                    "meaning": Words(
                        "Mean ROUGE-L F1 of what the model writes behind the beginning of a text to forget. Goal: "
                        "the score of a model that never read it.",
                        "在待遗忘文本的开头之后，模型续写内容的平均 ROUGE-L F1。目标是从未读过该文本的模型的得分。",
                    ),
                    "pitfall": Words(
                        "Any fluent continuation shares words with the true one (about 20%): less than a model that "
                        "never read the text is forgotten too much, or broken.",
                        "任何通顺的续写都会与原文共用一些词（约 20%）；低于从未读过该文本的模型，"
                        "说明遗忘过度或模型已损坏。",
                    ),
                },
            },
        ),
        PRIVACY_WORDS,
    ]
)
