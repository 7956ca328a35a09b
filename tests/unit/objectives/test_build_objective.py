import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from mt_trainer.config.objective import CrossEntropyConfig, LabelSmoothingConfig, ObjectiveConfig, TaiLrConfig
from mt_trainer.objectives import Statistic, build_objective, logit_statistics


def smoothing(epsilon: float, convention: Any = "torch") -> LabelSmoothingConfig:
    return LabelSmoothingConfig(name="label_smoothing", epsilon=epsilon, convention=convention)


def weighted(epsilon: float, gamma: float, min_weight: float) -> TaiLrConfig:
    return TaiLrConfig(name="tailr", epsilon=epsilon, gamma=gamma, min_weight=min_weight)


CASES: dict[str, ObjectiveConfig] = {
    "seed_ce_eps0.0": CrossEntropyConfig(name="cross_entropy"),
    "seed_ce_eps0.1": smoothing(0.1),
    "torch_ce_mean_eps0.0": smoothing(0.0),
    "torch_ce_mean_eps0.1": smoothing(0.1),
    "torch_ce_mean_eps0.2": smoothing(0.2),
    "torch_ce_sum_eps0.0": CrossEntropyConfig(name="cross_entropy"),
    "torch_ce_sum_eps0.1": smoothing(0.1),
    "fairseq_ls_sum_eps0.1": smoothing(0.1, "fairseq"),
    "fairseq_ls_old_sum_eps0.1": smoothing(0.1),
    "fairseq_ls_old_sum_eps0.2": smoothing(0.2),
    "onmt_ls_sum_eps0.1": smoothing(0.1, "no_pad"),
    "onmt_ls_sum_eps0.2": smoothing(0.2, "no_pad"),
    "joeynmt_ls_sum_eps0.1": smoothing(0.1, "no_pad"),
    "sockeye_smoothed_loss_as_in_mxnet_eps0.1": smoothing(0.1),
    "sockeye_smoothed_loss_as_in_fairseq_eps0.1": smoothing(0.1, "fairseq"),
    "sockeye_torch_cross_entropy_loss_eps0.1": smoothing(0.1),
    "thumt_t2t_normalised_eps0.1": smoothing(0.1, "fairseq"),
    "marian_ls_sum_eps0.1": smoothing(0.1),
    "scoring_logarithmic_sum_eps0.1": smoothing(0.1),
    "tailr_sum_eps0.1_gamma0.1_min0.3": weighted(0.1, 0.1, 0.3),
    "tailr_sum_eps0.0_gamma0.1_min0.0": weighted(0.0, 0.1, 0.0),
    "tailr_sum_eps0.0_gamma1e-07_min0.2": weighted(0.0, 1e-7, 0.2),
    "tailr_sum_eps0.1_gamma0.0_min0.0": weighted(0.1, 0.0, 0.0),
}
DIRECT_ONLY = {
    "seed_kl_eps0.1": "the KL class of the tutorial is no config variant",
    "unigram_ls_mean_eps0.1": "a unigram prior is no config variant",
}


def target_entropy(epsilon: float, num_others: int) -> float:
    return -(1 - epsilon) * math.log(1 - epsilon) - epsilon * math.log(epsilon / num_others)


# These three report a Kullback-Leibler divergence: cross-entropy less the target's entropy, for each of 7 tokens.
SUBTRACTED = {
    "onmt_ls_sum_eps0.1": 7 * target_entropy(0.1, 9),
    "onmt_ls_sum_eps0.2": 7 * target_entropy(0.2, 9),
    "joeynmt_ls_sum_eps0.1": 7 * target_entropy(0.1, 9),
    "thumt_t2t_normalised_eps0.1": 7 * target_entropy(0.1, 10),
}


def test_every_golden_case_is_built_or_has_a_reason(golden: Any) -> None:
    assert set(golden.cases) == set(CASES) | set(DIRECT_ONLY)


@pytest.mark.parametrize("case", list(CASES))
def test_the_objective_of_a_config_gives_the_official_value_and_gradient(golden: Any, case: str) -> None:
    objective = build_objective(CASES[case], vocab_size=11, pad_id=0)
    logits = golden.logits.clone().requires_grad_()
    statistics = logit_statistics(logits, golden.labels, prior=objective.prior, needs=objective.needs)
    loss = objective.function(statistics).where(golden.mask, 0).sum() / golden.divisor(case)
    value, gradient = golden.expected(case)
    # JoeyNMT builds its targets in float32, whatever the inputs.
    rtol, atol = (2e-6, 2e-6) if case.startswith("joeynmt") else (1e-10, 1e-12)

    assert loss.item() - SUBTRACTED.get(case, 0.0) == pytest.approx(value, rel=rtol, abs=atol)
    torch.testing.assert_close(torch.autograd.grad(loss, logits)[0], gradient, rtol=rtol, atol=atol)


@pytest.mark.parametrize(
    ("config", "formula"),
    [
        (CrossEntropyConfig(name="cross_entropy"), "cross-entropy: nll"),
        (smoothing(0.1), "label smoothing: (1 - 0.1) nll + 0.1 mean_v(-log p_v)  [torch convention]"),
        (smoothing(0.0), "cross-entropy: nll"),
        (smoothing(0.0, "no_pad"), "cross-entropy: nll"),
        (weighted(0.0, 0.1, 0.3), "TaiLr: w nll,  w = clamp(p_y / (0.1 + (1 - 0.1) p_y), 0.3, 1) held constant"),
        (
            smoothing(0.1, "fairseq"),
            "label smoothing: (1 - 0.11) nll + 0.11 mean_v(-log p_v)  [fairseq convention, epsilon 0.1]",
        ),
        (
            smoothing(0.09, "no_pad"),
            "label smoothing: (1 - 0.1) nll + 0.1 mean_{v != pad}(-log p_v)  [no_pad convention, epsilon 0.09]",
        ),
        (
            weighted(0.1, 0.1, 0.3),
            "TaiLr: (1 - 0.1) w nll + 0.1 mean_v(-log p_v),  "
            "w = clamp(p_y / (0.1 + (1 - 0.1) p_y), 0.3, 1) held constant",
        ),
    ],
)
def test_the_formula_carries_its_numbers(config: ObjectiveConfig, formula: str) -> None:
    assert build_objective(config, vocab_size=11, pad_id=0).formula == formula


@pytest.mark.parametrize("make", [smoothing, lambda epsilon: weighted(epsilon, 0.1, 0.3)])
def test_the_prior_is_asked_for_only_if_something_is_smoothed(make: Callable[[float], ObjectiveConfig]) -> None:
    smoothed = build_objective(make(0.1), vocab_size=11, pad_id=0)
    assert smoothed.needs == {Statistic.PRIOR_LOGIT}
    assert smoothed.prior is not None
    plain = build_objective(make(0.0), vocab_size=11, pad_id=0)
    assert plain.needs == frozenset()
    assert plain.prior is None


def test_only_weighting_objectives_have_weights() -> None:
    weight = build_objective(weighted(0.1, 0.1, 0.3), vocab_size=11, pad_id=0).weight
    assert weight is not None
    assert weight.floor == 0.3
    assert build_objective(smoothing(0.1), vocab_size=11, pad_id=0).weight is None
