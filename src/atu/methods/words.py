"""What the numbers of training mean. No torch here."""

from __future__ import annotations

from atu.methods.terms import TERMS
from atu.records import Words
from atu.text.metric_words import Family, MetricWords

_TERMS = {name: term() for name, term in TERMS.items()}

TRAINING_WORDS = MetricWords(
    families={
        "train": Family(
            Words("Training", "训练"),
            "none",
            "",
            Words("A number of the unlearning steps.", "遗忘训练步骤中的数值。"),
            Words("Training numbers say nothing of what was forgotten.", "训练数值并不说明遗忘了什么。"),
        ),
        "align": Family(
            Words("Alignment", "对齐"),
            "none",
            "",
            Words("A number of the predictor's alignment.", "预测器对齐过程中的数值。"),
            Words("Alignment numbers say nothing of what was forgotten.", "对齐数值并不说明遗忘了什么。"),
        ),
        "signal": Family(
            Words("Signal", "信号"),
            "none",
            "",
            Words("A training-side number that the stop rule may look at.", "停止规则可参考的训练侧数值。"),
            Words("Never a benchmark score.", "它不是评测得分。"),
        ),
    },
    kinds={
        "loss": Words("loss", "损失"),
        **{f"train/{name}": Words(f"{term.label.en} term", f"{term.label.zh} 项") for name, term in _TERMS.items()},
        "train/distill": Words("distillation term", "自蒸馏项"),  # of either teacher
        # Of runs before terms had names of their own.
        "train/forget": Words("forget term", "遗忘项"),
        "embedding": Words("embedding term", "嵌入项"),
        "token": Words("token term", "词元项"),
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
    },
    special={
        **{f"train/{name}": {"meaning": term.sentence} for name, term in _TERMS.items()},
        "train/grad_norm": {
            "meaning": Words("Norm of the gradient before clipping.", "裁剪前的梯度范数。"),
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
                "How far the model moved from the reference on held-out texts about other things.",
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
    },
)
