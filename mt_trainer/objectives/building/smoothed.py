"""From the config of a smoothed objective to the objective."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from mt_trainer.config.objective import (
    ClassWeightedConfig,
    ConfidencePenaltyConfig,
    LabelSmoothingConfig,
    WeightedLabelSmoothingConfig,
)
from mt_trainer.config.objective.scheduled import largest
from mt_trainer.errors import ConfigError, Problem
from mt_trainer.objectives.building.varying import OfNumbers
from mt_trainer.objectives.building.vocabulary_files import read_groups, read_prior, read_weights
from mt_trainer.objectives.formulas.confidence_penalty import (
    confidence_penalty,
    thresholded_confidence_penalty,
    unigram_confidence_penalty,
)
from mt_trainer.objectives.formulas.priors import (
    PieceGroup,
    group_prior,
    piece_groups,
    smoothing_prior,
    target_side_prior,
    unigram_prior,
)
from mt_trainer.objectives.formulas.smoothing import (
    SmoothingConvention,
    class_weight,
    class_weighted,
    cross_entropy,
    graduated_label_smoothing,
    kl_label_smoothing,
    label_smoothing,
    smoothing_epsilon,
    weighted_label_smoothing,
)
from mt_trainer.objectives.logit_statistics import Statistic
from mt_trainer.objectives.objective import Objective, TokenWeight
from mt_trainer.objectives.token_inputs import Constants

UNIFORM_NLL = "mean_v(-log p_v)"
"""How the cross-entropy against the uniform prior is written in a formula."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """What an objective may know of the output vocabulary.

    Attributes:
        size: V.
        pad_id: the id of padding; it need not be a piece.
        target_counts: [V], how often each piece is a label in the training text, the end mark included.
        source_counts: [V], how often each piece is read on the source side; of a joint vocabulary.
    """

    size: int
    pad_id: int
    target_counts: Tensor | None = None
    source_counts: Tensor | None = None

    @property
    def uniform(self) -> Constants:
        """The uniform prior over all pieces."""
        return Constants(prior=smoothing_prior("torch", vocab_size=self.size, pad_id=self.pad_id))

    def counts(self, side: str) -> Tensor:
        """The counts of the `source` or `target` side.

        Raises:
            ValueError: they were not given.
        """
        counts = self.target_counts if side == "target" else self.source_counts
        if counts is None:
            raise ValueError(f"this objective needs {side}_counts")
        if counts.shape != (self.size,):
            raise ValueError(f"{side}_counts {list(counts.shape)} do not fit a vocabulary of {self.size}")
        return counts


def cross_entropy_objective() -> Objective:
    """Plain cross-entropy."""
    return Objective(cross_entropy, frozenset(), formula="cross-entropy: nll")


def label_smoothing_objective(
    convention: SmoothingConvention, *, epsilon: float, vocab_size: int, pad_id: int
) -> Objective:
    """Label smoothing of a toolkit's convention, uniform; with `epsilon` 0 it is `cross_entropy_objective`.

    Raises:
        ValueError: `epsilon` is outside 0 <= epsilon < 1, or the convention leaves out padding and the vocabulary has
            no piece `pad_id`.
    """
    if not 0 <= epsilon < 1:
        raise ValueError(f"smoothing {epsilon} is outside 0 <= smoothing < 1")
    config = LabelSmoothingConfig(name="label_smoothing", epsilon=epsilon, convention=convention)
    return build_label_smoothing(config, Vocabulary(vocab_size, pad_id))(epsilon=epsilon)


def build_label_smoothing(config: LabelSmoothingConfig, vocabulary: Vocabulary) -> Callable[..., Objective]:
    """Any convention and prior."""
    if largest(config.epsilon) == 0:
        return lambda epsilon: cross_entropy_objective()
    if config.convention == "kl":
        return partial(_kl, constants=vocabulary.uniform, size=vocabulary.size)
    prior, prior_nll = _prior(config, config.convention, vocabulary)
    return partial(
        _smoothed,
        convention=config.convention,
        num_pieces=int((prior > 0).sum()) if config.prior == "target_side" else vocabulary.size,
        constants=Constants(prior=prior),
        prior_nll=prior_nll,
    )


def _prior(config: LabelSmoothingConfig, convention: SmoothingConvention, vocabulary: Vocabulary) -> tuple[Tensor, str]:
    """The prior, and its cross-entropy as formulas write it."""
    match config.prior:
        case "uniform":
            prior = smoothing_prior(convention, vocab_size=vocabulary.size, pad_id=vocabulary.pad_id)
            return prior, "mean_{v != pad}(-log p_v)" if convention == "no_pad" else UNIFORM_NLL
        case "unigram":
            temperature = config.prior_temperature
            tempered = "" if temperature == 1 else f"^(1/{temperature:g})"
            prior = unigram_prior(vocabulary.counts("target"), temperature=temperature)
            return prior, f"sum_v u_v(-log p_v),  u ~ count{tempered}"
        case "target_side":
            return target_side_prior(vocabulary.counts("target")), "mean_{v on the target side}(-log p_v)"
        case path:
            return read_prior(path, vocab_size=vocabulary.size), f"sum_v r_v(-log p_v),  r from {path}"


def _smoothed(
    *, epsilon: float, convention: SmoothingConvention, num_pieces: int, constants: Constants, prior_nll: str
) -> Objective:
    mass = smoothing_epsilon(convention, epsilon=epsilon, num_pieces=num_pieces)
    asked = "" if mass == epsilon else f", epsilon {epsilon:g}"
    return Objective(
        partial(label_smoothing, epsilon=mass),
        frozenset({Statistic.PRIOR_LOGIT}),
        formula=f"label smoothing: (1 - {mass:.6g}) nll + {mass:.6g} {prior_nll}  [{convention} convention{asked}]",
        constants=constants,
    )


def _kl(*, epsilon: float, constants: Constants, size: int) -> Objective:
    return Objective(
        partial(kl_label_smoothing, epsilon=epsilon, vocab_size=size),
        frozenset({Statistic.PRIOR_LOGIT}),
        formula=f"label smoothing: sum_v q_v(log q_v - log p_v),  q_y = {1 - epsilon:g}, "
        f"q_v = {epsilon / size:.6g} elsewhere  [kl convention, epsilon {epsilon:g}]",
        constants=constants,
    )


def build_class_weighted(config: ClassWeightedConfig, vocabulary: Vocabulary) -> OfNumbers:
    """Class weights of a file."""
    weights = read_weights(config.weights, vocab_size=vocabulary.size)
    mean_weight, least_weight = weights.mean().item(), weights.min().item()
    can_smooth = largest(config.epsilon) > 0
    constants = Constants(prior=weights / weights.sum() if can_smooth else None, per_label=weights)

    def objective_of(epsilon: float) -> Objective:
        terms = f"(1 - {epsilon:g}) w_y nll + {epsilon:g} mean_v(-w_v log p_v)" if can_smooth else "w_y nll"
        return Objective(
            partial(class_weighted, epsilon=epsilon, mean_weight=mean_weight),
            frozenset({Statistic.PRIOR_LOGIT} if can_smooth else ()),
            formula=f"class weights: {terms},  w from {config.weights}",
            constants=constants,
            weight=TokenWeight(class_weight, floor=least_weight),
        )

    return objective_of


def build_weighted_label_smoothing(config: WeightedLabelSmoothingConfig, vocabulary: Vocabulary) -> OfNumbers:
    """Groups from a file, or from the counts of both sides.

    Raises:
        ConfigError: MT028 for a file that cannot be used, MT029 where the text has no piece for a group with a share.
    """
    if config.groups == "counts":
        groups = piece_groups(vocabulary.counts("source"), vocabulary.counts("target"))
    else:
        groups = read_groups(config.groups, vocab_size=vocabulary.size)
    constants = Constants(prior=shared_prior(config, groups))
    own_share = config.target_share / max(1, groups.count("target"))

    def objective_of(alpha: float) -> Objective:
        return Objective(
            partial(weighted_label_smoothing, alpha=alpha, own_share=own_share),
            frozenset({Statistic.PRIOR_LOGIT}),
            formula=f"weighted label smoothing: (1 - {alpha + alpha * own_share:.6g}) nll + {alpha:g} "
            f"sum_v r_v(-log p_v),  r: {config.target_share:g} target side, {config.common_share:g} common, "
            f"{config.source_share:g} source side",
            constants=constants,
        )

    return objective_of


def shared_prior(config: WeightedLabelSmoothingConfig, groups: list[PieceGroup]) -> Tensor:
    """The prior [V] that gives each group its share.

    Raises:
        ConfigError: a group with a share has no pieces.
    """
    shares: dict[PieceGroup, float] = {
        "target": config.target_share,
        "common": config.common_share,
        "source": config.source_share,
    }
    code, where = ("MT029", None) if config.groups == "counts" else ("MT028", config.groups)
    problems = [
        Problem(code, f"no piece is in the group `{name}`, which has a share of {share:g}", where,
                help=f"set `{name}_share: 0` and give its mass to the others")
        for name, share in shares.items()
        if share > 0 and name not in groups
    ]  # fmt: skip
    if problems:
        raise ConfigError(problems)
    return group_prior(groups, shares={name: share for name, share in shares.items() if share > 0})


def build_graduated_label_smoothing(vocabulary: Vocabulary) -> OfNumbers:
    """Smoothing by the probability of the label."""
    constants = vocabulary.uniform

    def objective_of(
        low_threshold: float, high_threshold: float, low_epsilon: float, middle_epsilon: float, high_epsilon: float
    ) -> Objective:
        thresholds, epsilons = (low_threshold, high_threshold), (low_epsilon, middle_epsilon, high_epsilon)
        return Objective(
            partial(graduated_label_smoothing, thresholds=thresholds, epsilons=epsilons),
            frozenset({Statistic.PRIOR_LOGIT}),
            formula=f"graduated label smoothing: (1 - e) nll + e {UNIFORM_NLL},  e = {low_epsilon:g} where "
            f"p_y < {low_threshold:g}, {high_epsilon:g} where p_y > {high_threshold:g}, else {middle_epsilon:g}, "
            "held constant",
            constants=constants,
        )

    return objective_of


def build_confidence_penalty(config: ConfidencePenaltyConfig, vocabulary: Vocabulary) -> OfNumbers:
    """Plain, thresholded or drawn to the unigram distribution."""
    needs, constants = frozenset({Statistic.ENTROPY}), Constants()
    if config.prior == "unigram":
        unigram = unigram_prior(vocabulary.counts("target").clamp(min=1), temperature=1.0)
        needs, constants = needs | {Statistic.EXPECTED_VALUE}, Constants(values=unigram.log())

    def objective_of(beta: float, threshold: float | None) -> Objective:
        function: Callable[..., Tensor]
        if config.prior == "unigram":
            function, term = unigram_confidence_penalty, "KL(p || u),  u ~ count"
        elif threshold is not None:
            function = partial(thresholded_confidence_penalty, threshold=threshold)
            term = f"max(0, {threshold:g} - H(p))"
        else:
            function, term = confidence_penalty, "(-H(p))"
        formula = f"confidence penalty: nll + {beta:g} {term}"
        return Objective(partial(function, beta=beta), needs, formula=formula, constants=constants)

    return objective_of
