"""Every token of a step counts the same, into however many micro-batches the step is split."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mt_trainer.config.model import ModelConfig
from mt_trainer.config.optim import OptimConfig
from mt_trainer.data.loader import Loader, PairList, Position, StepBatches, collate
from mt_trainer.model.build import build_transformer
from mt_trainer.objectives import TranslationLoss
from mt_trainer.optim import build_optimizer
from mt_trainer.teacher_forcing import TeacherForcing
from mt_trainer.training.step import StepResult, train_step

VOCAB_SIZE = 19
SPECIAL = {"pad_id": 0, "bos_id": 2, "eos_id": 3}
# Lengths from 1 to 12, so that a mean over the means of micro-batches would be far off.
CORPUS = PairList([([4 + i % 15] * (1 + 5 * i % 12), [4 + 3 * i % 15] * (1 + 7 * i % 12)) for i in range(24)])


def build() -> TeacherForcing:
    torch.manual_seed(3)
    config = ModelConfig(num_encoder_layers=1, num_decoder_layers=1, d_model=16, ffn_dim=16, num_heads=2, dropout=0.0)
    model = build_transformer(config, src_vocab_size=VOCAB_SIZE, tgt_vocab_size=VOCAB_SIZE, max_positions=32, pad_id=0)
    return TeacherForcing(model, TranslationLoss(VOCAB_SIZE, 0, 0.1), torch.float32).train()


def gradients(batches: StepBatches) -> tuple[StepResult, dict[str, torch.Tensor]]:
    """The gradients as the optimizer of a real step finds them, without clipping."""
    both = build()
    optimizer = build_optimizer(OptimConfig(), both.model)
    found: dict[str, torch.Tensor] = {}
    optimizer.register_step_pre_hook(
        lambda *_: found.update({name: p.grad.clone() for name, p in both.named_parameters() if p.grad is not None})
    )
    result = train_step(
        both, optimizer, batches, step=1, lr=0.1, clip_norm=None, seed=1, device=torch.device("cpu"), workers=None
    )
    return result, found


def step(accumulation: int) -> StepBatches:
    loader = Loader(CORPUS, row_length=16, rows_per_step=8, accumulation=accumulation, seed=1, sampler=None, **SPECIAL)
    return next(loader.steps(Position()))


def assert_same(a: StepBatches, b: StepBatches) -> None:
    (result_a, gradients_a), (result_b, gradients_b) = gradients(a), gradients(b)
    assert result_a.sums.num_tokens.item() == result_b.sums.num_tokens.item()
    assert result_a.sums.loss.item() == pytest.approx(result_b.sums.loss.item(), rel=1e-5)
    assert result_a.sums.nll.item() == pytest.approx(result_b.sums.nll.item(), rel=1e-5)
    assert gradients_a.keys() == gradients_b.keys()
    for name in gradients_a:
        torch.testing.assert_close(gradients_a[name], gradients_b[name], rtol=0, atol=1e-6, msg=name)


@pytest.mark.parametrize("accumulation", [2, 4, 8])
def test_accumulation_changes_no_gradient(accumulation: int) -> None:
    split = step(accumulation)
    assert len(split.micro_batches) == accumulation
    assert len({batch.num_tokens for batch in split.micro_batches}) > 1
    assert_same(step(1), split)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(order=st.permutations(range(8)), cuts=st.sets(st.integers(1, 7), max_size=4))
def test_any_partition_in_any_order_gives_the_same_gradient(order: list[int], cuts: set[int]) -> None:
    rows = [[3 * i, 3 * i + 1] for i in range(8)]
    whole = StepBatches((collate(CORPUS, rows, row_length=26, **SPECIAL),), Position())
    borders = [0, *sorted(cuts), 8]
    parts = [[rows[i] for i in order[a:b]] for a, b in pairwise(borders)]
    split = StepBatches(tuple(collate(CORPUS, part, row_length=26, **SPECIAL) for part in parts), Position())
    assert_same(whole, split)


def test_a_micro_batch_without_tokens_is_harmless() -> None:
    one = step(1)
    empty = collate(CORPUS, [[], []], row_length=16, **SPECIAL)
    assert empty.num_tokens == 0
    with_empty = StepBatches((empty, *one.micro_batches, empty), one.after)
    assert_same(one, with_empty)
    assert bool(gradients(with_empty)[0].is_finite)
