"""Objectives that count some tokens less than others, or not at all."""

from typing import ClassVar, Literal

from mt_trainer.config.objective.scheduled import (
    ScheduledAmount,
    ScheduledErrorNorm,
    ScheduledExponent,
    ScheduledFraction,
    ScheduledPart,
    ScheduledShare,
)
from mt_trainer.config.objective.z_loss import Z_LOSS
from mt_trainer.config.section import Section, required, setting


class TaiLrConfig(Section):
    """TaiLr (Ji et al., ICLR 2023): tokens the model finds improbable count less."""

    source: ClassVar[str] = "Ji et al., ICLR 2023 (thu-coai/TaiLr)"
    name: Literal["tailr"] = required("Total-variation guided weights.")
    gamma: ScheduledFraction = setting(0.1, "Trade-off: 0 is maximum likelihood, 1 weights by the probability itself.")
    min_weight: ScheduledFraction = setting(0.3, "Floor of the token weight, so that training from scratch can start.")
    epsilon: ScheduledShare = setting(0.1, "Label smoothing beside it (torch convention, not weighted).")
    weight_from: Literal["train", "eval"] = setting(
        "train",
        "Pass that the weights come from: `train` is that of the loss, as in the released code; `eval` one more "
        "without dropout, as in the paper's experiments.",
    )
    z_loss: ScheduledAmount = Z_LOSS


class MixCEConfig(Section):
    """MixCE (Zhang et al., ACL 2023): tokens weighted by eta + (1 - eta) of their own probability."""

    source: ClassVar[str] = "Zhang et al., ACL 2023 (as in DRSY/EMO)"
    name: Literal["mixce"] = required("Forward and reverse cross-entropy mixed.")
    eta: ScheduledFraction = setting(0.5, "Share of the forward cross-entropy: 1 is maximum likelihood.")
    z_loss: ScheduledAmount = Z_LOSS


class GoldDeltaConfig(Section):
    """GOLD-delta (Pang & He, ICLR 2021): tokens weighted by their own probability, with a floor."""

    source: ClassVar[str] = "Pang & He, ICLR 2021"
    name: Literal["gold_delta"] = required("Off-policy policy gradient with a constant reward.")
    min_weight: ScheduledFraction = setting(0.2, "Floor of the token weight.")
    epsilon: ScheduledShare = setting(0.1, "Label smoothing beside it (torch convention, not weighted).")
    z_loss: ScheduledAmount = Z_LOSS


class FocalConfig(Section):
    """Focal loss (Lin et al. 2017): tokens weighted by (1 - p)^gamma, with gradient through the weight."""

    source: ClassVar[str] = "Lin et al. 2017"
    name: Literal["focal"] = required("Focal loss.")
    gamma: ScheduledExponent = setting(
        1.0, "Exponent: 0 is cross-entropy; between 0 and 1 the slope is infinite where p = 1."
    )
    z_loss: ScheduledAmount = Z_LOSS


class AntiFocalConfig(Section):
    """Anti-focal loss (Raunak et al., Findings of EMNLP 2020): tokens weighted by (1 + alpha p)^gamma."""

    source: ClassVar[str] = "Raunak et al., Findings of EMNLP 2020 (vyraun/long-tailed)"
    name: Literal["anti_focal"] = required("Anti-focal loss.")
    alpha: ScheduledAmount = setting(0.5, "How much probable tokens gain; 0 is cross-entropy.")
    gamma: ScheduledAmount = setting(1.0, "Exponent; 0 is cross-entropy.")
    z_loss: ScheduledAmount = Z_LOSS


class ErrorNormTruncationConfig(Section):
    """Error norm truncation (Li et al., ICLR 2024): tokens whose error vector p - onehot(y) is long are left out.

    Give `threshold` or `fraction`.
    """

    source: ClassVar[str] = "Li et al., ICLR 2024 (tianjianl/error_norm_truncation)"
    name: Literal["error_norm_truncation"] = required("Tokens with a large error left out.")
    threshold: ScheduledErrorNorm | None = setting(
        None, "Longest error vector that counts; it lies between 0 and 1.415."
    )
    fraction: ScheduledPart | None = setting(
        None, "Share of tokens left out, the longest of those seen lately; null where there is a threshold."
    )
    window: int = setting(
        100_000, "With a fraction: newest tokens that say what is long.", unit="tokens", ge=1, le=10_000_000
    )
    min_count: int = setting(
        10_000, "With a fraction: nothing is left out before so many tokens are known.", unit="tokens", ge=1
    )
    epsilon: ScheduledShare = setting(0.1, "Label smoothing, left out with its token.")
    convention: Literal["torch", "fairseq"] = setting(
        "fairseq", "Label smoothing as in the official code, a fork of fairseq, or in torch."
    )
    start_step: int = setting(0, "Steps trained on all tokens first.", unit="steps", ge=0)
    z_loss: ScheduledAmount = Z_LOSS


class LossTruncationConfig(Section):
    """Loss truncation (Kang & Hashimoto, ACL 2020): the sentences with the highest mean NLL are left out."""

    source: ClassVar[str] = "Kang & Hashimoto, ACL 2020 (ddkang/loss_dropper)"
    name: Literal["loss_truncation"] = required("Sentences with a large loss left out.")
    fraction: ScheduledPart = setting(0.4, "Share of sentences left out.")
    window: int = setting(10_000, "Newest sentences that say what is high.", unit="sentences", ge=1, le=10_000_000)
    min_count: int = setting(10_000, "Nothing is left out before so many sentences are known.", unit="sentences", ge=1)
    epsilon: ScheduledShare = setting(0.0, "Label smoothing (torch convention).")
    start_step: int = setting(0, "Steps trained on all sentences first.", unit="steps", ge=0)
    z_loss: ScheduledAmount = Z_LOSS
