"""Configuration of the unlearn loss: its terms, their weights, and what each term can be told."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from atu.errors import UserError

EmbeddingTerm = Literal["none", "push", "redirect", "enpo"]
RepresentationTerm = Literal["none", "rmu"]
TokenTerm = Literal["none", "distill", "ga", "npo", "simnpo", "dpo", "refusal"]
Teacher = Literal["masked", "bounded", "undial"]
Positions = Literal["windows", "all"]


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """The terms of the unlearn loss and their weights. An option that no chosen term reads must keep its default."""

    embedding: EmbeddingTerm = "none"
    """`push`: hinge on the cosine to the concept (the paper's loss); `redirect`: towards what the untouched
    model predicts when it cannot see the concept's words; `enpo`: NPO's gate on the cosine."""
    embedding_weight: float = 1.0
    embedding_positions: Positions = "windows"
    """Over which positions of a forget text the mean of an embedding term runs. `windows`: those that have a window,
    for which alone the predictor is trained. `all`: every position, and texts are filled up to `max_input_length` with
    end tokens that are read as text; only for `push` without any other term, as the released code has it."""
    target: Literal["name", "description"] = "name"
    """Of `push` and `enpo`: text whose embedding stands for the concept, its name, or name and description."""
    threshold_percentile: float = 95.0
    """Calibrated tau of `push`: this percentile of the cosines that true windows of other texts have to the concept."""
    representation: RepresentationTerm = "none"
    """`rmu`: hidden states at the hook layer towards a random direction."""
    representation_weight: float = 1.0
    steering: float = 5.0
    """Of `rmu`: length of the state to steer to, in lengths of the original state there (`adaptive_steering`) or as
    it is."""
    adaptive_steering: bool = True
    beta: float = 0.1
    """Inverse temperature of `enpo`, `npo` (alone or beside `distill`), `simnpo` and `dpo`."""
    token: TokenTerm = "none"
    """`distill`: self-distillation; `ga`: gradient ascent; `npo`, `simnpo`: negative preference optimisation with and
    without a reference; `dpo`: "I don't know" preferred to the text; `refusal`: likelihood of "I don't know"."""
    token_weight: float = 1.0
    teacher: Teacher = "masked"
    """Of `distill`. `masked`: the untouched model, which may not say the concept's words; `bounded`: moreover no
    token may be much likelier than it is to the untouched model that cannot see these words; `undial`: the untouched
    model with the logit of each token of the text lowered."""
    margin: float = 0.0
    """Nats by which a token may be likelier to the teacher `bounded` than to the model that cannot see the words."""
    hide_names: bool = False
    """Of the teachers `masked` and `bounded`: nor may a name or number of a forget text be said in its place."""
    npo_weight: float = 0.0
    """Of `distill`: weight of the loss of `npo` on the same texts up to the end of a turn, which is added; 0 leaves it
    out."""
    gamma: float = 0.0
    """Of `simnpo` the reward margin; of the teacher `undial` what the logit of a text's token is lowered by."""
    retain_weight: float = 1.0
    """KL to the untouched model on retain text, nats per token. 0 leaves the retain term out."""

    def __post_init__(self) -> None:
        for key in (
            "embedding_weight",
            "representation_weight",
            "token_weight",
            "npo_weight",
            "retain_weight",
            "margin",
            "gamma",
        ):
            if not getattr(self, key) >= 0:
                raise UserError(f"{key} must not be negative.")
        if not 0 <= self.threshold_percentile <= 100:
            raise UserError("threshold_percentile must lie in [0, 100].")
        for key in ("beta", "steering"):
            if not getattr(self, key) > 0:
                raise UserError(f"{key} must be positive.")
        if (self.embedding, self.representation, self.token) == ("none", "none", "none"):
            raise UserError("no forget term: set embedding, representation or token to something but 'none'.")
        self._check_options()
        if self.embedding_positions == "all" and (self.reads_above_hook or self.representation != "none"):
            raise UserError(
                "embedding_positions=all reads padding as text, which no other term may: set token=none, "
                "representation=none and retain_weight=0, or embedding_positions=windows."
            )
        if self._lowers_labels and self.gamma == 0:
            raise UserError("teacher=undial with gamma=0 is the untouched model itself: set gamma above 0, such as 10.")

    def _check_options(self) -> None:
        """Refuse what would have no effect: whoever sets an option believes that it has one."""
        is_read = {
            "embedding_weight": self.embedding != "none",
            "embedding_positions": self.embedding == "push",
            "target": self.embedding in ("push", "enpo"),
            "threshold_percentile": self.embedding == "push",
            "representation_weight": self.representation == "rmu",
            "steering": self.representation == "rmu",
            "adaptive_steering": self.representation == "rmu",
            "beta": self.embedding == "enpo" or self.token in ("npo", "simnpo", "dpo") or self.npo_weight > 0,
            "token_weight": self.token != "none",
            "teacher": self.token == "distill",
            "margin": self.token == "distill" and self.teacher == "bounded",
            "hide_names": self.token == "distill" and not self._lowers_labels,
            "npo_weight": self.token == "distill",
            "gamma": self.token == "simnpo" or self._lowers_labels,
        }
        for option in dataclasses.fields(self):
            value = getattr(self, option.name)
            if value != option.default and not is_read.get(option.name, True):
                raise UserError(
                    f"{option.name}={value} has no effect with {', '.join(self.terms())}: leave it at {option.default}."
                )

    def terms(self) -> list[str]:
        """The forget terms as the config names them, such as `token=distill (teacher=masked)`."""
        named = {"embedding": self.embedding, "representation": self.representation, "token": self.token}
        found = [f"{kind}={term}" for kind, term in named.items() if term != "none"]
        return [f"{term} (teacher={self.teacher})" if term == "token=distill" else term for term in found]

    @property
    def _lowers_labels(self) -> bool:
        return self.token == "distill" and self.teacher == "undial"

    @property
    def reads_hook(self) -> bool:
        """Whether a term reads the hook layer."""
        return self.embedding != "none" or self.representation != "none"

    @property
    def reads_above_hook(self) -> bool:
        """Whether a term reads the model above the hook layer."""
        return self.token != "none" or self.retain_weight > 0

    @property
    def reads_forget_logits(self) -> bool:
        """Whether a term reads what the model says on the forget texts."""
        return self.token not in ("none", "refusal")

    @property
    def reads_forget_texts(self) -> bool:
        """Whether the model reads the forget texts in a step."""
        return self.reads_hook or self.reads_forget_logits

    @property
    def needs_original_logits(self) -> bool:
        """Whether a term compares with what the untouched model says on the forget texts."""
        return self.token in ("distill", "npo", "dpo")

    @property
    def needs_original_hook(self) -> bool:
        """Whether a term compares with the untouched model's states at the hook layer on the forget texts."""
        return self.embedding == "enpo" or (self.representation == "rmu" and self.adaptive_steering)

    @property
    def needs_blind_logits(self) -> bool:
        """Whether a term compares with what the untouched model says that cannot see the concept's words."""
        return self.token == "distill" and self.teacher == "bounded"

    @property
    def needs_blind_hook(self) -> bool:
        """Whether a term compares with that model's states at the hook layer."""
        return self.embedding == "redirect"

    @property
    def needs_blind_states(self) -> bool:
        """Whether a term compares with the untouched model that cannot see the concept's words."""
        return self.needs_blind_hook or self.needs_blind_logits

    @property
    def needs_concept_words(self) -> bool:
        """Whether a term must know which tokens speak of the concept."""
        return self.needs_blind_states or self.needs_concept_tokens

    @property
    def needs_concept_tokens(self) -> bool:
        """Whether the concept's words are forgotten by their tokens alone."""
        return self.token == "distill" and self.teacher == "masked"

    @property
    def needs_refusals(self) -> bool:
        """Whether a term reads "I don't know" in place of the forget texts."""
        return self.token in ("dpo", "refusal")
