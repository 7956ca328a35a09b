import math
from collections.abc import Callable, Set
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mt_trainer.objectives import (
    LogitStatistics,
    Statistic,
    linear_logit_statistics,
    linear_objective,
    logit_statistics,
)
from mt_trainer.objectives.chunked_projection import CPU_BLOCK_BYTES
from mt_trainer.objectives.per_token import cross_entropy, label_smoothing, tailr

ALL = frozenset(Statistic)
SMOOTHING = partial(label_smoothing, epsilon=0.1)
TAILR = partial(tailr, gamma=0.1, min_weight=0.3, epsilon=0.1)


def everything(statistics: LogitStatistics) -> Tensor:
    """Reads each differentiable statistic, each with another slope for each token."""
    return (
        2 * statistics.nll
        + statistics.prior_nll.square()
        + statistics.sum_sq_prob * statistics.entropy
        + statistics.logsumexp.sin()
    )


def inputs(
    num_tokens: int, width: int, vocab_size: int, *, scale: float = 1.0, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hidden states and a weight that require gradients, labels, a prior."""
    generator = torch.Generator().manual_seed(5)
    hidden = torch.randn(num_tokens, width, generator=generator, dtype=torch.float64)
    weight = torch.randn(vocab_size, width, generator=generator, dtype=torch.float64) * scale
    labels = torch.randint(vocab_size, (num_tokens,), generator=generator)
    prior = torch.rand(vocab_size, generator=generator, dtype=torch.float64)
    return hidden.to(dtype).requires_grad_(), weight.to(dtype).requires_grad_(), labels, prior / prior.sum()


def run(
    function: Callable[[LogitStatistics], Tensor],
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    prior: Tensor | None,
    *,
    needs: Set[Statistic] = frozenset({Statistic.PRIOR_LOGIT}),
    mask: Tensor | None = None,
    chunk_rows: int | None = None,
    matmul_dtype: torch.dtype | None = None,
) -> tuple[Tensor, LogitStatistics]:
    """`linear_objective` with what most tests leave open."""
    return linear_objective(
        hidden,
        weight,
        labels,
        function=function,
        mask=mask,
        prior=prior,
        needs=needs,
        chunk_rows=chunk_rows,
        matmul_dtype=matmul_dtype,
    )


def by_definition(
    function: Callable[[LogitStatistics], Tensor],
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    prior: Tensor,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    statistics = logit_statistics(hidden @ weight.t(), labels, prior=prior, needs=ALL)
    per_token = function(statistics)
    loss = (per_token if mask is None else per_token.where(mask, 0)).sum()
    by_hidden, by_weight = torch.autograd.grad(loss, (hidden, weight))
    return loss.detach(), by_hidden, by_weight


@pytest.mark.parametrize("chunk_rows", [1, 4, 5, 23, 64, None])
@pytest.mark.parametrize("function", [everything, cross_entropy, SMOOTHING, TAILR])
def test_both_ops_equal_the_definition(function: Callable[[LogitStatistics], Tensor], chunk_rows: int | None) -> None:
    hidden, weight, labels, prior = inputs(23, 5, 11)
    needs = ALL if function is everything else {Statistic.PRIOR_LOGIT}
    expected = by_definition(function, hidden, weight, labels, prior)

    statistics = linear_logit_statistics(
        hidden, weight, labels, prior=prior, needs=needs, chunk_rows=chunk_rows, matmul_dtype=None
    )
    recomputed = function(statistics).sum()
    loss, _ = run(function, hidden, weight, labels, prior, needs=needs, chunk_rows=chunk_rows)
    for value in (recomputed, loss):
        actual = (value.detach(), *torch.autograd.grad(value, (hidden, weight)))
        torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


def test_chunks_that_are_cut_into_cache_sized_blocks_equal_the_definition() -> None:
    # 8 bytes * 40,000 pieces: 3 rows a block, chunks of 8 and a rest of 3
    assert CPU_BLOCK_BYTES // (8 * 40_000) == 3
    hidden, weight, labels, prior = inputs(19, 3, 40_000)
    expected = by_definition(TAILR, hidden, weight, labels, prior)
    loss, _ = run(TAILR, hidden, weight, labels, prior, chunk_rows=8)
    actual = (loss.detach(), *torch.autograd.grad(loss, (hidden, weight)))
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


def test_all_statistics_are_those_of_the_definition() -> None:
    hidden, weight, labels, prior = inputs(23, 5, 11)
    expected = logit_statistics(hidden @ weight.t(), labels, prior=prior, needs=ALL)
    statistics = linear_logit_statistics(
        hidden, weight, labels, prior=prior, needs=ALL, chunk_rows=4, matmul_dtype=None
    )
    _, collected = run(cross_entropy, hidden, weight, labels, prior, needs=ALL, chunk_rows=4)
    for name in Statistic:
        torch.testing.assert_close(statistics.values[name], expected.values[name], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(collected.values[name], expected.values[name], rtol=1e-12, atol=1e-12)
        assert not collected.values[name].requires_grad


@pytest.mark.parametrize(
    "name",
    [
        Statistic.LOGSUMEXP,
        Statistic.TARGET_LOGIT,
        Statistic.PRIOR_LOGIT,
        Statistic.SUM_SQ_PROB,
        Statistic.ENTROPY,
    ],
)
def test_each_statistic_alone_passes_gradcheck(name: Statistic) -> None:
    hidden, weight, labels, prior = inputs(5, 3, 7)

    def op(hidden: Tensor, weight: Tensor) -> Tensor:
        statistics = linear_logit_statistics(
            hidden, weight, labels, prior=prior, needs={name}, chunk_rows=2, matmul_dtype=None
        )
        return statistics.values[name]

    assert torch.autograd.gradcheck(op, (hidden, weight))


def test_only_the_gradient_that_is_wanted_is_given() -> None:
    hidden, weight, labels, prior = inputs(23, 5, 11)
    _, by_hidden, by_weight = by_definition(SMOOTHING, hidden, weight, labels, prior)
    loss, _ = run(SMOOTHING, hidden, weight.detach(), labels, prior, chunk_rows=4)
    torch.testing.assert_close(torch.autograd.grad(loss, hidden)[0], by_hidden)
    loss, _ = run(SMOOTHING, hidden.detach(), weight, labels, prior, chunk_rows=4)
    torch.testing.assert_close(torch.autograd.grad(loss, weight)[0], by_weight)
    assert not run(SMOOTHING, hidden.detach(), weight.detach(), labels, prior)[0].requires_grad
    with torch.no_grad():
        without_graph, _ = run(SMOOTHING, hidden, weight, labels, prior, chunk_rows=4)
    assert not without_graph.requires_grad
    assert torch.equal(without_graph, loss.detach())


def test_the_incoming_derivative_scales_and_a_second_backward_is_refused() -> None:
    hidden, weight, labels, prior = inputs(23, 5, 11)
    _, by_hidden, by_weight = by_definition(cross_entropy, hidden, weight, labels, prior)
    loss, _ = run(cross_entropy, hidden, weight, labels, None, needs=frozenset())
    (loss / 7).backward(retain_graph=True)
    torch.testing.assert_close(hidden.grad, by_hidden / 7)
    torch.testing.assert_close(weight.grad, by_weight / 7)
    with pytest.raises(RuntimeError, match="hands its gradients out once"):
        loss.backward()


@pytest.mark.parametrize("counts", [[False] * 6, [True, False, True, True, False, True]])
def test_tokens_outside_the_mask_give_nothing(counts: list[bool]) -> None:
    hidden, weight, labels, prior = inputs(6, 5, 11)
    mask = torch.tensor(counts)
    expected = by_definition(TAILR, hidden, weight, labels, prior, mask)
    loss, _ = run(TAILR, hidden, weight, labels, prior, mask=mask, chunk_rows=4)
    actual = (loss.detach(), *torch.autograd.grad(loss, (hidden, weight)))
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)
    assert actual[1][~mask].eq(0).all()


def test_no_token_at_all_gives_zeros_with_a_graph() -> None:
    hidden, weight, labels, prior = inputs(0, 5, 11)
    needs = ALL
    loss, _ = run(everything, hidden, weight, labels, prior, needs=needs)
    statistics = linear_logit_statistics(
        hidden, weight, labels, prior=prior, needs=needs, chunk_rows=None, matmul_dtype=None
    )
    for value in (loss, everything(statistics).sum()):
        by_hidden, by_weight = torch.autograd.grad(value, (hidden, weight))
        assert value.item() == 0
        assert by_hidden.shape == (0, 5)
        assert torch.equal(by_weight, torch.zeros_like(weight))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("function", [everything, SMOOTHING, TAILR])
def test_huge_and_saturated_logits_stay_finite(
    function: Callable[[LogitStatistics], Tensor], dtype: torch.dtype
) -> None:
    weight = torch.tensor([[1.0], [-1.0], [0.5]], requires_grad=True)
    hidden = torch.tensor([[1e4], [-1e4], [1e4], [0.0]], requires_grad=True)
    labels = torch.tensor([0, 0, 1, 2])
    loss, statistics = run(function, hidden, weight, labels, torch.full((3,), 1 / 3), needs=ALL, matmul_dtype=dtype)
    loss.backward()
    assert loss.isfinite()
    assert hidden.grad is not None
    assert weight.grad is not None
    assert hidden.grad.isfinite().all()
    assert weight.grad.isfinite().all()
    # 1e4 rounds to 9984 in bfloat16; labels that are certain, impossible, impossible, one of three
    z = 1e4 if dtype == torch.float32 else 9984.0
    torch.testing.assert_close(statistics.nll, torch.tensor([0.0, 2 * z, 2 * z, math.log(3)]))
    torch.testing.assert_close(statistics.entropy, torch.tensor([0.0, 0.0, 0.0, math.log(3)]))


def test_a_label_is_never_more_probable_than_one_in_bfloat16() -> None:
    hidden, weight, _, prior = inputs(64, 16, 50, scale=4.0, dtype=torch.float32)
    labels = (hidden @ weight.t()).argmax(dim=-1)
    statistics = linear_logit_statistics(
        hidden, weight, labels, prior=prior, needs=set(), chunk_rows=None, matmul_dtype=torch.bfloat16
    )
    assert statistics.nll.min() >= 0
    assert statistics.nll.dtype == torch.float32


@pytest.mark.parametrize("matmul_dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("needs", [{Statistic.PRIOR_LOGIT}, ALL])
def test_errors_of_low_precision_are_no_larger_than_those_of_plain_code(
    matmul_dtype: torch.dtype, needs: frozenset[Statistic]
) -> None:
    hidden, weight, labels, _ = inputs(300, 32, 500, scale=0.5, dtype=torch.float32)
    uniform = torch.full((500,), 1 / 500)
    exact = by_definition(
        SMOOTHING,
        hidden.detach().double().requires_grad_(),
        weight.detach().double().requires_grad_(),
        labels,
        uniform.double(),
    )
    with torch.autocast("cpu", torch.bfloat16, enabled=matmul_dtype == torch.bfloat16):
        logits = hidden @ weight.t()
    plain = F.cross_entropy(logits.float(), labels, label_smoothing=0.1, reduction="sum")
    loss, _ = run(SMOOTHING, hidden, weight, labels, uniform, needs=needs, chunk_rows=100, matmul_dtype=matmul_dtype)
    theirs = (plain.detach(), *torch.autograd.grad(plain, (hidden, weight)))
    ours = (loss.detach(), *torch.autograd.grad(loss, (hidden, weight)))
    for name, mine, naive, truth in zip(("loss", "hidden", "weight"), ours, theirs, exact, strict=True):
        error, reference = ((value.double() - truth).norm().item() for value in (mine, naive))
        assert error <= 1.25 * reference + 3e-7 * truth.norm().item(), name


@pytest.mark.parametrize("matmul_dtype", [torch.float32, torch.bfloat16])
def test_repeated_runs_are_bitwise_equal_and_autocast_changes_nothing(matmul_dtype: torch.dtype) -> None:
    hidden, weight, labels, prior = inputs(700, 32, 500, dtype=torch.float32)
    results = []
    for has_autocast in (False, False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=has_autocast):
            loss, _ = run(TAILR, hidden, weight, labels, prior.float(), chunk_rows=64, matmul_dtype=matmul_dtype)
            statistics = linear_logit_statistics(
                hidden,
                weight,
                labels,
                prior=prior.float(),
                needs=ALL,
                chunk_rows=64,
                matmul_dtype=matmul_dtype,
            )
            recomputed = everything(statistics).sum()
            results.append(
                [
                    loss.detach(),
                    *torch.autograd.grad(loss, (hidden, weight)),
                    *torch.autograd.grad(recomputed, (hidden, weight)),
                ]
            )
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
