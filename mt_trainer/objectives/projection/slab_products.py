"""Matrix products with one row per piece of the vocabulary, in the precision of the matmuls, summed in a higher one.

A matrix [V, E] in another precision than its product is cast by slabs of vocabulary, never as a whole. Logits are
computed by slabs in any case: on a CPU a product of few rows is then faster.
Shapes: n tokens, V vocabulary, E width.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

CPU_SLAB_BYTES = 2 * 2**20
"""A slab on a CPU (`benchmarks/objectives.py`)."""

GPU_SLAB_BYTES = 2**28
"""The same on a GPU; chosen, not measured."""


def slab_rows(matrix: Tensor, dtype: torch.dtype) -> int:
    """Rows of a matrix [V, E] whose copy in `dtype` is small."""
    num_bytes = CPU_SLAB_BYTES if matrix.device.type == "cpu" else GPU_SLAB_BYTES
    return max(16, num_bytes // (dtype.itemsize * matrix.size(1)))


def slabs(matrix: Tensor, dtype: torch.dtype) -> Iterator[slice]:
    """Ranges of the rows of a matrix [V, E] whose copies in `dtype` are small; all rows where no copy is needed."""
    return parts(len(matrix), slab_rows(matrix, dtype) if matrix.dtype != dtype else len(matrix))


def project(rows: Tensor, matrix: Tensor, out: Tensor) -> None:
    """Writes rows @ matrix.T into `out` [n, V], for rows [n, E] and matrix [V, E]; rows and `out` set the precision."""
    for part in parts(len(matrix), slab_rows(matrix, rows.dtype)):
        torch.mm(rows, matrix[part].to(rows.dtype).t(), out=out[:, part])


def combine(factors: Tensor, matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """factors @ matrix in `dtype` [n, E], for factors [n, V], which set the precision of the products."""
    total = factors.new_zeros((factors.size(0), matrix.size(1)), dtype=dtype)
    for part in slabs(matrix, factors.dtype):
        add_product(total, factors[:, part], matrix[part].to(factors.dtype))
    return total


def add_combined(total: Tensor, factors: Tensor, rows: Tensor) -> None:
    """Adds factors.T @ rows to `total` [V, E], for factors [n, V] and rows [n, E], which set the precision."""
    for part in slabs(total, rows.dtype):
        add_product(total[part], factors[:, part].t(), rows)


def add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Adds left @ right to `total`, whose precision may be higher than theirs."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total.add_(left @ right)


def parts(length: int, size: int) -> Iterator[slice]:
    """range(length) in parts of `size` and a rest; one empty part where there is nothing."""
    return (slice(start, min(start + size, length)) for start in range(0, max(length, 1), size))
