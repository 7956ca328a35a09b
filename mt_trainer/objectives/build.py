"""From the config to an objective. The one place of this package that sees a config."""

from functools import partial
from typing import assert_never

from mt_trainer.config.objective import CrossEntropyConfig, LabelSmoothingConfig, ObjectiveConfig, TaiLrConfig
from mt_trainer.objectives.logit_statistics import Statistic
from mt_trainer.objectives.objective import Objective, TokenWeight
from mt_trainer.objectives.per_token import (
    cross_entropy,
    label_smoothing,
    smoothing_epsilon,
    smoothing_prior,
    tailr,
    tailr_weight,
)


def build_objective(config: ObjectiveConfig, *, vocab_size: int, pad_id: int) -> Objective:
    """The objective of a config, for an output vocabulary of `vocab_size` pieces."""
    match config:
        case CrossEntropyConfig():
            return Objective(cross_entropy, frozenset(), prior=None, formula="cross-entropy: nll", weight=None)
        case LabelSmoothingConfig():
            epsilon = smoothing_epsilon(config.convention, epsilon=config.epsilon, vocab_size=vocab_size)
            over = "mean_{v != pad}" if config.convention == "no_pad" else "mean_v"
            return Objective(
                partial(label_smoothing, epsilon=epsilon),
                frozenset({Statistic.PRIOR_LOGIT}),
                prior=smoothing_prior(config.convention, vocab_size=vocab_size, pad_id=pad_id),
                formula=f"label smoothing: (1 - {epsilon:.6g}) nll + {epsilon:.6g} {over}(-log p_v)"
                f"  [{config.convention} convention, epsilon {config.epsilon:g}]",
                weight=None,
            )
        case TaiLrConfig():
            gamma, min_weight, epsilon = config.gamma, config.min_weight, config.epsilon
            return Objective(
                partial(tailr, gamma=gamma, min_weight=min_weight, epsilon=epsilon),
                frozenset({Statistic.PRIOR_LOGIT}),
                prior=smoothing_prior("torch", vocab_size=vocab_size, pad_id=pad_id),
                formula=f"TaiLr: (1 - {epsilon:g}) w nll + {epsilon:g} mean_v(-log p_v),"
                f"  w = clamp(p_y / ({gamma:g} + (1 - {gamma:g}) p_y), {min_weight:g}, 1) held constant",
                weight=TokenWeight(partial(tailr_weight, gamma=gamma, min_weight=min_weight), floor=min_weight),
            )
        case _:
            assert_never(config)
