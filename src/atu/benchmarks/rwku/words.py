"""What RWKU's scores mean, and their names. No torch here."""

from __future__ import annotations

from typing import Any

from atu.benchmarks.rwku.prompts import TASKS
from atu.benchmarks.rwku.rows import ATTACK_TYPES
from atu.records import Words
from atu.text.metric_words import Family, MetricWords

GROUPS = tuple(group for parts in TASKS.values() for _, group, _ in parts)
_LANGUAGES = {
    "Spanish": Words("Spanish", "西班牙语"),
    "French": Words("French", "法语"),
    "German": Words("German", "德语"),
    "Portuguese": Words("Portuguese", "葡萄牙语"),
    "Italian": Words("Italian", "意大利语"),
    "Russian": Words("Russian", "俄语"),
}
_ATTACKS = {
    "prefix_injection": Words("prefix injection", "前缀注入"),
    "affirmative_suffix": Words("affirmative suffix", "肯定后缀"),
    "role_play": Words("role play", "角色扮演"),
    "multiple_choice": Words("multiple choice", "选择题"),
    "reverse_query": Words("reverse query", "反向提问"),
    "context_hint": Words("context hint", "上下文提示"),
    "synonym_manipulation": Words("synonym manipulation", "同义替换"),
    "incontext_learning": Words("in-context learning", "上下文学习"),
    "cross_lingual": Words("cross-lingual", "跨语言"),
}
"""`ATTACK_TYPES` as names of scores have them."""
_MEMBERSHIP = {
    "auc_loss": Words("AUC of LOSS", "LOSS 的 AUC"),
    "auc_zlib": Words("AUC of zlib", "zlib 的 AUC"),
    "auc_mink": Words("AUC of Min-K", "Min-K 的 AUC"),
    "auc_mink++": Words("AUC of Min-K++", "Min-K++ 的 AUC"),
}
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

RWKU_WORDS = MetricWords(
    families={
        "forget": None,
        "attack": Family(
            Words("Forget, by attack", "遗忘（按攻击方式）"),
            "lower",
            "%",
            Words(
                "What is still answered rightly to adversarial questions of one kind.",
                "对某一类对抗性提问仍能答对的比例。",
            ),
            Words("Few questions of each kind: mind the interval.", "每一类的问题很少，须看区间。"),
            is_detail=True,
        ),
        "language": Family(
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
            is_detail=True,
        ),
        "utility": None,
        "mia": Family(
            Words("Membership", "成员推断"),
            "none",
            "nats/token",
            Words("Mean loss on passages.", "文本片段上的平均损失。"),
            Words(
                "A mean over texts, not an attack's success rate; any change of style moves it.",
                "这是文本均值而非攻击成功率；任何文风变化都会影响它。",
            ),
        ),
    },
    kinds={
        "all": None,
        "all_fixed": Words("all questions, published weights", "全部问题（论文权重）"),
        "all_own": Words("all questions, own counts", "全部问题（自身题数）"),
        "fb": None,
        "fb_f1": Words("fill in the blank, F1", "填空（F1）"),
        "qa": None,
        "qa_f1": Words("question and answer, F1", "问答（F1）"),
        "aa": None,
        "aa_f1": Words("adversarial attacks, F1", "对抗性提问（F1）"),
        "fm": Words("texts about the concept", "关于该概念的文本"),
        "rt": Words("texts about others", "关于其他概念的文本"),
        **_MEMBERSHIP,
        "gen": None,
        "rea": Words("reasoning", "推理"),
        "tru": Words("truthfulness", "真实性"),
        "tru_mc2": Words("truthfulness, MC2", "真实性（MC2）"),
        "fac": Words("factuality", "事实性"),
        "fac_recall": Words("factuality, recall", "事实性（召回）"),
        "flu": Words("fluency", "流畅度"),
        **_ATTACKS,
        **_LANGUAGES,
    },
    special={
        **{f"mia/{kind}": _AUC for kind in _MEMBERSHIP},
        "mia/fm": {"direction": "higher"},
        "mia/rt": {"direction": "lower"},
        "utility/flu": {
            "unit": "bits × 100",
            "meaning": Words("Entropy of the 2- and 3-grams of free answers.", "自由回答的二元与三元词组熵。"),
            "pitfall": Words("Varied gibberish scores high.", "多样的胡言乱语也会得高分。"),
        },
    },
)


def _further_scores() -> tuple[str, ...]:
    """Names of scores that RWKU has besides those of its groups (`summary.py` computes them)."""
    questions = [group for group in GROUPS if group.startswith(("forget/", "neighbor/"))]
    written = [group for group in GROUPS if not group.startswith("mia/")]
    attacks = [kind.removeprefix("auc_") for kind in _MEMBERSHIP]
    return (
        *(f"{name}_f1" for name in questions),
        *(f"{side}/all_{weights}" for side in ("forget", "neighbor") for weights in ("fixed", "own")),
        *(f"utility/{kind}" for kind in ("rea_fixed", "tru_mc2", "fac_em", "fac_recall")),
        *(f"mia/{texts}_{attack}" for texts in ("fm", "rt") for attack in attacks if attack != "loss"),
        *(f"mia/{kind}" for kind in _MEMBERSHIP),
        *(f"attack/{attack.replace(' ', '_')}" for attack in ATTACK_TYPES),
        *(f"language/{language}" for language in _LANGUAGES),
        *(f"degenerate/{group.replace('/', '_')}" for group in written),
    )


FURTHER_SCORES = _further_scores()
