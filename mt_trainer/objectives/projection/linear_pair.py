"""Objectives over two distributions for each token, together with their output projections, by chunks of tokens.

The logits of both are held for a chunk at a time, and the objective is differentiated by autograd on some rows of them:
any function of two distributions can be written down plainly. Beside the elementwise work of the objective as written,
this costs a matmul for each side, and one more for each input that learns.

Second derivatives are not supported. Repeated calls give equal bits.
Shapes: N tokens, n tokens of a chunk, D and E widths, V vocabulary.
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mt_trainer.objectives.logit_statistics import (
    ALWAYS,
    LogitStatistics,
    Statistic,
    logit_statistics,
    statistics_dtype,
)
from mt_trainer.objectives.objective import LogitPair, PairFunction
from mt_trainer.objectives.projection.slab_products import add_combined, combine, parts, project
from mt_trainer.objectives.token_inputs import Constants, TokenInputs

CPU_BUFFER_BYTES = 32 * 2**20
"""Memory for logits on a CPU: a quarter for either side of a chunk, and 1/32 for the block of it that the objective is
differentiated on, since autograd keeps more than ten matrices of that size."""

GPU_BUFFER_BYTES = 2 * 2**30
"""The same on a GPU; chosen, not measured."""

_NAMES = sorted(ALWAYS)
"""The statistics that are returned, in their order."""


def linear_pair_objective(
    hidden: Tensor,
    weight: Tensor,
    other_hidden: Tensor,
    other_weight: Tensor,
    labels: Tensor,
    *,
    function: PairFunction,
    mask: Tensor | None,
    chunk_rows: int | None,
    matmul_dtype: torch.dtype | None,
    other_matmul_dtype: torch.dtype | None,
    logit_buffer_bytes: int | None = None,
) -> tuple[Tensor, LogitStatistics]:
    """The objective of `hidden @ weight.T` and `other_hidden @ other_weight.T`, summed over the tokens.

    It is differentiable by whichever of the four requires a gradient. Backward only multiplies, in place, what forward
    has computed: it can run once. Where there is no gradient to compute, forward is two matmuls.

    Args:
        hidden: [N, D].
        weight: [V, D].
        other_hidden: [N, E].
        other_weight: [V, E]; it may be `weight` itself.
        labels: [N] int64.
        function: the objective of each token; it must treat every token alone.
        mask: [N] bool, True where a token counts; None where all do.
        chunk_rows: tokens whose logits are held at once; None for as many as the buffer has room for.
        matmul_dtype: the precision of the matrix products, None for that of `hidden`; the function sees float32, or
            float64. Ambient autocast is ignored.
        other_matmul_dtype: the same for the second distribution, None for that of `other_hidden`.
        logit_buffer_bytes: memory for logits; None for what suits the device.

    Returns:
        The objective, 0-dimensional, and the statistics [N] of the first distribution that any objective has at hand,
        without gradient.
    """
    setup = _Setup(
        chunk_rows=chunk_rows,
        buffer_bytes=logit_buffer_bytes or (CPU_BUFFER_BYTES if weight.device.type == "cpu" else GPU_BUFFER_BYTES),
        dtypes=(matmul_dtype or hidden.dtype, other_matmul_dtype or other_hidden.dtype),
        is_one_weight=other_weight is weight,
    )
    factors = (hidden, weight, other_hidden, other_weight)
    wants = [torch.is_grad_enabled() and factor.requires_grad for factor in factors]
    outputs = _LinearPairObjective.apply(*factors, labels, mask, function, setup, wants)  # type: ignore[no-untyped-call]
    loss, *values = cast(tuple[Tensor, ...], outputs)
    return loss, LogitStatistics(dict(zip(_NAMES, values, strict=True)), TokenInputs(labels), Constants())


@dataclass(frozen=True)
class _Setup:
    """How to run: the size of a chunk, the precision of each product, whether both have one weight."""

    chunk_rows: int | None
    buffer_bytes: int
    dtypes: tuple[torch.dtype, torch.dtype]
    is_one_weight: bool


class _LinearPairObjective(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        other_hidden: Tensor,
        other_weight: Tensor,
        labels: Tensor,
        mask: Tensor | None,
        function: PairFunction,
        setup: _Setup,
        wants: list[bool],
    ) -> tuple[Tensor, ...]:
        dtype = max((statistics_dtype(each) for each in setup.dtypes), key=lambda each: each.itemsize)
        row_bytes = weight.size(0) * dtype.itemsize
        chunk_rows = setup.chunk_rows or max(1, setup.buffer_bytes // 4 // row_bytes)
        block_rows = max(1, setup.buffer_bytes // 32 // row_bytes)
        per_token = hidden.new_zeros(hidden.size(0), dtype=dtype)
        values = {name: torch.empty_like(labels, dtype=dtype) for name in _NAMES}
        with torch.autocast(hidden.device.type, enabled=False):
            first = _Side(hidden, weight, setup.dtypes[0], dtype, wants[:2])
            second = _Side(other_hidden, other_weight, setup.dtypes[1], dtype, wants[2:])
            if setup.is_one_weight:
                second.by_weight = first.by_weight
            for chunk in parts(hidden.size(0), chunk_rows):
                logits, other = first.logits(chunk), second.logits(chunk)
                for block in parts(len(logits), block_rows):
                    rows = slice(chunk.start + block.start, chunk.start + block.stop)
                    pair = LogitPair(logits[block], other[block], labels[rows])
                    for name, value in _statistics(pair).items():
                        values[name][rows] = value
                    counts = None if mask is None else mask[rows]
                    per_token[rows] = _differentiate(function, pair, counts, first.learns, second.learns)
                first.add(chunk, logits)
                second.add(chunk, other)
        by_other_weight = None if setup.is_one_weight else second.by_weight
        gradients = (first.by_hidden, first.by_weight, second.by_hidden, by_other_weight)
        ctx.gradients = [
            None if gradient is None else gradient.to(factor.dtype)
            for gradient, factor in zip(gradients, (hidden, weight, other_hidden, other_weight), strict=True)
        ]
        ctx.mark_non_differentiable(*values.values())
        return per_token.sum(), *values.values()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.gradients is None:
            raise RuntimeError(
                "linear_pair_objective hands its gradients out once; call it again for a second backward pass"
            )
        gradients, ctx.gradients = ctx.gradients, None
        scaled = (None if gradient is None else gradient.mul_(slope) for gradient in gradients)
        return (*scaled, None, None, None, None, None)


class _Side:
    """One of the two distributions: its logits, a chunk at a time, and what its gradients have come to so far."""

    def __init__(
        self, hidden: Tensor, weight: Tensor, matmul_dtype: torch.dtype, dtype: torch.dtype, wants: list[bool]
    ) -> None:
        self.hidden, self.weight, self.matmul_dtype, self.dtype = hidden, weight, matmul_dtype, dtype
        self.by_hidden = torch.empty_like(hidden, dtype=dtype) if wants[0] else None
        self.by_weight = torch.zeros_like(weight, dtype=dtype) if wants[1] else None

    @property
    def learns(self) -> bool:
        """Whether anything here has a gradient."""
        return self.by_hidden is not None or self.by_weight is not None

    def logits(self, rows: slice) -> Tensor:
        """[n, V]."""
        hidden = self.hidden[rows].to(self.matmul_dtype)
        logits = hidden.new_empty((len(hidden), len(self.weight)))
        project(hidden, self.weight, out=logits)
        return logits.to(self.dtype)

    def add(self, rows: slice, slopes: Tensor) -> None:
        """Takes the derivatives of the objective by the logits of some tokens, [n, V]."""
        slopes = slopes.to(self.matmul_dtype)
        if self.by_hidden is not None:
            self.by_hidden[rows] = combine(slopes, self.weight, self.dtype)
        if self.by_weight is not None:
            add_combined(self.by_weight, slopes, self.hidden[rows].to(self.matmul_dtype))


def _statistics(pair: LogitPair) -> dict[Statistic, Tensor]:
    """Of the first distribution."""
    found = logit_statistics(pair.logits, TokenInputs(pair.labels), constants=Constants(), needs=frozenset())
    return dict(found.values)


def _differentiate(
    function: PairFunction, pair: LogitPair, mask: Tensor | None, first_learns: bool, second_learns: bool
) -> Tensor:
    """The objective of each token; its derivatives take the place of the logits that learn."""
    logits, other = pair.logits.detach(), pair.other.detach()
    learning = [z for z, learns in ((logits, first_learns), (other, second_learns)) if learns]
    with torch.set_grad_enabled(bool(learning)):
        for z in learning:
            z.requires_grad_()
        per_token = function(LogitPair(logits, other, pair.labels))
        if mask is not None:
            per_token = per_token.where(mask, 0)
        if learning:
            slopes = torch.autograd.grad(per_token.sum(), learning, allow_unused=True, materialize_grads=True)
            for z, slope in zip(learning, slopes, strict=True):
                z.detach().copy_(slope)
    return per_token.detach()
