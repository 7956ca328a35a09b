import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from mt_trainer.objectives import LogitStatistics, Statistic, logit_statistics
from mt_trainer.objectives.objective import TokenFunction
from mt_trainer.objectives.per_token import (
    cross_entropy,
    kl_label_smoothing,
    label_smoothing,
    smoothing_epsilon,
    smoothing_prior,
    tailr,
    tailr_weight,
)

UNIFORM = torch.full((11,), 1 / 11, dtype=torch.float64)
NO_PAD = torch.tensor([0.0] + [0.1] * 10, dtype=torch.float64)

# The conventions as (epsilon, prior), written out: V = 11, one of which is padding.
DIRECT: dict[str, tuple[TokenFunction, Tensor]] = {
    "torch_ce_sum_eps0.0": (cross_entropy, UNIFORM),
    "torch_ce_sum_eps0.1": (partial(label_smoothing, epsilon=0.1), UNIFORM),
    "torch_ce_mean_eps0.2": (partial(label_smoothing, epsilon=0.2), UNIFORM),
    "fairseq_ls_sum_eps0.1": (partial(label_smoothing, epsilon=0.11), UNIFORM),
    "fairseq_ls_old_sum_eps0.2": (partial(label_smoothing, epsilon=0.2), UNIFORM),
    "unigram_ls_mean_eps0.1": (partial(label_smoothing, epsilon=0.1), UNIFORM),
    "seed_kl_eps0.1": (partial(kl_label_smoothing, epsilon=0.1, vocab_size=11), UNIFORM),
    "tailr_sum_eps0.1_gamma0.1_min0.3": (partial(tailr, gamma=0.1, min_weight=0.3, epsilon=0.1), UNIFORM),
    "tailr_sum_eps0.0_gamma0.1_min0.0": (partial(tailr, gamma=0.1, min_weight=0.0, epsilon=0.0), UNIFORM),
    "tailr_sum_eps0.0_gamma1e-07_min0.2": (partial(tailr, gamma=1e-7, min_weight=0.2, epsilon=0.0), UNIFORM),
    "tailr_sum_eps0.1_gamma0.0_min0.0": (partial(tailr, gamma=0.0, min_weight=0.0, epsilon=0.1), UNIFORM),
}


@pytest.mark.parametrize("case", list(DIRECT))
def test_the_function_alone_gives_the_official_value_and_gradient(golden: Any, case: str) -> None:
    function, prior = DIRECT[case]
    logits = golden.logits.clone().requires_grad_()
    if case.startswith("unigram"):
        prior = golden.unigram
    statistics = logit_statistics(logits, golden.labels, prior=prior, needs={Statistic.PRIOR_LOGIT})
    loss = function(statistics).where(golden.mask, 0).sum() / golden.divisor(case)
    value, gradient = golden.expected(case)

    assert loss.item() == pytest.approx(value, rel=1e-10)
    torch.testing.assert_close(torch.autograd.grad(loss, logits)[0], gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("case", [case for case in DIRECT if case.startswith("tailr")])
def test_the_weights_of_tailr_are_the_official_ones(golden: Any, case: str) -> None:
    settings = golden.cases[case]["settings"]
    statistics = logit_statistics(golden.logits, golden.labels, prior=None, needs=set())
    weights = tailr_weight(statistics, gamma=settings["gamma"], min_weight=settings["min_weight"])
    expected = torch.tensor(golden.cases[case]["weights"], dtype=torch.float64)
    torch.testing.assert_close(weights.where(golden.mask, 0), expected, rtol=1e-12, atol=1e-12)


def statistics_of(target_log_prob: float, prior_nll: float = 1.0) -> LogitStatistics:
    """One token with the given numbers, its logits shifted so that logsumexp is 2."""
    values = {
        Statistic.LOGSUMEXP: torch.tensor([2.0], dtype=torch.float64),
        Statistic.TARGET_LOGIT: torch.tensor([2.0 + target_log_prob], dtype=torch.float64),
        Statistic.PRIOR_LOGIT: torch.tensor([2.0 - prior_nll], dtype=torch.float64),
    }
    return LogitStatistics(values)


def test_label_smoothing_by_hand() -> None:
    # 0.9 * 3 + 0.1 * 5
    assert label_smoothing(statistics_of(-3.0, 5.0), epsilon=0.1).item() == pytest.approx(3.2)


def test_tailr_by_hand() -> None:
    # p = 0.1, gamma = 0.1: w = 0.1 / (0.1 + 0.09) = 10 / 19; loss = 0.9 * 10/19 * ln 10 + 0.1 * 5
    loss = tailr(statistics_of(math.log(0.1), 5.0), gamma=0.1, min_weight=0.3, epsilon=0.1)
    assert loss.item() == pytest.approx(0.9 * 10 / 19 * math.log(10) + 0.5)


@pytest.mark.parametrize(("probability", "weight"), [(1 / 11, 0.5), (1.0, 1.0), (0.041, 0.3), (0.042, 0.042 / 0.1378)])
def test_the_weight_reaches_its_floor_where_the_recipe_of_iwslt14_says(probability: float, weight: float) -> None:
    statistics = statistics_of(math.log(probability))
    assert tailr_weight(statistics, gamma=0.1, min_weight=0.3).item() == pytest.approx(weight)


@pytest.mark.parametrize("gamma", [0.0, 1e-7, 0.1, 1.0])
@pytest.mark.parametrize("nll", [0.0, 80.0, 200.0, 2e4])
def test_tailr_stays_finite_where_a_probability_underflows(gamma: float, nll: float) -> None:
    target = torch.tensor([-nll], requires_grad=True)
    values = {
        Statistic.LOGSUMEXP: torch.zeros(1),
        Statistic.TARGET_LOGIT: target,
        Statistic.PRIOR_LOGIT: -torch.ones(1),
    }
    loss = tailr(LogitStatistics(values), gamma=gamma, min_weight=0.0, epsilon=0.1)
    loss.backward()
    assert loss.isfinite()
    assert target.grad is not None
    assert target.grad.isfinite()
    if gamma == 0:
        assert target.grad.item() == pytest.approx(-0.9)


def test_the_kl_form_lies_below_the_cross_entropy_by_the_constant_of_its_docstring() -> None:
    # V = 32,000, epsilon 0.1: 1.36 nats and a mass of the target that is smaller by epsilon / V
    statistics = statistics_of(-2.0, 9.0)
    difference = label_smoothing(statistics, epsilon=0.1) - kl_label_smoothing(
        statistics, epsilon=0.1, vocab_size=32000
    )
    assert difference.item() == pytest.approx(1.362, abs=2e-3)
    assert kl_label_smoothing(statistics, epsilon=0.0, vocab_size=32000).item() == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("convention", "target_mass", "other_mass", "pad_mass"),
    [("torch", 0.92, 0.02, 0.02), ("fairseq", 0.9, 0.025, 0.025), ("no_pad", 0.9, 0.1 / 3, 0.0)],
)
def test_the_target_distribution_of_each_convention(
    convention: Any, target_mass: float, other_mass: float, pad_mass: float
) -> None:
    epsilon = smoothing_epsilon(convention, epsilon=0.1, vocab_size=5)
    distribution = epsilon * smoothing_prior(convention, vocab_size=5, pad_id=0)
    distribution[2] += 1 - epsilon
    expected = [pad_mass, other_mass, target_mass, other_mass, other_mass]
    torch.testing.assert_close(distribution, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("pad_id", [-100, -1, 5])
def test_a_prior_without_padding_needs_padding_in_the_vocabulary(pad_id: int) -> None:
    with pytest.raises(ValueError, match="needs a pad_id from 0 to 4"):
        smoothing_prior("no_pad", vocab_size=5, pad_id=pad_id)
    assert smoothing_prior("torch", vocab_size=5, pad_id=pad_id).tolist() == [0.2] * 5


@pytest.mark.parametrize(
    "function",
    [
        cross_entropy,
        partial(label_smoothing, epsilon=0.2),
        partial(tailr, gamma=0.3, min_weight=0.1, epsilon=0.2),
        partial(kl_label_smoothing, epsilon=0.2, vocab_size=11),
    ],
)
def test_a_constant_added_to_the_logits_changes_nothing(
    golden: Any, function: Callable[[LogitStatistics], Tensor]
) -> None:
    shift = torch.arange(9, dtype=torch.float64).unsqueeze(1) - 4
    losses = [
        function(logit_statistics(logits, golden.labels, prior=UNIFORM, needs={Statistic.PRIOR_LOGIT}))
        for logits in (golden.logits, golden.logits + shift)
    ]
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-12, atol=1e-12)
