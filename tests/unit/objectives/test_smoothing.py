import math
from typing import Any

import pytest
import torch

from mt_trainer.objectives import LogitStatistics, Statistic
from mt_trainer.objectives.formulas.priors import smoothing_prior
from mt_trainer.objectives.formulas.smoothing import (
    class_weighted,
    cross_entropy,
    graduated_epsilon,
    graduated_label_smoothing,
    kl_label_smoothing,
    label_smoothing,
    smoothing_epsilon,
    weighted_label_smoothing,
)
from mt_trainer.objectives.token_inputs import Constants, TokenInputs


def statistics_of(*target_log_probs: float, prior_nll: float = 5.0, weights: list[float] | None = None) -> Any:
    """Tokens with the given numbers, their logits shifted so that logsumexp is 2; the labels are 0, 1, ..."""
    log_probs = torch.tensor(target_log_probs, dtype=torch.float64)
    values = {
        Statistic.LOGSUMEXP: torch.full_like(log_probs, 2.0),
        Statistic.TARGET_LOGIT: 2 + log_probs,
        Statistic.PRIOR_LOGIT: torch.full_like(log_probs, 2 - prior_nll),
    }
    per_label = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    return LogitStatistics(values, TokenInputs(torch.arange(len(log_probs))), Constants(per_label=per_label))


def test_cross_entropy_by_hand() -> None:
    assert cross_entropy(statistics_of(-3.0)).item() == 3


def test_label_smoothing_by_hand() -> None:
    # 0.9 * 3 + 0.1 * 5
    assert label_smoothing(statistics_of(-3.0), epsilon=0.1).item() == pytest.approx(3.2)


def test_class_weights_by_hand() -> None:
    # Weights 1 and 3 of a vocabulary of two, so the mean is 2: 0.9 * 3 * 4 + 0.1 * 2 * 5 for the second label.
    losses = class_weighted(statistics_of(-3.0, -4.0, weights=[1.0, 3.0]), epsilon=0.1, mean_weight=2.0)
    assert losses.tolist() == pytest.approx([0.9 * 3 + 1.0, 0.9 * 12 + 1.0])


def test_weighted_label_smoothing_by_hand() -> None:
    # alpha 0.1, of which each piece of the target side gets a twentieth: 0.1 * 0.05 = 0.005
    loss = weighted_label_smoothing(statistics_of(-3.0), alpha=0.1, own_share=0.05)
    assert loss.item() == pytest.approx(0.895 * 3 + 0.1 * 5)


def test_graduated_smoothing_by_hand() -> None:
    thresholds, epsilons = (0.3, 0.7), (0.0, 0.1, 0.3)
    statistics = statistics_of(*map(math.log, (0.1, 0.2999, 0.5, 0.7001, 1.0)))
    epsilon = graduated_epsilon(statistics, thresholds=thresholds, epsilons=epsilons)
    assert epsilon.tolist() == [0.0, 0.0, 0.1, 0.3, 0.3]
    losses = graduated_label_smoothing(statistics, thresholds=thresholds, epsilons=epsilons)
    assert losses[0].item() == pytest.approx(math.log(10))
    assert losses[2].item() == pytest.approx(0.9 * math.log(2) + 0.5)
    assert losses[4].item() == pytest.approx(1.5)


def test_the_kl_form_lies_below_the_cross_entropy_by_the_constant_of_its_docstring() -> None:
    # V = 32,000, epsilon 0.1: 1.36 nats and a mass of the target that is smaller by epsilon / V
    statistics = statistics_of(-2.0, prior_nll=9.0)
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
    epsilon = smoothing_epsilon(convention, epsilon=0.1, num_pieces=5)
    distribution = epsilon * smoothing_prior(convention, vocab_size=5, pad_id=0)
    distribution[2] += 1 - epsilon
    expected = [pad_mass, other_mass, target_mass, other_mass, other_mass]
    torch.testing.assert_close(distribution, torch.tensor(expected, dtype=torch.float64))
