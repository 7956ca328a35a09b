"""Logit statistics together with the output projection, without ever holding the logits of all tokens.

Both ops compute what `logit_statistics(hidden @ weight.T, inputs, ...)` defines. `linear_logit_statistics` returns the
statistics, differentiable; its backward computes the logits again, so forward and backward are four matmuls.
`linear_objective` takes the objective too, differentiates it in each chunk by autograd on its few numbers per token,
and has both gradients when forward ends: three matmuls. `expected_embedding` adds one to forward and one to backward.
The gradients are analytic, see `row_statistics.py`.

Second derivatives are not supported. Repeated calls give equal bits. Shapes: N tokens, D width, V vocabulary.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mt_trainer.objectives.logit_statistics import DIFFERENTIABLE, LogitStatistics, Statistic
from mt_trainer.objectives.objective import TokenFunction
from mt_trainer.objectives.projection.chunked_projection import ChunkedProjection, Setup, concatenate
from mt_trainer.objectives.projection.projection_gradients import ProjectionGradients
from mt_trainer.objectives.token_inputs import Constants, TokenInputs


def linear_logit_statistics(
    hidden: Tensor,
    weight: Tensor,
    inputs: TokenInputs,
    *,
    constants: Constants,
    needs: AbstractSet[Statistic],
    chunk_rows: int | None,
    matmul_dtype: torch.dtype | None,
    logit_buffer_bytes: int | None = None,
) -> LogitStatistics:
    """Statistics of `hidden @ weight.T`, differentiable by `hidden` and `weight`.

    For objectives that need a whole sentence or batch before they can be differentiated; others save a matmul with
    `linear_objective`.

    Args:
        hidden: [N, D].
        weight: [V, D], the output projection.
        inputs: of the same tokens.
        constants: what some statistics are taken against; without gradient.
        needs: what to compute beside what is always present.
        chunk_rows: tokens whose logits are held at once; None for as many as fill the buffer.
        matmul_dtype: the precision of the matrix products; None for that of `hidden`. Ambient autocast is ignored.
        logit_buffer_bytes: size of the buffer of logits; None for what suits the device.

    Raises:
        ValueError: a statistic is asked for without the input or constant that it is taken against.
    """
    setup = Setup(frozenset(needs), chunk_rows, logit_buffer_bytes, matmul_dtype or hidden.dtype)
    values = _apply(_LinearLogitStatistics, hidden, weight, inputs, constants, setup)
    return LogitStatistics(dict(zip(setup.names, values, strict=True)), inputs, constants)


def linear_objective(
    hidden: Tensor,
    weight: Tensor,
    inputs: TokenInputs,
    *,
    function: TokenFunction,
    mask: Tensor | None,
    constants: Constants,
    needs: AbstractSet[Statistic],
    chunk_rows: int | None,
    matmul_dtype: torch.dtype | None,
    logit_buffer_bytes: int | None = None,
) -> tuple[Tensor, LogitStatistics]:
    """The objective summed over the tokens, differentiable by `hidden` and `weight`; the statistics, without gradient.

    The expected embedding is not among them: the objective alone has use for it, and that of all tokens can take more
    memory than the logits of a chunk. Backward only multiplies, in place, what forward has computed: it can run once.
    Where there is no gradient to compute (under `no_grad`, or if neither input requires one), forward is one matmul.

    Args:
        hidden: [N, D].
        weight: [V, D], the output projection.
        inputs: of the same tokens.
        function: the objective of each token; it must treat every token alone.
        mask: [N] bool, True where a token counts; None where all do.
        constants: what some statistics are taken against; without gradient.
        needs: what to compute beside what is always present.
        chunk_rows: tokens whose logits are held at once; None for as many as fill the buffer.
        matmul_dtype: the precision of the matrix products; None for that of `hidden`. Ambient autocast is ignored.
        logit_buffer_bytes: size of the buffer of logits; None for what suits the device.

    Raises:
        ValueError: a statistic is asked for without the input or constant that it is taken against.
    """
    setup = Setup(frozenset(needs), chunk_rows, logit_buffer_bytes, matmul_dtype or hidden.dtype)
    wants = (hidden.requires_grad, weight.requires_grad) if torch.is_grad_enabled() else (False, False)
    loss, *values = _apply(_LinearObjective, hidden, weight, inputs, constants, mask, function, setup, wants)
    return loss, LogitStatistics(dict(zip(_of_all_tokens(setup.names), values, strict=True)), inputs, constants)


def _of_all_tokens(names: Iterable[Statistic]) -> list[Statistic]:
    """Those that are kept when their chunk is done."""
    return [name for name in names if name is not Statistic.EXPECTED_EMBEDDING]


def _apply(function: type[torch.autograd.Function], *arguments: object) -> tuple[Tensor, ...]:
    return cast(tuple[Tensor, ...], function.apply(*arguments))


class _LinearObjective(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        inputs: TokenInputs,
        constants: Constants,
        mask: Tensor | None,
        function: TokenFunction,
        setup: Setup,
        wants: tuple[bool, bool],
    ) -> tuple[Tensor, ...]:
        with torch.autocast(hidden.device.type, enabled=False):
            projection = ChunkedProjection(hidden, weight, inputs, constants, setup)
            measured, losses, ctx.gradients = _by_chunks(projection, mask, function, wants)
        del projection  # its buffers, before the statistics are put together
        values = concatenate(measured)
        outputs = tuple(values[name] for name in _of_all_tokens(setup.names))
        ctx.mark_non_differentiable(*outputs)
        return torch.cat(losses).sum(), *outputs

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


def _by_chunks(
    projection: ChunkedProjection, mask: Tensor | None, function: TokenFunction, wants: tuple[bool, bool]
) -> tuple[list[dict[Statistic, Tensor]], list[Tensor], tuple[Tensor | None, Tensor | None]]:
    """The statistics and the loss of the tokens of each chunk, and both gradients."""
    is_training = any(wants)
    stores_probs = projection.setup.measures_probs or (is_training and not projection.setup.keeps_logits)
    gradients = ProjectionGradients(projection, for_hidden=wants[0], for_weight=wants[1])
    measured, losses = [], []
    for chunk in projection.chunks():
        statistics = projection.measure(chunk, stores_probs=stores_probs)
        counts = None if mask is None else mask[chunk.rows]
        per_token, slopes = _differentiate(function, statistics, counts, is_training)
        if is_training:
            gradients.add(chunk, statistics, slopes)
        measured.append({name: statistics.values[name] for name in _of_all_tokens(statistics.values)})
        losses.append(per_token)
    return measured, losses, gradients.finish()


def _differentiate(
    function: TokenFunction, statistics: LogitStatistics, mask: Tensor | None, is_training: bool
) -> tuple[Tensor, dict[Statistic, Tensor]]:
    """The objective of each token and its derivatives by the statistics; zeros where the mask is False."""
    leaves = {name: value.detach() for name, value in statistics.values.items()}
    variables = {name: leaf for name, leaf in leaves.items() if is_training and name in DIFFERENTIABLE}
    with torch.set_grad_enabled(is_training):
        for leaf in variables.values():
            leaf.requires_grad_()
        per_token = function(LogitStatistics(leaves, statistics.inputs, statistics.constants))
        if mask is not None:
            per_token = per_token.where(mask, 0)
        if not is_training:
            return per_token, {}
        derivatives = torch.autograd.grad(per_token.sum(), list(variables.values()), allow_unused=True)
    slopes = dict(zip(variables, derivatives, strict=True))
    return per_token.detach(), _present(slopes, torch.zeros_like(statistics.logsumexp))


def _present(slopes: Mapping[Statistic, Tensor | None], zeros: Tensor) -> dict[Statistic, Tensor]:
    """The derivatives that there are; zeros [n] for those that all gradients read."""
    present = {name: slope for name, slope in slopes.items() if slope is not None}
    return {Statistic.LOGSUMEXP: zeros, Statistic.TARGET_LOGIT: zeros} | present


class _LinearLogitStatistics(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, inputs: TokenInputs, constants: Constants, setup: Setup
    ) -> tuple[Tensor, ...]:
        with torch.autocast(hidden.device.type, enabled=False):
            projection = ChunkedProjection(hidden, weight, inputs, constants, setup)
            measured = [
                projection.measure(chunk, stores_probs=setup.measures_probs).values for chunk in projection.chunks()
            ]
        values = concatenate(measured)
        outputs = tuple(values[name] for name in setup.names)
        ctx.save_for_backward(hidden, weight, *outputs)
        ctx.inputs, ctx.constants, ctx.setup = inputs, constants, setup
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*(value for name, value in values.items() if name not in DIFFERENTIABLE))
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *derivatives: Tensor | None) -> tuple[Tensor | None, ...]:
        hidden, weight, *values = ctx.saved_tensors
        with torch.autocast(hidden.device.type, enabled=False):
            projection = ChunkedProjection(hidden, weight, ctx.inputs, ctx.constants, ctx.setup)
            gradients = ProjectionGradients(
                projection, for_hidden=ctx.needs_input_grad[0], for_weight=ctx.needs_input_grad[1]
            )
            names = ctx.setup.names
            statistics = LogitStatistics(dict(zip(names, values, strict=True)), projection.inputs, projection.constants)
            zeros = hidden.new_zeros(hidden.size(0), dtype=projection.dtype)
            slopes = _present(dict(zip(names, derivatives, strict=True)), zeros)
            for chunk in projection.chunks():
                chunk_slopes = {name: slope[chunk.rows] for name, slope in slopes.items()}
                if not ctx.setup.keeps_logits:
                    projection.store_probs(chunk)
                gradients.add(chunk, statistics[chunk.rows], chunk_slopes)
            by_hidden, by_weight = gradients.finish()
        return by_hidden, by_weight, None, None, None
