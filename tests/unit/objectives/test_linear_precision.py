"""Low precision, bitwise repetition and memory of the op over `hidden @ weight.T`."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mt_trainer.objectives.logit_statistics import DIFFERENTIABLE, LogitStatistics, Statistic, logit_statistics
from mt_trainer.objectives.projection import slab_products
from mt_trainer.objectives.projection.linear import linear_logit_statistics, linear_objective
from mt_trainer.objectives.token_inputs import Constants, TokenInputs

NUM_TOKENS, WIDTH, VOCAB_SIZE = 300, 32, 500
TokenFunction = Callable[[LogitStatistics], Tensor]


@pytest.fixture
def hidden() -> Tensor:
    return torch.randn(NUM_TOKENS, WIDTH, generator=torch.Generator().manual_seed(1)).requires_grad_()


@pytest.fixture
def weight() -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return (0.5 * torch.randn(VOCAB_SIZE, WIDTH, generator=generator)).requires_grad_()


@pytest.fixture
def inputs() -> TokenInputs:
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(VOCAB_SIZE, (NUM_TOKENS, 5), generator=generator)
    return TokenInputs(torch.randint(VOCAB_SIZE, (NUM_TOKENS,), generator=generator), ids)


@pytest.fixture
def constants() -> Constants:
    generator = torch.Generator().manual_seed(4)
    return Constants(
        prior=torch.full((VOCAB_SIZE,), 1 / VOCAB_SIZE),
        values=torch.randn(VOCAB_SIZE, generator=generator),
        embedding=torch.randn(VOCAB_SIZE, 7, generator=generator),
        tail_below=0.1 / VOCAB_SIZE,
    )


@pytest.fixture
def few_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are cast in 4 slabs, the last of them smaller."""
    monkeypatch.setattr(slab_products, "CPU_SLAB_BYTES", 2 * WIDTH * 150)


def smoothing(statistics: LogitStatistics) -> Tensor:
    return 0.9 * statistics.nll + 0.1 * statistics.prior_nll


def curved(name: Statistic) -> TokenFunction:
    """A curved function of one statistic, so that its slopes differ from token to token."""
    return lambda statistics: statistics.values[name].reshape(len(statistics.logsumexp), -1).sin().sum(dim=-1)


def by_definition(
    name: Statistic,
    hidden: Tensor,
    weight: Tensor,
    inputs: TokenInputs,
    constants: Constants,
    matmul_dtype: torch.dtype,
) -> list[Tensor]:
    """The statistic and the gradients of its function in plain code, in float32 or under autocast."""
    with torch.autocast("cpu", torch.bfloat16, enabled=matmul_dtype == torch.bfloat16):
        logits = hidden @ weight.t()
    statistics = logit_statistics(logits, inputs, constants=constants, needs={name})
    gradients = torch.autograd.grad(curved(name)(statistics).sum(), (hidden, weight))
    return [statistics.values[name].detach(), *gradients]


@pytest.mark.usefixtures("few_slabs")
@pytest.mark.parametrize("matmul_dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", sorted(DIFFERENTIABLE))
def test_errors_of_low_precision_are_no_larger_than_those_of_plain_code(
    hidden: Tensor,
    weight: Tensor,
    inputs: TokenInputs,
    constants: Constants,
    name: Statistic,
    matmul_dtype: torch.dtype,
) -> None:
    double = [factor.detach().double().requires_grad_() for factor in (hidden, weight)]
    exact = by_definition(name, double[0], double[1], inputs, constants, torch.float64)
    plain = by_definition(name, hidden, weight, inputs, constants, matmul_dtype)
    chunks = []

    def kept(statistics: LogitStatistics) -> Tensor:
        chunks.append(statistics.values[name].detach())
        return curved(name)(statistics)

    loss, _ = linear_objective(
        hidden,
        weight,
        inputs,
        function=kept,
        mask=None,
        constants=constants,
        needs={name},
        chunk_rows=100,
        matmul_dtype=matmul_dtype,
    )
    ours = [torch.cat(chunks), *torch.autograd.grad(loss, (hidden, weight))]
    for what, mine, naive, truth in zip(("value", "hidden", "weight"), ours, plain, exact, strict=True):
        error, reference = ((value.double() - truth).norm().item() for value in (mine, naive))
        assert error <= 1.25 * reference + 1e-6 * truth.norm().item(), what


@pytest.mark.parametrize("matmul_dtype", [torch.float32, torch.bfloat16])
def test_label_smoothing_is_that_of_torch(
    hidden: Tensor, weight: Tensor, inputs: TokenInputs, constants: Constants, matmul_dtype: torch.dtype
) -> None:
    with torch.autocast("cpu", torch.bfloat16, enabled=matmul_dtype == torch.bfloat16):
        logits = hidden @ weight.t()
    expected = F.cross_entropy(logits.float(), inputs.labels, label_smoothing=0.1, reduction="sum")
    loss, _ = linear_objective(
        hidden,
        weight,
        inputs,
        function=smoothing,
        mask=None,
        constants=constants,
        needs={Statistic.PRIOR_LOGIT},
        chunk_rows=None,
        matmul_dtype=matmul_dtype,
    )
    tolerance = 1e-5 if matmul_dtype == torch.float32 else 1e-2
    theirs = torch.autograd.grad(expected, (hidden, weight))
    for mine, theirs_of_it in zip(
        (loss, *torch.autograd.grad(loss, (hidden, weight))), (expected, *theirs), strict=True
    ):
        assert (mine - theirs_of_it).norm() <= tolerance * theirs_of_it.norm()


def test_a_label_is_never_more_probable_than_one_in_bfloat16(
    hidden: Tensor, weight: Tensor, constants: Constants
) -> None:
    certain = 8 * weight.detach()
    statistics = linear_logit_statistics(
        hidden,
        certain,
        TokenInputs((hidden @ certain.t()).argmax(dim=-1)),
        constants=constants,
        needs=set(),
        chunk_rows=None,
        matmul_dtype=torch.bfloat16,
    )
    assert statistics.nll.min() >= 0
    assert statistics.nll.dtype == torch.float32


def test_gradients_have_the_dtypes_of_what_they_belong_to(
    hidden: Tensor, weight: Tensor, inputs: TokenInputs, constants: Constants
) -> None:
    low_hidden, low_weight = (factor.detach().bfloat16().requires_grad_() for factor in (hidden, weight))
    for factors in ((low_hidden, weight), (low_hidden, low_weight), (hidden, low_weight)):
        loss, _ = linear_objective(
            *factors,
            inputs,
            function=smoothing,
            mask=None,
            constants=constants,
            needs={Statistic.PRIOR_LOGIT},
            chunk_rows=None,
            matmul_dtype=torch.bfloat16,
        )
        assert loss.dtype == torch.float32
        for gradient, factor in zip(torch.autograd.grad(loss, factors), factors, strict=True):
            assert gradient.dtype == factor.dtype


@pytest.mark.usefixtures("few_slabs")
@pytest.mark.parametrize("matmul_dtype", [torch.float32, torch.bfloat16])
def test_repeated_runs_are_bitwise_equal_and_autocast_changes_nothing(
    hidden: Tensor, weight: Tensor, inputs: TokenInputs, constants: Constants, matmul_dtype: torch.dtype
) -> None:
    def everything(statistics: LogitStatistics) -> Tensor:
        return torch.stack([curved(name)(statistics) for name in sorted(DIFFERENTIABLE)]).sum(dim=0)

    def run() -> list[Tensor]:
        needs = frozenset(Statistic)
        settings = {"constants": constants, "needs": needs, "chunk_rows": 64, "matmul_dtype": matmul_dtype}
        loss, _ = linear_objective(hidden, weight, inputs, function=everything, mask=None, **settings)  # type: ignore[arg-type]
        recomputed = everything(linear_logit_statistics(hidden, weight, inputs, **settings)).sum()  # type: ignore[arg-type]
        return [part for value in (loss, recomputed) for part in (value, *torch.autograd.grad(value, (hidden, weight)))]

    first, second = run(), run()
    with torch.autocast("cpu", torch.bfloat16):
        third = run()
    for other in (second, third):
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_the_expected_embedding_of_a_sure_model_is_that_of_its_label_in_any_precision(
    hidden: Tensor, weight: Tensor
) -> None:
    """A distance of one part in a million is not lost beside the rounding of p, in training or without gradient."""
    labels = (hidden @ weight.t()).argmax(dim=-1)
    sure = (hidden * 100).detach().requires_grad_()
    norms = torch.linalg.vector_norm(weight.detach(), dim=-1)
    constants = Constants(embedding=weight.detach(), embedding_scale=1 / norms)
    needs = frozenset({Statistic.EXPECTED_EMBEDDING})

    def distances() -> Tensor:
        chunks = []

        def distance(statistics: LogitStatistics) -> Tensor:
            per_token = 1 - (statistics.expected_embedding * statistics.label_embedding).sum(dim=-1)
            chunks.append(per_token.detach())
            return per_token

        linear_objective(
            sure,
            weight,
            TokenInputs(labels),
            function=distance,
            mask=None,
            constants=constants,
            needs=needs,
            chunk_rows=64,
            matmul_dtype=torch.bfloat16,
        )
        return torch.cat(chunks)

    trained = distances()
    assert trained.abs().median() < 1e-6
    with torch.no_grad():
        torch.testing.assert_close(distances(), trained, rtol=0, atol=0)
