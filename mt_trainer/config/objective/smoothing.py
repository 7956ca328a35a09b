"""Cross-entropy and its smoothed forms, and the confidence penalty."""

from typing import ClassVar, Literal

from mt_trainer.config.objective.scheduled import (
    ScheduledAmount,
    ScheduledFraction,
    ScheduledPositiveAmount,
    ScheduledShare,
)
from mt_trainer.config.objective.z_loss import Z_LOSS
from mt_trainer.config.section import Section, required, setting


class CrossEntropyConfig(Section):
    """Negative log-likelihood of the reference."""

    source: ClassVar[str] = "maximum likelihood"
    name: Literal["cross_entropy"] = required("Plain cross-entropy.")
    z_loss: ScheduledAmount = Z_LOSS


class LabelSmoothingConfig(Section):
    """Cross-entropy against (1 - epsilon) of the reference plus epsilon of a prior."""

    source: ClassVar[str] = "Szegedy et al. 2016"
    name: Literal["label_smoothing"] = required("Label smoothing.")
    epsilon: ScheduledShare = setting(0.1, "Probability mass taken from the reference.")
    convention: Literal["torch", "fairseq", "no_pad", "kl"] = setting(
        "torch",
        "Where the mass goes: `torch` to all pieces of the prior, `fairseq` to the others, `no_pad` to the others "
        "without padding; `kl` is the first tutorial's, whose target distribution lacks epsilon / V.",
    )
    prior: str = setting(
        "uniform",
        "What the mass is shared by: `uniform`, `unigram` (how often a piece is a label), `target_side` (pieces that "
        "occur as a label, evenly), or a file of V numbers that sum to one, one a line.",
        min_length=1,
    )
    prior_temperature: float = setting(1.0, "T of the unigram prior count^(1/T); large T makes it even.", gt=0.0)
    z_loss: ScheduledAmount = Z_LOSS


class ClassWeightedConfig(Section):
    """Cross-entropy that counts each piece by a weight of its own, as torch's `weight` of `CrossEntropyLoss`."""

    source: ClassVar[str] = "torch.nn.CrossEntropyLoss(weight=...)"
    name: Literal["class_weighted"] = required("Class weights.")
    weights: str = required("File of V weights >= 0, one a line; a token counts by its label's.", min_length=1)
    epsilon: ScheduledShare = setting(0.1, "Label smoothing beside it, weighted likewise.")
    z_loss: ScheduledAmount = Z_LOSS


class WeightedLabelSmoothingConfig(Section):
    """Label smoothing (Chen et al., ACL 2022) that shares its mass out by where a piece occurs; joint vocabulary."""

    source: ClassVar[str] = "Chen et al., ACL 2022 (chenllliang/MLS)"
    name: Literal["weighted_label_smoothing"] = required("Weighted label smoothing.")
    alpha: ScheduledShare = setting(0.1, "Probability mass taken from the reference.")
    target_share: float = setting(0.4, "Share of it for pieces of the target side only.", ge=0.0, le=1.0)
    common_share: float = setting(0.4, "Share of it for pieces of both sides.", ge=0.0, le=1.0)
    source_share: float = setting(0.2, "Share of it for pieces of the source side only.", ge=0.0, le=1.0)
    groups: str = setting(
        "counts",
        "Where a piece belongs: `counts` for where it occurs in the training text, or a file of V words, one a line: "
        "`target`, `common`, `source` or `none`.",
        min_length=1,
    )
    z_loss: ScheduledAmount = Z_LOSS


class GraduatedLabelSmoothingConfig(Section):
    """Label smoothing (Wang et al., ACL 2020) whose epsilon grows with the probability of the token's label."""

    source: ClassVar[str] = "Wang et al., ACL 2020"
    name: Literal["graduated_label_smoothing"] = required("Graduated label smoothing.")
    low_threshold: ScheduledFraction = setting(0.3, "Probability below which the lowest epsilon is taken.")
    high_threshold: ScheduledFraction = setting(0.7, "Probability above which the highest epsilon is taken.")
    low_epsilon: ScheduledShare = setting(0.0, "Epsilon of improbable labels.")
    middle_epsilon: ScheduledShare = setting(0.1, "Epsilon between the thresholds.")
    high_epsilon: ScheduledShare = setting(0.3, "Epsilon of probable labels.")
    z_loss: ScheduledAmount = Z_LOSS


class ConfidencePenaltyConfig(Section):
    """Cross-entropy less beta times the entropy (Pereyra et al. 2017): certainty is penalised."""

    source: ClassVar[str] = "Pereyra et al. 2017 (rycolab/entropyRegularization)"
    name: Literal["confidence_penalty"] = required("Confidence penalty.")
    beta: ScheduledAmount = setting(2.5, "Weight of the entropy.")
    threshold: ScheduledPositiveAmount | None = setting(
        None, "Penalise only an entropy below this; null for always.", unit="nats"
    )
    prior: Literal["uniform", "unigram"] = setting(
        "uniform", "Distribution drawn to: `uniform` is the entropy itself, `unigram` how often a piece is a label."
    )
    z_loss: ScheduledAmount = Z_LOSS
