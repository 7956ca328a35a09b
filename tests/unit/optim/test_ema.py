"""The moving average, by hand on one number."""

import pytest
import torch
from torch import nn

from mt_trainer.optim import ExponentialMovingAverage

TAKEN = torch.tensor(True)


class Number(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([value]))

    def set(self, value: float) -> None:
        with torch.no_grad():
            self.weight.fill_(value)


def test_young_averages_follow_quickly() -> None:
    model = Number(1.0)
    ema = ExponentialMovingAverage(model, 0.9)
    model.set(12.0)
    ema.update(1, is_finite=TAKEN)  # d = 2/11
    assert ema.average["weight"].item() == pytest.approx(2 / 11 * 1 + 9 / 11 * 12)
    before = ema.average["weight"].item()
    ema.update(2, is_finite=TAKEN)  # d = 3/12
    assert ema.average["weight"].item() == pytest.approx(0.25 * before + 0.75 * 12, rel=1e-6)


def test_old_averages_follow_at_their_decay() -> None:
    model = Number(1.0)
    ema = ExponentialMovingAverage(model, 0.75)
    model.set(5.0)
    ema.update(1000, is_finite=TAKEN)
    assert ema.average["weight"].item() == pytest.approx(0.75 * 1 + 0.25 * 5)


def test_applied_swaps_the_weights_and_gives_them_back_bit_for_bit() -> None:
    model = Number(0.1)
    ema = ExponentialMovingAverage(model, 0.9)
    model.set(0.7)
    weights = model.weight.detach().clone()
    with ema.applied():
        assert model.weight.item() == pytest.approx(0.1)
    assert torch.equal(model.weight, weights)
    assert ema.average["weight"].item() == pytest.approx(0.1)


def test_applied_gives_the_weights_back_after_an_error() -> None:
    model = Number(0.1)
    ema = ExponentialMovingAverage(model, 0.9)
    model.set(0.7)
    with pytest.raises(RuntimeError), ema.applied():
        raise RuntimeError
    assert model.weight.item() == pytest.approx(0.7)


def test_load() -> None:
    ema = ExponentialMovingAverage(Number(1.0), 0.9)
    ema.load({"weight": torch.tensor([4.0])})
    assert ema.average["weight"].item() == 4.0


def test_a_skipped_step_leaves_the_average_as_it_was() -> None:
    """Bit for bit, and though the weights are elsewhere; the next step goes on with its own decay."""
    model = Number(1.0)
    ema, other = ExponentialMovingAverage(model, 0.9), ExponentialMovingAverage(model, 0.9)
    model.set(12.0)
    for each in (ema, other):
        each.update(1, is_finite=TAKEN)
    ema.update(2, is_finite=~TAKEN)
    assert torch.equal(ema.average["weight"], other.average["weight"])
    for each in (ema, other):
        each.update(3, is_finite=TAKEN)
    assert torch.equal(ema.average["weight"], other.average["weight"])
