import math
from typing import Any

import pytest
import torch
from torch import Tensor

from mt_trainer.objectives import LogitStatistics, Statistic
from mt_trainer.objectives.formulas.token_weights import (
    anti_focal,
    error_norm,
    error_norm_truncation,
    focal,
    gold_delta,
    held_nll,
    mixce,
    tailr,
    tailr_weight,
)
from mt_trainer.objectives.token_inputs import Constants, TokenInputs


def statistics_of(probability: float | Tensor, **values: float) -> Any:
    """One token with logsumexp 0, a label of the given probability (or log-probability with gradient) and prior_nll 5.

    Further statistics, and `weight_nll`, by name.
    """
    target = (
        torch.tensor([math.log(probability)], dtype=torch.float64) if isinstance(probability, float) else probability
    )
    weight_nll = values.pop("weight_nll", None)
    tensors = {Statistic.LOGSUMEXP: 0.0, Statistic.PRIOR_LOGIT: -5.0} | {Statistic(k): v for k, v in values.items()}
    return LogitStatistics(
        {Statistic.TARGET_LOGIT: target} | {name: target.new_tensor([value]) for name, value in tensors.items()},
        TokenInputs(torch.tensor([0]), weight_nll=None if weight_nll is None else target.new_tensor([weight_nll])),
        Constants(),
    )


def test_tailr_by_hand() -> None:
    # p = 0.1, gamma = 0.1: w = 0.1 / (0.1 + 0.09) = 10 / 19; loss = 0.9 * 10/19 * ln 10 + 0.1 * 5
    loss = tailr(statistics_of(0.1), gamma=0.1, min_weight=0.3, epsilon=0.1)
    assert loss.item() == pytest.approx(0.9 * 10 / 19 * math.log(10) + 0.5)


@pytest.mark.parametrize(("probability", "weight"), [(1 / 11, 0.5), (1.0, 1.0), (0.041, 0.3), (0.042, 0.042 / 0.1378)])
def test_the_weight_reaches_its_floor_where_the_recipe_of_iwslt14_says(probability: float, weight: float) -> None:
    assert tailr_weight(statistics_of(probability), gamma=0.1, min_weight=0.3).item() == pytest.approx(weight)


def test_the_weight_of_tailr_may_come_from_another_pass() -> None:
    statistics = statistics_of(0.9, weight_nll=math.log(11))
    assert tailr_weight(statistics, gamma=0.1, min_weight=0.0).item() == pytest.approx(0.5)
    assert tailr(statistics, gamma=0.1, min_weight=0.0, epsilon=0.0).item() == pytest.approx(-0.5 * math.log(0.9))


@pytest.mark.parametrize("gamma", [0.0, 1e-7, 0.1, 1.0])
@pytest.mark.parametrize("nll", [0.0, 80.0, 200.0, 2e4])
def test_tailr_stays_finite_where_a_probability_underflows(gamma: float, nll: float) -> None:
    target = torch.tensor([-nll], requires_grad=True)
    loss = tailr(statistics_of(target), gamma=gamma, min_weight=0.0, epsilon=0.1)
    loss.backward()
    assert loss.isfinite()
    assert target.grad is not None
    assert target.grad.isfinite()
    if gamma == 0:
        assert target.grad.item() == pytest.approx(-0.9)


def slope_of(function: Any, probability: float, **settings: Any) -> float:
    """The derivative of an objective by log p_y."""
    target = torch.tensor([math.log(probability)], dtype=torch.float64, requires_grad=True)
    return float(torch.autograd.grad(function(statistics_of(target), **settings), target)[0])


def test_mixce_by_hand() -> None:
    # 0.25 + 0.75 * 0.2 = 0.4
    assert mixce(statistics_of(0.2), eta=0.25).item() == pytest.approx(0.4 * math.log(5))
    assert slope_of(mixce, 0.2, eta=0.25) == pytest.approx(-0.4)


def test_gold_delta_by_hand() -> None:
    assert gold_delta(statistics_of(0.5), min_weight=0.2, epsilon=0.1).item() == pytest.approx(0.45 * math.log(2) + 0.5)
    assert gold_delta(statistics_of(0.1), min_weight=0.2, epsilon=0.0).item() == pytest.approx(0.2 * math.log(10))
    assert slope_of(gold_delta, 0.5, min_weight=0.2, epsilon=0.0) == pytest.approx(-0.5)


def test_focal_by_hand_with_gradient_through_the_weight() -> None:
    # (1 - 0.2)^2 ln 5; its derivative by log p is -(1 - p)^2 - 2 (1 - p) p ln 5
    assert focal(statistics_of(0.2), gamma=2.0).item() == pytest.approx(0.64 * math.log(5))
    assert slope_of(focal, 0.2, gamma=2.0) == pytest.approx(-0.64 - 2 * 0.8 * 0.2 * math.log(5))


@pytest.mark.parametrize("gamma", [0.0, 1.0, 1.5, 3.0])
def test_focal_has_a_slope_where_the_label_is_certain(gamma: float) -> None:
    assert slope_of(focal, 1.0, gamma=gamma) == (-1.0 if gamma == 0 else 0.0)


def test_anti_focal_by_hand() -> None:
    # (1 + 0.5 * 0.2)^2 = 1.21
    assert anti_focal(statistics_of(0.2), alpha=0.5, gamma=2.0).item() == pytest.approx(1.21 * math.log(5))
    assert slope_of(anti_focal, 0.2, alpha=0.5, gamma=2.0) == pytest.approx(-1.21)


def test_the_error_norm_by_hand() -> None:
    # p = (0.25, 0.75), the label is the first: sqrt(0.75^2 + 0.75^2)
    statistics = statistics_of(0.25, sum_sq_prob=0.625)
    assert error_norm(statistics).item() == pytest.approx(math.sqrt(2) * 0.75)
    assert error_norm(statistics_of(1.0, sum_sq_prob=1 - 1e-12)).item() == 0  # rounding below zero


@pytest.mark.parametrize(("threshold", "weight"), [(1.07, 1), (1.06, 0), (math.inf, 1)])
def test_error_norm_truncation_leaves_out_both_terms(threshold: float, weight: float) -> None:
    statistics = statistics_of(0.25, sum_sq_prob=0.625)
    loss = error_norm_truncation(statistics, threshold=threshold, epsilon=0.1)
    assert loss.item() == pytest.approx(weight * (0.9 * math.log(4) + 0.5))


def test_the_score_of_loss_truncation_has_no_gradient() -> None:
    score = held_nll(statistics_of(torch.tensor([-2.0], requires_grad=True)))
    assert score.item() == 2
    assert not score.requires_grad
