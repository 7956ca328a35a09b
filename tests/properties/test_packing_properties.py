"""Packing pairs into rows changes neither the loss nor any gradient, loses no pair and wastes little."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mt_trainer.config.model import ModelConfig
from mt_trainer.data.batching import epoch_batches, pack_rows
from mt_trainer.data.loader import Batch, PairList, collate
from mt_trainer.model.build import build_transformer
from mt_trainer.model.transformer import Transformer

VOCAB_SIZE = 19
SPECIAL = {"pad_id": 0, "bos_id": 2, "eos_id": 3}
QUICK = settings(max_examples=40, deadline=None, derandomize=True)

LENGTHS = st.lists(st.tuples(st.integers(1, 16), st.integers(1, 16)), min_size=1, max_size=60)


@QUICK
@given(lengths=LENGTHS, extra=st.integers(0, 20))
def test_every_pair_is_in_exactly_one_row_and_no_row_is_overfull(lengths: list[tuple[int, int]], extra: int) -> None:
    row_length = max(max(pair) for pair in lengths) + extra
    src, tgt = [s for s, _ in lengths], [t for _, t in lengths]
    rows = pack_rows(range(len(lengths)), src, tgt, row_length)
    assert sorted(pair for row in rows for pair in row) == list(range(len(lengths)))
    for row in rows:
        assert sum(src[pair] for pair in row) <= row_length
        assert sum(tgt[pair] for pair in row) <= row_length


@QUICK
@given(
    lengths=LENGTHS,
    rows_per_batch=st.integers(1, 7),
    seed=st.integers(0, 2**31 - 1),
    epoch=st.integers(0, 1000),
)
def test_an_epoch_has_every_pair_once_in_an_order_of_its_own(
    lengths: list[tuple[int, int]], rows_per_batch: int, seed: int, epoch: int
) -> None:
    src, tgt = np.array(lengths, dtype=np.int32).T

    def batches(seed: int, epoch: int) -> list[list[list[int]]]:
        return list(epoch_batches(src, tgt, row_length=20, rows_per_batch=rows_per_batch, seed=seed, epoch=epoch))

    found = batches(seed, epoch)
    assert sorted(pair for batch in found for row in batch for pair in row) == list(range(len(lengths)))
    assert {len(batch) for batch in found[:-1]} <= {rows_per_batch}
    assert found == batches(seed, epoch)


def test_another_seed_or_epoch_gives_another_order_and_other_neighbours() -> None:
    lengths = np.full(100, 5, dtype=np.int32)

    def rows(seed: int, epoch: int) -> set[tuple[int, ...]]:
        batches = epoch_batches(lengths, lengths, row_length=20, rows_per_batch=5, seed=seed, epoch=epoch)
        return {tuple(sorted(row)) for batch in batches for row in batch}

    assert rows(1, 0) != rows(1, 1) != rows(2, 0) != rows(1, 0)


def test_little_of_a_row_is_padding() -> None:
    """Lengths like those of captions: log-normal, 14 tokens on average, sides that differ by a fifth."""
    rng = np.random.default_rng(1)
    src = np.clip(rng.lognormal(2.5, 0.45, 20_000), 2, 63).astype(np.int32)
    tgt = np.clip(src * rng.normal(1.05, 0.2, 20_000), 2, 63).astype(np.int32)
    rows = pack_rows(range(len(src)), src.tolist(), tgt.tolist(), 64)
    assert max(src.sum(), tgt.sum()) / (len(rows) * 64) > 0.95


@pytest.mark.parametrize(
    ("corpus", "tgt_lang", "row_length"),
    [("multi30k.en-de", "de", 64), ("tatoeba.en-de", "de", 64), ("pydocs.en-es", "es", 256)],
)
def test_over_97_of_100_target_positions_are_used_on_real_lengths(
    shared_data: Path, corpus: str, tgt_lang: str, row_length: int
) -> None:
    """With a piece for every 4.5 bytes, as vocabularies of 8,000 give them."""
    src, tgt = (
        [len(line) * 2 // 9 + 2 for line in gzip.decompress(path.read_bytes()).split(b"\n")[:20_000]]
        for path in (shared_data / corpus / f"train.{lang}.gz" for lang in ("en", tgt_lang))
    )
    fits = [i for i in range(len(src)) if max(src[i], tgt[i]) <= row_length]
    src, tgt = [src[i] for i in fits], [tgt[i] for i in fits]
    rows = pack_rows(fits, src, tgt, row_length)
    assert sum(tgt) / (len(rows) * row_length) > 0.97


def build(**variant: Any) -> Transformer:
    """A tiny model in float64."""
    torch.manual_seed(3)
    sizes = dict(num_encoder_layers=2, num_decoder_layers=2, d_model=16, ffn_dim=16, num_heads=2, dropout=0.0)
    model = build_transformer(
        ModelConfig(**{**sizes, **variant}),
        src_vocab_size=VOCAB_SIZE,
        tgt_vocab_size=VOCAB_SIZE,
        max_positions=64,
        pad_id=0,
    )
    return model.double().train()


def full_logits_loss(model: Transformer, batch: Batch) -> torch.Tensor:
    """Sum over the tokens of a batch, by the slow definition: all in float64."""
    hidden = model(batch.src_tokens, batch.src_segments, batch.tgt_inputs, batch.tgt_segments)
    is_real = batch.tgt_segments != 0
    logits = hidden[is_real] @ model.output_weight.T
    labels = batch.tgt_labels[is_real]
    return torch.nn.functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=0.1)


def pairs(seed: int, number: int) -> PairList:
    rng = np.random.default_rng(seed)
    ids = lambda: rng.integers(4, VOCAB_SIZE, rng.integers(1, 9)).tolist()  # noqa: E731
    return PairList([(ids(), ids()) for _ in range(number)])


def loss_and_gradients(model: Transformer, batches: list[Batch]) -> tuple[float, dict[str, torch.Tensor]]:
    model.zero_grad()
    loss = torch.stack([full_logits_loss(model, batch) for batch in batches]).sum()
    loss.backward()
    return loss.item(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same(a: tuple[float, dict[str, torch.Tensor]], b: tuple[float, dict[str, torch.Tensor]]) -> None:
    assert a[0] == pytest.approx(b[0], rel=1e-10)
    assert a[1].keys() == b[1].keys()
    for name in a[1]:
        torch.testing.assert_close(a[1][name], b[1][name], rtol=1e-10, atol=1e-10, msg=name)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary"])
def test_packed_rows_equal_one_pair_a_row(norm_first: bool, positions: str) -> None:
    model, corpus = build(norm_first=norm_first, positions=positions), pairs(1, 12)
    rows = pack_rows(range(12), (corpus.src_lengths + 1).tolist(), (corpus.tgt_lengths + 1).tolist(), 24)
    assert len(rows) < 8
    packed = loss_and_gradients(model, [collate(corpus, rows, row_length=24, **SPECIAL)])
    single = loss_and_gradients(model, [collate(corpus, [[i]], row_length=10, **SPECIAL) for i in range(12)])
    assert_same(packed, single)


def test_neither_the_width_of_the_padding_nor_the_order_of_the_rows_matters() -> None:
    model, corpus = build(), pairs(2, 6)
    rows = [[i] for i in range(6)]
    narrow = loss_and_gradients(model, [collate(corpus, rows, row_length=10, **SPECIAL)])
    wide = loss_and_gradients(model, [collate(corpus, rows, row_length=40, **SPECIAL)])
    turned = loss_and_gradients(model, [collate(corpus, rows[::-1], row_length=10, **SPECIAL)])
    assert_same(narrow, wide)
    assert_same(narrow, turned)


@torch.no_grad()
@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary"])
def test_no_position_sees_a_later_one_or_another_segment(positions: str) -> None:
    model = build(positions=positions).float()
    corpus = PairList([([5, 6, 7], [8, 9, 10, 11]), ([12, 13], [14, 15, 16])])
    batch = collate(corpus, [[0, 1]], row_length=12, **SPECIAL)

    def hidden(tgt_inputs: torch.Tensor, src_tokens: torch.Tensor) -> torch.Tensor:
        return model(src_tokens, batch.src_segments, tgt_inputs, batch.tgt_segments)[0]  # type: ignore[no-any-return]

    before = hidden(batch.tgt_inputs, batch.src_tokens)
    for place in range(1, 9):
        changed = batch.tgt_inputs.clone()
        changed[0, place] = 18
        after = hidden(changed, batch.src_tokens)
        differs = (after != before).any(-1)
        own = (batch.tgt_segments[0] == batch.tgt_segments[0, place]) & (torch.arange(12) >= place)
        assert not differs[~own].any(), place
        assert differs[place]
    changed = batch.src_tokens.clone()
    changed[0, 1] = 18
    differs = (hidden(batch.tgt_inputs, changed) != before).any(-1)
    assert differs[:5].all()
    assert not differs[5:].any()
