"""What an objective is, for those who compute it: a function, what it needs, and how it is written."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from mt_trainer.objectives.logit_statistics import LogitStatistics, Statistic
from mt_trainer.objectives.per_token import (
    SmoothingConvention,
    cross_entropy,
    label_smoothing,
    smoothing_epsilon,
    smoothing_prior,
)

TokenFunction = Callable[[LogitStatistics], Tensor]
"""Statistics of N tokens -> one number each, [N]. It treats every token alone: it is called on any part of a batch."""


@dataclass(frozen=True)
class TokenWeight:
    """The weights of an objective that counts some labels less, for the log.

    Attributes:
        function: the weight of each token [N], without gradient.
        floor: the least weight possible.
    """

    function: TokenFunction
    floor: float


@dataclass(frozen=True, eq=False)
class Objective:
    """An objective with its numbers filled in.

    Attributes:
        function: the loss of each token, in nats.
        needs: the statistics that it reads beside those always present.
        prior: [V], sums to one; None where `needs` lacks `prior_logit`.
        formula: one line for people, for example `(1 - 0.1) nll + 0.1 mean_v(-log p_v)`.
        weight: the token weights inside the function, if it has any.
    """

    function: TokenFunction
    needs: frozenset[Statistic]
    prior: Tensor | None
    formula: str
    weight: TokenWeight | None


def cross_entropy_objective() -> Objective:
    """Cross-entropy; it needs nothing beyond what is always present."""
    return Objective(cross_entropy, frozenset(), prior=None, formula="cross-entropy: nll", weight=None)


def label_smoothing_objective(
    convention: SmoothingConvention, *, epsilon: float, vocab_size: int, pad_id: int
) -> Objective:
    """Label smoothing of a toolkit's convention; with `epsilon` 0 it is `cross_entropy_objective`.

    Raises:
        ValueError: `epsilon` is outside 0 <= epsilon < 1, or the convention leaves out padding and the vocabulary has
            no piece `pad_id`.
    """
    if not 0 <= epsilon < 1:
        raise ValueError(f"smoothing {epsilon} is outside 0 <= smoothing < 1")
    if epsilon == 0:
        return cross_entropy_objective()
    mass = smoothing_epsilon(convention, epsilon=epsilon, vocab_size=vocab_size)
    prior_nll = "mean_{v != pad}(-log p_v)" if convention == "no_pad" else "mean_v(-log p_v)"
    asked = "" if mass == epsilon else f", epsilon {epsilon:g}"
    return Objective(
        partial(label_smoothing, epsilon=mass),
        frozenset({Statistic.PRIOR_LOGIT}),
        prior=smoothing_prior(convention, vocab_size=vocab_size, pad_id=pad_id),
        formula=f"label smoothing: (1 - {mass:.6g}) nll + {mass:.6g} {prior_nll}  [{convention} convention{asked}]",
        weight=None,
    )
