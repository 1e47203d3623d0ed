"""What the scores mean that come of asking any probes, and their names. No torch here."""

from __future__ import annotations

from collections.abc import Sequence

from atu.records import KNOWN_VALUES, UNFINISHED, Words
from atu.text.metric_words import KNOWN_SUFFIX, Family, MetricWords

POOLED = ("forget", "neighbor")
"""First parts of groups whose rows are scored together, too: `forget/all`."""
SIDES = ("forget", "neighbor", "utility")
"""First parts of groups of which broken answers are counted."""

SCORE_WORDS = MetricWords(
    families={
        "forget": Family(
            Words("Forget", "遗忘"),
            "lower",
            "%",
            Words(
                "Share of questions about the forgotten concept that the model still answers rightly.",
                "模型对被遗忘概念的问题仍能答对的比例。",
            ),
            Words(
                "It falls in a broken model too: read it beside the degenerate answers and the neighbors.",
                "模型损坏时它同样会下降，须与退化回答和邻近知识一起看。",
            ),
        ),
        "neighbor": Family(
            Words("Neighbor", "邻近知识"),
            "higher",
            "%",
            Words(
                "Share of questions about related concepts, which should stay known, that are answered rightly.",
                "对应当保留的相关概念的问题答对的比例。",
            ),
            Words(
                "Small models flicker by several points with nothing done, and neighbors far from the concept "
                "hide damage close to it.",
                "小模型本身会有几个百分点的波动；离概念较远的邻近问题会掩盖近处的损伤。",
            ),
        ),
        "utility": Family(
            Words("Utility", "通用能力"),
            "higher",
            "%",
            Words(
                "Score on general questions that have nothing to do with the concept.",
                "与该概念无关的通用问题上的得分。",
            ),
            Words(
                "Easy general facts survive damage that shows in longer or harder tasks.",
                "简单常识可能不受影响，而更长或更难的任务已经受损。",
            ),
        ),
        "degenerate": Family(
            Words("Degenerate answers", "退化回答"),
            "lower",
            "%",
            Words(
                "Share of answers that are empty, repeat themselves or are gibberish.",
                "空白、不断重复或不知所云的回答所占比例。",
            ),
            Words(
                "Only plain collapse counts: a fluent answer can be wrong, and a refusal is not degenerate.",
                "只统计明显的崩溃：流畅的回答也可能是错的，拒答不算退化。",
            ),
        ),
        "unfinished_thinking": Family(
            Words("Unfinished thoughts", "未完成的思考"),
            "lower",
            "%",
            Words(
                "Share of answers that are a thought without an end: the model never came to an answer.",
                "只有思考而没有结尾的回答所占比例：模型没有给出答案。",
            ),
            Words(
                "Such questions are neither right nor wrong and count for no other score; switch thinking off.",
                "这些问题不算对也不算错，不计入其他得分；请关闭思考。",
            ),
        ),
        "nll": Family(
            Words("NLL of right answers", "原正确回答的 NLL"),
            "lower",
            "nats/token",
            Words(
                "Negative log-likelihood: how unlikely the right answers are that the reference model gave; "
                "it does not flicker as counts of right answers do.",
                "负对数似然：原模型的正确回答现在有多不可能；它不像答对率那样波动。",
            ),
            Words(
                "A few answers that became very unlikely move the mean, and another wording of the same fact "
                "may still be likely.",
                "少数变得极不可能的回答会拉动均值；同一事实换一种说法仍可能很容易说出。",
            ),
            is_detail=True,
        ),
        "p": Family(
            Words("Probability of right answers", "原正确回答的概率"),
            "higher",
            "",
            Words(
                "How probable the words are (0 to 1) that made the reference model's answer right, read behind the "
                "question and the words before them; it moves by less than a hundredth where counts of right answers "
                "move by points.",
                "使原模型的回答算对的那几个词的概率（0 到 1），在问题和其前文之后读取；"
                "答对率波动几个百分点时，它的变化不到百分之一。",
            ),
            Words(
                "It holds one wording: a model that tells the same fact in other words has not forgotten it.",
                "它只看一种说法：换一种说法仍能说出同一事实的模型并没有遗忘。",
            ),
            is_detail=True,
        ),
    },
    kinds={
        "all": Words("all questions", "全部问题"),
        "fb": Words("fill in the blank", "填空"),
        "qa": Words("question and answer", "问答"),
        "aa": Words("adversarial attacks", "对抗性提问"),
        "gen": Words("general knowledge", "常识"),
        "forget": Words("on the concept", "关于该概念"),
        "neighbor": Words("on neighbors", "关于邻近概念"),
        "utility": Words("on general questions", "关于通用问题"),
    },
    notes={
        "all": Words("All kinds of questions together.", "所有题型合计。"),
        "fb": Words("Asked as a sentence with a gap.", "以填空句提问。"),
        "qa": Words("Asked plainly.", "直接提问。"),
        "aa": Words(
            "Asked so as to coax the knowledge out: rephrased, reversed, with choices or with a hint.",
            "以诱导方式提问：改写、反问、给出选项或提示。",
        ),
    },
    special={
        "nll/forget": {"direction": "higher"},
        "p/forget": {"direction": "lower"},
    },
)


def score_names(groups: Sequence[str]) -> list[str]:
    """Every name that `summarize` may give to the answers to probes of these groups."""
    pooled = [f"{side}/all" for side in POOLED if any(group.startswith(f"{side}/") for group in groups)]
    sides = [side for side in SIDES if any(group.startswith(f"{side}/") for group in groups)]
    asked = [group for group in groups if group.startswith(tuple(f"{side}/" for side in sides))]
    return [
        *groups,
        *pooled,
        *(f"{name}{KNOWN_SUFFIX}" for name in (*asked, *pooled)),
        *(f"degenerate/{side}" for side in sides),
        *(f"{name}/{side}{KNOWN_SUFFIX}" for name in KNOWN_VALUES for side in sides),
        *(f"{UNFINISHED}/{side}" for side in sides),
    ]
