"""Section `model`: the encoder-decoder Transformer."""

from typing import Any, Literal

from pydantic import model_validator

from mt_trainer.config.section import Section, setting

SIZES = ("num_encoder_layers", "num_decoder_layers", "d_model", "ffn_dim", "num_heads")
PRESETS: dict[str, dict[str, Any]] = {
    "transformer_tiny": dict(zip(SIZES, (4, 4, 128, 256, 4), strict=True)),
    "transformer_iwslt": dict(zip(SIZES, (6, 6, 512, 1024, 4), strict=True)),
    "transformer_base": dict(zip(SIZES, (6, 6, 512, 2048, 8), strict=True)),
    "transformer_big": dict(zip(SIZES, (6, 6, 1024, 4096, 16), strict=True)),
}
"""The sizes that papers name. A preset sets only sizes; everything else keeps its default."""


class ModelConfig(Section):
    """Sizes and variants of the Transformer; `model: transformer_base` is short for `{preset: transformer_base}`."""

    preset: Literal["transformer_tiny", "transformer_iwslt", "transformer_base", "transformer_big"] = setting(
        "transformer_base", "Sizes to start from; each can be overridden beside it."
    )
    num_encoder_layers: int = setting(6, "Layers of the encoder (default: the preset's).", ge=1, le=1000)
    num_decoder_layers: int = setting(6, "Layers of the decoder (default: the preset's).", ge=1, le=1000)
    d_model: int = setting(512, "Width of the residual stream (default: the preset's).", ge=2, le=65536)
    ffn_dim: int = setting(2048, "Inner width of the feed-forward blocks (default: the preset's).", ge=1, le=1_048_576)
    num_heads: int = setting(8, "Attention heads; divides d_model (default: the preset's).", ge=1, le=1024)
    norm_first: bool = setting(True, "Pre-norm (LayerNorm before each block); false is the original post-norm.")
    positions: Literal["sinusoidal", "learned", "rotary"] = setting("sinusoidal", "How positions enter.")
    activation: Literal["relu", "gelu", "swiglu"] = setting("relu", "Nonlinearity of the feed-forward blocks.")
    dropout: float = setting(0.1, "Dropout on embeddings and on the output of every block.", ge=0.0, lt=1.0)
    attention_dropout: float = setting(0.0, "Dropout on attention probabilities (slow on a CPU).", ge=0.0, lt=1.0)
    activation_dropout: float = setting(
        0.0, "Dropout after the nonlinearity of the feed-forward blocks.", ge=0.0, lt=1.0
    )
    share_embeddings: Literal["none", "decoder", "all"] = setting(
        "all", "Tie decoder input and output embeddings, or `all` three (needs a joint vocabulary)."
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, value: Any) -> Any:
        """Sizes that are not given come from the preset."""
        if isinstance(value, str):
            value = {"preset": value}
        if isinstance(value, dict):
            sizes = PRESETS.get(str(value.get("preset", cls.model_fields["preset"].default)), {})
            value = {**sizes, **value}
        return value
