"""Logit statistics together with the output projection, without ever holding the logits of all tokens.

Both ops compute what `logit_statistics(hidden @ weight.T, labels, ...)` defines. `linear_logit_statistics` returns the
statistics, differentiable; its backward computes the logits again, so forward and backward are four matmuls.
`linear_objective` takes the objective too, differentiates it in each chunk by autograd on its few numbers per token,
and has both gradients when forward ends: three matmuls. The gradients are analytic, see `chunked_projection.py`.

Second derivatives are not supported. Repeated calls give equal bits. Shapes: N tokens, D width, V vocabulary.
"""

from collections.abc import Set as AbstractSet
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mt_trainer.objectives.chunked_projection import ChunkedProjection, ProjectionGradients, Setup
from mt_trainer.objectives.logit_statistics import DIFFERENTIABLE, LogitStatistics, Statistic
from mt_trainer.objectives.objective import TokenFunction


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
    setup = Setup(frozenset(needs), chunk_rows, matmul_dtype or hidden.dtype)
    values = _apply(_LinearLogitStatistics, hidden, weight, labels, prior, setup)
    return LogitStatistics(dict(zip(setup.names, values, strict=True)))


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
    """The objective summed over the tokens, differentiable by `hidden` and `weight`; the statistics, without gradient.

    Backward only multiplies, in place, what forward has computed: it can run once. Where there is no gradient to
    compute (under `no_grad`, or if neither input requires one), forward is one matmul.

    Args:
        hidden: [N, D].
        weight: [V, D], the output projection.
        labels: [N] int64.
        function: the objective of each token; it must treat every token alone.
        mask: [N] bool, True where a token counts; None where all do.
        prior: [V], sums to one; only for `prior_logit`.
        needs: what to compute beside what is always present.
        chunk_rows: tokens whose logits are held at once; None for what suits the device.
        matmul_dtype: the precision of the matrix products; None for that of `hidden`. Ambient autocast is ignored.
    """
    setup = Setup(frozenset(needs), chunk_rows, matmul_dtype or hidden.dtype)
    wants = (hidden.requires_grad, weight.requires_grad) if torch.is_grad_enabled() else (False, False)
    loss, *values = _apply(_LinearObjective, hidden, weight, labels, prior, mask, function, setup, wants)
    return loss, LogitStatistics(dict(zip(setup.names, values, strict=True)))


def _apply(function: type[torch.autograd.Function], *inputs: object) -> tuple[Tensor, ...]:
    return cast(tuple[Tensor, ...], function.apply(*inputs))


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
        setup: Setup,
        wants: tuple[bool, bool],
    ) -> tuple[Tensor, ...]:
        is_training = any(wants)
        with torch.autocast(hidden.device.type, enabled=False):
            projection = ChunkedProjection(hidden, weight, labels, prior, setup)
            gradients = ProjectionGradients(projection, for_hidden=wants[0], for_weight=wants[1])
            values = projection.empty_values(hidden.size(0))
            per_token = hidden.new_empty(hidden.size(0), dtype=projection.dtype)
            for chunk in projection.chunks(with_gradients=is_training):
                for name, value in chunk.values.items():
                    values[name][chunk.rows] = value
                counts = None if mask is None else mask[chunk.rows]
                per_token[chunk.rows], slopes = _differentiate(function, chunk.values, counts, is_training)
                if is_training:
                    gradients.add(chunk, slopes)
            ctx.gradients = gradients.finish()
        outputs = tuple(values.values())
        ctx.mark_non_differentiable(*outputs)
        return per_token.sum(), *outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.gradients is None:
            raise RuntimeError(
                "linear_objective hands its gradients out once; call it again for a second backward pass"
            )
        gradients, ctx.gradients = ctx.gradients, None
        by_hidden, by_weight = (None if gradient is None else gradient.mul_(slope) for gradient in gradients)
        return by_hidden, by_weight, None, None, None, None, None, None


def _differentiate(
    function: TokenFunction, values: dict[Statistic, Tensor], mask: Tensor | None, is_training: bool
) -> tuple[Tensor, dict[Statistic, Tensor]]:
    """The objective of each token and its derivatives by the statistics; zeros where the mask is False."""
    leaves = {name: value.detach() for name, value in values.items()}
    inputs = {name: leaf for name, leaf in leaves.items() if is_training and name in DIFFERENTIABLE}
    with torch.set_grad_enabled(is_training):
        for leaf in inputs.values():
            leaf.requires_grad_()
        per_token = function(LogitStatistics(leaves))
        if mask is not None:
            per_token = per_token.where(mask, 0)
        if not is_training:
            return per_token, {}
        derivatives = torch.autograd.grad(per_token.sum(), list(inputs.values()), allow_unused=True)
    slopes = {name: slope for name, slope in zip(inputs, derivatives, strict=True) if slope is not None}
    zeros = torch.zeros_like(per_token)
    return per_token.detach(), {Statistic.LOGSUMEXP: zeros, Statistic.TARGET_LOGIT: zeros} | slopes


class _LinearLogitStatistics(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, prior: Tensor | None, setup: Setup
    ) -> tuple[Tensor, ...]:
        with torch.autocast(hidden.device.type, enabled=False):
            projection = ChunkedProjection(hidden, weight, labels, prior, setup)
            values = projection.empty_values(hidden.size(0))
            for chunk in projection.chunks(with_gradients=False):
                for name, value in chunk.values.items():
                    values[name][chunk.rows] = value
        ctx.save_for_backward(hidden, weight, labels, prior)
        ctx.setup = setup
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*(value for name, value in values.items() if name not in DIFFERENTIABLE))
        return tuple(values.values())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *derivatives: Tensor | None) -> tuple[Tensor | None, ...]:
        hidden, weight, labels, prior = ctx.saved_tensors
        with torch.autocast(hidden.device.type, enabled=False):
            projection = ChunkedProjection(hidden, weight, labels, prior, ctx.setup)
            gradients = ProjectionGradients(
                projection, for_hidden=ctx.needs_input_grad[0], for_weight=ctx.needs_input_grad[1]
            )
            zeros = hidden.new_zeros(hidden.size(0), dtype=projection.dtype)
            slopes = {Statistic.LOGSUMEXP: zeros, Statistic.TARGET_LOGIT: zeros}
            for name, slope in zip(ctx.setup.names, derivatives, strict=True):
                if slope is not None:
                    slopes[name] = slope
            for chunk in projection.chunks(with_gradients=True):
                gradients.add(chunk, {name: slope[chunk.rows] for name, slope in slopes.items()})
            by_hidden, by_weight = gradients.finish()
        return by_hidden, by_weight, None, None, None
