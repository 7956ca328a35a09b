"""The output projection by chunks of tokens: logit statistics of each chunk, and gradients from their derivatives.

With z the logits, p = softmax(z), r the prior, y the label and f_x the derivative of the loss by statistic x,

    dL/dz_v = p_v [f_logsumexp + 2 f_sum_sq_prob (p_v - sum_sq_prob) - f_entropy (log p_v + entropy)]
              + f_target_logit [v = y] + f_prior_logit r_v

What is constant along a row never touches the matrix [n, V]: a factor of the row scales the hidden state instead, the
label's own entry is added as a multiple of one row of the weight, and the prior as a rank-one term.

Shapes: N tokens, n tokens of a chunk, D width, V vocabulary.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mt_trainer.objectives.logit_statistics import Statistic, required_prior, statistics_dtype

CPU_CHUNK_BYTES = 16 * 2**20
"""Buffers of a chunk on a CPU: a matmul of some hundred rows runs at full speed (`benchmarks/objectives.py`)."""

GPU_CHUNK_BYTES = 2 * 2**30
"""The same on a GPU, where matmuls want many thousand rows and memory is the bound; chosen, not measured."""

CPU_BLOCK_BYTES = 2**20
"""Logits worked on at a time on a CPU, so that they stay in a core's cache (`benchmarks/objectives.py`)."""


@dataclass(frozen=True)
class Setup:
    """How to run: what to compute, tokens of a chunk (None: what suits the device), precision of the matmuls."""

    needs: frozenset[Statistic]
    chunk_rows: int | None
    matmul_dtype: torch.dtype

    @property
    def names(self) -> list[Statistic]:
        """The statistics computed, in the order in which the ops return them."""
        always = [Statistic.LOGSUMEXP, Statistic.TARGET_LOGIT, Statistic.MAX_LOGIT]
        return always + sorted(self.needs.difference(always))

    @property
    def is_blocked(self) -> bool:
        """Whether no gradient reads a matrix [n, V] again: elementwise work then goes by blocks that stay in cache."""
        return not self.needs & {Statistic.SUM_SQ_PROB, Statistic.ENTROPY}

    def rows_of_chunk(self, vocab_size: int, device: torch.device) -> int:
        """Tokens of a chunk: by default as many as fill buffers that suit the device."""
        if self.chunk_rows is not None:
            return self.chunk_rows
        num_bytes = CPU_CHUNK_BYTES if device.type == "cpu" else GPU_CHUNK_BYTES
        row_bytes = self.matmul_dtype.itemsize * vocab_size
        if device.type != "cpu" or not self.is_blocked:
            row_bytes += 2 * statistics_dtype(self.matmul_dtype).itemsize * vocab_size
        return max(16, num_bytes // row_bytes // 16 * 16)


@dataclass(frozen=True)
class Chunk:
    """Some tokens. The matrices are buffers that the next chunk overwrites.

    Attributes:
        rows: which tokens.
        values: statistics [n].
        factor: [n, V] in the precision of the matmuls: p with 0 at the label, once it is stored.
        logits, probs: [n, V] in the precision of the statistics, where the chunk was not cut into blocks; each row of
            logits is less its maximum if entropy is among the statistics.
    """

    rows: slice
    values: dict[Statistic, Tensor]
    factor: Tensor
    logits: Tensor
    probs: Tensor


class ChunkedProjection:
    """`hidden @ weight.T` and its statistics, a chunk at a time."""

    def __init__(self, hidden: Tensor, weight: Tensor, labels: Tensor, prior: Tensor | None, setup: Setup) -> None:
        """Takes hidden [N, D], weight [V, D], labels [N], prior [V]."""
        self.setup = setup
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

    def empty_values(self, num_tokens: int) -> dict[Statistic, Tensor]:
        """Room for the statistics of some tokens."""
        integer, real = torch.int64, self.dtype
        return {
            name: torch.empty(
                num_tokens, dtype=integer if name is Statistic.ARGMAX else real, device=self.labels.device
            )
            for name in self.setup.names
        }

    def chunks(self, *, with_gradients: bool) -> Iterator[Chunk]:
        """The chunks in order, prepared for `ProjectionGradients` if asked."""
        num_tokens, vocab_size = self.hidden.size(0), self.weight.size(0)
        chunk_rows = max(1, min(self.setup.rows_of_chunk(vocab_size, self.weight.device), num_tokens))
        block_rows = chunk_rows
        if self.setup.is_blocked and self.weight.device.type == "cpu":
            block_rows = max(1, min(chunk_rows, CPU_BLOCK_BYTES // (self.dtype.itemsize * vocab_size)))
        product = self.hidden_factor.new_empty((chunk_rows, vocab_size))
        logits = product.new_empty((block_rows, vocab_size), dtype=self.dtype)
        probs = None if product.dtype == self.dtype else torch.empty_like(logits)

        for start in range(0, num_tokens, chunk_rows):
            rows = slice(start, min(start + chunk_rows, num_tokens))
            n = rows.stop - rows.start
            factor, labels, values = product[:n], self.labels[rows], self.empty_values(n)
            torch.mm(self.hidden_factor[rows], self.weight_factor.t(), out=factor)
            if Statistic.PRIOR_LOGIT in values:
                torch.mv(self.hidden[rows].to(self.dtype), self.prior_row, out=values[Statistic.PRIOR_LOGIT])
            for first in range(0, n, block_rows):
                block = slice(first, min(first + block_rows, n))
                z = logits[: block.stop - block.start].copy_(factor[block])
                p = torch.softmax(z, dim=-1, out=factor[block] if probs is None else probs[: len(z)])
                fill_values({name: value[block] for name, value in values.items()}, z, p, labels[block])
                if self.setup.is_blocked and with_gradients:
                    store(p, labels[block], factor[block])
            yield Chunk(rows, values, factor, z, p)


def fill_values(values: Mapping[Statistic, Tensor], z: Tensor, p: Tensor, labels: Tensor) -> None:
    """Writes the statistics of logits z and probabilities p, [n, V], that `values` has room for, but `prior_logit`."""
    max_logit = torch.amax(z, dim=-1, out=values[Statistic.MAX_LOGIT])
    # The largest probability is 1 / sum exp(z - max): it cannot underflow, so this is logsumexp without another exp.
    log_normalizer = p.amax(dim=-1).log_().neg_()
    torch.add(max_logit, log_normalizer, out=values[Statistic.LOGSUMEXP])
    values[Statistic.TARGET_LOGIT].copy_(z.gather(1, labels.unsqueeze(1)).squeeze(1))
    if Statistic.ARGMAX in values:
        torch.argmax(z, dim=-1, out=values[Statistic.ARGMAX])
    if Statistic.SUM_SQ_PROB in values:
        values[Statistic.SUM_SQ_PROB].copy_(torch.linalg.vector_norm(p, dim=-1).square_())
    if Statistic.ENTROPY in values:
        z.sub_(max_logit.unsqueeze(1))  # otherwise huge logits would cancel
        torch.sub(log_normalizer, torch.linalg.vecdot(p, z), out=values[Statistic.ENTROPY])


def store(p: Tensor, labels: Tensor, factor: Tensor) -> None:
    """Puts p, with 0 at the labels, into `factor`, which may be p itself."""
    p.scatter_(1, labels.unsqueeze(1), 0)
    if p.dtype != factor.dtype:
        factor.copy_(p)


class ProjectionGradients:
    """Gradients by hidden state and weight, gathered chunk by chunk."""

    def __init__(self, projection: ChunkedProjection, *, for_hidden: bool, for_weight: bool) -> None:
        """Starts at zero, for one of the two inputs or both."""
        self.projection = projection
        weight, hidden = projection.weight, projection.hidden
        self.hidden = torch.empty_like(hidden, dtype=projection.dtype) if for_hidden else None
        self.weight = torch.zeros_like(weight, dtype=projection.dtype) if for_weight else None
        self.prior_hidden = hidden.new_zeros(hidden.size(1), dtype=projection.dtype)

    def add(self, chunk: Chunk, slopes: Mapping[Statistic, Tensor]) -> None:
        """Takes a chunk whose statistics have the derivatives `slopes`, [n] each."""
        projection, rows = self.projection, chunk.rows
        labels = projection.labels[rows]
        scale, label_slope = self._row_factors(chunk, slopes)
        prior_slope = slopes.get(Statistic.PRIOR_LOGIT)
        if self.weight is not None:
            hidden = projection.hidden[rows].to(projection.dtype)
            scaled = (scale.unsqueeze(1) * hidden).to(chunk.factor.dtype)
            if chunk.factor.dtype == self.weight.dtype:
                self.weight.addmm_(chunk.factor.t(), scaled)
            else:
                self.weight += chunk.factor.t() @ scaled
            add_rows(self.weight, labels, label_slope.unsqueeze(1) * hidden)
            if prior_slope is not None:
                self.prior_hidden += prior_slope @ hidden
        if self.hidden is not None:
            gradient = torch.mul(chunk.factor @ projection.weight_factor, scale.unsqueeze(1), out=self.hidden[rows])
            gradient.addcmul_(label_slope.unsqueeze(1), projection.weight[labels].to(projection.dtype))
            if prior_slope is not None:
                gradient.addr_(prior_slope, projection.prior_row)

    def _row_factors(self, chunk: Chunk, slopes: Mapping[Statistic, Tensor]) -> tuple[Tensor, Tensor]:
        """Completes the chunk's factor; returns what its rows are still to be scaled by, and dL/dz at the label."""
        projection, values = self.projection, chunk.values
        labels = projection.labels[chunk.rows]
        label_prob = (values[Statistic.TARGET_LOGIT] - values[Statistic.LOGSUMEXP]).exp()
        scale = at_label = slopes[Statistic.LOGSUMEXP]
        square, entropy = slopes.get(Statistic.SUM_SQ_PROB), slopes.get(Statistic.ENTROPY)
        if not projection.setup.is_blocked:
            if square is not None or entropy is not None:
                constant, bracket = scale, chunk.logits
                if entropy is None:
                    bracket.zero_()
                else:
                    log_normalizer = values[Statistic.LOGSUMEXP] - values[Statistic.MAX_LOGIT]
                    constant = constant + entropy * (log_normalizer - values[Statistic.ENTROPY])
                    bracket.mul_(-entropy.unsqueeze(1))
                if square is not None:
                    constant = constant - 2 * square * values[Statistic.SUM_SQ_PROB]
                    bracket.addcmul_(chunk.probs, 2 * square.unsqueeze(1))
                bracket.add_(constant.unsqueeze(1))
                at_label = bracket.gather(1, labels.unsqueeze(1)).squeeze(1)
                chunk.probs.mul_(bracket)
                scale = torch.ones_like(scale)
            store(chunk.probs, labels, chunk.factor)
        return scale, at_label * label_prob + slopes[Statistic.TARGET_LOGIT]

    def finish(self) -> tuple[Tensor | None, Tensor | None]:
        """The gradients, in the dtypes of what they belong to."""
        projection = self.projection
        if self.weight is not None and projection.prior is not None:
            self.weight.addr_(projection.prior, self.prior_hidden)
        return (
            None if self.hidden is None else self.hidden.to(projection.hidden.dtype),
            None if self.weight is None else self.weight.to(projection.weight.dtype),
        )


def add_rows(matrix: Tensor, index: Tensor, rows: Tensor) -> None:
    """Adds rows[i] to matrix[index[i]], in an order that does not vary (on CUDA `index_add_` has none)."""
    if matrix.device.type == "cpu":
        matrix.index_add_(0, index, rows)
    else:
        matrix.index_put_((index,), rows, accumulate=True)
