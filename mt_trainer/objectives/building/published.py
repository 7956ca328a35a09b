"""What a setting is equal to: a simpler objective, of which it is a limit, or a published variant.

Nothing is said for an objective with a z-loss, which is no part of any of them. A recipe's numbers do not change.
"""

import math
from dataclasses import dataclass
from typing import Literal

from mt_trainer.config.objective import (
    AntiFocalConfig,
    BrierConfig,
    ConfidencePenaltyConfig,
    CrossEntropyConfig,
    DistillationConfig,
    EarthMoverConfig,
    ErrorNormTruncationConfig,
    FocalConfig,
    GoldDeltaConfig,
    GraduatedLabelSmoothingConfig,
    LabelSmoothingConfig,
    LossTruncationConfig,
    MixCEConfig,
    RDropConfig,
    SingleObjective,
    SparseDistillationConfig,
    SphericalConfig,
    TaiLrConfig,
    UnlikelihoodConfig,
    WeightedLabelSmoothingConfig,
)
from mt_trainer.config.objective.scheduled import ShareSchedule

CONVENTIONS = {
    "torch": "torch.nn.CrossEntropyLoss(label_smoothing={epsilon}); Sockeye, Marian, OpenNMT-py since 3.0.3, "
    "fairseq before February 2021",
    "fairseq": "label_smoothed_cross_entropy of fairseq since 791ab7c2; tensor2tensor and THUMT, which subtract a "
    "constant",
    "no_pad": "JoeyNMT and OpenNMT-py up to 3.0.2, which subtract a constant",
    "kl": "LabelSmoothingLoss of the tutorial that this project started from",
}

SCORES = "the official recipe for TED fr-en, where it follows 13,000 steps of cross-entropy"

RECIPES: tuple[tuple[SingleObjective, str], ...] = (
    (
        TaiLrConfig(name="tailr", gamma=0.1, min_weight=0.3, epsilon=0.1, weight_from="train"),
        "the official recipe for IWSLT14 de-en",
    ),
    (
        TaiLrConfig(name="tailr", gamma=1e-7, min_weight=0.2, epsilon=0.0, weight_from="train"),
        "the official recipe for synthetic captions",
    ),
    (
        ConfidencePenaltyConfig(name="confidence_penalty", beta=2.5, threshold=None, prior="uniform"),
        "the setting of Pereyra et al. 2017 for WMT14 en-de",
    ),
    (
        AntiFocalConfig(name="anti_focal", alpha=0.5, gamma=1.0),
        "the official recipe for IWSLT14 and IWSLT17",
    ),
    (
        LossTruncationConfig(
            name="loss_truncation", fraction=0.4, window=10_000, min_count=10_000, epsilon=0.0, start_step=0
        ),
        "the defaults of ddkang/loss_dropper, but for when its quantile is taken anew",
    ),
    (BrierConfig(name="brier", epsilon=0.1), SCORES),
    (SphericalConfig(name="spherical", epsilon=0.1), SCORES),
    (EarthMoverConfig(name="emo", variant=1, adaptive=True), "emo1_adaptive of DRSY/EMO"),
    (EarthMoverConfig(name="emo", variant=2, adaptive=True), "emo2_adaptive of DRSY/EMO"),
    (
        RDropConfig(name="r_drop", alpha=5.0, epsilon=0.1, convention="torch"),
        "the official recipe for IWSLT14 de-en",
    ),
    (
        RDropConfig(name="r_drop", alpha=5.0, epsilon=0.1, convention="fairseq"),
        "label_smoothed_cross_entropy_with_rdrop of fairseq, with its alpha of 5",
    ),
)
"""Settings of papers and of released code. Every key counts: with any other value it is another objective."""


@dataclass(frozen=True)
class Equal:
    """What an objective is equal to.

    Attributes:
        text: for people.
        other: the simpler objective with the same value and gradient, for R-Drop that of either pass; None for a
            published variant.
    """

    text: str
    other: SingleObjective | None = None


def equal_to(objective: SingleObjective) -> Equal | None:
    """The simpler objective, toolkit or recipe that an objective is equal to, as far as one is known."""
    if objective.z_loss != 0:
        return None
    if other := _simplest(objective):
        each = " of each pass, added" if isinstance(objective, RDropConfig) else ""
        return Equal(_in_words(other) + each, other)
    match objective:
        case LabelSmoothingConfig(prior="uniform", epsilon=float() as epsilon):
            return Equal(CONVENTIONS[objective.convention].format(epsilon=f"{epsilon:g}"))
        case LabelSmoothingConfig(prior="unigram", prior_temperature=1.0, convention="torch", epsilon=float()):
            return Equal("unigram label smoothing of Pereyra et al. 2017")
        case LabelSmoothingConfig(prior="target_side", convention="fairseq", epsilon=float()):
            return Equal("masked label smoothing of Chen et al., ACL 2022 (chenllliang/MLS)")
    return next((Equal(text) for recipe, text in RECIPES if recipe == objective), None)


def _simplest(objective: SingleObjective) -> SingleObjective | None:
    other = _simpler(objective)
    return other and (_simplest(other) or other)


def _simpler(objective: SingleObjective) -> SingleObjective | None:
    """The objective that this one is a limit of, for every p, whatever its other keys are."""
    match objective:
        case (
            LabelSmoothingConfig(epsilon=0.0)
            | WeightedLabelSmoothingConfig(alpha=0.0)
            | ConfidencePenaltyConfig(beta=0.0)
            | MixCEConfig(eta=1.0)
            | FocalConfig(gamma=0.0)
            | AntiFocalConfig(alpha=0.0)
            | AntiFocalConfig(gamma=0.0)
            | DistillationConfig(mix=0.0)
            | SparseDistillationConfig(mix=0.0)
        ):
            return CrossEntropyConfig(name="cross_entropy")
        case (
            TaiLrConfig(gamma=0.0)
            | TaiLrConfig(min_weight=1.0)
            | GoldDeltaConfig(min_weight=1.0)
            | UnlikelihoodConfig(alpha=0.0)
        ):
            return _smoothing(objective.epsilon)
        case RDropConfig(alpha=0.0):
            return _smoothing(objective.epsilon, objective.convention)
        case ErrorNormTruncationConfig(threshold=float() as threshold):
            # p - onehot(y) is never longer than the way from one corner of the simplex to another
            return _smoothing(objective.epsilon, objective.convention) if threshold > math.sqrt(2) else None
        case GraduatedLabelSmoothingConfig():
            return _one_epsilon(objective)
        case TaiLrConfig(gamma=1.0, min_weight=float() as floor, epsilon=float() as epsilon, weight_from="train"):
            return GoldDeltaConfig(name="gold_delta", min_weight=floor, epsilon=epsilon)
        case MixCEConfig(eta=0.0):
            return GoldDeltaConfig(name="gold_delta", min_weight=0.0, epsilon=0.0)
        case _:
            return None


def _one_epsilon(objective: GraduatedLabelSmoothingConfig) -> SingleObjective | None:
    """Label smoothing, where every band that a probability can lie in has the same epsilon."""
    reached = {objective.middle_epsilon}
    if objective.low_threshold != 0:
        reached.add(objective.low_epsilon)
    if objective.high_threshold != 1:
        reached.add(objective.high_epsilon)
    match list(reached):
        case [float() as epsilon]:
            return _smoothing(epsilon)
        case _:
            return None


def _smoothing(epsilon: float | ShareSchedule, convention: Literal["torch", "fairseq"] = "torch") -> SingleObjective:
    return LabelSmoothingConfig(name="label_smoothing", epsilon=epsilon, convention=convention, prior="uniform")


def _in_words(objective: SingleObjective) -> str:
    match objective:
        case LabelSmoothingConfig():
            number = f"{objective.epsilon:g}" if isinstance(objective.epsilon, float) else "by its schedule"
            return f"label smoothing {number} in {objective.convention}'s convention"
        case GoldDeltaConfig(min_weight=float() as floor, epsilon=float() as epsilon):
            smoothed = f" and label smoothing {epsilon:g}" if epsilon else ""
            return f"GOLD-delta with min_weight {floor:g}{smoothed}"
        case _:
            return "cross-entropy"
