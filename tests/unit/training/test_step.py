"""One optimizer step: the division, the learning rate, the clipping, and what happens when a number is not finite."""

import math
from typing import Any

import pytest
import torch

from mt_trainer.config.model import ModelConfig
from mt_trainer.config.optim import OptimConfig
from mt_trainer.data.loader import PairList, Position, StepBatches, collate
from mt_trainer.model.build import build_transformer
from mt_trainer.objectives import TranslationLoss
from mt_trainer.optim import build_optimizer, optimizer_tensors
from mt_trainer.teacher_forcing import TeacherForcing
from mt_trainer.training.step import StepResult, train_step

VOCAB_SIZE = 13
SPECIAL = {"row_length": 6, "pad_id": 0, "bos_id": 2, "eos_id": 3}
PAIRS = PairList([([5, 6], [7, 8, 9]), ([10], [11]), ([12, 4], [5])])
ONE = StepBatches((collate(PAIRS, [[0], [1, 2]], **SPECIAL),), Position())
TWO = StepBatches(tuple(collate(PAIRS, [row], **SPECIAL) for row in ([0], [1, 2])), Position())


def build(dropout: float = 0.0) -> tuple[TeacherForcing, torch.optim.AdamW]:
    torch.manual_seed(1)
    config = ModelConfig(
        num_encoder_layers=1, num_decoder_layers=1, d_model=16, ffn_dim=16, num_heads=2, dropout=dropout
    )
    model = build_transformer(config, src_vocab_size=VOCAB_SIZE, tgt_vocab_size=VOCAB_SIZE, max_positions=16, pad_id=0)
    both = TeacherForcing(model, TranslationLoss(VOCAB_SIZE, 0, 0.1), torch.float32)
    return both.train(), build_optimizer(OptimConfig(), model)


def step(both: TeacherForcing, optimizer: torch.optim.AdamW, batches: StepBatches, **changes: Any) -> StepResult:
    settings: dict[str, Any] = {"step": 1, "lr": 1e-2, "clip_norm": 1.0, "seed": 1, "device": torch.device("cpu")}
    return train_step(both, optimizer, batches, **{**settings, "workers": None, **changes})


def weights(both: TeacherForcing) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in both.named_parameters()}


def test_the_result_is_in_sums_and_the_norm_is_that_of_the_mean_loss() -> None:
    both, optimizer = build()
    reference, _ = build()
    sums = reference(ONE.micro_batches[0], with_diagnostics=False)
    (sums.loss / 8).backward()  # 4 + 2 + 2 target tokens with their end marks
    norm = math.sqrt(sum(p.grad.square().sum().item() for p in reference.parameters()))
    result = step(both, optimizer, ONE)
    assert result.sums.num_tokens.item() == 8
    assert result.sums.loss.item() == pytest.approx(sums.loss.item(), rel=1e-6)
    assert result.grad_norm.item() == pytest.approx(norm, rel=1e-5)
    assert bool(result.is_finite)


def test_the_learning_rate_is_that_of_the_step() -> None:
    """The first step of Adam moves a weight with a gradient by lr: the largest move is lr, up to epsilon."""
    both, optimizer = build()
    before = weights(both)
    step(both, optimizer, ONE, lr=3e-3)
    moves = max((after - before[name]).abs().max().item() for name, after in weights(both).items())
    assert moves == pytest.approx(3e-3, rel=1e-3)


def test_gradients_are_clipped_and_gone_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    norms = {}
    for limit in (None, 1e-3):
        both, optimizer = build()
        optimizer.register_step_pre_hook(
            lambda *_, both=both, limit=limit: norms.__setitem__(
                limit, math.sqrt(sum(p.grad.square().sum().item() for p in both.parameters()))
            )
        )
        result = step(both, optimizer, ONE, clip_norm=limit)
        assert all(p.grad is None for p in both.parameters())
        assert result.grad_norm.item() > 0.1, "the norm told is that before clipping"
        if limit is None:
            assert norms[None] == pytest.approx(result.grad_norm.item(), rel=1e-5)
    assert norms[1e-3] == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_what_is_not_finite_reaches_neither_weights_nor_moments(value: float) -> None:
    both, optimizer = build()
    step(both, optimizer, ONE)
    with torch.no_grad():
        both.model.encoder[0].feed_forward.output.bias[3] = value
    before = weights(both)
    moments = {name: t.clone() for name, t in optimizer_tensors(optimizer, both.model).items()}
    result = step(both, optimizer, TWO, step=2)
    assert not bool(result.is_finite)
    for name, tensor in weights(both).items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0, equal_nan=True)
    assert moments.keys() == optimizer_tensors(optimizer, both.model).keys()
    for name, tensor in optimizer_tensors(optimizer, both.model).items():
        assert torch.equal(tensor, moments[name]), name


def test_after_a_bad_step_a_good_one_counts_as_if_nothing_had_been() -> None:
    straight, straight_optimizer = build()
    for number in (1, 2):
        step(straight, straight_optimizer, ONE, step=number)
    both, optimizer = build()
    step(both, optimizer, ONE, step=1)
    bias = both.model.encoder[0].feed_forward.output.bias
    kept = bias.detach().clone()
    with torch.no_grad():
        bias[3] = math.inf
    step(both, optimizer, ONE, step=2)
    with torch.no_grad():
        bias.copy_(kept)
    step(both, optimizer, ONE, step=2)
    for name, tensor in weights(both).items():
        assert torch.equal(tensor, weights(straight)[name]), name


def test_dropout_is_a_function_of_seed_step_and_micro_batch() -> None:
    def loss(batches: StepBatches = TWO, **changes: int) -> float:
        both, optimizer = build(dropout=0.3)
        torch.manual_seed(torch.seed())  # whatever was drawn before does not matter
        return step(both, optimizer, batches, **changes).sums.loss.item()

    assert loss() == loss()
    assert loss(step=2) != loss()
    assert loss(seed=2) != loss()
    same_row_twice = StepBatches((TWO.micro_batches[0],) * 2, Position())
    once = StepBatches((TWO.micro_batches[0],), Position())
    assert loss(same_row_twice) != pytest.approx(2 * loss(once), rel=1e-6), "each micro-batch has its own mask"
