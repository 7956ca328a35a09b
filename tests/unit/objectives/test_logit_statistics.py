import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from mt_trainer.objectives.logit_statistics import DIFFERENTIABLE, LogitStatistics, Statistic, logit_statistics
from mt_trainer.objectives.projection.linear import linear_logit_statistics
from mt_trainer.objectives.token_inputs import Constants, TokenInputs

ALL = frozenset(Statistic)
NOTHING = Constants()

OF_EACH_ROW: dict[str, Callable[[LogitStatistics], Tensor]] = {
    "lse": lambda statistics: statistics.logsumexp,
    "target_logit": lambda statistics: statistics.target_logit,
    "mean_logit": lambda statistics: statistics.prior_logit,
    "sum_p_squared": lambda statistics: statistics.sum_sq_prob,
    "entropy": lambda statistics: statistics.entropy,
    "expected_logit": lambda statistics: statistics.logsumexp - statistics.entropy,
    "max_logit": lambda statistics: statistics.max_logit,
    "argmax": lambda statistics: statistics.argmax,
}


def dense(logits: Tensor, inputs: TokenInputs, constants: Constants) -> LogitStatistics:
    return logit_statistics(logits, inputs, constants=constants, needs=ALL)


def projected(logits: Tensor, inputs: TokenInputs, constants: Constants) -> LogitStatistics:
    """The same logits as a product with the identity."""
    one = torch.eye(logits.size(1), dtype=logits.dtype)
    return linear_logit_statistics(logits, one, inputs, constants=constants, needs=ALL, chunk_rows=4, matmul_dtype=None)


Form = Callable[[Tensor, TokenInputs, Constants], LogitStatistics]
both_forms = pytest.mark.parametrize("form", [dense, projected])


@pytest.fixture
def logits(golden: Any) -> Tensor:
    return golden.logits.clone().requires_grad_()  # type: ignore[no-any-return]


@pytest.fixture
def inputs(golden: Any) -> TokenInputs:
    """With the three ids of the golden `gathered_logits` for every token."""
    return TokenInputs(golden.labels, torch.tensor([golden.content["statistics"]["gathered_ids"]] * 9))


@pytest.fixture
def constants(golden: Any) -> Constants:
    return Constants(
        prior=torch.full((11,), 1 / 11, dtype=torch.float64),
        values=torch.zeros(11),
        embedding=torch.tensor(golden.content["inputs"]["emb"], dtype=torch.float64),
        tail_below=0.0,
    )


def check(value: Tensor, logits: Tensor, golden_value: Any, golden_gradient: Any | None) -> None:
    expected = torch.tensor(golden_value, dtype=value.dtype)
    torch.testing.assert_close(value.detach(), expected, rtol=1e-12, atol=1e-12)
    if golden_gradient is not None:
        gradient = torch.autograd.grad(value.sum(), logits, retain_graph=True)[0]
        expected = torch.tensor(golden_gradient, dtype=torch.float64)
        torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-12)


@both_forms
@pytest.mark.parametrize("name", OF_EACH_ROW)
def test_golden_values_and_gradients(
    golden: Any, logits: Tensor, inputs: TokenInputs, constants: Constants, form: Form, name: str
) -> None:
    value, expected = OF_EACH_ROW[name](form(logits, inputs, constants)), golden.content["statistics"][name]
    is_smooth = name not in ("max_logit", "argmax")
    assert value.requires_grad == is_smooth
    check(value, logits, expected["value"], expected["grad"] if is_smooth else None)


@both_forms
def test_golden_prior_logit_of_an_uneven_prior(
    golden: Any, logits: Tensor, inputs: TokenInputs, constants: Constants, form: Form
) -> None:
    content = golden.content["statistics"]
    prior = torch.tensor(content["prior_vector"], dtype=torch.float64)
    value = form(logits, inputs, replace(constants, prior=prior)).prior_logit
    check(value, logits, content["prior_dot"]["value"], content["prior_dot"]["grad"])


@both_forms
@pytest.mark.parametrize(("name", "width"), [("gathered_logits", 3), ("expected_embedding", 5)])
def test_golden_statistics_with_several_numbers_a_token(
    golden: Any, logits: Tensor, inputs: TokenInputs, constants: Constants, form: Form, name: str, width: int
) -> None:
    value, expected = form(logits, inputs, constants).values[Statistic(name)], golden.content["statistics"][name]
    check(value, logits, expected["value"], None)
    for index in range(width):
        column = [row[index] for row in expected["value"]]
        check(value[:, index], logits, column, expected["grad"][index])


@both_forms
@pytest.mark.parametrize("name", ["p_dot_teacher_logit", "teacher_expected_logit"])
def test_golden_expected_values_and_prior_logits_that_differ_from_row_to_row(
    golden: Any, logits: Tensor, inputs: TokenInputs, constants: Constants, form: Form, name: str
) -> None:
    expected = golden.content["statistics"][name]
    teacher = torch.tensor(golden.content["inputs"]["logits_b"], dtype=torch.float64)
    values = []
    for row in range(9):
        vectors = replace(constants, values=teacher[row], prior=teacher[row].softmax(dim=-1))
        statistics = form(logits, inputs, vectors)
        of_all = statistics.expected_value if name == "p_dot_teacher_logit" else statistics.prior_logit
        values.append(of_all[row])
    check(torch.stack(values), logits, expected["value"], expected["grad"])


def test_three_pieces_by_hand() -> None:
    # p = (1/8, 2/8, 5/8); the label is the least probable piece
    p = torch.tensor([[1.0, 2.0, 5.0]], dtype=torch.float64) / 8
    logits = p.log().requires_grad_()
    statistics = logit_statistics(
        logits,
        TokenInputs(torch.tensor([0]), ids=torch.tensor([[1, 1, 2]])),
        constants=Constants(
            prior=torch.tensor([0.5, 0.5, 0.0]),
            values=torch.tensor([8.0, 4.0, 0.8]),
            per_label=torch.tensor([7.0, 0.0, 0.0]),
            embedding=torch.tensor([[8.0, 0.0], [0.0, 4.0], [0.8, 0.8]]),
            tail_below=0.3,
        ),
        needs=ALL,
    )
    assert statistics.logsumexp.item() == pytest.approx(0)
    assert statistics.nll.item() == pytest.approx(math.log(8))
    assert statistics.target_log_prob.item() == pytest.approx(-math.log(8))
    assert statistics.prior_nll.item() == pytest.approx((math.log(8) + math.log(4)) / 2)
    assert statistics.sum_sq_prob.item() == pytest.approx(30 / 64)
    assert statistics.entropy.item() == pytest.approx((3 + 4 + 15) / 8 * math.log(2) - 5 / 8 * math.log(5))
    assert statistics.max_log_prob.exp().item() == pytest.approx(5 / 8)
    assert statistics.argmax.item() == 2
    assert statistics.expected_value.item() == pytest.approx(1 + 1 + 0.5)
    assert statistics.expected_embedding.tolist() == [pytest.approx([1.5, 1.5])]
    assert statistics.label_value.item() == 7
    assert statistics.label_embedding.tolist() == [[8, 0]]
    assert statistics.gathered_log_prob.exp().tolist() == [pytest.approx([2 / 8, 2 / 8, 5 / 8])]
    # the pieces 0 and 1 are below 0.3; d/dz_v = 2 p_v - [v among them]
    assert statistics.tail_nll.item() == pytest.approx(math.log(8) + math.log(4))
    gradient = torch.autograd.grad(statistics.tail_nll.sum(), logits)[0]
    assert gradient.tolist() == [pytest.approx([2 / 8 - 1, 4 / 8 - 1, 10 / 8])]


def test_a_scale_of_the_embedding_multiplies_its_vectors() -> None:
    logits, inputs = torch.tensor([[1.0, 2.0, 5.0]]).log(), TokenInputs(torch.tensor([2]))
    vectors, scale = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), torch.tensor([8.0, 4.0, 0.8])
    needs = {Statistic.EXPECTED_EMBEDDING}
    scaled = logit_statistics(
        logits, inputs, constants=Constants(embedding=vectors, embedding_scale=scale), needs=needs
    )
    whole = logit_statistics(logits, inputs, constants=Constants(embedding=vectors * scale.unsqueeze(1)), needs=needs)
    torch.testing.assert_close(scaled.expected_embedding, whole.expected_embedding)
    torch.testing.assert_close(scaled.label_embedding, whole.label_embedding)
    assert scaled.label_embedding.tolist() == [pytest.approx([0.8, 0.8])]


def test_a_part_of_the_tokens_is_cut_out_of_statistics_and_inputs_alike() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    inputs = TokenInputs(torch.tensor([0, 1, 2, 1]), ids=torch.zeros(4, 2, dtype=torch.int64))
    statistics = logit_statistics(logits, inputs, constants=NOTHING, needs={Statistic.GATHERED_LOGITS})
    part = statistics[1:3]
    torch.testing.assert_close(part.nll, statistics.nll[1:3])
    assert part.gathered_logits.shape == (2, 2)
    assert part.inputs.labels.tolist() == [1, 2]
    assert part.inputs.id_weights is None


def test_what_was_not_asked_for_is_absent_and_the_message_names_it() -> None:
    statistics = logit_statistics(torch.zeros(1, 2), TokenInputs(torch.tensor([0])), constants=NOTHING, needs=set())
    assert set(statistics.values) == {Statistic.LOGSUMEXP, Statistic.TARGET_LOGIT, Statistic.MAX_LOGIT}
    with pytest.raises(KeyError, match=r"add Statistic\.ENTROPY to `needs`"):
        _ = statistics.entropy


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        (Statistic.PRIOR_LOGIT, "prior"),
        (Statistic.EXPECTED_VALUE, "values"),
        (Statistic.TAIL_NLL, "tail_below"),
        (Statistic.EXPECTED_EMBEDDING, "embedding"),
        (Statistic.GATHERED_LOGITS, "ids"),
    ],
)
def test_a_statistic_without_what_it_is_taken_against_is_refused(name: Statistic, missing: str) -> None:
    with pytest.raises(ValueError, match=f"reads `{missing}`, which was not given"):
        logit_statistics(torch.zeros(1, 2), TokenInputs(torch.tensor([0])), constants=NOTHING, needs={name})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_give_float32_statistics(dtype: torch.dtype) -> None:
    logits, inputs = torch.tensor([[1.0, 2.0]], dtype=dtype), TokenInputs(torch.tensor([1]))
    statistics = logit_statistics(logits, inputs, constants=NOTHING, needs=set())
    assert statistics.logsumexp.dtype == torch.float32
    assert statistics.nll.item() == pytest.approx(math.log1p(math.exp(-1)), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_around_it_changes_nothing(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(2)
    logits = (3 * torch.randn(40, 300, generator=generator)).to(dtype)
    inputs = TokenInputs(
        torch.randint(300, (40,), generator=generator), torch.randint(300, (40, 4), generator=generator)
    )
    constants = Constants(
        prior=torch.full((300,), 1 / 300, dtype=torch.float64),
        values=torch.randn(300, generator=generator),
        embedding=torch.randn(300, 5, generator=generator),
        tail_below=1e-3,
    )
    results = []
    for has_autocast in (False, True):
        z = logits.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=has_autocast):
            values = logit_statistics(z, inputs, constants=constants, needs=ALL).values
            total = torch.stack([values[name].sin().sum() for name in sorted(DIFFERENTIABLE)]).sum()
        results.append((values, torch.autograd.grad(total, z)[0]))
    for name in Statistic:
        assert torch.equal(results[0][0][name], results[1][0][name]), name
    assert torch.equal(results[0][1], results[1][1])
