"""The union of all objectives, and one objective after another."""

from typing import Annotated, Literal

from pydantic import Field

from mt_trainer.config.objective.pairs import DistillationConfig, RDropConfig, SparseDistillationConfig
from mt_trainer.config.objective.scores import BrierConfig, EarthMoverConfig, SphericalConfig, UnlikelihoodConfig
from mt_trainer.config.objective.smoothing import (
    ClassWeightedConfig,
    ConfidencePenaltyConfig,
    CrossEntropyConfig,
    GraduatedLabelSmoothingConfig,
    LabelSmoothingConfig,
    WeightedLabelSmoothingConfig,
)
from mt_trainer.config.objective.weighting import (
    AntiFocalConfig,
    ErrorNormTruncationConfig,
    FocalConfig,
    GoldDeltaConfig,
    LossTruncationConfig,
    MixCEConfig,
    TaiLrConfig,
)
from mt_trainer.config.section import Section, required, setting

SingleObjective = (
    CrossEntropyConfig
    | LabelSmoothingConfig
    | ClassWeightedConfig
    | WeightedLabelSmoothingConfig
    | GraduatedLabelSmoothingConfig
    | ConfidencePenaltyConfig
    | TaiLrConfig
    | MixCEConfig
    | GoldDeltaConfig
    | FocalConfig
    | AntiFocalConfig
    | ErrorNormTruncationConfig
    | LossTruncationConfig
    | BrierConfig
    | SphericalConfig
    | EarthMoverConfig
    | UnlikelihoodConfig
    | RDropConfig
    | DistillationConfig
    | SparseDistillationConfig
)


class StageConfig(Section):
    """One objective and how long it holds."""

    until_step: int | None = setting(None, "Last step of the stage; the last stage has none.", unit="steps", ge=1)
    objective: Annotated[SingleObjective, Field(discriminator="name")] = required("Any objective but stages.")


class StagesConfig(Section):
    """One objective after another; optimizer and learning rate run on. A list of objectives is short for it.

    `objective: [{name: cross_entropy, until_step: 13000}, {name: brier}]`
    """

    name: Literal["stages"] = required("One objective after another.")
    stages: tuple[StageConfig, ...] = required("In their order.", min_length=1)


ObjectiveConfig = Annotated[SingleObjective | StagesConfig, Field(discriminator="name")]
