"""Rows of logits: their statistics, and the derivative of a loss by the logits through the statistics.

With z the logits of a token, p = softmax(z), f_x the derivative of the loss by statistic x, c the fixed values, E the
fixed embedding, M the pieces with p_v < t, i_k the asked-for ids, y the label and r the prior:

    dL/dz_v = p_v [f_logsumexp + 2 f_sum_sq_prob (p_v - sum_sq_prob) - f_entropy (log p_v + entropy)
                   + f_expected_value (c_v - expected_value) + f_expected_embedding . (E_v - expected_embedding)]
              + f_tail_nll (|M| p_v - [v in M]) + sum_k f_gathered_logits_k [v = i_k]
              + f_target_logit [v = y] + f_prior_logit r_v

The last line takes no pass over the vocabulary: see `projection_gradients.py`. The functions here overwrite the
matrices that they are given, so that the work stays in a core's cache. Shapes: n tokens, V vocabulary.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import torch
from torch import Tensor

from mt_trainer.objectives.logit_statistics import LogitStatistics, Statistic, required
from mt_trainer.objectives.token_inputs import Constants

READS_LOGITS_AGAIN = frozenset(
    {
        Statistic.SUM_SQ_PROB,
        Statistic.ENTROPY,
        Statistic.EXPECTED_VALUE,
        Statistic.TAIL_NLL,
        Statistic.GATHERED_LOGITS,
    }
)
"""The statistics whose derivatives are computed from the logits again. For the others p is at hand: in the precision of
the matmuls, which is enough for what only multiplies it."""


def row_values(
    z: Tensor, p: Tensor, scratch: Tensor, constants: Constants, needs: AbstractSet[Statistic]
) -> dict[Statistic, Tensor]:
    """Writes softmax(z) into p [n, V] and returns what statistics [n] can be read off the two. Overwrites z.

    The others are gathered from the logits, or are matrix products.
    """
    torch.softmax(z, dim=-1, out=p)
    max_logit, log_normalizer = normalizers(z, p)
    values = {Statistic.MAX_LOGIT: max_logit, Statistic.LOGSUMEXP: max_logit + log_normalizer}
    if Statistic.ARGMAX in needs:
        values[Statistic.ARGMAX] = z.argmax(dim=-1)
    if Statistic.SUM_SQ_PROB in needs:
        values[Statistic.SUM_SQ_PROB] = torch.linalg.vector_norm(p, dim=-1).square_()
    if Statistic.EXPECTED_VALUE in needs:
        values[Statistic.EXPECTED_VALUE] = p @ required(constants.values, "values")
    if not needs.isdisjoint({Statistic.ENTROPY, Statistic.TAIL_NLL}):
        log_p = log_probs(z, max_logit, log_normalizer)
    if Statistic.ENTROPY in needs:
        values[Statistic.ENTROPY] = -torch.linalg.vecdot(p, log_p)
    if Statistic.TAIL_NLL in needs:
        in_tail = torch.lt(p, required(constants.tail_below, "tail_below"), out=scratch)
        values[Statistic.TAIL_NLL] = -torch.linalg.vecdot(in_tail, log_p)
    return values


def fill_derivative(
    derivative: Tensor, z: Tensor, p: Tensor, statistics: LogitStatistics, slopes: Mapping[Statistic, Tensor]
) -> None:
    """Writes dL/dz without its last line (see above) for logits z [n, V] with slopes f. Overwrites z and p.

    Args:
        derivative: [n, V], holds f_expected_embedding . E_v, or 0 where that statistic has no slope.
    """
    inputs, constants = statistics.inputs, statistics.constants
    torch.softmax(z, dim=-1, out=p)
    bracket = derivative.add_(row_constant(statistics, slopes).unsqueeze(1))
    if Statistic.SUM_SQ_PROB in slopes:
        bracket.addcmul_(p, slopes[Statistic.SUM_SQ_PROB].unsqueeze(1), value=2)
    if Statistic.ENTROPY in slopes:
        bracket.addcmul_(log_probs(z, *normalizers(z, p)), slopes[Statistic.ENTROPY].unsqueeze(1), value=-1)
    if Statistic.EXPECTED_VALUE in slopes:
        bracket.addcmul_(required(constants.values, "values"), slopes[Statistic.EXPECTED_VALUE].unsqueeze(1))
    derivative = bracket.mul_(p)
    if Statistic.TAIL_NLL in slopes:
        slope = slopes[Statistic.TAIL_NLL].unsqueeze(1)
        in_tail = torch.lt(p, required(constants.tail_below, "tail_below"), out=z)
        derivative.addcmul_(p, slope * in_tail.sum(dim=-1, keepdim=True)).addcmul_(in_tail, slope, value=-1)
    if Statistic.GATHERED_LOGITS in slopes:
        add_entries(derivative, required(inputs.ids, "ids"), slopes[Statistic.GATHERED_LOGITS])


def row_constant(statistics: LogitStatistics, slopes: Mapping[Statistic, Tensor]) -> Tensor:
    """What does not depend on v in the bracket of dL/dz, [n]."""
    constant = slopes[Statistic.LOGSUMEXP]
    if Statistic.SUM_SQ_PROB in slopes:
        constant = constant - 2 * slopes[Statistic.SUM_SQ_PROB] * statistics.sum_sq_prob
    if Statistic.ENTROPY in slopes:
        constant = constant - slopes[Statistic.ENTROPY] * statistics.entropy
    if Statistic.EXPECTED_VALUE in slopes:
        constant = constant - slopes[Statistic.EXPECTED_VALUE] * statistics.expected_value
    if Statistic.EXPECTED_EMBEDDING in slopes:
        constant = constant - torch.linalg.vecdot(slopes[Statistic.EXPECTED_EMBEDDING], statistics.expected_embedding)
    return constant


def normalizers(z: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """max_v z_v and log sum_v exp(z_v - max), [n] each, whose sum is logsumexp; of z and p = softmax(z), [n, V]."""
    # The largest probability is 1 / sum exp(z - max): it cannot underflow, and this spares another exp.
    return z.amax(dim=-1), p.amax(dim=-1).log_().neg_()


def log_probs(z: Tensor, max_logit: Tensor, log_normalizer: Tensor) -> Tensor:
    """log p in place of z. The maximum goes first: added up, the two are too coarse for huge logits."""
    return z.sub_(max_logit.unsqueeze(1)).sub_(log_normalizer.unsqueeze(1))


def take_labels(matrix: Tensor, labels: Tensor) -> Tensor:
    """The entries [n] of a matrix [n, V] at the labels, where it is 0 afterwards."""
    entries = matrix.gather(1, labels.unsqueeze(1)).squeeze(1)
    matrix.scatter_(1, labels.unsqueeze(1), 0)
    return entries


def add_entries(matrix: Tensor, ids: Tensor, entries: Tensor) -> None:
    """Adds entries[i, k] to matrix[i, ids[i, k]], in an order that does not vary (`scatter_add_` has none on CUDA)."""
    if matrix.device.type == "cpu":
        matrix.scatter_add_(1, ids, entries)
    else:
        rows = torch.arange(len(ids), device=ids.device).unsqueeze(1)
        matrix.index_put_((rows.expand_as(ids), ids), entries, accumulate=True)
