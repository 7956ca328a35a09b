"""The op for two distributions against its dense definition."""

import gc
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from mt_trainer.objectives.formulas.divergences import distillation, r_drop
from mt_trainer.objectives.logit_statistics import LogitStatistics, logit_statistics
from mt_trainer.objectives.objective import LogitPair
from mt_trainer.objectives.projection.linear_pair import CPU_BUFFER_BYTES, linear_pair_objective
from mt_trainer.objectives.token_inputs import Constants, TokenInputs

R_DROP = partial(r_drop, alpha=5.0, epsilon=0.1)
DISTILLATION = partial(distillation, divergence="js", mix=0.5, skew=0.3, temperature=2.0)

Factors = tuple[Tensor, Tensor, Tensor, Tensor]


def make_factors(
    num_tokens: int = 23, vocab_size: int = 11, *, other_width: int = 7, dtype: torch.dtype = torch.float64
) -> Factors:
    """Hidden states and weights of both sides, all of which learn."""
    generator = torch.Generator().manual_seed(6)
    shapes = (num_tokens, 5), (vocab_size, 5), (num_tokens, other_width), (vocab_size, other_width)
    factors = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    return tuple(factor.to(dtype).requires_grad_() for factor in factors)  # type: ignore[return-value]


def make_labels(num_tokens: int = 23, vocab_size: int = 11) -> Tensor:
    return torch.randint(vocab_size, (num_tokens,), generator=torch.Generator().manual_seed(7))


def run(
    factors: Factors,
    labels: Tensor,
    function: Callable[[LogitPair], Tensor] = R_DROP,
    *,
    mask: Tensor | None = None,
    chunk_rows: int | None = None,
    matmul_dtype: torch.dtype | None = None,
    other_matmul_dtype: torch.dtype | None = None,
    logit_buffer_bytes: int | None = None,
) -> tuple[Tensor, LogitStatistics]:
    """The op with what most tests leave open."""
    return linear_pair_objective(
        *factors,
        labels,
        function=function,
        mask=mask,
        chunk_rows=chunk_rows,
        matmul_dtype=matmul_dtype,
        other_matmul_dtype=other_matmul_dtype,
        logit_buffer_bytes=logit_buffer_bytes,
    )


def by_definition(
    factors: Factors, labels: Tensor, function: Callable[[LogitPair], Tensor] = R_DROP, mask: Tensor | None = None
) -> list[Tensor]:
    """The loss and its gradients by all that learns."""
    hidden, weight, other_hidden, other_weight = factors
    per_token = function(LogitPair(hidden @ weight.t(), other_hidden @ other_weight.t(), labels))
    loss = (per_token if mask is None else per_token.where(mask, 0)).sum()
    learning = list(dict.fromkeys(factor for factor in factors if factor.requires_grad))
    return [loss.detach(), *torch.autograd.grad(loss, learning)]


def with_gradients(factors: Factors, loss: Tensor) -> list[Tensor]:
    learning = list(dict.fromkeys(factor for factor in factors if factor.requires_grad))
    return [loss.detach(), *torch.autograd.grad(loss, learning)]


def assert_equal(actual: list[Tensor], expected: list[Tensor]) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("chunk_rows", [1, 4, 5, 22, 23, 64, None])
@pytest.mark.parametrize("function", [R_DROP, DISTILLATION])
def test_it_equals_the_definition(function: Callable[[LogitPair], Tensor], chunk_rows: int | None) -> None:
    factors, labels = make_factors(), make_labels()
    mask = labels % 4 != 0
    loss, _ = run(factors, labels, function, mask=mask, chunk_rows=chunk_rows)
    assert_equal(with_gradients(factors, loss), by_definition(factors, labels, function, mask))


def test_chunks_are_cut_into_blocks() -> None:
    """8 bytes * 30,000 pieces: 4 rows a block, 34 a chunk; 37 tokens leave a rest in both."""
    assert [CPU_BUFFER_BYTES // part // (8 * 30_000) for part in (32, 4)] == [4, 34]
    factors, labels = make_factors(37, 30_000), make_labels(37, 30_000)
    loss, statistics = run(factors, labels)
    assert_equal(with_gradients(factors, loss), by_definition(factors, labels))
    torch.testing.assert_close(statistics.max_logit, (factors[0] @ factors[1].t()).detach().amax(-1))


def test_one_weight_for_both_gets_the_gradients_of_both() -> None:
    hidden, weight, other_hidden, _ = make_factors(other_width=5)
    factors, labels = (hidden, weight, other_hidden, weight), make_labels()
    loss, _ = run(factors, labels, chunk_rows=4)
    expected = by_definition(factors, labels)
    assert len(expected) == 4
    assert_equal(with_gradients(factors, loss), expected)
    loss, _ = run(factors, labels, chunk_rows=4)
    loss.backward()
    torch.testing.assert_close(weight.grad, expected[2], rtol=1e-12, atol=1e-12)


def test_one_hidden_state_for_both_gets_the_gradients_of_both() -> None:
    hidden, weight, _, _ = make_factors()
    factors, labels = (hidden, weight, hidden, weight), make_labels()
    loss, _ = run(factors, labels)
    assert_equal(with_gradients(factors, loss), by_definition(factors, labels))


@pytest.mark.parametrize(
    "learning", [(0, 1), (2, 3), (0,), (1,), (3,), (0, 3)], ids=lambda learning: "".join(map(str, learning))
)
def test_only_what_learns_has_a_gradient(learning: tuple[int, ...]) -> None:
    factors, labels = make_factors(), make_labels()
    for number, factor in enumerate(factors):
        factor.requires_grad_(number in learning)
    loss, _ = run(factors, labels, chunk_rows=6)
    assert_equal(with_gradients(factors, loss), by_definition(factors, labels))


def test_a_side_that_the_function_does_not_read_has_zero_gradients() -> None:
    factors, labels = make_factors(), make_labels()
    loss, _ = run(factors, labels, lambda pair: pair.logits.logsumexp(-1))
    for gradient in torch.autograd.grad(loss, factors[2:]):
        assert gradient.eq(0).all()


def test_the_slope_from_above_reaches_the_gradients() -> None:
    factors, labels = make_factors(), make_labels()
    loss, _ = run(factors, labels)
    scaled = torch.autograd.grad(loss / 7, factors)
    for actual, expected in zip(scaled, by_definition(factors, labels)[1:], strict=True):
        torch.testing.assert_close(actual, expected / 7)


def test_the_statistics_are_those_of_the_first_distribution() -> None:
    factors, labels = make_factors(), make_labels()
    _, statistics = run(factors, labels, chunk_rows=4)
    dense = logit_statistics(factors[0] @ factors[1].t(), TokenInputs(labels), constants=Constants(), needs=frozenset())
    assert statistics.values.keys() == dense.values.keys()
    for name, value in statistics.values.items():
        assert not value.requires_grad
        torch.testing.assert_close(value, dense.values[name].detach(), rtol=1e-12, atol=1e-12)


def test_without_gradients_the_value_is_the_same() -> None:
    factors, labels = make_factors(), make_labels()
    with torch.no_grad():
        loss, _ = run(factors, labels, chunk_rows=6)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, by_definition(factors, labels)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("num_tokens", [0, 4])
def test_nothing_to_count_gives_zeros_with_a_graph(num_tokens: int) -> None:
    factors = make_factors(num_tokens)
    loss, _ = run(factors, make_labels(num_tokens), mask=torch.zeros(num_tokens, dtype=torch.bool))
    assert loss.item() == 0
    for gradient in torch.autograd.grad(loss, factors):
        assert gradient.eq(0).all()


def test_repeated_calls_give_equal_bits() -> None:
    factors, labels = make_factors(300, 400, dtype=torch.float32), make_labels(300, 400)
    first, second = (with_gradients(factors, run(factors, labels, chunk_rows=64)[0]) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_gradients_are_handed_out_once() -> None:
    factors, labels = make_factors(), make_labels()
    loss, _ = run(factors, labels)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="once"):
        loss.backward()


def test_bfloat16_is_within_the_error_of_the_naive_code() -> None:
    factors, labels = make_factors(200, 300), make_labels(200, 300)
    exact = by_definition(factors, labels)
    rough: Factors = tuple(f.detach().float().requires_grad_() for f in factors)  # type: ignore[assignment]
    loss, statistics = run(rough, labels, matmul_dtype=torch.bfloat16, other_matmul_dtype=torch.bfloat16)
    assert loss.dtype == statistics.logsumexp.dtype == torch.float32
    ours = with_gradients(rough, loss)
    naive_inputs: Factors = tuple(f.detach().bfloat16().requires_grad_() for f in factors)  # type: ignore[assignment]
    naive = by_definition(naive_inputs, labels, lambda pair: R_DROP(upcast(pair)))
    for truth, our, their in zip(exact[1:], ours[1:], naive[1:], strict=True):
        errors = [(each.double() - truth).norm() / truth.norm() for each in (our, their)]
        assert errors[0] <= 1.1 * errors[1]


def upcast(pair: LogitPair) -> LogitPair:
    return LogitPair(pair.logits.float(), pair.other.float(), pair.labels)


def test_each_side_has_a_precision_of_its_own() -> None:
    factors, labels = make_factors(dtype=torch.float32), make_labels()
    exact, _ = run(factors, labels)
    losses = [run(factors, labels, **{name: torch.bfloat16})[0] for name in ("matmul_dtype", "other_matmul_dtype")]
    for loss in losses:
        assert loss.dtype == torch.float32
        assert loss.item() != exact.item()
        assert loss.item() == pytest.approx(exact.item(), rel=0.05)
    assert losses[0].item() != losses[1].item()


def test_autocast_changes_nothing() -> None:
    factors, labels = make_factors(dtype=torch.float32), make_labels()
    expected = with_gradients(factors, run(factors, labels)[0])
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = run(factors, labels)
    assert all(torch.equal(a, b) for a, b in zip(with_gradients(factors, loss), expected, strict=True))


def test_memory_is_bounded_by_the_buffer() -> None:
    """Half of it holds the logits of a chunk; the function sees 1/32 of it at a time."""
    row_bytes = 4 * 2000
    factors, labels = make_factors(600, 2000, dtype=torch.float32), make_labels(600, 2000)
    seen: list[int] = []

    def spy(pair: LogitPair) -> Tensor:
        seen.append(len(pair.logits))
        alive = [each for each in gc.get_objects() if type(each) is torch.Tensor and each.shape[-1:] == (2000,)]
        storages = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in alive}
        assert sum(storages.values()) <= 128 * row_bytes
        return R_DROP(pair)

    run(factors, labels, spy, logit_buffer_bytes=256 * row_bytes)
    assert sum(seen) == 600
    assert max(seen) == 8
