"""What is known of a target token beside its logits: its label, and what some objectives read in addition.

Shapes: N target tokens, V vocabulary, K ids per token, E width of a fixed embedding.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class TokenInputs:
    """Numbers per token that the model does not learn from; a part of a batch is cut out with `inputs[rows]`.

    Attributes:
        labels: [N] int64.
        ids: [N, K] int64, pieces whose logits are asked for: candidates of unlikelihood, a teacher's best pieces.
        id_weights: [N, K], what each of them counts; 0 for an id that only fills the row.
        weight_nll: [N], -log p_y by which the token is weighted, where it comes from another pass than the loss.
    """

    labels: Tensor
    ids: Tensor | None = None
    id_weights: Tensor | None = None
    weight_nll: Tensor | None = None

    def __getitem__(self, rows: slice | Tensor) -> "TokenInputs":
        """The same for some of the tokens: a slice, a mask [N] or indices."""
        parts = (self.labels, self.ids, self.id_weights, self.weight_nll)
        return TokenInputs(*(None if part is None else part[rows] for part in parts))  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Constants:
    """What an objective holds fixed for the whole vocabulary. Whoever computes moves it to the device and precision.

    Attributes:
        prior: [V], sums to one; read by `prior_logit`.
        values: [V], one number per piece; read by `expected_value`.
        per_label: [V], a number that a token takes from its label, such as a class weight; read by `label_value`.
        embedding: [V, E], one vector per piece; read by `expected_embedding` and `label_embedding`.
        embedding_scale: [V], what each of these vectors is multiplied by, so that the output projection's own rows
            serve as normed vectors without a copy; None for nothing.
        tail_below: the probability below which a piece counts into `tail_nll`.
    """

    prior: Tensor | None = None
    values: Tensor | None = None
    per_label: Tensor | None = None
    embedding: Tensor | None = None
    embedding_scale: Tensor | None = None
    tail_below: float | None = None

    def to(self, device: torch.device, dtype: torch.dtype) -> "Constants":
        """The same on a device; what is [V] in a precision, the embedding in its own."""

        def moved(value: Tensor | None) -> Tensor | None:
            return None if value is None else value.to(device, dtype)

        return replace(
            self,
            prior=moved(self.prior),
            values=moved(self.values),
            per_label=moved(self.per_label),
            embedding=None if self.embedding is None else self.embedding.to(device),
            embedding_scale=moved(self.embedding_scale),
        )
