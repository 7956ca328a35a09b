"""R-Drop and distillation against official values, slow definitions, identities and huge logits."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mt_trainer.objectives.formulas.divergences import (
    Divergence,
    distillation,
    ghost_distillation,
    r_drop,
    sparse_distillation,
)
from mt_trainer.objectives.logit_statistics import LogitStatistics, Statistic, logit_statistics
from mt_trainer.objectives.objective import LogitPair
from mt_trainer.objectives.token_inputs import Constants, TokenInputs

# The skew is `lam` of the official functions.
OFFICIAL: list[tuple[str, Divergence, float]] = [
    ("kd_forward_kl_mean", "forward_kl", 0.1),
    ("kd_reverse_kl_mean", "reverse_kl", 0.1),
    ("kd_symmetric_kl_mean", "symmetric_kl", 0.9),
    ("kd_js_distance_mean", "js", 0.9),
    ("kd_tv_distance_mean", "tv", 0.1),
    ("kd_skewed_forward_kl_mean", "skewed_forward_kl", 0.1),
    ("kd_skewed_reverse_kl_mean", "skewed_reverse_kl", 0.1),
]
DIVERGENCES = [divergence for _, divergence, _ in OFFICIAL]


def logits_b(golden: Any) -> Tensor:
    return torch.tensor(golden.content["inputs"]["logits_b"], dtype=torch.float64)


def mean_and_gradient(golden: Any, function: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Of a function of the logits, over the 7 tokens that are not padding."""
    logits = golden.logits.clone().requires_grad_()
    loss = function(logits).where(golden.mask, 0).sum() / 7
    return loss.detach(), torch.autograd.grad(loss, logits)[0]


@pytest.mark.parametrize(("case", "divergence", "skew"), OFFICIAL)
def test_distillation_gives_the_official_values(golden: Any, case: str, divergence: Divergence, skew: float) -> None:
    function = partial(distillation, divergence=divergence, mix=1.0, skew=skew, temperature=1.0)
    loss, gradient = mean_and_gradient(
        golden, lambda logits: function(LogitPair(logits, logits_b(golden), golden.labels))
    )
    value, expected = golden.expected(case)
    assert loss.item() == pytest.approx(value, rel=1e-10)
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-12)


def test_r_drop_gives_the_official_values(golden: Any) -> None:
    """Those of fairseq, whose epsilon of 0.1 is 0.11 here."""
    case = golden.cases["rdrop_sum_alpha0.0"]
    both = [golden.logits.clone().requires_grad_(), logits_b(golden).requires_grad_()]
    loss = (
        r_drop(LogitPair(both[0], both[1], golden.labels), alpha=0.0, epsilon=0.1 * 11 / 10).where(golden.mask, 0).sum()
    )
    assert loss.item() == pytest.approx(case["loss"], rel=1e-10)
    for name, gradient in zip(("grad_logits", "grad_logits_2"), torch.autograd.grad(loss, both), strict=True):
        expected = torch.tensor(case[name], dtype=torch.float64)
        torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-12)


def with_teacher_pieces(golden: Any, logits: Tensor) -> LogitStatistics:
    ids = torch.tensor(golden.cases["kd_top3_ghost_mean"]["settings"]["ids"])
    teacher = logits_b(golden).softmax(dim=-1).gather(-1, ids)
    inputs = TokenInputs(golden.labels, ids=ids, id_weights=teacher)
    return logit_statistics(logits, inputs, constants=Constants(), needs={Statistic.GATHERED_LOGITS})


def test_ghost_distillation_gives_the_recorded_values(golden: Any) -> None:
    loss, gradient = mean_and_gradient(
        golden, lambda logits: ghost_distillation(with_teacher_pieces(golden, logits), mix=1.0)
    )
    value, expected = golden.expected("kd_top3_ghost_mean")
    assert loss.item() == pytest.approx(value, rel=1e-10)
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-12)


def random_pair(num_tokens: int = 6, vocab_size: int = 7) -> LogitPair:
    generator = torch.Generator().manual_seed(4)
    logits, other = (
        3 * torch.randn(num_tokens, vocab_size, generator=generator, dtype=torch.float64) for _ in range(2)
    )
    return LogitPair(logits, other, torch.randint(vocab_size, (num_tokens,), generator=generator))


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_of_a_distribution_from_itself_there_is_none(divergence: Divergence) -> None:
    """The forward forms then are the entropy that they leave out."""
    pair = random_pair()
    same = LogitPair(pair.logits, pair.logits, pair.labels)
    apart = distillation(same, divergence=divergence, mix=1.0, skew=0.3, temperature=1.0)
    entropy = torch.distributions.Categorical(logits=pair.logits).entropy()
    share = {"forward_kl": 1.0, "skewed_forward_kl": 1.0, "symmetric_kl": 0.7}.get(divergence, 0.0)
    torch.testing.assert_close(apart, share * entropy, rtol=1e-12, atol=1e-12)


def test_the_temperature_by_the_definition_of_hinton() -> None:
    pair = random_pair()
    loss = distillation(pair, divergence="forward_kl", mix=0.25, skew=0.1, temperature=2.0)
    soft = 4 * F.cross_entropy(pair.logits / 2, (pair.other / 2).softmax(dim=-1), reduction="none")
    hard = F.cross_entropy(pair.logits, pair.labels, reduction="none")
    torch.testing.assert_close(loss, 0.75 * hard + 0.25 * soft)


def test_nothing_from_the_teacher_is_cross_entropy() -> None:
    pair = random_pair()
    loss = distillation(pair, divergence="js", mix=0.0, skew=0.5, temperature=1.0)
    torch.testing.assert_close(loss, F.cross_entropy(pair.logits, pair.labels, reduction="none"))


def test_total_variation_by_hand() -> None:
    # p = (1/4, 3/4), t = (3/4, 1/4)
    log3 = torch.tensor(3.0).log()
    pair = LogitPair(torch.stack([log3 * 0, log3])[None], torch.stack([log3, log3 * 0])[None], torch.tensor([0]))
    loss = distillation(pair, divergence="tv", mix=1.0, skew=0.5, temperature=1.0)
    assert loss.item() == pytest.approx(0.5)


def test_r_drop_by_its_definition() -> None:
    pair = random_pair()
    log_p, log_q = pair.logits.log_softmax(-1), pair.other.log_softmax(-1)
    smoothed = sum(
        F.cross_entropy(z, pair.labels, label_smoothing=0.2, reduction="none") for z in (pair.logits, pair.other)
    )
    divergence = F.kl_div(log_q, log_p, log_target=True, reduction="none") + F.kl_div(
        log_p, log_q, log_target=True, reduction="none"
    )
    expected = smoothed + 5 * divergence.sum(dim=-1) / 2
    torch.testing.assert_close(r_drop(pair, alpha=5.0, epsilon=0.2), expected)


def test_all_pieces_of_the_teacher_give_distillation_from_the_whole() -> None:
    pair = random_pair()
    ids = torch.arange(7).expand(6, 7).flip(-1)
    weights = pair.other.softmax(dim=-1).gather(-1, ids)
    statistics = logit_statistics(
        pair.logits,
        TokenInputs(pair.labels, ids=ids, id_weights=weights),
        constants=Constants(),
        needs={Statistic.GATHERED_LOGITS},
    )
    whole = distillation(pair, divergence="forward_kl", mix=0.4, skew=0.1, temperature=1.0)
    torch.testing.assert_close(sparse_distillation(statistics, mix=0.4), whole)
    torch.testing.assert_close(ghost_distillation(statistics, mix=0.4), whole)


def test_weights_of_pieces_are_scaled_to_one() -> None:
    """Counts of draws and probabilities of the best pieces alike: 2 and 1 are 2/3 and 1/3."""
    logits = torch.tensor([[0.0, 1.0, 2.0]], dtype=torch.float64)
    inputs = TokenInputs(torch.tensor([0]), ids=torch.tensor([[1, 2]]), id_weights=torch.tensor([[2.0, 1.0]]))
    statistics = logit_statistics(logits, inputs, constants=Constants(), needs={Statistic.GATHERED_LOGITS})
    log_p = logits.log_softmax(-1)[0]
    assert sparse_distillation(statistics, mix=1.0).item() == pytest.approx(-(2 * log_p[1] + log_p[2]).item() / 3)


@pytest.mark.parametrize("scale", [1e2, 1e4])
def test_huge_logits_give_finite_values_and_gradients(scale: float) -> None:
    pair = random_pair()
    functions: list[Callable[[LogitPair], Tensor]] = [partial(r_drop, alpha=5.0, epsilon=0.1)]
    functions += [
        partial(distillation, divergence=divergence, mix=0.5, skew=0.1, temperature=2.0) for divergence in DIVERGENCES
    ]
    for function in functions:
        both = [(z.float() * scale / 3).requires_grad_() for z in (pair.logits, pair.other)]
        loss = function(LogitPair(both[0], both[1], pair.labels))
        assert loss.isfinite().all(), function
        for gradient in torch.autograd.grad(loss.sum(), both):
            assert gradient.isfinite().all(), function
            assert gradient.abs().max() <= 10 * scale, function


@pytest.mark.parametrize("function", [sparse_distillation, ghost_distillation])
@pytest.mark.parametrize("scale", [1e2, 1e4])
def test_huge_logits_and_some_pieces(function: Any, scale: float) -> None:
    pair = random_pair()
    logits = (pair.logits.float() * scale / 3).requires_grad_()
    weights, ids = (pair.other.float() * scale / 3).softmax(dim=-1).topk(3, dim=-1)
    statistics = logit_statistics(
        logits,
        TokenInputs(pair.labels, ids=ids, id_weights=weights),
        constants=Constants(),
        needs={Statistic.GATHERED_LOGITS},
    )
    loss = function(statistics, mix=0.5)
    assert loss.isfinite().all()
    gradient = torch.autograd.grad(loss.sum(), logits)[0]
    assert gradient.isfinite().all()
    assert gradient.abs().max() <= 2


@pytest.mark.parametrize("function", [r_drop, distillation])
def test_a_constant_added_to_the_logits_changes_nothing(function: Any) -> None:
    pair = random_pair()
    numbers: dict[str, Any] = (
        {"alpha": 5.0, "epsilon": 0.1}
        if function is r_drop
        else {"divergence": "js", "mix": 0.5, "skew": 0.3, "temperature": 2.0}
    )
    moved = LogitPair(pair.logits + 5, pair.other - 3, pair.labels)
    torch.testing.assert_close(function(moved, **numbers), function(pair, **numbers), rtol=1e-12, atol=1e-12)
