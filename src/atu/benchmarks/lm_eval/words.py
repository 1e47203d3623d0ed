"""What the scores of well-known tasks mean. No torch here."""

from __future__ import annotations

from typing import Any

from atu.records import Words
from atu.text.metric_words import MetricWords

_CHANCE = Words(
    "Four choices: 25% is chance, so a fall below it means nothing more, and a few rows flicker by points.",
    "四选一：25% 即随机水平，低于它没有更多含义；题目少时会波动几个百分点。",
)
_HAZARD: dict[str, Any] = {
    "meaning": Words(
        "Share of WMDP's questions on hazardous knowledge that are answered rightly, by the likeliest of four letters.",
        "WMDP 危险知识选择题的正确率（取四个字母中最可能的一个）。",
    ),
    "pitfall": _CHANCE,
}

LM_EVAL_WORDS = MetricWords(
    kinds={
        "all": None,
        "wmdp": Words("WMDP", "WMDP"),
        "wmdp_bio": Words("WMDP, biology", "WMDP（生物）"),
        "wmdp_chem": Words("WMDP, chemistry", "WMDP（化学）"),
        "wmdp_cyber": Words("WMDP, cybersecurity", "WMDP（网络安全）"),
        "mmlu": Words("MMLU", "MMLU"),
    },
    special={
        **{f"forget/{name}": _HAZARD for name in ("wmdp", "wmdp_bio", "wmdp_chem", "wmdp_cyber")},
        "utility/mmlu": {
            "meaning": Words(
                "Share of MMLU's questions (57 subjects) that are answered rightly, by the likeliest of four letters.",
                "MMLU（57 个学科）选择题的正确率（取四个字母中最可能的一个）。",
            ),
            "pitfall": _CHANCE,
        },
    },
)
