"""Logit statistics together with the output projection, without ever holding the logits of all tokens.

Both ops here compute what `logit_statistics(hidden @ weight.T, labels, ...)` defines, a chunk of tokens at a time:
`linear_logit_statistics` returns the statistics with their gradient (backward computes the logits again, four matmuls),
`linear_objective` takes the objective too, differentiates it in each chunk by autograd on its few numbers per token, and
has both gradients when forward ends (three matmuls). With p = softmax(z), f_x the derivative by statistic x, and the
statistics named in the notation of `LogitStatistics`, the gradient is analytic:

    dL/dz_v = p_v [f_logsumexp + 2 f_sum_sq_prob (p_v - sum_sq_prob) - f_entropy (log p_v + entropy)]
              + f_target_logit [v = y] + f_prior_logit r_v

What is constant along a row of logits never touches the logits: a factor of the row scales the hidden state instead,
the label's own entry is added as a multiple of one row of the weight, and the prior as a rank-one term.

Second derivatives are not supported. Repeated calls give equal bits. Shapes: N tokens, D width, V vocabulary.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mt_trainer.objectives.logit_statistics import (
    DIFFERENTIABLE,
    LogitStatistics,
    Statistic,
    required_prior,
    statistics_dtype,
)
from mt_trainer.objectives.objective import TokenFunction

CPU_CHUNK_BYTES = 8 * 2**20
GPU_CHUNK_BYTES = 2 * 2**30
GROUP_BYTES = 32 * 2**20


def linear_logit_statistics(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    *,
    prior: Tensor | None,
    needs: AbstractSet[Statistic],
    chunk_rows: int | None,
    matmul_dtype: torch.dtype | None,
) -> LogitStatistics:
    """Statistics of `hidden @ weight.T`, differentiable by `hidden` and `weight`.

    For objectives that need a whole sentence or batch before they can be differentiated; others save a matmul with
    `linear_objective`.

    Args:
        hidden: [N, D].
        weight: [V, D], the output projection.
        labels: [N] int64.
        prior: [V], sums to one; only for `prior_logit`.
        needs: what to compute beside what is always present.
        chunk_rows: tokens whose logits are held at once; None for what suits the device.
        matmul_dtype: the precision of the matrix products; None for that of `hidden`. Ambient autocast is ignored.
    """
    setup = _Setup(frozenset(needs), chunk_rows, matmul_dtype or hidden.dtype)
    names = setup.names()
    outputs = _LinearLogitStatistics.apply(hidden, weight, labels, prior, setup)
    return LogitStatistics(dict(zip(names, outputs, strict=True)))


def linear_objective(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    *,
    function: TokenFunction,
    mask: Tensor | None,
    prior: Tensor | None,
    needs: AbstractSet[Statistic],
    chunk_rows: int | None,
    matmul_dtype: torch.dtype | None,
) -> tuple[Tensor, LogitStatistics]:
    """The objective summed over the tokens, differentiable by `hidden` and `weight`, and the statistics without gradient.

    Backward only multiplies what forward has computed, in place: it can run once. Without gradients to compute (no_grad,
    or neither input requires one) forward is one matmul.

    Args:
        function: the objective of each token of a chunk; it must treat every token alone.
        mask: [N] bool, True where a token counts; None where all do.
        hidden, weight, labels, prior, needs, chunk_rows, matmul_dtype: as in `linear_logit_statistics`.
    """
    setup = _Setup(frozenset(needs), chunk_rows, matmul_dtype or hidden.dtype)
    names = setup.names()
    is_training = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    loss, *values = _LinearObjective.apply(hidden, weight, labels, prior, mask, function, setup, is_training)
    return loss, LogitStatistics(dict(zip(names, values, strict=True)))


@dataclass(frozen=True)
class _Setup:
    needs: frozenset[Statistic]
    chunk_rows: int | None
    matmul_dtype: torch.dtype

    def names(self) -> list[Statistic]:
        always = [Statistic.LOGSUMEXP, Statistic.TARGET_LOGIT, Statistic.MAX_LOGIT]
        return always + sorted(self.needs.difference(always))

    def rows(self, vocab_size: int, device: torch.device) -> int:
        if self.chunk_rows is not None:
            return self.chunk_rows
        num_bytes = CPU_CHUNK_BYTES if device.type == "cpu" else GPU_CHUNK_BYTES
        return max(16, num_bytes // (4 * vocab_size) // 16 * 16)


@dataclass(frozen=True)
class _Chunk:
    """A range of tokens with its logits, probabilities [n, V] and statistics [n]; the matrices are buffers, used again."""

    rows: slice
    logits: Tensor
    probs: Tensor
    values: dict[Statistic, Tensor]


class _Projection:
    """The output projection of some tokens, by chunks."""

    def __init__(self, hidden: Tensor, weight: Tensor, labels: Tensor, prior: Tensor | None, setup: _Setup) -> None:
        self.needs = setup.needs
        self.dtype = statistics_dtype(setup.matmul_dtype)
        self.hidden = hidden
        self.weight = weight
        self.labels = labels
        self.hidden_factor = hidden.to(setup.matmul_dtype)
        self.weight_factor = weight.to(setup.matmul_dtype)
        self.prior: Tensor | None = None
        if Statistic.PRIOR_LOGIT in setup.needs:
            self.prior = required_prior(prior).to(self.dtype)
            self.prior_row = self.prior @ weight.to(self.dtype)
        self.num_rows = max(1, min(setup.rows(weight.size(0), weight.device), hidden.size(0)))

    def chunks(self) -> Iterator[_Chunk]:
        """The chunks in order; each is overwritten by the next."""
        shape = (self.num_rows, self.weight.size(0))
        product = self.hidden_factor.new_empty(shape)
        logits = product if product.dtype == self.dtype else product.new_empty(shape, dtype=self.dtype)
        probs = torch.empty_like(logits)
        for start in range(0, self.hidden.size(0), self.num_rows):
            rows = slice(start, min(start + self.num_rows, self.hidden.size(0)))
            n = rows.stop - rows.start
            z, p = logits[:n], probs[:n]
            torch.mm(self.hidden_factor[rows], self.weight_factor.t(), out=product[:n])
            if product is not logits:
                z.copy_(product[:n])
            torch.softmax(z, dim=-1, out=p)
            yield _Chunk(rows, z, p, self._values(rows, z, p))

    def _values(self, rows: slice, z: Tensor, p: Tensor) -> dict[Statistic, Tensor]:
        max_logit = z.amax(dim=-1)
        logsumexp = (
            max_logit - p.amax(dim=-1).log()
        )  # the largest probability is 1 / sum exp(z - max): it cannot underflow
        values = {
            Statistic.LOGSUMEXP: logsumexp,
            Statistic.TARGET_LOGIT: z.gather(1, self.labels[rows].unsqueeze(1)).squeeze(1),
            Statistic.MAX_LOGIT: max_logit,
        }
        if Statistic.PRIOR_LOGIT in self.needs:
            values[Statistic.PRIOR_LOGIT] = self.hidden[rows].to(self.dtype) @ self.prior_row
        if Statistic.SUM_SQ_PROB in self.needs:
            values[Statistic.SUM_SQ_PROB] = torch.linalg.vector_norm(p, dim=-1).square()
        if Statistic.ENTROPY in self.needs:
            values[Statistic.ENTROPY] = logsumexp - torch.linalg.vecdot(p, z)
        if Statistic.ARGMAX in self.needs:
            values[Statistic.ARGMAX] = z.argmax(dim=-1)
        return values


class _Gradients:
    """Gradients by hidden state and weight, gathered chunk by chunk from the derivatives by the statistics."""

    def __init__(self, projection: _Projection, *, for_hidden: bool, for_weight: bool) -> None:
        self.projection = projection
        weight, hidden = projection.weight, projection.hidden
        self.hidden = torch.empty_like(hidden, dtype=projection.dtype) if for_hidden else None
        self.weight = torch.zeros_like(weight, dtype=projection.dtype) if for_weight else None
        self.prior_hidden = hidden.new_zeros(hidden.size(1), dtype=projection.dtype)
        # One weight-gradient matmul serves several chunks: in half precision each costs a pass over [V, D] beside.
        self.first_row = self.num_grouped = 0
        if for_weight:
            factor = projection.weight_factor
            row_bytes = weight.size(0) * factor.element_size()
            chunks = max(1, GROUP_BYTES // (row_bytes * projection.num_rows))
            group_rows = min(chunks * projection.num_rows, max(1, hidden.size(0)))
            self.logit_group = factor.new_empty((group_rows, weight.size(0)))
            self.hidden_group = factor.new_empty((group_rows, weight.size(1)))

    def add(self, chunk: _Chunk, slopes: Mapping[Statistic, Tensor]) -> None:
        """Takes a chunk whose statistics have the derivatives `slopes`, [n] each."""
        projection, rows, p = self.projection, chunk.rows, chunk.probs
        labels = projection.labels[rows]
        scale, label_slope = self._multiply_by_row_functions(chunk, slopes)
        p.scatter_(1, labels.unsqueeze(1), 0)
        hidden = projection.hidden[rows].to(projection.dtype)
        prior_slope = slopes.get(Statistic.PRIOR_LOGIT)

        if self.weight is not None:
            if self.num_grouped + len(labels) > self.logit_group.size(0):
                self._flush()
            group = slice(self.num_grouped, self.num_grouped + len(labels))
            factor = self.logit_group[group].copy_(p)
            torch.mul(hidden, scale.unsqueeze(1), out=self.hidden_group[group])
            self.num_grouped = group.stop
            _add_rows(self.weight, labels, label_slope.unsqueeze(1) * hidden)
            if prior_slope is not None:
                self.prior_hidden += prior_slope @ hidden
        else:
            factor = p.to(projection.weight_factor.dtype)
        if self.hidden is not None:
            gradient = torch.mul(factor @ projection.weight_factor, scale.unsqueeze(1), out=self.hidden[rows])
            gradient.addcmul_(label_slope.unsqueeze(1), projection.weight[labels].to(projection.dtype))
            if prior_slope is not None:
                gradient.addr_(prior_slope, projection.prior_row)

    def _multiply_by_row_functions(self, chunk: _Chunk, slopes: Mapping[Statistic, Tensor]) -> tuple[Tensor, Tensor]:
        """Brings dL/dz into the chunk's probabilities up to a factor per row; returns it and dL/dz at the label."""
        values = chunk.values
        label_prob = (values[Statistic.TARGET_LOGIT] - values[Statistic.LOGSUMEXP]).exp()
        factor_at_label = scale = slopes[Statistic.LOGSUMEXP]
        square, entropy = slopes.get(Statistic.SUM_SQ_PROB), slopes.get(Statistic.ENTROPY)
        if square is not None or entropy is not None:
            constant = scale
            factor = chunk.logits
            if entropy is not None:
                constant = constant + entropy * (values[Statistic.LOGSUMEXP] - values[Statistic.ENTROPY])
                factor.mul_(-entropy.unsqueeze(1))
            else:
                factor.zero_()
            if square is not None:
                constant = constant - 2 * square * values[Statistic.SUM_SQ_PROB]
                factor.addcmul_(chunk.probs, 2 * square.unsqueeze(1))
            factor.add_(constant.unsqueeze(1))
            factor_at_label = factor.gather(1, self.projection.labels[chunk.rows].unsqueeze(1)).squeeze(1)
            chunk.probs.mul_(factor)
            scale = torch.ones_like(scale)
        return scale, factor_at_label * label_prob + slopes[Statistic.TARGET_LOGIT]

    def _flush(self) -> None:
        assert self.weight is not None
        logits, hidden = self.logit_group[: self.num_grouped], self.hidden_group[: self.num_grouped]
        if logits.dtype == self.weight.dtype:
            self.weight.addmm_(logits.t(), hidden)
        else:
            self.weight += logits.t() @ hidden
        self.num_grouped = 0

    def finish(self) -> tuple[Tensor | None, Tensor | None]:
        """The gradients in the dtypes of what they belong to."""
        projection = self.projection
        if self.weight is not None:
            self._flush()
            if projection.prior is not None:
                self.weight.addr_(projection.prior, self.prior_hidden)
        return (
            None if self.hidden is None else self.hidden.to(projection.hidden.dtype),
            None if self.weight is None else self.weight.to(projection.weight.dtype),
        )


def _add_rows(matrix: Tensor, index: Tensor, rows: Tensor) -> None:
    """matrix[index[i]] += rows[i], in an order that does not vary (on CUDA `index_add_` would)."""
    if matrix.device.type == "cpu":
        matrix.index_add_(0, index, rows)
    else:
        matrix.index_put_((index,), rows, accumulate=True)


class _LinearObjective(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        labels: Tensor,
        prior: Tensor | None,
        mask: Tensor | None,
        function: TokenFunction,
        setup: _Setup,
        is_training: bool,
    ) -> tuple[Tensor, ...]:
        with torch.autocast(hidden.device.type, enabled=False):
            projection = _Projection(hidden, weight, labels, prior, setup)
            gradients = None
            if is_training:
                gradients = _Gradients(projection, for_hidden=hidden.requires_grad, for_weight=weight.requires_grad)
            per_token = hidden.new_zeros(hidden.size(0), dtype=projection.dtype)
            collected = _empty_values(projection, setup)
            for chunk in projection.chunks():
                for name, value in chunk.values.items():
                    collected[name][chunk.rows] = value
                chunk_mask = None if mask is None else mask[chunk.rows]
                per_token[chunk.rows], slopes = _differentiate(function, chunk.values, chunk_mask, is_training)
                if gradients is not None:
                    gradients.add(chunk, slopes)
            ctx.gradients = gradients.finish() if gradients is not None else (None, None)
        outputs = tuple(collected[name] for name in setup.names())
        ctx.mark_non_differentiable(*outputs)
        return per_token.sum(), *outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.gradients is None:
            raise RuntimeError(
                "linear_objective hands its gradients out once; for a second backward pass call it again"
            )
        by_hidden, by_weight = ctx.gradients
        ctx.gradients = None
        for gradient in (by_hidden, by_weight):
            if gradient is not None:
                gradient.mul_(slope)
        return by_hidden, by_weight, None, None, None, None, None, None


def _differentiate(
    function: TokenFunction, values: dict[Statistic, Tensor], mask: Tensor | None, is_training: bool
) -> tuple[Tensor, dict[Statistic, Tensor]]:
    """The objective of each token and its derivatives by the statistics, zero where the mask is False."""
    leaves = {name: value.detach() for name, value in values.items()}
    inputs = {name: leaf for name, leaf in leaves.items() if name in DIFFERENTIABLE} if is_training else {}
    with torch.set_grad_enabled(is_training):
        for leaf in inputs.values():
            leaf.requires_grad_()
        per_token = function(LogitStatistics(leaves))
        if mask is not None:
            per_token = per_token.where(mask, 0)
        if not inputs:
            return per_token, {}
        derivatives = torch.autograd.grad(per_token.sum(), list(inputs.values()), allow_unused=True)
    slopes = {name: slope for name, slope in zip(inputs, derivatives, strict=True) if slope is not None}
    for name in (Statistic.LOGSUMEXP, Statistic.TARGET_LOGIT):
        slopes.setdefault(name, torch.zeros_like(values[name]))
    return per_token.detach(), slopes


class _LinearLogitStatistics(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, prior: Tensor | None, setup: _Setup
    ) -> tuple[Tensor, ...]:
        with torch.autocast(hidden.device.type, enabled=False):
            projection = _Projection(hidden, weight, labels, prior, setup)
            collected = _empty_values(projection, setup)
            for chunk in projection.chunks():
                for name, value in chunk.values.items():
                    collected[name][chunk.rows] = value
        ctx.save_for_backward(hidden, weight, labels, prior)
        ctx.setup = setup
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*(value for name, value in collected.items() if name not in DIFFERENTIABLE))
        return tuple(collected[name] for name in setup.names())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor | None) -> tuple[Tensor | None, ...]:
        hidden, weight, labels, prior = ctx.saved_tensors
        with torch.autocast(hidden.device.type, enabled=False):
            projection = _Projection(hidden, weight, labels, prior, ctx.setup)
            gradients = _Gradients(projection, for_hidden=ctx.needs_input_grad[0], for_weight=ctx.needs_input_grad[1])
            zeros = hidden.new_zeros(hidden.size(0), dtype=projection.dtype)
            by_name = {name: s for name, s in zip(ctx.setup.names(), slopes, strict=True) if s is not None}
            by_name = {Statistic.LOGSUMEXP: zeros, Statistic.TARGET_LOGIT: zeros} | by_name
            for chunk in projection.chunks():
                gradients.add(chunk, {name: slope[chunk.rows] for name, slope in by_name.items()})
            by_hidden, by_weight = gradients.finish()
        return by_hidden, by_weight, None, None, None


def _empty_values(projection: _Projection, setup: _Setup) -> dict[Statistic, Tensor]:
    labels = projection.labels
    return {
        name: torch.empty_like(labels, dtype=torch.int64 if name == Statistic.ARGMAX else projection.dtype)
        for name in setup.names()
    }
