"""From the config to an objective. Only this file and those of `building/` see a config."""

from functools import partial
from typing import Any, assert_never

from torch import Tensor

from mt_trainer.config.objective import (
    AntiFocalConfig,
    BrierConfig,
    ClassWeightedConfig,
    ConfidencePenaltyConfig,
    CrossEntropyConfig,
    DistillationConfig,
    EarthMoverConfig,
    ErrorNormTruncationConfig,
    FocalConfig,
    GoldDeltaConfig,
    GraduatedLabelSmoothingConfig,
    LabelSmoothingConfig,
    LossTruncationConfig,
    MixCEConfig,
    ObjectiveConfig,
    RDropConfig,
    SingleObjective,
    SparseDistillationConfig,
    SphericalConfig,
    StagesConfig,
    TaiLrConfig,
    UnlikelihoodConfig,
    WeightedLabelSmoothingConfig,
)
from mt_trainer.config.objective.scheduled import largest
from mt_trainer.config.settings import numbers_of
from mt_trainer.objectives.building.smoothed import (
    Vocabulary,
    build_class_weighted,
    build_confidence_penalty,
    build_graduated_label_smoothing,
    build_label_smoothing,
    build_weighted_label_smoothing,
    cross_entropy_objective,
    label_smoothing_objective,
)
from mt_trainer.objectives.building.varying import OfNumbers, in_stages, scheduled, with_z_loss
from mt_trainer.objectives.building.weighted import (
    anti_focal_objective,
    build_error_norm_truncation,
    build_gold_delta,
    build_loss_truncation,
    build_tailr,
    focal_objective,
    mixce_objective,
)
from mt_trainer.objectives.formulas.divergences import distillation, ghost_distillation, r_drop, sparse_distillation
from mt_trainer.objectives.formulas.earth_mover import earth_mover
from mt_trainer.objectives.formulas.scores import brier, spherical
from mt_trainer.objectives.formulas.smoothing import smoothing_epsilon
from mt_trainer.objectives.formulas.unlikelihood import unlikelihood
from mt_trainer.objectives.logit_statistics import Statistic
from mt_trainer.objectives.objective import AnyObjective, Objective, PairObjective, Source, TeacherPieces
from mt_trainer.objectives.token_inputs import Constants

__all__ = ["build_objective", "cross_entropy_objective", "label_smoothing_objective"]


def build_objective(
    config: ObjectiveConfig,
    *,
    vocab_size: int,
    pad_id: int,
    target_counts: Tensor | None = None,
    source_counts: Tensor | None = None,
) -> AnyObjective:
    """The objective of a config.

    Args:
        config: section `objective`.
        vocab_size: V, the number of output pieces, special ones included.
        pad_id: the id of padding.
        target_counts: [V], how often each piece is a label in the training text, the end mark included; for priors
            that follow the text.
        source_counts: [V], how often each piece is read on the source side of it; for weighted label smoothing.

    Raises:
        ConfigError: MT028 for a file that cannot be used, MT029 for a text that lacks what is asked for.
        ValueError: counts are needed that were not given.
    """
    vocabulary = Vocabulary(vocab_size, pad_id, target_counts, source_counts)
    if isinstance(config, StagesConfig):
        return in_stages([(stage.until_step, _build(stage.objective, vocabulary)) for stage in config.stages])
    return _build(config, vocabulary)


def _build(config: SingleObjective, vocabulary: Vocabulary) -> AnyObjective:
    alone_of = _of_numbers(config, vocabulary)

    def objective_of(z_loss: float, **numbers: Any) -> AnyObjective:
        return with_z_loss(alone_of(**numbers), z_loss)

    return scheduled(objective_of, numbers_of(config))


def _of_numbers(config: SingleObjective, vocabulary: Vocabulary) -> OfNumbers:
    """One objective, without the z-loss, as a function of all numbers of its config that may follow a schedule."""
    match config:
        case CrossEntropyConfig():
            return cross_entropy_objective
        case LabelSmoothingConfig():
            return build_label_smoothing(config, vocabulary)
        case ClassWeightedConfig():
            return build_class_weighted(config, vocabulary)
        case WeightedLabelSmoothingConfig():
            return build_weighted_label_smoothing(config, vocabulary)
        case GraduatedLabelSmoothingConfig():
            return build_graduated_label_smoothing(vocabulary)
        case ConfidencePenaltyConfig():
            return build_confidence_penalty(config, vocabulary)
        case TaiLrConfig():
            return build_tailr(config, vocabulary)
        case MixCEConfig():
            return mixce_objective
        case GoldDeltaConfig():
            return build_gold_delta(config, vocabulary)
        case FocalConfig():
            return focal_objective
        case AntiFocalConfig():
            return anti_focal_objective
        case ErrorNormTruncationConfig():
            return build_error_norm_truncation(config, vocabulary)
        case LossTruncationConfig():
            return build_loss_truncation(config, vocabulary)
        case BrierConfig() | SphericalConfig():
            return _score(config, vocabulary)
        case EarthMoverConfig():
            return partial(_earth_mover, config)
        case UnlikelihoodConfig():
            return _unlikelihood(config, vocabulary)
        case RDropConfig():
            return partial(_r_drop, config, vocabulary.size)
        case DistillationConfig():
            return partial(_distillation, config)
        case SparseDistillationConfig():
            return partial(_sparse_distillation, config)
        case _:
            assert_never(config)


def _score(config: BrierConfig | SphericalConfig, vocabulary: Vocabulary) -> OfNumbers:
    size, can_smooth = vocabulary.size, largest(config.epsilon) > 0
    is_brier = isinstance(config, BrierConfig)
    score = "S(v) = sum p^2 - 2 p_v" if is_brier else "S(v) = -p_v / sqrt(sum p^2)"

    def objective_of(epsilon: float) -> Objective:
        below = epsilon / size
        smooth = f"(1 - {epsilon:g}) S(y) + {epsilon:g} mean_v S(v) + {below:.3g} sum_(p_v < {below:.3g})(-log p_v)"
        return Objective(
            partial(brier if is_brier else spherical, epsilon=epsilon, vocab_size=size),
            frozenset({Statistic.SUM_SQ_PROB, Statistic.TAIL_NLL} if can_smooth else {Statistic.SUM_SQ_PROB}),
            formula=f"{config.name} score: {smooth if can_smooth else 'S(y)'},  {score}",
            constants=Constants(tail_below=below if can_smooth else None),
        )

    return objective_of


def _earth_mover(config: EarthMoverConfig) -> Objective:
    balanced = "(nll + [nll / d] d) / 2" if config.variant == 1 else "d + [d / nll] nll"
    own = " + [p_y]" if config.adaptive else ""
    return Objective(
        partial(earth_mover, variant=config.variant, adaptive=config.adaptive),
        frozenset({Statistic.EXPECTED_EMBEDDING}),
        formula=f"EMO-{config.variant}: {balanced},  d = 1 - sum_v p_v cos(E_y, E_v){own},  [] held constant",
        embeds_with_output=True,
    )


def _unlikelihood(config: UnlikelihoodConfig, vocabulary: Vocabulary) -> OfNumbers:
    can_smooth = largest(config.epsilon) > 0
    needs = frozenset({Statistic.GATHERED_LOGITS, Statistic.PRIOR_LOGIT} if can_smooth else {Statistic.GATHERED_LOGITS})
    constants = vocabulary.uniform if can_smooth else Constants()

    def objective_of(alpha: float, epsilon: float) -> Objective:
        smoothed = f"(1 - {epsilon:g}) nll + {epsilon:g} mean_v(-log p_v)" if can_smooth else "nll"
        return Objective(
            partial(unlikelihood, alpha=alpha, epsilon=epsilon),
            needs,
            formula=f"unlikelihood: {smoothed} + {alpha:g} sum_(c before y)(-log(1 - p_c))",
            constants=constants,
            source=Source.PREVIOUS_TARGETS,
        )

    return objective_of


def _r_drop(config: RDropConfig, vocab_size: int, *, alpha: float, epsilon: float) -> PairObjective:
    mass = smoothing_epsilon(config.convention, epsilon=epsilon, num_pieces=vocab_size)
    return PairObjective(
        partial(r_drop, alpha=alpha, epsilon=mass),
        other="dropout",
        formula=f"R-Drop: LS(p) + LS(q) + {alpha:g} (KL(p || q) + KL(q || p)) / 2,  "
        f"LS = (1 - {mass:.6g}) nll + {mass:.6g} mean_v(-log p_v)",
    )


def _distillation(config: DistillationConfig, *, mix: float, skew: float | None, temperature: float) -> PairObjective:
    share = config.official_skew if skew is None else skew
    tempered = f",  T = {temperature:g} the temperature of both" if temperature != 1 else ""
    scale = f"{mix:g} T^2" if tempered else f"{mix:g}"
    skewed = f" ({share:g})" if config.divergence not in ("forward_kl", "reverse_kl", "tv") else ""
    return PairObjective(
        partial(distillation, divergence=config.divergence, mix=mix, skew=share, temperature=temperature),
        other="teacher",
        formula=f"distillation: (1 - {mix:g}) nll + {scale} {config.divergence}{skewed} to the teacher{tempered}",
    )


def _sparse_distillation(config: SparseDistillationConfig, *, mix: float) -> Objective:
    pieces = f"{config.num_pieces} {'best pieces' if config.method == 'top' else 'draws'} of the teacher"
    rest = " and one class for all others" if config.ghost else ""
    return Objective(
        partial(ghost_distillation if config.ghost else sparse_distillation, mix=mix),
        frozenset({Statistic.GATHERED_LOGITS}),
        formula=f"sparse distillation: (1 - {mix:g}) nll + {mix:g} sum_k t_k(-log p_k),  {pieces}{rest}",
        source=Source.TEACHER,
        teacher_pieces=TeacherPieces(config.num_pieces, config.method),
    )
