"""Dropout: which share is dropped, how the rest is scaled, and what the mask depends on."""

import pytest
import torch

from mt_trainer.model.dropout import LEVELS, Dropout, keep_mask


@pytest.mark.parametrize("p", [0.0001, 0.1, 0.25, 0.3, 0.5, 0.9])
def test_over_all_random_words_the_share_and_the_mean_are_exact(p: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """With each of the 65,536 words drawn once, as many elements are dropped as the rounded probability says."""
    every_word = torch.arange(-LEVELS // 2, LEVELS // 2, dtype=torch.int32).to(torch.int16).view(torch.int64)
    monkeypatch.setattr(torch.Tensor, "random_", lambda words, *_, generator: words.copy_(every_word))
    mask = keep_mask(torch.ones(LEVELS, dtype=torch.float64), p)
    assert (mask == 0).sum().item() == round(p * LEVELS)
    assert mask.mean().item() == pytest.approx(1.0, abs=1e-12)


def test_kept_elements_are_scaled_and_the_others_zero() -> None:
    torch.manual_seed(1)
    out = Dropout(0.25)(torch.full((1000,), 3.0))
    assert sorted(set(out.tolist())) == [0.0, 4.0]


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_each_quarter_of_a_random_word_drops_its_share(p: float) -> None:
    """65,536 elements a quarter: four standard deviations are 4 sqrt(p (1 - p) / 65536)."""
    torch.manual_seed(1)
    dropped = (keep_mask(torch.ones(4 * 65536), p) == 0).double().view(-1, 4).mean(0)
    assert (dropped - p).abs().max().item() < 4 * (p * (1 - p) / 65536) ** 0.5


@pytest.mark.parametrize("shape", [(1,), (3,), (5, 7), (2, 3, 5), (0, 4)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    assert Dropout(0.5)(torch.ones(shape)).shape == shape


def test_the_mask_is_a_function_of_the_seed() -> None:
    x, dropout = torch.ones(64), Dropout(0.5)
    outs = []
    for seed in (7, 7, 8):
        torch.manual_seed(seed)
        outs.append(dropout(x))
    assert torch.equal(outs[0], outs[1])
    assert not torch.equal(outs[0], outs[2])


def test_nothing_happens_outside_training_or_with_p_zero() -> None:
    x = torch.randn(8)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_the_gradient_is_the_mask() -> None:
    torch.manual_seed(1)
    x = torch.ones(64, requires_grad=True)
    out = Dropout(0.5)(x)
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, out.detach())


def test_the_precision_stays() -> None:
    assert Dropout(0.5)(torch.ones(8, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, float("nan")])
def test_impossible_probabilities_are_refused(p: float) -> None:
    with pytest.raises(ValueError, match="dropout probability"):
        Dropout(p)


def test_a_probability_next_to_one_is_finite() -> None:
    assert torch.isfinite(Dropout(1 - 1e-9)(torch.ones(100))).all()
