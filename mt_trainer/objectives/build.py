"""From the config to an objective. The one place of this package that sees a config."""

from functools import partial
from typing import assert_never

from mt_trainer.config.objective import CrossEntropyConfig, LabelSmoothingConfig, ObjectiveConfig, TaiLrConfig
from mt_trainer.objectives.logit_statistics import Statistic
from mt_trainer.objectives.objective import (
    Objective,
    TokenWeight,
    cross_entropy_objective,
    label_smoothing_objective,
)
from mt_trainer.objectives.per_token import smoothing_prior, tailr, tailr_weight


def build_objective(config: ObjectiveConfig, *, vocab_size: int, pad_id: int) -> Objective:
    """The objective of a config, for an output vocabulary of `vocab_size` pieces."""
    match config:
        case CrossEntropyConfig():
            return cross_entropy_objective()
        case LabelSmoothingConfig():
            return label_smoothing_objective(
                config.convention, epsilon=config.epsilon, vocab_size=vocab_size, pad_id=pad_id
            )
        case TaiLrConfig():
            gamma, min_weight, epsilon = config.gamma, config.min_weight, config.epsilon
            terms = f"(1 - {epsilon:g}) w nll + {epsilon:g} mean_v(-log p_v)" if epsilon else "w nll"
            return Objective(
                partial(tailr, gamma=gamma, min_weight=min_weight, epsilon=epsilon),
                frozenset({Statistic.PRIOR_LOGIT} if epsilon else ()),
                prior=smoothing_prior("torch", vocab_size=vocab_size, pad_id=pad_id) if epsilon else None,
                formula=f"TaiLr: {terms},"
                f"  w = clamp(p_y / ({gamma:g} + (1 - {gamma:g}) p_y), {min_weight:g}, 1) held constant",
                weight=TokenWeight(partial(tailr_weight, gamma=gamma, min_weight=min_weight), floor=min_weight),
            )
        case _:
            assert_never(config)
