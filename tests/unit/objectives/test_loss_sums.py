import math

import pytest
import torch

from mt_trainer.objectives.loss_sums import LossSums, add_sums, per_token


def sums(loss: float, *, weight: float | None) -> LossSums:
    number = torch.tensor
    return LossSums(
        loss=number(loss, requires_grad=True),
        nll=number(2 * loss),
        num_correct=number(1),
        num_tokens=number(3),
        entropy=None,
        confidence=None,
        weight=None if weight is None else number(weight),
        num_at_floor=None,
    )


def test_adding_sums() -> None:
    total = add_sums(add_sums(None, sums(1.5, weight=0.5)), sums(2.0, weight=0.25))
    assert (total.loss.item(), total.nll.item(), total.num_correct.item(), total.num_tokens.item()) == (3.5, 7, 2, 6)
    assert total.weight is not None
    assert total.weight.item() == 0.75
    assert total.entropy is None
    assert not total.loss.requires_grad


def test_numbers_are_those_that_were_summed() -> None:
    assert sums(1.5, weight=None).as_numbers() == {"loss": 1.5, "nll": 3.0, "num_correct": 1.0, "num_tokens": 3.0}


def test_means_per_token() -> None:
    sums = {"loss": 30.0, "nll": 20.0, "num_correct": 5.0, "num_tokens": 10.0, "weight": 8.0, "num_at_floor": 1.0}
    assert per_token(sums) == {
        "loss": 3.0,
        "nll": 2.0,
        "ppl": pytest.approx(math.exp(2)),
        "accuracy": 0.5,
        "mean_weight": 0.8,
        "share_at_floor": 0.1,
    }
    with_diagnostics = per_token({**sums, "entropy": 12.0, "confidence": 4.0})
    assert (with_diagnostics["entropy"], with_diagnostics["confidence"]) == (1.2, 0.4)


def test_an_absurd_nll_gives_no_overflow_and_no_tokens_no_division_by_zero() -> None:
    sums = {"loss": 1e6, "nll": 1e6, "num_correct": 0.0, "num_tokens": 1.0}
    assert math.isfinite(per_token(sums)["ppl"])
    assert per_token(dict.fromkeys(sums, 0.0))["loss"] == 0.0
