"""Per-token statistics of the vocabulary logits: all that an objective may look at.

An objective here is a small function of a few numbers per target token, just as a corpus metric is a function of a few
counts per sentence. The numbers suffice for the objectives of `per_token.py` by construction, not for any function of a
distribution. This file holds their names and their definition on given logits; `linear.py` computes the same
numbers together with the output projection, without ever holding the logits of all tokens.

Shapes: N target tokens, V vocabulary.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor


class Statistic(StrEnum):
    """What can be asked for. One that nobody asks for is not computed."""

    LOGSUMEXP = "logsumexp"
    TARGET_LOGIT = "target_logit"
    PRIOR_LOGIT = "prior_logit"
    SUM_SQ_PROB = "sum_sq_prob"
    ENTROPY = "entropy"
    MAX_LOGIT = "max_logit"
    ARGMAX = "argmax"


ALWAYS = frozenset({Statistic.LOGSUMEXP, Statistic.TARGET_LOGIT, Statistic.MAX_LOGIT})
"""Present whether asked for or not: any loss needs the first two, and the third falls out of the first."""

DIFFERENTIABLE = frozenset(
    {
        Statistic.LOGSUMEXP,
        Statistic.TARGET_LOGIT,
        Statistic.PRIOR_LOGIT,
        Statistic.SUM_SQ_PROB,
        Statistic.ENTROPY,
    }
)
"""The statistics that carry a gradient. `max_logit` and `argmax` are for accuracy and calibration only."""


@dataclass(frozen=True)
class LogitStatistics:
    """Statistics of N distributions over the vocabulary, each a tensor [N] in float32 (float64 for float64 logits).

    With z the logits of a token, p = softmax(z) and y its label, the properties are named after what they hold.
    Reading one that was not asked for raises KeyError and says so.

    Attributes:
        values: the tensors by name.
    """

    values: Mapping[Statistic, Tensor]

    def _value(self, name: Statistic) -> Tensor:
        if name not in self.values:
            raise KeyError(f"`{name}` was not computed: add Statistic.{name.name} to `needs`")
        return self.values[name]

    @property
    def logsumexp(self) -> Tensor:
        """log sum_v exp z_v."""
        return self._value(Statistic.LOGSUMEXP)

    @property
    def target_logit(self) -> Tensor:
        """z_y, taken from the same rounded logits as `logsumexp`, so that p_y <= 1 holds exactly."""
        return self._value(Statistic.TARGET_LOGIT)

    @property
    def prior_logit(self) -> Tensor:
        """sum_v r_v z_v for the fixed prior r."""
        return self._value(Statistic.PRIOR_LOGIT)

    @property
    def sum_sq_prob(self) -> Tensor:
        """sum_v p_v^2."""
        return self._value(Statistic.SUM_SQ_PROB)

    @property
    def entropy(self) -> Tensor:
        """-sum_v p_v log p_v, in nats."""
        return self._value(Statistic.ENTROPY)

    @property
    def max_logit(self) -> Tensor:
        """max_v z_v. No gradient."""
        return self._value(Statistic.MAX_LOGIT)

    @property
    def argmax(self) -> Tensor:
        """The first v with the largest z_v, int64."""
        return self._value(Statistic.ARGMAX)

    @property
    def target_log_prob(self) -> Tensor:
        """log p_y, never above 0."""
        return self.target_logit - self.logsumexp

    @property
    def nll(self) -> Tensor:
        """-log p_y in nats, never below 0."""
        return self.logsumexp - self.target_logit

    @property
    def prior_nll(self) -> Tensor:
        """-sum_v r_v log p_v, the cross-entropy against the prior (which sums to one)."""
        return self.logsumexp - self.prior_logit

    @property
    def max_log_prob(self) -> Tensor:
        """log max_v p_v, the logarithm of the model's confidence. No gradient through the maximum."""
        return self.max_logit - self.logsumexp


def logit_statistics(
    logits: Tensor, labels: Tensor, *, prior: Tensor | None, needs: AbstractSet[Statistic]
) -> LogitStatistics:
    """The definition: statistics of given logits, differentiable by autograd. Ambient autocast is ignored.

    Args:
        logits: [N, V]; half precision is raised to float32 first.
        labels: [N] int64.
        prior: [V], sums to one; only for `prior_logit`.
        needs: what to compute beside `ALWAYS`.
    """
    z = logits.to(statistics_dtype(logits.dtype))
    values = {
        Statistic.LOGSUMEXP: z.logsumexp(dim=-1),
        Statistic.TARGET_LOGIT: z.gather(-1, labels.unsqueeze(-1)).squeeze(-1),
        Statistic.MAX_LOGIT: z.detach().amax(dim=-1),
    }
    if Statistic.PRIOR_LOGIT in needs:
        with torch.autocast(z.device.type, enabled=False):  # it would round both factors
            values[Statistic.PRIOR_LOGIT] = z @ required_prior(prior).to(z)
    if needs & {Statistic.SUM_SQ_PROB, Statistic.ENTROPY}:
        log_p = z.log_softmax(dim=-1)
        if Statistic.SUM_SQ_PROB in needs:
            values[Statistic.SUM_SQ_PROB] = log_p.exp().square().sum(dim=-1)
        if Statistic.ENTROPY in needs:
            values[Statistic.ENTROPY] = -(log_p.exp() * log_p).sum(dim=-1)
    if Statistic.ARGMAX in needs:
        values[Statistic.ARGMAX] = z.argmax(dim=-1)
    return LogitStatistics(values)


def statistics_dtype(dtype: torch.dtype) -> torch.dtype:
    """The precision of the statistics of logits in `dtype`: float64 stays, all else is float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def required_prior(prior: Tensor | None) -> Tensor:
    """The prior, or ValueError where `prior_logit` is asked for without one."""
    if prior is None:
        raise ValueError("`prior_logit` needs a prior [V]")
    return prior
