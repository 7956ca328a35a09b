"""The operations of a step: by hand, and as counted on the real model; the time that they need."""

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mt_trainer.config.model import ModelConfig
from mt_trainer.data.lengths import LengthSums
from mt_trainer.model import build_transformer
from mt_trainer.training.floor import Floor, Operations, training_operations


def test_the_operations_of_a_small_model_by_hand() -> None:
    """d 4, f 6, 10 pieces, 1 encoder layer, 2 decoder layers.

    A source token: 4 * 16 + 2 * 24 in the encoder, 2 * 2 * 16 for the decoder's keys and values. A target token:
    2 * (6 * 16 + 2 * 24) and 40 for the vocabulary. Two positions: 2 * 4 in every layer where they meet.
    """
    sizes = dict(num_encoder_layers=1, num_decoder_layers=2, d_model=4, ffn_dim=6, tgt_vocab_size=10)
    expected = Operations(src=6 * 176, tgt=6 * 328, src_src=6 * 8, tgt_tgt=6 * 16, tgt_src=6 * 16)
    assert training_operations(**sizes, is_gated=False) == expected
    gated = training_operations(**sizes, is_gated=True)
    assert (gated.src - expected.src, gated.tgt - expected.tgt) == (6 * 24, 6 * 2 * 24)


def test_operations_over_sentences() -> None:
    """Of 3 source and 2 target tokens, and of 1 and 5."""
    operations = Operations(src=1, tgt=10, src_src=100, tgt_tgt=1000, tgt_src=10000)
    assert operations.over(LengthSums.of([3, 1], [2, 5])) == 4 + 70 + 1000 + 29000 + 110000


def test_the_floor_is_operations_over_rate() -> None:
    assert Floor(Operations(6, 4, 0, 0, 0), rate=50.0).seconds(LengthSums(src=10, tgt=10)) == 2.0


@pytest.mark.parametrize(("src", "tgt"), [(9, 5), (3, 12)])
@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"num_encoder_layers": 3, "num_decoder_layers": 1, "norm_first": False},
        {"activation": "swiglu", "positions": "rotary"},
        {"share_embeddings": "none", "activation": "gelu"},
    ],
    ids=["plain", "deep encoder", "gated", "own embeddings"],
)
def test_the_operations_are_those_that_the_real_model_takes(variant: dict[str, Any], src: int, tgt: int) -> None:
    settings = {"num_encoder_layers": 2, "num_decoder_layers": 2, "d_model": 32, "ffn_dim": 48, "num_heads": 4}
    # with dropout, attention is written out as matrix products, which are counted
    config = ModelConfig.model_validate({**settings, "attention_dropout": 0.5, **variant})
    model = build_transformer(config, src_vocab_size=103, tgt_vocab_size=101, max_positions=16, pad_id=0).train()
    tokens = torch.randint(4, 101, (1, src + tgt))
    segments = torch.ones_like(tokens)
    with FlopCounterMode(display=False) as counter:
        hidden = model(tokens[:, :src], segments[:, :src], tokens[:, src:], segments[:, src:])
        (hidden @ model.output_weight.t()).sum().backward()
    operations = training_operations(
        num_encoder_layers=config.num_encoder_layers,
        num_decoder_layers=config.num_decoder_layers,
        d_model=config.d_model,
        ffn_dim=config.ffn_dim,
        tgt_vocab_size=101,
        is_gated=config.activation == "swiglu",
    )
    assert counter.get_total_flops() == operations.over(LengthSums.of([src], [tgt]))
