"""The one table of score and metric names: what each means, which way is good, how it can mislead."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

Direction = Literal["lower", "higher", "none"]

KNOWN_SUFFIX = "@known"
"""Ends the name of a score over the probes that the untouched model answered rightly."""


class Words(NamedTuple):
    """The same words in both languages of the report."""

    en: str
    zh: str


DIRECTIONS: dict[Direction, tuple[str, Words]] = {
    "lower": ("↓", Words("lower is better", "越低越好")),
    "higher": ("↑", Words("higher is better", "越高越好")),
    "none": ("·", Words("neither direction is better by itself", "本身无好坏方向")),
}
"""Direction → arrow and words."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What a reader must know of one number."""

    name: str
    family: str
    """First part of the name: `forget`, `neighbor`, `utility`, `train`, ..."""
    label: Words
    """Label that stands alone, such as `Forget · fill in the blank`."""
    short: Words
    """Label below a heading that already names the family."""
    direction: Direction
    unit: str
    """`%`, `nats/token`, ...; empty for a plain number."""
    meaning: Words
    pitfall: Words
    """How the number can mislead."""

    @property
    def arrow(self) -> str:
        """`↓` lower is better, `↑` higher is better, `·` neither."""
        return DIRECTIONS[self.direction][0]


class _Family(NamedTuple):
    label: Words
    direction: Direction
    unit: str
    meaning: Words
    pitfall: Words


FAMILIES: dict[str, _Family] = {
    "forget": _Family(
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
    "attack": _Family(
        Words("Forget, by attack", "遗忘（按攻击方式）"),
        "lower",
        "%",
        Words(
            "What is still answered rightly to adversarial questions of one kind.",
            "对某一类对抗性提问仍能答对的比例。",
        ),
        Words("Few questions of each kind: mind the interval.", "每一类的问题很少，须看区间。"),
    ),
    "language": _Family(
        Words("Forget, by language", "遗忘（按语言）"),
        "lower",
        "%",
        Words(
            "What is still answered rightly to adversarial questions in another language.",
            "对用另一种语言提出的对抗性问题仍能答对的比例。",
        ),
        Words(
            "Few questions each, and a model that does not speak the language scores low without any forgetting.",
            "每种语言的问题很少；不会该语言的模型无需遗忘也会得低分。",
        ),
    ),
    "neighbor": _Family(
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
    "utility": _Family(
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
    "mia": _Family(
        Words("Membership", "成员推断"),
        "none",
        "nats/token",
        Words("Mean loss on passages.", "文本片段上的平均损失。"),
        Words(
            "A mean over texts, not an attack's success rate; any change of style moves it.",
            "这是文本均值而非攻击成功率；任何文风变化都会影响它。",
        ),
    ),
    "degenerate": _Family(
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
    "unfinished_thinking": _Family(
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
    "nll": _Family(
        Words("NLL of right answers", "原正确回答的 NLL"),
        "lower",
        "nats/token",
        Words(
            "Negative log-likelihood: how unlikely the right answers are that the untouched model gave; "
            "it does not flicker as counts of right answers do.",
            "负对数似然：原模型的正确回答现在有多不可能；它不像答对率那样波动。",
        ),
        Words(
            "A few answers that became very unlikely move the mean, and another wording of the same fact "
            "may still be likely.",
            "少数变得极不可能的回答会拉动均值；同一事实换一种说法仍可能很容易说出。",
        ),
    ),
    "train": _Family(
        Words("Training", "训练"),
        "none",
        "",
        Words("A number of the unlearning steps.", "遗忘训练步骤中的数值。"),
        Words("Training numbers say nothing of what was forgotten.", "训练数值并不说明遗忘了什么。"),
    ),
    "align": _Family(
        Words("Alignment", "对齐"),
        "none",
        "",
        Words("A number of the predictor's alignment.", "预测器对齐过程中的数值。"),
        Words("Alignment numbers say nothing of what was forgotten.", "对齐数值并不说明遗忘了什么。"),
    ),
    "signal": _Family(
        Words("Signal", "信号"),
        "none",
        "",
        Words("A training-side number that the stop rule may look at.", "停止规则可参考的训练侧数值。"),
        Words("Never a benchmark score.", "它不是评测得分。"),
    ),
}
"""First part of a name → what all names of it share. The order is that of every table."""

KINDS: dict[str, Words] = {
    "all": Words("all questions", "全部问题"),
    "all_fixed": Words("all questions, published weights", "全部问题（论文权重）"),
    "all_own": Words("all questions, own counts", "全部问题（自身题数）"),
    "fb": Words("fill in the blank", "填空"),
    "fb_f1": Words("fill in the blank, F1", "填空（F1）"),
    "qa": Words("question and answer", "问答"),
    "qa_f1": Words("question and answer, F1", "问答（F1）"),
    "aa": Words("adversarial attacks", "对抗性提问"),
    "aa_f1": Words("adversarial attacks, F1", "对抗性提问（F1）"),
    "fm": Words("texts about the concept", "关于该概念的文本"),
    "rt": Words("texts about others", "关于其他概念的文本"),
    "auc_loss": Words("AUC of LOSS", "LOSS 的 AUC"),
    "auc_zlib": Words("AUC of zlib", "zlib 的 AUC"),
    "auc_mink": Words("AUC of Min-K", "Min-K 的 AUC"),
    "auc_mink++": Words("AUC of Min-K++", "Min-K++ 的 AUC"),
    "gen": Words("general knowledge", "常识"),
    "rea": Words("reasoning", "推理"),
    "tru": Words("truthfulness", "真实性"),
    "tru_mc2": Words("truthfulness, MC2", "真实性（MC2）"),
    "fac": Words("factuality", "事实性"),
    "fac_recall": Words("factuality, recall", "事实性（召回）"),
    "flu": Words("fluency", "流畅度"),
    "prefix_injection": Words("prefix injection", "前缀注入"),
    "affirmative_suffix": Words("affirmative suffix", "肯定后缀"),
    "role_play": Words("role play", "角色扮演"),
    "multiple_choice": Words("multiple choice", "选择题"),
    "reverse_query": Words("reverse query", "反向提问"),
    "context_hint": Words("context hint", "上下文提示"),
    "synonym_manipulation": Words("synonym manipulation", "同义替换"),
    "incontext_learning": Words("in-context learning", "上下文学习"),
    "cross_lingual": Words("cross-lingual", "跨语言"),
    "Spanish": Words("Spanish", "西班牙语"),
    "French": Words("French", "法语"),
    "German": Words("German", "德语"),
    "Portuguese": Words("Portuguese", "葡萄牙语"),
    "Italian": Words("Italian", "意大利语"),
    "Russian": Words("Russian", "俄语"),
    "forget": Words("on the concept", "关于该概念"),
    "neighbor": Words("on neighbors", "关于邻近概念"),
    "utility": Words("on general questions", "关于通用问题"),
    "loss": Words("loss", "损失"),
    "train/forget": Words("forget term", "遗忘项"),
    "embedding": Words("embedding term", "嵌入项"),
    "distill": Words("distillation term", "蒸馏项"),
    "token": Words("token term", "词元项"),
    "npo": Words("NPO term", "NPO 项"),
    "retain": Words("retain term", "保留项"),
    "alignment": Words("alignment term", "对齐项"),
    "contrastive": Words("contrastive term", "对比项"),
    "grad_norm": Words("gradient norm", "梯度范数"),
    "lr": Words("learning rate", "学习率"),
    "held_out_cosine": Words("held-out cosine", "留出集余弦"),
    "constant_cosine": Words("cosine of the constant mean", "常数均值的余弦"),
    "retrieval_top1": Words("top-1 retrieval", "检索 top-1"),
    "concept_nll_rise": Words("rise of the concept's NLL", "概念 NLL 的上升"),
    "retain_kl": Words("KL on retain texts", "保留文本上的 KL"),
}
"""Second part of a name (or the whole name, which goes first) → its words, in table order."""

_KIND_NOTES: dict[str, Words] = {
    "all": Words("All kinds of questions together.", "所有题型合计。"),
    "fb": Words("Asked as a sentence with a gap.", "以填空句提问。"),
    "qa": Words("Asked plainly.", "直接提问。"),
    "aa": Words(
        "Asked so as to coax the knowledge out: rephrased, reversed, with choices or with a hint.",
        "以诱导方式提问：改写、反问、给出选项或提示。",
    ),
}
"""What a kind of question adds to the meaning of its family."""

_AUC: dict[str, Any] = {
    "unit": "%",
    "direction": "none",
    "meaning": Words(
        "Chance that a text about the concept looks more like training data than one about others.",
        "关于该概念的文本比其他文本更像训练数据的概率。",
    ),
    "pitfall": Words(
        "Half is no attack, not no membership: both sets were seen. Only the change by unlearning counts.",
        "50% 表示攻击无效，并非未见过：两组文本都可能被训练过。只有遗忘前后的变化才有意义。",
    ),
}

_SPECIAL: dict[str, dict[str, Any]] = {
    **{f"mia/auc_{attack}": _AUC for attack in ("loss", "zlib", "mink", "mink++")},
    "nll/forget": {"direction": "higher"},
    "mia/fm": {"direction": "higher"},
    "mia/rt": {"direction": "lower"},
    "utility/flu": {
        "unit": "bits × 100",
        "meaning": Words("Entropy of the 2- and 3-grams of free answers.", "自由回答的二元与三元词组熵。"),
        "pitfall": Words("Varied gibberish scores high.", "多样的胡言乱语也会得高分。"),
    },
    "train/grad_norm": {
        "meaning": Words("Norm of the gradient before clipping.", "裁剪前的梯度范数。"),
    },
    "train/retain": {
        "meaning": Words("How far the model moved on texts that it should keep.", "模型在应保留文本上的偏移。"),
    },
    "align/loss": {"direction": "lower"},
    "signal/concept_nll_rise": {
        "direction": "higher",
        "unit": "nats/token",
        "meaning": Words(
            "How much less likely became what held-out texts tell of the concept: its words, names and numbers.",
            "在关于该概念的留出文本上，所述内容（其词语、名称与数字）的可能性下降了多少。",
        ),
    },
    "signal/retain_kl": {
        "direction": "lower",
        "unit": "nats/token",
        "meaning": Words(
            "How far the model moved from the untouched one on held-out texts about other things.",
            "在其他内容的留出文本上，模型相对原模型的偏移。",
        ),
    },
    "align/held_out_cosine": {
        "direction": "higher",
        "meaning": Words(
            "Cosine of predicted and true window embeddings on texts never trained on.",
            "在未训练文本上预测与真实窗口嵌入的余弦。",
        ),
        "pitfall": Words(
            "Means nothing alone: the constant mean embedding scores well above 0 too.",
            "单看没有意义：常数均值嵌入的得分也远高于 0。",
        ),
    },
    "align/constant_cosine": {
        "meaning": Words(
            "What a predictor that always gives the mean embedding scores on the same texts.",
            "总是输出均值嵌入的预测器在同样文本上的得分。",
        ),
    },
    "align/retrieval_top1": {
        "direction": "higher",
        "meaning": Words(
            "Share of held-out windows whose own embedding is the nearest to the prediction.",
            "留出窗口中，自身嵌入与预测最近的比例。",
        ),
    },
}
"""What single names say differently from their family."""


def describe(name: str) -> Metric:
    """Describe a score or metric by name; an unknown name gets a neutral description.

    Args:
        name: such as `forget/fb`, `forget/all@known` or `train/loss`.
    """
    base, known = name.removesuffix(KNOWN_SUFFIX), name.endswith(KNOWN_SUFFIX)
    family_name, _, kind = base.partition("/")
    family = FAMILIES.get(family_name)
    if family is None:
        return _unknown(name)
    plain = kind.replace("_", " ") or family_name
    short = KINDS.get(base) or KINDS.get(kind) or Words(plain, plain)
    label = Words(f"{family.label.en} · {short.en}", f"{family.label.zh} · {short.zh}")
    metric = Metric(
        name=name,
        family=family_name,
        label=label,
        short=short,
        direction=family.direction,
        unit=family.unit,
        meaning=_joined(family.meaning, _KIND_NOTES.get(kind)),
        pitfall=family.pitfall,
    )
    metric = replace(metric, **_SPECIAL.get(base, {}))
    return _of_known(metric) if known and family_name != "nll" else metric


def sort_key(name: str) -> tuple[int, int, str, bool]:
    """Order of names in every table: family, then kind, then a score before its `@known` form."""
    base = name.removesuffix(KNOWN_SUFFIX)
    family, _, kind = base.partition("/")
    families, kinds = list(FAMILIES), list(KINDS)
    return (
        families.index(family) if family in families else len(families),
        kinds.index(kind) if kind in kinds else len(kinds),
        base,
        name != base,
    )


def _joined(words: Words, more: Words | None) -> Words:
    return words if more is None else Words(f"{words.en} {more.en}", words.zh + more.zh)


def _of_known(metric: Metric) -> Metric:
    return replace(
        metric,
        label=Words(f"{metric.label.en}, known before", f"{metric.label.zh}（原先已知）"),
        short=Words("known before", "原先已知"),
        meaning=_joined(
            metric.meaning,
            Words("Only questions that the untouched model answered rightly.", "仅限原模型答对的问题。"),
        ),
        pitfall=_joined(
            metric.pitfall,
            Words(
                "It starts at 100% by choice of the questions, so chance alone lowers it.",
                "由于问题的选法，起点即为 100%，偶然波动也会使它下降。",
            ),
        ),
    )


def _unknown(name: str) -> Metric:
    return Metric(
        name=name,
        family=name.partition("/")[0],
        label=Words(name, name),
        short=Words(name, name),
        direction="none",
        unit="",
        meaning=Words("A number without a description here.", "此数值没有说明。"),
        pitfall=Words("Ask whoever logged it what it means.", "请向记录者确认其含义。"),
    )
