"""A model and a loss joined: a batch in, sums over its target tokens out. Training and validation both use it."""

import torch
from torch import nn

from mt_trainer.data.loader import Batch
from mt_trainer.model.transformer import Transformer
from mt_trainer.objectives.translation_loss import LossSums, TranslationLoss


class TeacherForcing(nn.Module):
    """Predicts every target token from the reference before it.

    Args:
        dtype: precision of the matmuls (autocast); statistics and loss are float32.
    """

    def __init__(self, model: Transformer, translation_loss: TranslationLoss, dtype: torch.dtype) -> None:
        super().__init__()
        self.model, self.translation_loss, self.dtype = model, translation_loss, dtype

    def forward(self, batch: Batch, *, with_diagnostics: bool) -> LossSums:
        """Sums over the real target tokens of the batch; the vocabulary projection sees no padding."""
        with torch.autocast(batch.src_tokens.device.type, self.dtype, enabled=self.dtype != torch.float32):
            hidden = self.model(batch.src_tokens, batch.src_segments, batch.tgt_inputs, batch.tgt_segments)
        is_real = batch.tgt_segments != 0
        return self.translation_loss.sums(
            hidden[is_real],
            self.model.output_weight,
            batch.tgt_labels[is_real],
            matmul_dtype=self.dtype,
            with_diagnostics=with_diagnostics,
        )


def add_sums(a: LossSums | None, b: LossSums) -> LossSums:
    """The sums over both, without graph; None is nothing yet."""
    if a is None:
        return LossSums(*(None if value is None else value.detach() for value in b))  # type: ignore[arg-type]
    return LossSums(*(None if x is None or y is None else x + y.detach() for x, y in zip(a, b, strict=True)))  # type: ignore[arg-type]
