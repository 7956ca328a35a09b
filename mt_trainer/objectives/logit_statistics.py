"""Per-token statistics of the vocabulary logits: all that an objective may look at.

An objective here is a small function of a few numbers per target token, just as a corpus metric is a function of a few
counts per sentence. The numbers suffice for the objectives of `formulas/` by construction, not for any function of a
distribution. This file holds their names and their definition on given logits; `projection/` computes the same
numbers together with the output projection, without ever holding the logits of all tokens.

Shapes: N target tokens, V vocabulary, K ids per token, E width of a fixed embedding.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import torch
from torch import Tensor

from mt_trainer.objectives.token_inputs import Constants, TokenInputs


class Statistic(StrEnum):
    """What can be asked for. One that nobody asks for is not computed."""

    LOGSUMEXP = "logsumexp"
    TARGET_LOGIT = "target_logit"
    PRIOR_LOGIT = "prior_logit"
    SUM_SQ_PROB = "sum_sq_prob"
    ENTROPY = "entropy"
    EXPECTED_VALUE = "expected_value"
    TAIL_NLL = "tail_nll"
    GATHERED_LOGITS = "gathered_logits"
    EXPECTED_EMBEDDING = "expected_embedding"
    MAX_LOGIT = "max_logit"
    ARGMAX = "argmax"


ALWAYS = frozenset({Statistic.LOGSUMEXP, Statistic.TARGET_LOGIT, Statistic.MAX_LOGIT})
"""Present whether asked for or not: any loss needs the first two, and the third falls out of the first."""

DIFFERENTIABLE = frozenset(Statistic) - {Statistic.MAX_LOGIT, Statistic.ARGMAX}
"""The statistics that carry a gradient. `max_logit` and `argmax` are for accuracy and calibration only."""


@dataclass(frozen=True)
class LogitStatistics:
    """Statistics of N distributions over the vocabulary, in float32 (float64 for float64 logits), [N] if not said.

    With z the logits of a token, p = softmax(z) and y its label, the properties are named after what they hold.
    Reading one that was not asked for raises KeyError and says so.

    Attributes:
        values: the tensors by name.
        inputs: what is known of the same tokens beside their logits.
        constants: what the objective holds fixed.
    """

    values: Mapping[Statistic, Tensor]
    inputs: TokenInputs
    constants: Constants

    def __getitem__(self, rows: slice) -> "LogitStatistics":
        """The same for some of the tokens, as views."""
        values = {name: value[rows] for name, value in self.values.items()}
        return LogitStatistics(values, self.inputs[rows], self.constants)

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
    def expected_value(self) -> Tensor:
        """sum_v p_v c_v for the fixed values c."""
        return self._value(Statistic.EXPECTED_VALUE)

    @property
    def tail_nll(self) -> Tensor:
        """sum of -log p_v over the pieces with p_v < t, for the fixed t; its gradient holds that set constant."""
        return self._value(Statistic.TAIL_NLL)

    @property
    def gathered_logits(self) -> Tensor:
        """z_v of the K pieces v that `inputs.ids` names for each token, [N, K]."""
        return self._value(Statistic.GATHERED_LOGITS)

    @property
    def expected_embedding(self) -> Tensor:
        """sum_v p_v E_v for the fixed embedding E, [N, E]."""
        return self._value(Statistic.EXPECTED_EMBEDDING)

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
    def gathered_log_prob(self) -> Tensor:
        """log p_v of the K pieces v that `inputs.ids` names for each token, [N, K]."""
        return self.gathered_logits - self.logsumexp.unsqueeze(-1)

    @property
    def label_value(self) -> Tensor:
        """The fixed number of each token's label."""
        return required(self.constants.per_label, "per_label").to(self.logsumexp)[self.inputs.labels]

    @property
    def label_embedding(self) -> Tensor:
        """The fixed vector of each token's label, [N, E]."""
        vectors = required(self.constants.embedding, "embedding")[self.inputs.labels].to(self.logsumexp)
        if self.constants.embedding_scale is None:
            return vectors
        return vectors * self.constants.embedding_scale.to(self.logsumexp)[self.inputs.labels].unsqueeze(-1)

    @property
    def max_log_prob(self) -> Tensor:
        """log max_v p_v, the logarithm of the model's confidence. No gradient through the maximum."""
        return self.max_logit - self.logsumexp


def logit_statistics(
    logits: Tensor, inputs: TokenInputs, *, constants: Constants, needs: AbstractSet[Statistic]
) -> LogitStatistics:
    """The definition: statistics of given logits, differentiable by autograd. Ambient autocast is ignored.

    Args:
        logits: [N, V]; half precision is raised to float32 first.
        inputs: of the same tokens; `gathered_logits` reads their ids.
        constants: what `prior_logit`, `expected_value`, `tail_nll` and `expected_embedding` are taken against.
        needs: what to compute beside `ALWAYS`.

    Raises:
        ValueError: a statistic is asked for without the input or constant that it is taken against.
    """
    z = logits.to(statistics_dtype(logits.dtype))
    with torch.autocast(z.device.type, enabled=False):  # it would round the factors of the products
        log_p = z.log_softmax(dim=-1)
        p = log_p.exp()
        define = {
            Statistic.LOGSUMEXP: lambda: z.logsumexp(dim=-1),
            Statistic.TARGET_LOGIT: lambda: z.gather(-1, inputs.labels.unsqueeze(-1)).squeeze(-1),
            Statistic.MAX_LOGIT: lambda: z.detach().amax(dim=-1),
            Statistic.ARGMAX: lambda: z.argmax(dim=-1),
            Statistic.PRIOR_LOGIT: lambda: z @ required(constants.prior, "prior").to(z),
            Statistic.SUM_SQ_PROB: lambda: p.square().sum(dim=-1),
            Statistic.ENTROPY: lambda: -(p * log_p).sum(dim=-1),
            Statistic.EXPECTED_VALUE: lambda: p @ required(constants.values, "values").to(z),
            Statistic.TAIL_NLL: lambda: -log_p.where(p < required(constants.tail_below, "tail_below"), 0).sum(dim=-1),
            Statistic.GATHERED_LOGITS: lambda: z.gather(-1, required(inputs.ids, "ids")),
            Statistic.EXPECTED_EMBEDDING: lambda: (
                (p if constants.embedding_scale is None else p * constants.embedding_scale.to(z))
                @ required(constants.embedding, "embedding").to(z)
            ),
        }
        return LogitStatistics({name: define[name]() for name in sorted(ALWAYS | needs)}, inputs, constants)


def statistics_dtype(dtype: torch.dtype) -> torch.dtype:
    """The precision of the statistics of logits in `dtype`: float64 stays, all else is float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


T = TypeVar("T")


def required(value: T | None, name: str) -> T:
    """The input or constant that a statistic is taken against, or ValueError where it is missing."""
    if value is None:
        raise ValueError(f"an objective reads `{name}`, which was not given")
    return value
