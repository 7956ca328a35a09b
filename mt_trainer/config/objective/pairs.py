"""Objectives over two distributions for each token: two passes of the model, or the model and a teacher."""

from typing import ClassVar, Literal

from mt_trainer.config.objective.scheduled import (
    ScheduledAmount,
    ScheduledFraction,
    ScheduledPart,
    ScheduledPositiveAmount,
    ScheduledShare,
)
from mt_trainer.config.objective.z_loss import Z_LOSS
from mt_trainer.config.section import Section, required, setting


class RDropConfig(Section):
    """R-Drop (Liang et al., NeurIPS 2021): two passes with different dropout are drawn to each other."""

    source: ClassVar[str] = "Liang et al., NeurIPS 2021 (dropreg/R-Drop)"
    name: Literal["r_drop"] = required("Regularised dropout.")
    alpha: ScheduledAmount = setting(5.0, "Weight of the divergence between the passes.")
    epsilon: ScheduledShare = setting(0.1, "Label smoothing of either pass.")
    convention: Literal["torch", "fairseq"] = setting(
        "torch", "Label smoothing as in the official repository (`torch`) or in fairseq's port of it (`fairseq`)."
    )
    z_loss: ScheduledAmount = Z_LOSS


class DistillationConfig(Section):
    """Word-level distillation: the model is drawn to the whole distribution of a teacher."""

    source: ClassVar[str] = "Kim & Rush 2016; divergences: Ko et al., ICML 2024 (jongwooko/distillm)"
    name: Literal["distillation"] = required("Distillation of a teacher's distributions.")
    teacher: str = required("Run folder of the teacher; its tokenizer must be the same.", min_length=1)
    divergence: Literal[
        "forward_kl", "reverse_kl", "symmetric_kl", "skewed_forward_kl", "skewed_reverse_kl", "js", "tv"
    ] = setting("forward_kl", "How the distance to the teacher is measured.")
    mix: ScheduledFraction = setting(0.5, "Share of the divergence; the rest is cross-entropy with the reference.")
    skew: ScheduledPart | None = setting(
        None,
        "Share of the distribution that stands first in a skewed divergence, of the model's in `js`, of the reverse "
        "one in `symmetric_kl`; null for the official 0.1 of the skewed ones and 0.9 of the others.",
    )
    temperature: ScheduledPositiveAmount = setting(
        1.0, "Both distributions are tempered by it, and the divergence multiplied by its square."
    )
    z_loss: ScheduledAmount = Z_LOSS

    @property
    def official_skew(self) -> float:
        """What holds where `skew` is null."""
        return 0.9 if self.divergence in ("symmetric_kl", "js") else 0.1


class SparseDistillationConfig(Section):
    """Distillation of a few pieces of a teacher's distribution a token (Anshumann et al., ACL 2025)."""

    source: ClassVar[str] = "Anshumann et al., ACL 2025"
    name: Literal["sparse_distillation"] = required("Distillation of a part of a teacher's distributions.")
    teacher: str = required("Run folder of the teacher; its tokenizer must be the same.", min_length=1)
    method: Literal["top", "sample"] = setting(
        "sample", "Which pieces: the teacher's best (`top`, biased), or draws from it, counted (`sample`, unbiased)."
    )
    num_pieces: int = setting(12, "Pieces or draws a token.", unit="pieces", ge=1, le=1024)
    mix: ScheduledFraction = setting(0.5, "Share of the distillation; the rest is cross-entropy with the reference.")
    ghost: bool = setting(False, "With `top`: one more class for the mass of all other pieces.")
    z_loss: ScheduledAmount = Z_LOSS
