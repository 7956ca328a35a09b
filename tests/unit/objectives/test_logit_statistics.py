import math
from typing import Any

import pytest
import torch

from mt_trainer.objectives import LogitStatistics, Statistic, logit_statistics
from mt_trainer.objectives.logit_statistics import DIFFERENTIABLE

GOLDEN_NAMES = {
    Statistic.LOGSUMEXP: "lse",
    Statistic.TARGET_LOGIT: "target_logit",
    Statistic.PRIOR_LOGIT: "prior_dot",
    Statistic.SUM_SQ_PROB: "sum_p_squared",
    Statistic.ENTROPY: "entropy",
    Statistic.MAX_LOGIT: "max_logit",
    Statistic.ARGMAX: "argmax",
}


@pytest.mark.parametrize("name", list(Statistic))
def test_the_definition_gives_the_golden_values_and_gradients(golden: Any, name: Statistic) -> None:
    logits = golden.logits.clone().requires_grad_()
    prior = torch.tensor(golden.content["statistics"]["prior_vector"], dtype=torch.float64)
    value = logit_statistics(logits, golden.labels, prior=prior, needs=set(Statistic)).values[name]
    expected = golden.content["statistics"][GOLDEN_NAMES[name]]

    torch.testing.assert_close(value, torch.tensor(expected["value"], dtype=value.dtype), rtol=1e-12, atol=1e-12)
    if name in {Statistic.MAX_LOGIT, Statistic.ARGMAX}:
        assert not value.requires_grad
    else:
        gradient = torch.tensor(expected["grad"], dtype=torch.float64)
        torch.testing.assert_close(torch.autograd.grad(value.sum(), logits)[0], gradient, rtol=1e-10, atol=1e-12)


def test_two_pieces_by_hand() -> None:
    # p = (1/4, 3/4); the label is the improbable piece
    statistics = logit_statistics(
        torch.tensor([[0.0, math.log(3)]], dtype=torch.float64),
        torch.tensor([0]),
        prior=torch.tensor([0.5, 0.5], dtype=torch.float64),
        needs=set(Statistic),
    )
    assert statistics.logsumexp.item() == pytest.approx(math.log(4))
    assert statistics.nll.item() == pytest.approx(math.log(4))
    assert statistics.target_log_prob.item() == pytest.approx(-math.log(4))
    assert statistics.prior_logit.item() == pytest.approx(math.log(3) / 2)
    assert statistics.prior_nll.item() == pytest.approx(-(math.log(1 / 4) + math.log(3 / 4)) / 2)
    assert statistics.sum_sq_prob.item() == pytest.approx(10 / 16)
    assert statistics.entropy.item() == pytest.approx(math.log(4) - 0.75 * math.log(3))
    assert statistics.max_log_prob.exp().item() == pytest.approx(0.75)
    assert statistics.argmax.item() == 1


def test_what_was_not_asked_for_is_absent_and_the_message_names_it() -> None:
    statistics = logit_statistics(torch.zeros(1, 2), torch.tensor([0]), prior=None, needs=set())
    assert set(statistics.values) == {Statistic.LOGSUMEXP, Statistic.TARGET_LOGIT, Statistic.MAX_LOGIT}
    with pytest.raises(KeyError, match=r"add Statistic\.ENTROPY to `needs`"):
        _ = statistics.entropy


def test_a_prior_logit_without_prior_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a prior"):
        logit_statistics(torch.zeros(1, 2), torch.tensor([0]), prior=None, needs={Statistic.PRIOR_LOGIT})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_give_float32_statistics(dtype: torch.dtype) -> None:
    logits = torch.tensor([[1.0, 2.0]], dtype=dtype)
    statistics: LogitStatistics = logit_statistics(logits, torch.tensor([1]), prior=None, needs=set())
    assert statistics.logsumexp.dtype == torch.float32
    assert statistics.nll.item() == pytest.approx(math.log1p(math.exp(-1)), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_around_it_changes_nothing(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(2)
    logits = (3 * torch.randn(40, 300, generator=generator)).to(dtype)
    labels, prior = torch.randint(300, (40,), generator=generator), torch.full((300,), 1 / 300, dtype=torch.float64)
    results = []
    for has_autocast in (False, True):
        z = logits.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=has_autocast):
            values = logit_statistics(z, labels, prior=prior, needs=set(Statistic)).values
            total = sum(values[name].sin().sum() for name in DIFFERENTIABLE)
        results.append((values, torch.autograd.grad(total, z)[0]))
    for name in Statistic:
        assert torch.equal(results[0][0][name], results[1][0][name]), name
    assert torch.equal(results[0][1], results[1][1])
