"""From the config of an objective that weights or leaves out tokens to the objective."""

import math
from dataclasses import replace
from functools import partial

from mt_trainer.config.objective import (
    AntiFocalConfig,
    ErrorNormTruncationConfig,
    FocalConfig,
    GoldDeltaConfig,
    LossTruncationConfig,
    MixCEConfig,
    TaiLrConfig,
)
from mt_trainer.objectives.building.smoothed import UNIFORM_NLL, Vocabulary, label_smoothing_objective
from mt_trainer.objectives.building.varying import after, scheduled
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


def build_tailr(config: TaiLrConfig, vocabulary: Vocabulary) -> Objective:
    """TaiLr, its weights from the training pass or from one in evaluation mode."""
    epsilon, constants = config.epsilon, _smoothing_constants(config.epsilon, vocabulary)
    source = Source.EVALUATION_PASS if config.weight_from == "eval" else Source.LABELS
    p, where = ("q", ",  q = p_y without dropout") if config.weight_from == "eval" else ("p_y", "")

    def make(gamma: float, min_weight: float) -> Objective:
        return Objective(
            partial(tailr, gamma=gamma, min_weight=min_weight, epsilon=epsilon),
            _smoothing_needs(epsilon),
            formula=f"TaiLr: {_weighted(epsilon)},  w = clamp({p} / ({gamma:g} + (1 - {gamma:g}) {p}), "
            f"{min_weight:g}, 1) held constant{where}",
            constants=constants,
            weight=TokenWeight(partial(tailr_weight, gamma=gamma, min_weight=min_weight), floor=min_weight),
            source=source,
        )

    return scheduled(make, gamma=config.gamma, min_weight=config.min_weight)


def build_mixce(config: MixCEConfig) -> Objective:
    """MixCE."""
    return Objective(
        partial(mixce, eta=config.eta),
        frozenset(),
        formula=f"MixCE: w nll,  w = {config.eta:g} + (1 - {config.eta:g}) p_y held constant",
        weight=TokenWeight(partial(mixce_weight, eta=config.eta), floor=config.eta),
    )


def build_gold_delta(config: GoldDeltaConfig, vocabulary: Vocabulary) -> Objective:
    """GOLD-delta."""
    floor = config.min_weight
    return Objective(
        partial(gold_delta, min_weight=floor, epsilon=config.epsilon),
        _smoothing_needs(config.epsilon),
        formula=f"GOLD-delta: {_weighted(config.epsilon)},  w = clamp(p_y, {floor:g}, 1) held constant",
        constants=_smoothing_constants(config.epsilon, vocabulary),
        weight=TokenWeight(partial(gold_delta_weight, min_weight=floor), floor=floor),
    )


def build_focal(config: FocalConfig) -> Objective:
    """Focal loss."""
    return Objective(
        partial(focal, gamma=config.gamma),
        frozenset(),
        formula=f"focal: w nll,  w = (1 - p_y)^{config.gamma:g} with gradient",
        weight=TokenWeight(partial(focal_weight, gamma=config.gamma), floor=0.0),
    )


def build_anti_focal(config: AntiFocalConfig) -> Objective:
    """Anti-focal loss."""
    alpha, gamma = config.alpha, config.gamma
    return Objective(
        partial(anti_focal, alpha=alpha, gamma=gamma),
        frozenset(),
        formula=f"anti-focal: w nll,  w = (1 + {alpha:g} p_y)^{gamma:g} held constant",
        weight=TokenWeight(partial(anti_focal_weight, alpha=alpha, gamma=gamma), floor=1.0),
    )


def build_error_norm_truncation(config: ErrorNormTruncationConfig, vocabulary: Vocabulary) -> Objective:
    """Error norm truncation by a threshold, or by a fraction of the tokens seen lately."""
    smoothed = _smoothed(config.epsilon, vocabulary, config.convention)
    epsilon = smoothing_epsilon(config.convention, epsilon=config.epsilon, num_pieces=vocabulary.size)
    needs = smoothed.needs | {Statistic.SUM_SQ_PROB}
    if config.threshold is None:
        assert config.fraction is not None, "the config has one of them"
        truncation = Truncation("token", error_norm, config.fraction, config.window, config.min_count)
        return _truncated(replace(smoothed, needs=needs), truncation, "||p - onehot(y)||", config.start_step)

    def make(threshold: float) -> Objective:
        return replace(
            smoothed,
            function=partial(error_norm_truncation, threshold=threshold, epsilon=epsilon),
            needs=needs,
            formula=f"error norm truncation: w L,  w = 1 where ||p - onehot(y)|| <= {threshold:g}, else 0,  "
            f"L = {smoothed.formula}",
            weight=TokenWeight(partial(error_norm_weight, threshold=threshold), floor=0.0),
        )

    return after(config.start_step, make(math.inf), make(config.threshold))


def build_loss_truncation(config: LossTruncationConfig, vocabulary: Vocabulary) -> Objective:
    """Loss truncation by a fraction of the sentences seen lately."""
    truncation = Truncation("sentence", held_nll, config.fraction, config.window, config.min_count)
    return _truncated(_smoothed(config.epsilon, vocabulary, "torch"), truncation, "mean nll", config.start_step)


def _truncated(objective: Objective, truncation: Truncation, score: str, start_step: int) -> Objective:
    formula = (
        f"{objective.formula},  without the {truncation.fraction:g} of {truncation.unit}s that have the largest {score}"
    )
    then = replace(objective, formula=formula, truncation=truncation)
    return after(start_step, replace(then, truncation=replace(truncation, fraction=0.0)), then)


def _smoothed(epsilon: float, vocabulary: Vocabulary, convention: SmoothingConvention) -> Objective:
    return label_smoothing_objective(convention, epsilon=epsilon, vocab_size=vocabulary.size, pad_id=vocabulary.pad_id)


def _weighted(epsilon: float) -> str:
    return f"(1 - {epsilon:g}) w nll + {epsilon:g} {UNIFORM_NLL}" if epsilon else "w nll"


def _smoothing_needs(epsilon: float) -> frozenset[Statistic]:
    return frozenset({Statistic.PRIOR_LOGIT} if epsilon else ())


def _smoothing_constants(epsilon: float, vocabulary: Vocabulary) -> Constants:
    return vocabulary.uniform if epsilon else Constants()
