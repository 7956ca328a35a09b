"""The model of a run, as its config and its tokenizers have it."""

from mt_trainer.config import TrainConfig
from mt_trainer.model import Transformer, build_transformer
from mt_trainer.tokenizer import TokenizerPair


def build_model(config: TrainConfig, tokenizers: TokenizerPair) -> Transformer:
    """The freshly initialised model of a config; seed torch before."""
    return build_transformer(
        config.model,
        src_vocab_size=tokenizers.src.vocab_size,
        tgt_vocab_size=tokenizers.tgt.vocab_size,
        max_positions=max_positions_of(config),
        pad_id=tokenizers.tgt.pad_id,
    )


def max_positions_of(config: TrainConfig) -> int:
    """The longest row or output the model can place: generous, for texts longer than those trained on."""
    return max(1024, 2 * config.data.max_length)
