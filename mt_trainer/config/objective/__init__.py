"""Section `objective`: what is minimised. The formulas stand in `mt_trainer.objectives`, each under the same name."""

from mt_trainer.config.objective.pairs import DistillationConfig, RDropConfig, SparseDistillationConfig
from mt_trainer.config.objective.scheduled import NumberSchedule
from mt_trainer.config.objective.scores import BrierConfig, EarthMoverConfig, SphericalConfig, UnlikelihoodConfig
from mt_trainer.config.objective.smoothing import (
    ClassWeightedConfig,
    ConfidencePenaltyConfig,
    CrossEntropyConfig,
    GraduatedLabelSmoothingConfig,
    LabelSmoothingConfig,
    WeightedLabelSmoothingConfig,
)
from mt_trainer.config.objective.stages import ObjectiveConfig, SingleObjective, StageConfig, StagesConfig
from mt_trainer.config.objective.weighting import (
    AntiFocalConfig,
    ErrorNormTruncationConfig,
    FocalConfig,
    GoldDeltaConfig,
    LossTruncationConfig,
    MixCEConfig,
    TaiLrConfig,
)

__all__ = [
    "AntiFocalConfig",
    "BrierConfig",
    "ClassWeightedConfig",
    "ConfidencePenaltyConfig",
    "CrossEntropyConfig",
    "DistillationConfig",
    "EarthMoverConfig",
    "ErrorNormTruncationConfig",
    "FocalConfig",
    "GoldDeltaConfig",
    "GraduatedLabelSmoothingConfig",
    "LabelSmoothingConfig",
    "LossTruncationConfig",
    "MixCEConfig",
    "NumberSchedule",
    "ObjectiveConfig",
    "RDropConfig",
    "SingleObjective",
    "SparseDistillationConfig",
    "SphericalConfig",
    "StageConfig",
    "StagesConfig",
    "TaiLrConfig",
    "UnlikelihoodConfig",
    "WeightedLabelSmoothingConfig",
]
