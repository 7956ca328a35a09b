"""Objectives that are no weighted cross-entropy: other scores, and other terms beside it."""

from typing import ClassVar, Literal

from mt_trainer.config.objective.scheduled import ScheduledAmount, ScheduledShare
from mt_trainer.config.objective.z_loss import Z_LOSS
from mt_trainer.config.section import Section, required, setting


class BrierConfig(Section):
    """Brier score (Shao et al., ICML 2024); for fine-tuning: from scratch it does worse than cross-entropy."""

    source: ClassVar[str] = "Shao et al., ICML 2024 (shaochenze/ScoringRulesLM)"
    name: Literal["brier"] = required("Brier score.")
    epsilon: ScheduledShare = setting(0.1, "Score smoothing, with a log term for pieces below epsilon / V.")
    z_loss: ScheduledAmount = Z_LOSS


class SphericalConfig(Section):
    """Spherical score (Shao et al., ICML 2024); for fine-tuning: from scratch it does worse than cross-entropy."""

    source: ClassVar[str] = "Shao et al., ICML 2024 (shaochenze/ScoringRulesLM)"
    name: Literal["spherical"] = required("Spherical score.")
    epsilon: ScheduledShare = setting(0.1, "Score smoothing, with a log term for pieces below epsilon / V.")
    z_loss: ScheduledAmount = Z_LOSS


class EarthMoverConfig(Section):
    """EMO (Ren et al., ICLR 2024): an upper bound of the earth mover's distance beside cross-entropy."""

    source: ClassVar[str] = "Ren et al., ICLR 2024 (DRSY/EMO)"
    name: Literal["emo"] = required("Earth mover's distance between output embeddings.")
    variant: Literal[1, 2] = setting(1, "Which of the two is scaled to the other: 1 the distance, 2 the cross-entropy.")
    adaptive: bool = setting(
        True, "Take the label's own probability out of the distance's value, as the official adaptive versions do."
    )
    z_loss: ScheduledAmount = Z_LOSS


class UnlikelihoodConfig(Section):
    """Token-level unlikelihood (Welleck et al., ICLR 2020): pieces already said in the sentence are pushed down."""

    source: ClassVar[str] = "Welleck et al., ICLR 2020 (facebookresearch/unlikelihood_training)"
    name: Literal["unlikelihood"] = required("Unlikelihood of repetitions.")
    alpha: ScheduledAmount = setting(1.0, "Weight of the unlikelihood; 0 is label smoothing.")
    epsilon: ScheduledShare = setting(0.0, "Label smoothing beside it (torch convention).")
    z_loss: ScheduledAmount = Z_LOSS
