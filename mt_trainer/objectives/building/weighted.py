"""From the config of an objective that weights or leaves out tokens to the objective."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from mt_trainer.config.objective import (
    ErrorNormTruncationConfig,
    GoldDeltaConfig,
    LabelSmoothingConfig,
    LossTruncationConfig,
    TaiLrConfig,
)
from mt_trainer.config.objective.scheduled import ShareSchedule, largest
from mt_trainer.objectives.building.smoothed import UNIFORM_NLL, Vocabulary, build_label_smoothing
from mt_trainer.objectives.building.varying import OfNumbers, after
from mt_trainer.objectives.formulas.smoothing import SmoothingConvention, smoothing_epsilon
from mt_trainer.objectives.formulas.token_weights import (
    anti_focal,
    anti_focal_weight,
    error_norm,
    error_norm_truncation,
    error_norm_weight,
    focal,
    focal_weight,
    gold_delta,
    gold_delta_weight,
    held_nll,
    mixce,
    mixce_weight,
    tailr,
    tailr_weight,
)
from mt_trainer.objectives.logit_statistics import Statistic
from mt_trainer.objectives.objective import Objective, Source, TokenWeight, Truncation
from mt_trainer.objectives.token_inputs import Constants


def build_tailr(config: TaiLrConfig, vocabulary: Vocabulary) -> OfNumbers:
    """TaiLr, its weights from the training pass or from one in evaluation mode."""
    can_smooth = largest(config.epsilon) > 0
    needs, constants = _smoothing(vocabulary, can_smooth=can_smooth)
    source = Source.EVALUATION_PASS if config.weight_from == "eval" else Source.LABELS
    p, where = ("q", ",  q = p_y without dropout") if config.weight_from == "eval" else ("p_y", "")

    def objective_of(gamma: float, min_weight: float, epsilon: float) -> Objective:
        return Objective(
            partial(tailr, gamma=gamma, min_weight=min_weight, epsilon=epsilon),
            needs,
            formula=f"TaiLr: {_weighted(epsilon, can_smooth=can_smooth)},  "
            f"w = clamp({p} / ({gamma:g} + (1 - {gamma:g}) {p}), {min_weight:g}, 1) held constant{where}",
            constants=constants,
            weight=TokenWeight(partial(tailr_weight, gamma=gamma, min_weight=min_weight), floor=min_weight),
            source=source,
        )

    return objective_of


def mixce_objective(eta: float) -> Objective:
    """MixCE."""
    return Objective(
        partial(mixce, eta=eta),
        frozenset(),
        formula=f"MixCE: w nll,  w = {eta:g} + (1 - {eta:g}) p_y held constant",
        weight=TokenWeight(partial(mixce_weight, eta=eta), floor=eta),
    )


def build_gold_delta(config: GoldDeltaConfig, vocabulary: Vocabulary) -> OfNumbers:
    """GOLD-delta."""
    can_smooth = largest(config.epsilon) > 0
    needs, constants = _smoothing(vocabulary, can_smooth=can_smooth)

    def objective_of(min_weight: float, epsilon: float) -> Objective:
        return Objective(
            partial(gold_delta, min_weight=min_weight, epsilon=epsilon),
            needs,
            formula=f"GOLD-delta: {_weighted(epsilon, can_smooth=can_smooth)},  "
            f"w = clamp(p_y, {min_weight:g}, 1) held constant",
            constants=constants,
            weight=TokenWeight(partial(gold_delta_weight, min_weight=min_weight), floor=min_weight),
        )

    return objective_of


def focal_objective(gamma: float) -> Objective:
    """Focal loss."""
    return Objective(
        partial(focal, gamma=gamma),
        frozenset(),
        formula=f"focal: w nll,  w = (1 - p_y)^{gamma:g} with gradient",
        weight=TokenWeight(partial(focal_weight, gamma=gamma), floor=0.0),
    )


def anti_focal_objective(alpha: float, gamma: float) -> Objective:
    """Anti-focal loss."""
    return Objective(
        partial(anti_focal, alpha=alpha, gamma=gamma),
        frozenset(),
        formula=f"anti-focal: w nll,  w = (1 + {alpha:g} p_y)^{gamma:g} held constant",
        weight=TokenWeight(partial(anti_focal_weight, alpha=alpha, gamma=gamma), floor=1.0),
    )


def build_error_norm_truncation(config: ErrorNormTruncationConfig, vocabulary: Vocabulary) -> OfNumbers:
    """Error norm truncation by a threshold, or by a fraction of the tokens seen lately."""
    smoothed_of = _smoothed(config.epsilon, vocabulary, config.convention)

    def objective_of(threshold: float | None, fraction: float | None, epsilon: float) -> Objective:
        smoothed = smoothed_of(epsilon=epsilon)
        needs = smoothed.needs | {Statistic.SUM_SQ_PROB}
        if threshold is None:
            assert fraction is not None, "the config has one of them"
            truncation = Truncation("token", error_norm, fraction, config.window, config.min_count)
            return _truncated(replace(smoothed, needs=needs), truncation, "||p - onehot(y)||", config.start_step)
        mass = smoothing_epsilon(config.convention, epsilon=epsilon, num_pieces=vocabulary.size)

        def by_threshold(longest: float) -> Objective:
            return replace(
                smoothed,
                function=partial(error_norm_truncation, threshold=longest, epsilon=mass),
                needs=needs,
                formula=f"error norm truncation: w L,  w = 1 where ||p - onehot(y)|| <= {longest:g}, else 0,  "
                f"L = {smoothed.formula}",
                weight=TokenWeight(partial(error_norm_weight, threshold=longest), floor=0.0),
            )

        return after(config.start_step, by_threshold(math.inf), by_threshold(threshold))

    return objective_of


def build_loss_truncation(config: LossTruncationConfig, vocabulary: Vocabulary) -> OfNumbers:
    """Loss truncation by a fraction of the sentences seen lately."""
    smoothed_of = _smoothed(config.epsilon, vocabulary, "torch")

    def objective_of(fraction: float, epsilon: float) -> Objective:
        truncation = Truncation("sentence", held_nll, fraction, config.window, config.min_count)
        return _truncated(smoothed_of(epsilon=epsilon), truncation, "mean nll", config.start_step)

    return objective_of


def _truncated(objective: Objective, truncation: Truncation, score: str, start_step: int) -> Objective:
    formula = (
        f"{objective.formula},  without the {truncation.fraction:g} of {truncation.unit}s that have the largest {score}"
    )
    then = replace(objective, formula=formula, truncation=truncation)
    return after(start_step, replace(then, truncation=replace(truncation, fraction=0.0)), then)


def _smoothed(
    epsilon: float | ShareSchedule, vocabulary: Vocabulary, convention: SmoothingConvention
) -> Callable[..., Objective]:
    config = LabelSmoothingConfig(name="label_smoothing", epsilon=epsilon, convention=convention)
    return build_label_smoothing(config, vocabulary)


def _weighted(epsilon: float, *, can_smooth: bool) -> str:
    return f"(1 - {epsilon:g}) w nll + {epsilon:g} {UNIFORM_NLL}" if can_smooth else "w nll"


def _smoothing(vocabulary: Vocabulary, *, can_smooth: bool) -> tuple[frozenset[Statistic], Constants]:
    """What label smoothing needs and holds, if there is any at some step."""
    return (frozenset({Statistic.PRIOR_LOGIT}), vocabulary.uniform) if can_smooth else (frozenset(), Constants())
