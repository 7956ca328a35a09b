"""Objectives: what is minimised, each a small function of per-token logit statistics."""

from mt_trainer.objectives.build import build_objective
from mt_trainer.objectives.logit_statistics import LogitStatistics, Statistic, logit_statistics
from mt_trainer.objectives.loss_sums import LossSums
from mt_trainer.objectives.objective import Objective
from mt_trainer.objectives.projection.linear import linear_logit_statistics, linear_objective
from mt_trainer.objectives.translation_loss import TranslationLoss
from mt_trainer.objectives.tutorial import LabelSmoothingCrossEntropy, LabelSmoothingLoss

__all__ = [
    "LabelSmoothingCrossEntropy",
    "LabelSmoothingLoss",
    "LogitStatistics",
    "LossSums",
    "Objective",
    "Statistic",
    "TranslationLoss",
    "build_objective",
    "linear_logit_statistics",
    "linear_objective",
    "logit_statistics",
]
