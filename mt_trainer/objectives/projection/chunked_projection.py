"""The output projection by chunks of tokens: the logits of a chunk, its statistics, and dL/dz in place of the logits.

One buffer [n, V] in the precision of the matmuls holds all three in turn. Elementwise work goes in higher precision by
blocks of some rows, which on a CPU stay in the cores' caches (`row_statistics.py`).

Shapes: N tokens, n tokens of a chunk, D width, V vocabulary, K ids per token, E width of the fixed embedding.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mt_trainer.objectives.logit_statistics import ALWAYS, LogitStatistics, Statistic, required, statistics_dtype
from mt_trainer.objectives.projection.row_statistics import (
    READS_LOGITS_AGAIN,
    fill_derivative,
    row_constant,
    row_values,
    take_labels,
)
from mt_trainer.objectives.projection.slab_products import add_product, combine, parts, project, slab_rows
from mt_trainer.objectives.token_inputs import Constants, TokenInputs

CPU_BUFFER_BYTES, CPU_BF16_BUFFER_BYTES = 40 * 2**20, 32 * 2**20
"""Logits of a chunk on a CPU: hundreds of rows, since every chunk passes over the whole weight and its gradient
(`benchmarks/objectives.py`)."""

GPU_BUFFER_BYTES = 2 * 2**30
"""The same on a GPU, where matmuls want many thousand rows and memory is the bound; chosen, not measured."""

CPU_BLOCK_BYTES = 2**20
"""Logits that a thread works on at a time on a CPU, so that they stay in its cache (`benchmarks/objectives.py`)."""


@dataclass(frozen=True)
class Setup:
    """How to run.

    Attributes:
        needs: what to compute.
        chunk_rows: tokens of a chunk; None for as many as fill the buffer.
        buffer_bytes: size of the buffer of logits; None for what suits the device.
        matmul_dtype: precision of the matmuls.
    """

    needs: frozenset[Statistic]
    chunk_rows: int | None
    buffer_bytes: int | None
    matmul_dtype: torch.dtype

    @property
    def names(self) -> list[Statistic]:
        """The statistics computed, in the order in which the ops return them."""
        return sorted(self.needs | ALWAYS)

    @property
    def keeps_logits(self) -> bool:
        """Whether dL/dz reads the logits again. Otherwise p suffices, which can take their place."""
        return not self.needs.isdisjoint(READS_LOGITS_AGAIN)

    @property
    def measures_probs(self) -> bool:
        """Whether a statistic is a product of p in the place of the logits, with or without a gradient."""
        return Statistic.EXPECTED_EMBEDDING in self.needs and not self.keeps_logits

    def rows_of_chunk(self, vocab_size: int, device: torch.device) -> int:
        """Tokens of a chunk."""
        if self.chunk_rows is not None:
            return self.chunk_rows
        itemsize = self.matmul_dtype.itemsize
        is_cpu = device.type == "cpu"
        cpu_bytes = CPU_BF16_BUFFER_BYTES if self.matmul_dtype == torch.bfloat16 else CPU_BUFFER_BYTES
        num_bytes = self.buffer_bytes or (cpu_bytes if is_cpu else GPU_BUFFER_BYTES)
        row_bytes = itemsize * vocab_size
        if not is_cpu:  # where the three matrices of a block are as large as the chunk
            row_bytes += 3 * statistics_dtype(self.matmul_dtype).itemsize * vocab_size
        return max(16, num_bytes // row_bytes // 16 * 16)

    def rows_of_block(self, vocab_size: int, device: torch.device) -> int | None:
        """Tokens of a block; None for the whole chunk."""
        if device.type != "cpu":
            return None
        row_bytes = statistics_dtype(self.matmul_dtype).itemsize * vocab_size
        return max(1, CPU_BLOCK_BYTES * torch.get_num_threads() // row_bytes)


@dataclass
class Chunk:
    """Some tokens.

    Attributes:
        rows: which ones.
        inputs: theirs.
        product: [n, V], a buffer that the next chunk overwrites: the logits, or p but with 0 at the labels.
        at_label: [n], p at the labels; None if `product` holds the logits.
    """

    rows: slice
    inputs: TokenInputs
    product: Tensor
    at_label: Tensor | None = None


class ChunkedProjection:
    """`hidden @ weight.T` and its statistics, a chunk at a time."""

    def __init__(self, hidden: Tensor, weight: Tensor, inputs: TokenInputs, constants: Constants, setup: Setup) -> None:
        """Takes hidden [N, D], weight [V, D]."""
        self.hidden, self.weight, self.inputs, self.setup = hidden, weight, inputs, setup
        self.dtype = statistics_dtype(setup.matmul_dtype)
        self.constants = constants.to(weight.device, self.dtype)
        self.prior_row: Tensor | None = None
        if Statistic.PRIOR_LOGIT in setup.needs:
            prior = required(self.constants.prior, "prior")
            self.prior_row = combine(prior.unsqueeze(0), weight, self.dtype).squeeze(0)

        vocab_size, device = weight.size(0), weight.device
        self.chunk_rows = max(1, min(setup.rows_of_chunk(vocab_size, device), hidden.size(0)))
        self.block_rows = min(self.chunk_rows, setup.rows_of_block(vocab_size, device) or self.chunk_rows)
        self.buffer = torch.empty((self.chunk_rows, vocab_size), dtype=setup.matmul_dtype, device=device)
        self.blocks = torch.empty((3, self.block_rows, vocab_size), dtype=self.dtype, device=device)

    def chunks(self) -> Iterator[Chunk]:
        """The chunks in order, each with its logits."""
        for rows in parts(self.hidden.size(0), self.chunk_rows):
            hidden = self.hidden[rows].to(self.setup.matmul_dtype)
            product = self.buffer[: len(hidden)]
            project(hidden, self.weight, out=product)
            yield Chunk(rows, self.inputs[rows], product)

    def measure(self, chunk: Chunk, *, stores_probs: bool) -> LogitStatistics:
        """The statistics of a chunk. With `stores_probs`, p takes the place of logits that nothing reads again.

        An expected embedding is then one product for the chunk; without, it is one for each block, and much slower.
        """
        needs, inputs, constants = self.setup.needs, chunk.inputs, self.constants
        reads_embedding = Statistic.EXPECTED_EMBEDDING in needs
        values = {Statistic.TARGET_LOGIT: self._gather(chunk, inputs.labels.unsqueeze(1)).squeeze(1)}
        if Statistic.GATHERED_LOGITS in needs:
            values[Statistic.GATHERED_LOGITS] = self._gather(chunk, required(inputs.ids, "ids"))
        if self.prior_row is not None:
            values[Statistic.PRIOR_LOGIT] = self.hidden[chunk.rows].to(self.dtype) @ self.prior_row
        blocks, at_label, vectors = [], [], []
        for block in parts(len(chunk.product), self.block_rows):
            z, p, scratch = self.blocks[:, : block.stop - block.start].unbind()
            blocks.append(row_values(z.copy_(chunk.product[block]), p, scratch, constants, needs))
            if stores_probs or reads_embedding:
                at_label.append(take_labels(p, inputs.labels[block]))
            if stores_probs:
                chunk.product[block] = p
            elif reads_embedding:
                vectors.append(self._mean_vector(p.to(chunk.product.dtype)))
        values |= concatenate(blocks)
        statistics = LogitStatistics(values, inputs, constants)
        if stores_probs:
            chunk.at_label = torch.cat(at_label)
        if reads_embedding:
            # The label's part is added exactly: where a model is sure, the distance to its vector is what is left.
            of_label = torch.cat(at_label).unsqueeze(1) * statistics.label_embedding
            others = self._mean_vector(chunk.product) if stores_probs else torch.cat(vectors)
            values[Statistic.EXPECTED_EMBEDDING] = others + of_label
        return statistics

    def store_probs(self, chunk: Chunk) -> None:
        """Puts p in the place of the logits of a chunk whose statistics are known."""
        at_label = []
        for block in parts(len(chunk.product), self.block_rows):
            z, p, _ = self.blocks[:, : block.stop - block.start].unbind()
            torch.softmax(z.copy_(chunk.product[block]), dim=-1, out=p)
            at_label.append(take_labels(p, chunk.inputs.labels[block]))
            chunk.product[block] = p
        chunk.at_label = torch.cat(at_label)

    def differentiate(self, chunk: Chunk, statistics: LogitStatistics, slopes: Mapping[Statistic, Tensor]) -> Tensor:
        """Puts dL/dz in the place of the logits, but 0 at the labels; returns what belongs there, [n].

        The terms of label and prior, the last line of the formula in `row_statistics.py`, are not part of it.
        """
        at_label = []
        for block in parts(len(chunk.product), self.block_rows):
            z, p, derivative = self.blocks[:, : block.stop - block.start].unbind()
            z.copy_(chunk.product[block])
            derivative.zero_()
            block_slopes = {name: slope[block] for name, slope in slopes.items()}
            if Statistic.EXPECTED_EMBEDDING in slopes:
                for columns, product in self._vector_products(block_slopes[Statistic.EXPECTED_EMBEDDING]):
                    derivative[:, columns] = product
            fill_derivative(derivative, z, p, statistics[block], block_slopes)
            at_label.append(take_labels(derivative, chunk.inputs.labels[block]))
            chunk.product[block] = derivative
        return torch.cat(at_label)

    def differentiate_probs(
        self, chunk: Chunk, statistics: LogitStatistics, slopes: Mapping[Statistic, Tensor]
    ) -> Tensor:
        """The same in the place of p, where beside `logsumexp` only `expected_embedding` varies along the row."""
        slope, constant = slopes[Statistic.EXPECTED_EMBEDDING], row_constant(statistics, slopes)
        for columns, product in self._vector_products(slope):
            bracket = self.blocks.view(-1)[: product.numel()].view_as(product)
            chunk.product[:, columns] *= bracket.copy_(product).add_(constant.unsqueeze(1))
        at_label: Tensor = torch.linalg.vecdot(slope, statistics.label_embedding)
        return (at_label + constant) * required(chunk.at_label, "at_label")

    def _gather(self, chunk: Chunk, ids: Tensor) -> Tensor:
        return chunk.product.gather(1, ids).to(self.dtype)

    def _mean_vector(self, p: Tensor) -> Tensor:
        """sum_v p_v E_v of p [n, V] in the precision of the matmuls, [n, E]."""
        embedding = required(self.constants.embedding, "embedding")
        total = p.new_zeros((len(p), embedding.size(1)), dtype=self.dtype)
        for columns in parts(len(embedding), slab_rows(embedding, p.dtype)):
            add_product(total, p[:, columns], self._vectors(columns))
        return total

    def _vector_products(self, slope: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """slope . E_v in the precision of the matmuls for slope [n, E]: some columns at a time, and theirs [n, m]."""
        slope = slope.to(self.setup.matmul_dtype)
        room = self.blocks[0].numel() // 2  # so that they are small beside the logits, which fill as much on a GPU
        for columns in parts(self.weight.size(0), max(1, room // max(1, len(slope)))):
            yield columns, slope @ self._vectors(columns).t()

    def _vectors(self, columns: slice) -> Tensor:
        """E_v of some columns in the precision of the matmuls, [m, E]."""
        vectors, scale = required(self.constants.embedding, "embedding")[columns], self.constants.embedding_scale
        return (vectors if scale is None else vectors * scale[columns].unsqueeze(1)).to(self.setup.matmul_dtype)


def concatenate(values: Sequence[Mapping[Statistic, Tensor]]) -> dict[Statistic, Tensor]:
    """The statistics of one part of the tokens after the other as those of all."""
    return {name: torch.cat([part[name] for part in values]) for name in values[0]}
