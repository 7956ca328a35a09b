"""What an objective is, for those who compute it: a function, what it needs, and how it is written."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from mt_trainer.objectives.logit_statistics import LogitStatistics, Statistic

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
