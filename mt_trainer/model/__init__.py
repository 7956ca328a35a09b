"""The encoder-decoder Transformer. It knows no objective, no data and no search."""

from mt_trainer.model.build import build_transformer
from mt_trainer.model.transformer import Transformer

__all__ = ["Transformer", "build_transformer"]
