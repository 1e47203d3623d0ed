"""Scores of membership attacks and of memorised texts, which several benchmarks have. No torch here.

A benchmark asks two sets of texts by probes of the groups MEMBERS and OTHERS. An answer to one has among its values
what `atu.evaluation.membership.attack_values` gives, and `gradnorm` where that was asked for; all are signed like a
loss: the higher, the less likely a member.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from atu.benchmarks.options import Option
from atu.records import Answer, Score, Words
from atu.text.metric_words import Family, MetricWords

if TYPE_CHECKING:
    from atu.evaluation.membership import MembershipSample

MEMBERS = "privacy/members"
"""Group of the texts that the model was trained on, and perhaps was to forget."""
OTHERS = "privacy/others"
"""Group of texts of the same kind that it was not trained on."""
ATTACKS = ("loss", "zlib", "min_k", "min_k++", "gradnorm", "reference")
"""Names in `answer.values`; `reference` is made of two models' `loss`."""
GRADNORM = Option(
    flag="--gradnorm",
    key="gradnorm",
    help="The membership attack by gradients too, which computes one for each text.",
    takes=bool,
    commands=("evaluate",),
)
PRIVACY_SCORES = (*(f"privacy/auc_{attack}" for attack in ATTACKS), "privacy/leak", "privacy/gap")
MEMORIZATION_SCORES = ("memorization/strength", "memorization/exact")


def privacy_scores(
    answers: Sequence[Answer], gold: Sequence[Answer] | None, *, samples: int, is_released: bool = False
) -> dict[str, Score]:
    """The AUC of each attack whose values the answers have, and how Min-K's compares with a gold model's.

    Args:
        answers: of one model; those of other groups play no part. Without a text on both sides there is no score.
        gold: of a model that never knew the members, to the same texts in the same order.
        samples: resamplings of the texts behind each 95% interval.
        is_released: give `privacy/leak` without a gold model too, as open-unlearning does: as if its AUC were 50%.
    """
    from atu.evaluation.membership import auc_gap, membership_auc, privacy_leak_score  # brings numpy

    own, other = _samples(answers), _samples(gold or ())
    if "loss" in own and "loss" in other:
        own["reference"] = _differences(own["loss"], other["loss"])
    scores = {
        f"privacy/auc_{attack}": membership_auc(own[attack].members, own[attack].others, samples=samples)
        for attack in ATTACKS
        if attack in own
    }
    if "min_k" in own and ("min_k" in other or is_released):
        scores["privacy/leak"] = privacy_leak_score(own["min_k"], other.get("min_k"), samples=samples)
    if "min_k" in own and "min_k" in other:
        scores["privacy/gap"] = auc_gap(own["min_k"], other["min_k"], samples=samples)
    return scores


def _samples(answers: Sequence[Answer]) -> dict[str, MembershipSample]:
    """The values of each attack that every text has."""
    from atu.evaluation.membership import MembershipSample

    members, others = ([answer.values for answer in answers if answer.group == group] for group in (MEMBERS, OTHERS))
    if not members or not others:
        return {}
    return {
        attack: MembershipSample(
            members=[values[attack] for values in members], others=[values[attack] for values in others]
        )
        for attack in ATTACKS
        if all(attack in values for values in (*members, *others))
    }


def _differences(own: MembershipSample, other: MembershipSample) -> MembershipSample:
    from atu.evaluation.membership import MembershipSample

    pairs = ((own.members, other.members), (own.others, other.others))
    members, others = ([one - gold for one, gold in zip(*pair, strict=True)] for pair in pairs)
    return MembershipSample(members=members, others=others)


_AUC: dict[str, Any] = {
    "unit": "%",
    "meaning": Words(
        "Chance that of two texts, one trained on and one not, the attack takes the first for the one trained on. "
        "100 = the model remembers all of them, 50 = they cannot be told apart, below 50 = they look less known than "
        "texts that it never saw.",
        "从训练过和未训练过的文本中各取一篇，攻击认出前者的概率。100 表示全部记得，50 表示无法区分，"
        "低于 50 表示它们比从未见过的文本还陌生。",
    ),
    "pitfall": Words(
        "The goal is the AUC of a model that never knew the texts, not 50 and not 0: two sets also differ in style and "
        "date, and texts that stand out as unknown give themselves away as well.",
        "目标是从未见过这些文本的模型的 AUC，而不是 50 或 0：两组文本在文风和日期上也有差别，"
        "而显得异常陌生的文本同样会暴露自己。",
    ),
}

PRIVACY_WORDS = MetricWords(
    families={
        "memorization": Family(
            Words("Memorisation", "记忆"),
            "lower",
            "%",
            Words(
                "How much of the texts to forget the model would write by itself, word for word.",
                "模型能逐字写出的待遗忘文本的比例。",
            ),
            Words(
                "Common phrases are guessed without having been seen, so a model that never knew the texts is above 0 "
                "as well: compare with it.",
                "常见短语不曾见过也能猜中，因此从未见过这些文本的模型也会高于 0，应与之比较。",
            ),
        ),
        "privacy": Family(
            Words("Membership", "成员推断"),
            "none",
            "nats/token",
            Words("Mean loss on whole texts.", "整篇文本上的平均损失。"),
            Words(
                "A mean over texts, not an attack's success rate; any change of style moves it.",
                "这是文本均值而非攻击成功率；任何文风变化都会影响它。",
            ),
        ),
    },
    kinds={
        "memorization/strength": Words("extraction strength", "提取强度"),
        "memorization/exact": Words("exact memorisation", "精确记忆"),
        "privacy/members": Words("texts trained on", "训练过的文本"),
        "privacy/others": Words("texts not trained on", "未训练过的文本"),
        "auc_min_k": Words("AUC of Min-K", "Min-K 的 AUC"),
        "auc_min_k++": Words("AUC of Min-K++", "Min-K++ 的 AUC"),
        "auc_loss": Words("AUC of LOSS", "LOSS 的 AUC"),
        "auc_zlib": Words("AUC of zlib", "zlib 的 AUC"),
        "auc_gradnorm": Words("AUC of GradNorm", "GradNorm 的 AUC"),
        "auc_reference": Words("AUC of Reference", "Reference 的 AUC"),
        "privacy/leak": Words("privacy leak", "隐私泄漏"),
        "privacy/gap": Words("AUC against the gold model's", "与金标准模型的 AUC 之差"),
    },
    notes={
        "strength": Words(
            "Here: the share that follows once the words before it are given.", "此处：给出前文后能自行续完的比例。"
        ),
        "exact": Words(
            "Here: the share of tokens that it has right, each behind the true words before it.",
            "此处：在真实前文之后逐个预测正确的词元比例。",
        ),
    },
    special={
        **{f"privacy/auc_{attack}": _AUC for attack in ATTACKS},
        "privacy/leak": {
            "unit": "%",
            "meaning": Words(
                "MUSE's PrivLeak: how far the AUC of Min-K is from the gold model's. 0 = as the gold model, which "
                "is the goal; -100 = every text is still known; above 0 = less known than to the gold model, which is "
                "forgotten too much.",
                "MUSE 的 PrivLeak：Min-K 的 AUC 与金标准模型相差多少。0 表示与金标准模型相同，即目标；"
                "-100 表示全部记得；大于 0 表示比金标准模型更陌生，即遗忘过度。",
            ),
            "pitfall": Words(
                "It has no upper bound: where the gold model's AUC is near 100 it reaches thousands. The gap of the "
                "AUCs beside it lies within 100 points.",
                "它没有上界：金标准模型的 AUC 接近 100 时可达数千。旁边的 AUC 之差不超过 100 个百分点。",
            ),
        },
        "privacy/gap": {
            "unit": "points",
            "meaning": Words(
                "AUC of Min-K minus the gold model's. 0 is the goal; above it the texts are still known, below it they "
                "look less known than to the gold model.",
                "Min-K 的 AUC 减去金标准模型的 AUC。0 是目标；大于 0 表示仍然记得，小于 0 表示比金标准模型更陌生。",
            ),
            "pitfall": Words(
                "Few texts make a wide interval: a gap whose interval holds 0 says nothing.",
                "文本少则区间宽：区间包含 0 的差距不能说明什么。",
            ),
        },
    },
)
