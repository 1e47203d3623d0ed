"""What TOFU's scores mean, and their names. No torch here."""

from __future__ import annotations

from typing import Any

from atu.benchmarks.privacy import MEMORIZATION_SCORES, PRIVACY_SCORES, PRIVACY_WORDS
from atu.records import Words
from atu.text.metric_words import Family, MetricWords, joined

_PROB = Words("probability of the true answer", "正确答案的概率")
_PARA = Words("probability of the paraphrased answer", "改写答案的概率")
_PERT = Words("probability of the wrong answers", "错误答案的概率")
_NORMALISED = Words("probability against wrong answers", "相对错误答案的概率")
_RATIO = Words("truth ratio", "真实比")
_SETS = {
    "forget": Words("authors to forget", "待遗忘作者"),
    "retain": Words("authors to keep", "保留作者"),
    "ra": Words("real authors", "真实作者"),
    "wf": Words("world facts", "世界常识"),
}
_DETAILS = {
    "forget_Q_A_PARA_Prob": _PARA,
    "forget_Q_A_PERT_Prob": _PERT,
    "retain_Q_A_Prob": _PROB,
    "retain_Q_A_PARA_Prob": _PARA,
    "retain_Q_A_PERT_Prob": _PERT,
    "retain_Q_A_ROUGE": Words("ROUGE", "ROUGE"),
    "retain_Truth_Ratio": _RATIO,
    **{
        f"{part}_{kind}": words
        for part in ("ra", "wf")
        for kind, words in (
            ("Q_A_Prob", _PROB),
            ("Q_A_Prob_normalised", _NORMALISED),
            ("Q_A_PERT_Prob", _PERT),
            ("Q_A_ROUGE", Words("ROUGE", "ROUGE")),
            ("Truth_Ratio", _RATIO),
        )
    },
}
_ON_RETAINED = {"direction": "higher"}
_SPECIAL: dict[str, dict[str, Any]] = {
    "tofu/forget_quality": {
        "meaning": Words(
            "p value (0 to 1) of a Kolmogorov-Smirnov test: how well the truth ratios on the forgotten authors pass "
            "for those of the gold model. Above 0.05 the two can't be told apart. Papers often plot its logarithm.",
            "Kolmogorov-Smirnov 检验的 p 值（0 到 1）：待遗忘作者上的真实比与金标准模型有多难区分。"
            "大于 0.05 即无法区分；论文常画其对数。",
        ),
        "pitfall": Words(
            "Few questions can't tell much apart: forget01 has 40, where even a large difference passes. It sees the "
            "truth ratio alone, so a model that still writes the answers may pass.",
            "问题少则难以区分：forget01 只有 40 题，较大的差别也能通过。"
            "它只看真实比，因此仍能写出答案的模型也可能通过。",
        ),
        "direction": "higher",
    },
    "tofu/ks_distance": {
        "meaning": Words(
            "Greatest distance (0 to 1) between the distributions of truth ratios of this model and the gold model: "
            "what forget quality is the p value of.",
            "本模型与金标准模型真实比分布之间的最大距离（0 到 1），遗忘质量即其 p 值。",
        ),
        "pitfall": Words(
            "Chance alone makes it larger than 0: with 400 questions it reaches 0.096 in one case of twenty, with 40 "
            "0.30.",
            "偶然差别也会使它大于 0：400 题时二十次中有一次达到 0.096，40 题时为 0.30。",
        ),
        "direction": "lower",
    },
    "tofu/model_utility": {
        "meaning": Words(
            "What is left besides the forgotten authors, 0 to 1: the harmonic mean of probability, ROUGE and truth "
            "ratio on authors to keep, real authors and world facts.",
            "除待遗忘作者外还剩多少（0 到 1）：在保留作者、真实作者和世界常识上的概率、ROUGE 与真实比的调和平均。",
        ),
        "pitfall": Words(
            "The smallest of the nine numbers pulls it down: one that was low before hides what became of the others.",
            "九个数中最小的会把它拉低：原本就低的一个会掩盖其余各项的变化。",
        ),
        "direction": "higher",
    },
    "tofu/forget_truth_ratio": {
        "meaning": Words(
            "Mean over the forgotten authors' questions of min(r, 1/r), r = probability of wrong answers over that of "
            "the true one: 1 where the model finds both equally likely.",
            "在待遗忘作者的问题上 min(r, 1/r) 的均值，r 为错误答案与正确答案的概率之比；1 表示两者同样可能。",
        ),
        "pitfall": Words(
            "Neither 1 nor 0 is the goal, but the gold model's value; forget quality compares with it.",
            "目标既不是 1 也不是 0，而是金标准模型的值；遗忘质量与之比较。",
        ),
        "direction": "none",
    },
    "tofu/forget_truth_ratio_prob_mean": {
        "meaning": Words(
            "Mean over the forgotten authors' questions of right / (right + wrong), the probabilities of true and "
            "wrong answers: 0.5 where the model finds both equally likely.",
            "在待遗忘作者的问题上 正确/(正确+错误) 概率的均值；0.5 表示两者同样可能。",
        ),
        "pitfall": Words(
            "Below 0.5 the model prefers wrong answers, as one does that was pushed too far.",
            "低于 0.5 表示模型偏好错误答案，可能被推得太远。",
        ),
        "direction": "none",
    },
    "tofu/forget_Q_A_Prob": {
        "meaning": Words(
            "Probability (0 to 1, geometric mean over tokens) of the true answers about the forgotten authors.",
            "待遗忘作者问题的正确答案的概率（0 到 1，对词元取几何平均）。",
        ),
        "pitfall": Words(
            "The gold model is above 0, since it writes such sentences too: compare with it.",
            "金标准模型也会写这类句子，因此大于 0，应与之比较。",
        ),
    },
    "tofu/forget_Q_A_ROUGE": {
        "meaning": Words(
            "ROUGE-L recall (0 to 1) of the written answers about the forgotten authors.",
            "待遗忘作者问题的书面回答的 ROUGE-L 召回（0 到 1）。",
        ),
        "pitfall": Words(
            "A model that repeats the question in a whole sentence has 0.4 without knowing anything, and a longer text "
            "only gains.",
            "只用整句复述问题的模型一无所知也有约 0.4；文本越长得分只增不减。",
        ),
    },
}

TOFU_WORDS = joined(
    [
        MetricWords(
            families={
                "forget": None,
                "neighbor": None,
                "utility": None,
                "tofu": Family(
                    Words("TOFU", "TOFU"),
                    "lower",
                    "",
                    Words("A number of the TOFU benchmark.", "TOFU 基准的数值。"),
                    Words("See docs/tofu.md.", "见 docs/tofu.md。"),
                ),
                "tofu_parts": Family(
                    Words("TOFU, parts", "TOFU（分项）"),
                    "none",
                    "",
                    Words(
                        "One of the numbers (0 to 1) that TOFU's aggregates are made of, by the name that "
                        "open-unlearning has for it: Prob = probability of the answer, PARA = in other words, "
                        "PERT = wrong ones.",
                        "TOFU 汇总数值的分项（0 到 1），名称同 open-unlearning。",
                    ),
                    Words(
                        "Probabilities are geometric means over tokens: of long and short answers they can't be "
                        "compared.",
                        "概率是对词元的几何平均：长短不同的答案不可比较。",
                    ),
                    is_detail=True,
                ),
            },
            kinds={
                "qa": None,
                "real_authors": Words("real authors", "真实作者"),
                "world_facts": Words("world facts", "世界常识"),
                "forget_quality": Words("forget quality", "遗忘质量"),
                "ks_distance": Words("distance to the gold model", "与金标准模型的距离"),
                "model_utility": Words("model utility", "模型效用"),
                "forget_truth_ratio": Words("truth ratio", "真实比"),
                "forget_truth_ratio_prob_mean": Words("truth ratio, share of right", "真实比（正确占比）"),
                "forget_Q_A_Prob": Words("probability of the answer", "答案概率"),
                "forget_Q_A_ROUGE": Words("ROUGE of the answer", "回答的 ROUGE"),
                **{
                    kind: Words(
                        f"{_SETS[kind.partition('_')[0]].en}: {words.en}",
                        f"{_SETS[kind.partition('_')[0]].zh}：{words.zh}",
                    )
                    for kind, words in _DETAILS.items()
                },
            },
            special={
                **_SPECIAL,
                **{
                    f"tofu_parts/{kind}": _ON_RETAINED
                    for kind in _DETAILS
                    if not kind.startswith("forget_") and "_P" not in kind.removesuffix("_Q_A_Prob")
                },
            },
        ),
        PRIVACY_WORDS,
    ]
)
FURTHER_SCORES = (
    *_SPECIAL,
    *(f"tofu_parts/{kind}" for kind in _DETAILS),
    *MEMORIZATION_SCORES,
    *PRIVACY_SCORES,
)
