"""Section `model` of the configuration -> a Transformer."""

from mt_trainer.config.model import ModelConfig
from mt_trainer.model.transformer import LayerSizes, Transformer


def build_transformer(
    config: ModelConfig, *, src_vocab_size: int, tgt_vocab_size: int, max_positions: int, pad_id: int
) -> Transformer:
    """A freshly initialised model; seed torch before."""
    sizes = LayerSizes(
        d_model=config.d_model,
        num_heads=config.num_heads,
        ffn_dim=config.ffn_dim,
        activation=config.activation,
        dropout=config.dropout,
        attention_dropout=config.attention_dropout,
        activation_dropout=config.activation_dropout,
        norm_first=config.norm_first,
    )
    return Transformer(
        src_vocab_size=src_vocab_size,
        tgt_vocab_size=tgt_vocab_size,
        num_encoder_layers=config.num_encoder_layers,
        num_decoder_layers=config.num_decoder_layers,
        sizes=sizes,
        positions=config.positions,
        share_embeddings=config.share_embeddings,
        max_positions=max_positions,
        pad_id=pad_id,
    )
