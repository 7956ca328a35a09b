import math
from collections.abc import Callable, Set
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from mt_trainer.objectives.logit_statistics import ALWAYS, DIFFERENTIABLE, LogitStatistics, Statistic, logit_statistics
from mt_trainer.objectives.projection.linear import linear_logit_statistics, linear_objective
from mt_trainer.objectives.token_inputs import Constants, TokenInputs

TokenFunction = Callable[[LogitStatistics], Tensor]
ALL = frozenset(Statistic)
PRIOR = frozenset({Statistic.PRIOR_LOGIT})


def cross_entropy(statistics: LogitStatistics) -> Tensor:
    return statistics.nll


def smoothing(statistics: LogitStatistics) -> Tensor:
    return 0.9 * statistics.nll + 0.1 * statistics.prior_nll


def weighted(statistics: LogitStatistics) -> Tensor:
    """A weight held constant, and smoothing beside it."""
    weight = statistics.target_log_prob.detach().exp().clamp(min=0.3)
    return 0.9 * weight * statistics.nll + 0.1 * statistics.prior_nll


def everything(statistics: LogitStatistics) -> Tensor:
    """Reads each differentiable statistic, each with another slope for each token."""
    weights = statistics.inputs.id_weights
    assert weights is not None
    return (
        2 * statistics.nll
        + statistics.prior_nll.square()
        + statistics.sum_sq_prob * statistics.entropy
        + statistics.logsumexp.sin()
        + statistics.expected_value * statistics.label_value
        + statistics.tail_nll.div(10).sin()
        + (statistics.gathered_log_prob * weights).sum(dim=-1).div(10).sin()
        + (statistics.expected_embedding * statistics.label_embedding).sum(dim=-1).square()
    )


@dataclass(frozen=True)
class Case:
    hidden: Tensor
    weight: Tensor
    inputs: TokenInputs
    constants: Constants

    def objective(
        self,
        function: TokenFunction,
        needs: Set[Statistic] = PRIOR,
        *,
        mask: Tensor | None = None,
        chunk_rows: int | None = None,
        matmul_dtype: torch.dtype | None = None,
        logit_buffer_bytes: int | None = None,
    ) -> tuple[Tensor, LogitStatistics]:
        return linear_objective(
            self.hidden,
            self.weight,
            self.inputs,
            function=function,
            mask=mask,
            constants=self.constants,
            needs=needs,
            chunk_rows=chunk_rows,
            matmul_dtype=matmul_dtype,
            logit_buffer_bytes=logit_buffer_bytes,
        )

    def statistics(
        self, needs: Set[Statistic], *, chunk_rows: int | None = None, matmul_dtype: torch.dtype | None = None
    ) -> LogitStatistics:
        return linear_logit_statistics(
            self.hidden,
            self.weight,
            self.inputs,
            constants=self.constants,
            needs=needs,
            chunk_rows=chunk_rows,
            matmul_dtype=matmul_dtype,
        )

    def definition(self) -> LogitStatistics:
        return logit_statistics(self.hidden @ self.weight.t(), self.inputs, constants=self.constants, needs=ALL)

    def gradients(self, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The value with its gradients."""
        return value.detach(), *torch.autograd.grad(value, (self.hidden, self.weight))  # type: ignore[return-value]


def make_case(
    num_tokens: int, width: int, vocab_size: int, *, scale: float = 1.0, dtype: torch.dtype = torch.float64
) -> Case:
    """Hidden states and a weight that require gradients, with all that any statistic reads; ids come doubled."""
    generator = torch.Generator().manual_seed(5)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    hidden, weight = draw(num_tokens, width).to(dtype), (draw(vocab_size, width) * scale).to(dtype)
    prior = draw(vocab_size).abs()
    ids = torch.randint(vocab_size, (num_tokens, 4), generator=generator)
    ids[:, 3] = ids[:, 0]
    inputs = TokenInputs(torch.randint(vocab_size, (num_tokens,), generator=generator), ids, draw(num_tokens, 4))
    constants = Constants(
        prior=prior / prior.sum(),
        values=draw(vocab_size),
        per_label=draw(vocab_size),
        embedding=draw(vocab_size, 3),
        embedding_scale=draw(vocab_size).abs(),
        tail_below=0.5 / vocab_size,
    )
    return Case(hidden.requires_grad_(), weight.requires_grad_(), inputs, constants)


@pytest.mark.parametrize("chunk_rows", [1, 4, 5, 23, 64, None])
@pytest.mark.parametrize(
    ("function", "needs"), [(cross_entropy, frozenset()), (smoothing, PRIOR), (weighted, PRIOR), (everything, ALL)]
)
def test_both_ops_equal_the_definition(
    function: TokenFunction, needs: frozenset[Statistic], chunk_rows: int | None
) -> None:
    case = make_case(23, 5, 11)
    expected = case.gradients(function(case.definition()).sum())
    recomputed = function(case.statistics(needs, chunk_rows=chunk_rows)).sum()
    loss, _ = case.objective(function, needs, chunk_rows=chunk_rows)
    for value in (recomputed, loss):
        torch.testing.assert_close(case.gradients(value), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", sorted(DIFFERENTIABLE))
def test_each_statistic_alone_passes_gradcheck_and_equals_the_definition(name: Statistic) -> None:
    case = make_case(5, 3, 7)

    def op(hidden: Tensor, weight: Tensor) -> Tensor:
        return replace(case, hidden=hidden, weight=weight).statistics({name}, chunk_rows=2).values[name]

    assert torch.autograd.gradcheck(op, (case.hidden, case.weight))
    loss, _ = case.objective(lambda s: s.values[name].reshape(len(s.logsumexp), -1).sum(dim=-1), {name}, chunk_rows=2)
    expected = case.gradients(case.definition().values[name].sum())
    torch.testing.assert_close(case.gradients(loss), expected, rtol=1e-12, atol=1e-12)


def test_all_statistics_are_those_of_the_definition_and_come_with_their_inputs() -> None:
    case = make_case(23, 5, 11)
    expected = case.definition()
    statistics = case.statistics(ALL, chunk_rows=4)
    _, collected = case.objective(cross_entropy, ALL, chunk_rows=4)
    assert set(collected.values) == set(Statistic) - {Statistic.EXPECTED_EMBEDDING}
    for name in Statistic:
        torch.testing.assert_close(statistics.values[name], expected.values[name], rtol=1e-12, atol=1e-12)
    for name, value in collected.values.items():
        torch.testing.assert_close(value, expected.values[name], rtol=1e-12, atol=1e-12)
        assert not value.requires_grad
    for both in (statistics, collected):
        assert both.inputs is case.inputs
        assert both.constants is case.constants


@pytest.mark.parametrize("needs", [frozenset(), PRIOR, frozenset({Statistic.ENTROPY})])
def test_only_what_is_asked_for_is_computed(needs: frozenset[Statistic]) -> None:
    case = make_case(3, 2, 4)
    assert set(case.objective(cross_entropy, needs)[1].values) == ALWAYS | needs
    assert set(case.statistics(needs).values) == ALWAYS | needs


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        (Statistic.PRIOR_LOGIT, "prior"),
        (Statistic.EXPECTED_VALUE, "values"),
        (Statistic.EXPECTED_EMBEDDING, "embedding"),
        (Statistic.TAIL_NLL, "tail_below"),
        (Statistic.GATHERED_LOGITS, "ids"),
    ],
)
def test_a_statistic_without_what_it_is_taken_against_is_refused(name: Statistic, missing: str) -> None:
    whole = make_case(3, 2, 4)
    case = replace(whole, inputs=TokenInputs(whole.inputs.labels), constants=Constants())
    with pytest.raises(ValueError, match=f"reads `{missing}`, which was not given"):
        case.objective(cross_entropy, {name})
    with pytest.raises(ValueError, match=f"reads `{missing}`, which was not given"):
        case.statistics({name})


@pytest.mark.parametrize("chunk_rows", [8, None])
def test_chunks_that_are_cut_into_cache_sized_blocks_equal_the_definition(chunk_rows: int | None) -> None:
    # 8 bytes * 100,000 pieces: fewer rows a block than a chunk has
    case = make_case(19, 3, 100_000)
    for function, needs in ((weighted, PRIOR), (everything, ALL)):
        expected = case.gradients(function(case.definition()).sum())
        loss, _ = case.objective(function, needs, chunk_rows=chunk_rows)
        torch.testing.assert_close(case.gradients(loss), expected, rtol=1e-12, atol=1e-12)


def test_the_output_projection_serves_as_its_own_normed_embedding() -> None:
    case = make_case(6, 5, 11)
    weight = case.weight.detach()
    normed = replace(
        case, constants=Constants(embedding=weight / weight.norm(dim=1, keepdim=True), embedding_scale=None)
    )
    scaled = replace(case, constants=Constants(embedding=weight, embedding_scale=1 / weight.norm(dim=1)))

    def similarity(statistics: LogitStatistics) -> Tensor:
        return (statistics.expected_embedding * statistics.label_embedding).sum(dim=-1)

    results = [
        each.gradients(each.objective(similarity, {Statistic.EXPECTED_EMBEDDING})[0]) for each in (normed, scaled)
    ]
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-12)


def test_only_the_gradient_that_is_wanted_is_given() -> None:
    case = make_case(23, 5, 11)
    _, by_hidden, by_weight = case.gradients(smoothing(case.definition()).sum())
    loss, _ = replace(case, weight=case.weight.detach()).objective(smoothing, chunk_rows=4)
    torch.testing.assert_close(torch.autograd.grad(loss, case.hidden)[0], by_hidden)
    loss, _ = replace(case, hidden=case.hidden.detach()).objective(smoothing, chunk_rows=4)
    torch.testing.assert_close(torch.autograd.grad(loss, case.weight)[0], by_weight)
    frozen = replace(case, hidden=case.hidden.detach(), weight=case.weight.detach())
    assert not frozen.objective(smoothing)[0].requires_grad
    with torch.no_grad():
        without_graph, _ = case.objective(smoothing, chunk_rows=4)
    assert not without_graph.requires_grad
    assert torch.equal(without_graph, loss.detach())


def test_the_incoming_derivative_scales_and_a_second_backward_is_refused() -> None:
    case = make_case(23, 5, 11)
    _, by_hidden, by_weight = case.gradients(cross_entropy(case.definition()).sum())
    loss, _ = case.objective(cross_entropy, frozenset())
    (loss / 7).backward(retain_graph=True)
    torch.testing.assert_close(case.hidden.grad, by_hidden / 7)
    torch.testing.assert_close(case.weight.grad, by_weight / 7)
    with pytest.raises(RuntimeError, match="hands its gradients out once"):
        loss.backward()


@pytest.mark.parametrize("counts", [[False] * 6, [True, False, True, True, False, True]])
@pytest.mark.parametrize(("function", "needs"), [(weighted, PRIOR), (everything, ALL)])
def test_tokens_outside_the_mask_give_nothing(
    function: TokenFunction, needs: frozenset[Statistic], counts: list[bool]
) -> None:
    case, mask = make_case(6, 5, 11), torch.tensor(counts)
    expected = case.gradients(function(case.definition()).where(mask, 0).sum())
    loss, _ = case.objective(function, needs, mask=mask, chunk_rows=4)
    actual = case.gradients(loss)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)
    assert actual[1][~mask].eq(0).all()


def test_no_token_at_all_gives_zeros_with_a_graph() -> None:
    case = make_case(0, 5, 11)
    for value in (case.objective(everything, ALL)[0], everything(case.statistics(ALL)).sum()):
        actual = case.gradients(value)
        assert actual[0].item() == 0
        assert actual[1].shape == (0, 5)
        assert torch.equal(actual[2], torch.zeros_like(case.weight))


def test_the_size_of_the_buffer_changes_nothing() -> None:
    case = make_case(100, 5, 11)
    expected = case.gradients(case.objective(everything, ALL)[0])
    small = case.gradients(case.objective(everything, ALL, logit_buffer_bytes=8 * 11 * 40)[0])
    torch.testing.assert_close(small, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["all at once", *sorted(DIFFERENTIABLE)])
def test_huge_and_saturated_logits_stay_finite(name: str, dtype: torch.dtype) -> None:
    case = Case(
        hidden=torch.tensor([[1e4], [-1e4], [1e4], [0.0]], requires_grad=True),
        weight=torch.tensor([[1.0], [-1.0], [0.5]], requires_grad=True),
        inputs=TokenInputs(torch.tensor([0, 0, 1, 2]), torch.tensor([[0, 1]] * 4), torch.ones(4, 2)),
        constants=Constants(
            prior=torch.full((3,), 1 / 3),
            values=torch.arange(3.0),
            per_label=torch.ones(3),
            embedding=torch.eye(3),
            tail_below=0.1,
        ),
    )

    def one_of_them(statistics: LogitStatistics) -> Tensor:
        if name == "all at once":
            return everything(statistics)
        return statistics.values[Statistic(name)].reshape(4, -1).sum(dim=-1)

    loss, statistics = case.objective(one_of_them, ALL, matmul_dtype=dtype)
    for value in (loss, one_of_them(case.statistics(ALL, matmul_dtype=dtype)).sum()):
        assert all(part.isfinite().all() for part in case.gradients(value))
    # 1e4 rounds to 9984 in bfloat16; labels that are certain, impossible, impossible, one of three
    z = 1e4 if dtype == torch.float32 else 9984.0
    torch.testing.assert_close(statistics.nll, torch.tensor([0.0, 2 * z, 2 * z, math.log(3)]))
    torch.testing.assert_close(statistics.entropy, torch.tensor([0.0, 0.0, 0.0, math.log(3)]))
    torch.testing.assert_close(statistics.tail_nll, torch.tensor([2.5 * z, 3.5 * z, 2.5 * z, 0.0]))
    torch.testing.assert_close(statistics.expected_value, torch.tensor([0.0, 1.0, 0.0, 1.0]))
