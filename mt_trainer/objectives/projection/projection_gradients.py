"""The gradients of a loss by hidden state and output weight, gathered from chunks that hold p or dL/dz.

A factor of the row scales the hidden state instead of the matrix [n, V], the label's own entry is added as a multiple
of one row of the weight, and the prior as a rank-one term: none of the three takes a pass over the vocabulary.

Shapes: N tokens, n tokens of a chunk, D width, V vocabulary.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from mt_trainer.objectives.logit_statistics import LogitStatistics, Statistic
from mt_trainer.objectives.projection.chunked_projection import Chunk, ChunkedProjection
from mt_trainer.objectives.projection.slab_products import add_combined, combine


class ProjectionGradients:
    """Gradients by hidden state and weight, gathered chunk by chunk."""

    def __init__(self, projection: ChunkedProjection, *, for_hidden: bool, for_weight: bool) -> None:
        """Starts at zero, for one of the two inputs or both."""
        self.projection = projection
        weight, hidden = projection.weight, projection.hidden
        self.hidden = torch.empty_like(hidden) if for_hidden else None
        self.weight = torch.zeros_like(weight, dtype=projection.dtype) if for_weight else None
        self.prior_hidden = hidden.new_zeros(hidden.size(1), dtype=projection.dtype)

    def add(self, chunk: Chunk, statistics: LogitStatistics, slopes: Mapping[Statistic, Tensor]) -> None:
        """Takes a chunk, by whose statistics the loss has the derivatives `slopes`, of the statistics' shapes."""
        projection, labels = self.projection, chunk.inputs.labels
        scale, at_label = slopes[Statistic.LOGSUMEXP], chunk.at_label
        if at_label is None:
            scale, at_label = torch.ones_like(scale), projection.differentiate(chunk, statistics, slopes)
        elif Statistic.EXPECTED_EMBEDDING in slopes:
            scale, at_label = torch.ones_like(scale), projection.differentiate_probs(chunk, statistics, slopes)
        label_slope = (slopes[Statistic.TARGET_LOGIT] + scale * at_label).unsqueeze(1)
        prior_slope = slopes.get(Statistic.PRIOR_LOGIT)
        if self.weight is not None:
            hidden = projection.hidden[chunk.rows].to(projection.dtype)
            add_combined(self.weight, chunk.product, (scale.unsqueeze(1) * hidden).to(chunk.product.dtype))
            add_rows(self.weight, labels, label_slope * hidden)
            if prior_slope is not None:
                self.prior_hidden += prior_slope @ hidden
        if self.hidden is not None:
            gradient = combine(chunk.product, projection.weight, projection.dtype).mul_(scale.unsqueeze(1))
            gradient.addcmul_(label_slope, projection.weight[labels].to(projection.dtype))
            if prior_slope is not None and projection.prior_row is not None:
                gradient.addr_(prior_slope, projection.prior_row)
            self.hidden[chunk.rows] = gradient

    def finish(self) -> tuple[Tensor | None, Tensor | None]:
        """The gradients, in the dtypes of what they belong to."""
        prior, weight = self.projection.constants.prior, self.projection.weight
        if self.weight is not None and prior is not None and self.projection.prior_row is not None:
            self.weight.addr_(prior, self.prior_hidden)
        return self.hidden, None if self.weight is None else self.weight.to(weight.dtype)


def add_rows(matrix: Tensor, index: Tensor, rows: Tensor) -> None:
    """Adds rows[i] to matrix[index[i]], in an order that does not vary (on CUDA `index_add_` has none)."""
    if matrix.device.type == "cpu":
        matrix.index_add_(0, index, rows)
    else:
        matrix.index_put_((index,), rows, accumulate=True)
