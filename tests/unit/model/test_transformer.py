"""The whole model: sizes, tying, initialisation, the two places of the norm."""

import math
from typing import Any

import pytest
import torch

from mt_trainer.config.model import ModelConfig
from mt_trainer.model.attention import AttentionMask, KeyValueCache
from mt_trainer.model.build import build_transformer
from mt_trainer.model.dropout import Dropout
from mt_trainer.model.transformer import FORGET_EVERY, DecoderCache, LayerSizes, Transformer

PAD = 0


def build(*, src_vocab_size: int = 11, tgt_vocab_size: int = 11, **settings: Any) -> Transformer:
    small = dict(num_encoder_layers=1, num_decoder_layers=1, d_model=8, ffn_dim=16, num_heads=2)
    config = ModelConfig(**({} if "preset" in settings else small) | settings)
    return build_transformer(
        config, src_vocab_size=src_vocab_size, tgt_vocab_size=tgt_vocab_size, max_positions=32, pad_id=PAD
    )


def num_parameters(model: Transformer) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("preset", "vocab_size", "expected"),
    [
        # Attention 4 (D^2 + D), feed-forward 2 D F + F + D, a norm 2 D; an encoder layer has one attention and two
        # norms, a decoder layer two and three; two final norms; one shared table of V D.
        # base: encoder 6 * 3,152,384, decoder 6 * 4,204,032, norms 2,048, table 37,000 * 512. The paper says 65 M.
        ("transformer_base", 37_000, 18_914_304 + 25_224_192 + 2_048 + 18_944_000),
        # big: encoder 6 * 12,596,224, decoder 6 * 16,796,672, norms 4,096, table 37,000 * 1024. The paper says 213 M.
        ("transformer_big", 37_000, 75_577_344 + 100_780_032 + 4_096 + 37_888_000),
        # iwslt: encoder 6 * 2,102,784, decoder 6 * 3,154,432, norms 2,048, table 10,000 * 512.
        ("transformer_iwslt", 10_000, 12_616_704 + 18_926_592 + 2_048 + 5_120_000),
        # tiny: encoder 4 * 132,480, decoder 4 * 198,784, norms 512, table 10,000 * 128.
        ("transformer_tiny", 10_000, 529_920 + 795_136 + 512 + 1_280_000),
    ],
)
def test_sizes_of_the_presets(preset: str, vocab_size: int, expected: int) -> None:
    with torch.device("meta"):
        model = build(src_vocab_size=vocab_size, tgt_vocab_size=vocab_size, preset=preset)
    assert num_parameters(model) == expected


def test_three_ways_of_tying() -> None:
    # A table has 11 * 8 = 88 numbers: one with `all`, two with `decoder`, three with `none`.
    counts = [num_parameters(build(share_embeddings=kind)) for kind in ("all", "decoder", "none")]
    assert (counts[1] - counts[0], counts[2] - counts[1]) == (88, 88)

    tied = build(share_embeddings="all")
    assert tied.src_embedding is tied.tgt_embedding
    assert tied.output_weight is tied.tgt_embedding.weight
    half = build(share_embeddings="decoder", src_vocab_size=7)
    assert half.src_embedding.weight.shape == (7, 8)
    assert half.output_weight is half.tgt_embedding.weight
    free = build(share_embeddings="none")
    assert free.output_weight is not free.tgt_embedding.weight


def test_a_checkpoint_holds_a_tied_table_once() -> None:
    names = [name for name, _ in build(share_embeddings="all").named_parameters()]
    assert sum("embedding" in name or name == "output_weight" for name in names) == 1


@pytest.mark.parametrize("kind", ["none", "decoder", "all"])
def test_the_row_of_padding_starts_at_zero(kind: str) -> None:
    model = build(share_embeddings=kind)
    for embedding in (model.src_embedding, model.tgt_embedding):
        assert embedding.weight[PAD].abs().max().item() == 0
        assert embedding.weight[1:].abs().min(dim=1).values.max().item() > 0


def test_initialisation() -> None:
    torch.manual_seed(1)
    model = build(d_model=64, ffn_dim=64, num_heads=4, src_vocab_size=500, tgt_vocab_size=500, positions="learned")
    assert model.tgt_embedding.weight[1:].std().item() == pytest.approx(1 / math.sqrt(64), rel=0.05)
    # Query, key and value are square maps: each has the bound sqrt(6 / (64 + 64)), not that of their stack.
    bound = math.sqrt(6 / 128)
    for part in model.encoder[0].self_attention.query_key_value.weight.chunk(3):
        assert 0.95 * bound < part.abs().max().item() <= bound
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert parameter.abs().max().item() == 0, name
        if "norm" in name and name.endswith("weight"):
            assert (parameter == 1).all(), name


def test_stacked_maps_are_initialised_each_by_its_own_size() -> None:
    # Xavier: sqrt(6 / (inputs + outputs)) of one map. The gate and the value of SwiGLU are two maps from 64 to 96.
    torch.manual_seed(1)
    model = build(d_model=64, ffn_dim=96, num_heads=4, activation="swiglu")
    layer = model.decoder[0]
    stacks = [
        (layer.self_attention.query_key_value.weight, 3, 64),
        (layer.cross_attention.key_value.weight, 2, 64),
        (layer.feed_forward.inner.weight, 2, 96),
        (build(d_model=64, ffn_dim=192, num_heads=4).decoder[0].feed_forward.inner.weight, 1, 192),
    ]
    for weight, num_maps, outputs in stacks:
        assert weight.shape == (num_maps * outputs, 64)
        bound = math.sqrt(6 / (64 + outputs))
        for part in weight.chunk(num_maps):
            assert 0.95 * bound < part.abs().max().item() <= bound


def tokens(*rows: list[int]) -> torch.Tensor:
    return torch.tensor(rows)


def test_post_norm_ends_in_a_norm_and_pre_norm_in_one_of_its_own() -> None:
    torch.manual_seed(1)
    src, segments = tokens([5, 6, 3]), tokens([1, 1, 1])
    for norm_first in (True, False):
        model = build(norm_first=norm_first).eval()
        memory = model.encode(src, segments)
        torch.testing.assert_close(memory.mean(-1), torch.zeros(1, 3), atol=1e-5, rtol=0)
        torch.testing.assert_close(memory.var(-1, unbiased=False), torch.ones(1, 3), atol=1e-2, rtol=0)
        names = {name for name, _ in model.named_parameters()}
        assert ("encoder_norm.weight" in names) is norm_first


def test_dropouts_stand_where_their_settings_say() -> None:
    model = build(dropout=0.1, attention_dropout=0.2, activation_dropout=0.3)
    found = {name: module.p for name, module in model.named_modules() if isinstance(module, Dropout)}
    assert found.pop("embedding_dropout") == 0.1
    assert {p for name, p in found.items() if "around" in name} == {0.1}
    assert {p for name, p in found.items() if "feed_forward.dropout" in name and "around" not in name} == {0.3}
    assert model.encoder[0].self_attention.dropout == 0.2
    assert model.decoder[0].self_attention.dropout == model.decoder[0].cross_attention.dropout == 0.2


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary"])
def test_the_order_of_the_source_matters(positions: str) -> None:
    torch.manual_seed(1)
    model = build(positions=positions).eval()
    segments = tokens([1, 1, 1])
    forwards, backwards = model.encode(tokens([5, 6, 7]), segments), model.encode(tokens([7, 6, 5]), segments)
    assert not torch.allclose(forwards[0, 0], backwards[0, 2], atol=1e-4)


def test_unknown_positions_are_refused() -> None:
    model = build()
    with pytest.raises(ValueError, match="unknown positions"):
        Transformer(
            src_vocab_size=5,
            tgt_vocab_size=5,
            num_encoder_layers=1,
            num_decoder_layers=1,
            sizes=_sizes(),
            positions="none",
            share_embeddings="all",
            max_positions=model.max_positions,
            pad_id=PAD,
        )


def _sizes() -> LayerSizes:
    return LayerSizes(
        d_model=8,
        num_heads=2,
        ffn_dim=8,
        activation="relu",
        dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        norm_first=True,
    )


def test_ancestors_follow_beams_and_abandoned_slots_are_forgotten() -> None:
    # 2 sentences, 2 beams, 3 slots: one of the first step, then one of each beam.
    ancestors = torch.tensor([[[1, 1, 0], [1, 0, 1]], [[1, 1, 0], [1, 0, 1]]], dtype=torch.bool)
    slots = torch.tensor([[1.0, 2, 3, 0], [4, 5, 6, 0]]).view(2, 4, 1, 1)
    layer = KeyValueCache(slots.clone(), slots.clone(), torch.zeros(2, 1, 1, 1), torch.zeros(2, 1, 1, 1))
    cache = DecoderCache([layer], AttentionMask.of(torch.ones(2, 1, 1, 4, dtype=torch.bool)), ancestors, length=2)
    cache.reorder(torch.tensor([[1, 1, 1], [0, 0, 0]]))  # three beams now, of one ancestor in each sentence
    assert cache.ancestors.int().tolist() == [[[1, 0, 1]] * 3, [[1, 1, 0]] * 3]
    cache.keep(torch.tensor([0, 1]))
    assert cache.ancestors.int().tolist() == [[[1, 1]] * 3, [[1, 1]] * 3]
    assert layer.self_keys[:, :2].flatten(1).tolist() == [[1, 3], [4, 5]]
    cache.ancestors[1, :, 1] = False
    cache.keep(torch.tensor([1]))
    assert cache.ancestors.int().tolist() == [[[1]] * 3]


def test_slots_are_forgotten_every_few_steps() -> None:
    table = torch.zeros(1, FORGET_EVERY + 1, 1, 1)
    layer = KeyValueCache(table, table.clone(), torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))
    ancestors = torch.eye(2, dtype=torch.bool)[None]
    cache = DecoderCache(
        [layer], AttentionMask.of(torch.ones(1, 1, 1, 1, dtype=torch.bool)), ancestors, length=FORGET_EVERY - 1
    )
    cache.reorder(torch.tensor([[1, 1]]))
    assert cache.ancestors.shape == (1, 2, 2)
    cache.length += 1
    cache.reorder(torch.tensor([[1, 1]]))
    assert cache.ancestors.shape == (1, 2, 1)
