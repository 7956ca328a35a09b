"""What holds for statistics, objectives and the op over a projection, whatever the numbers."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mt_trainer.objectives import TranslationLoss
from mt_trainer.objectives.formulas.smoothing import cross_entropy, label_smoothing
from mt_trainer.objectives.formulas.token_weights import tailr, tailr_weight
from mt_trainer.objectives.logit_statistics import DIFFERENTIABLE, LogitStatistics, Statistic, logit_statistics
from mt_trainer.objectives.projection.linear import linear_logit_statistics, linear_objective
from mt_trainer.objectives.token_inputs import Constants, TokenInputs

NUM_TOKENS, VOCAB_SIZE = 6, 9
ALL = frozenset(Statistic)

epsilons = st.floats(0, 0.99)
gammas = st.floats(0, 1)
scales = st.sampled_from([0.0, 0.1, 1.0, 10.0, 1000.0, 10_000.0])
seeds = st.integers(0, 2**31 - 1)


def random_case(seed: int, scale: float) -> tuple[Tensor, TokenInputs, Constants]:
    """Logits [6, 9] and all that a statistic reads, float64."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    logits, prior = draw(NUM_TOKENS, VOCAB_SIZE) * scale, draw(VOCAB_SIZE).abs()
    inputs = TokenInputs(
        torch.randint(VOCAB_SIZE, (NUM_TOKENS,), generator=generator),
        torch.randint(VOCAB_SIZE, (NUM_TOKENS, 4), generator=generator),
    )
    constants = Constants(
        prior=prior / prior.sum(), values=draw(VOCAB_SIZE), embedding=draw(VOCAB_SIZE, 2), tail_below=0.05
    )
    return logits, inputs, constants


def random_statistics(seed: int, scale: float) -> LogitStatistics:
    logits, inputs, constants = random_case(seed, scale)
    return logit_statistics(logits, inputs, constants=constants, needs=ALL)


def everything(statistics: LogitStatistics) -> Tensor:
    """A curved function of all statistics, those with several numbers a token included."""
    values = (statistics.values[name].reshape(len(statistics.nll), -1) for name in sorted(DIFFERENTIABLE))
    return torch.cat([value.sin() for value in values], dim=-1).sum(dim=-1)


@given(seeds, scales)
@settings(deadline=None)
def test_label_smoothing_without_mass_is_cross_entropy(seed: int, scale: float) -> None:
    statistics = random_statistics(seed, scale)
    assert torch.equal(label_smoothing(statistics, epsilon=0.0), cross_entropy(statistics))


@given(seeds, scales, epsilons, st.floats(0, 1))
@settings(deadline=None)
def test_tailr_with_gamma_zero_is_label_smoothing(seed: int, scale: float, epsilon: float, floor: float) -> None:
    statistics = random_statistics(seed, scale)
    expected = label_smoothing(statistics, epsilon=epsilon)
    torch.testing.assert_close(tailr(statistics, gamma=0.0, min_weight=floor, epsilon=epsilon), expected)


@given(seeds, scales, gammas, st.floats(0, 1))
@settings(deadline=None)
def test_weights_stay_between_their_floor_and_one_and_fall_with_gamma(
    seed: int, scale: float, gamma: float, floor: float
) -> None:
    statistics = random_statistics(seed, scale)
    weight = tailr_weight(statistics, gamma=gamma, min_weight=floor)
    assert ((weight >= floor) & (weight <= 1)).all()
    assert (tailr_weight(statistics, gamma=1.0, min_weight=floor) <= weight + 1e-12).all()


@given(seeds, scales)
@settings(deadline=None)
def test_statistics_keep_their_bounds(seed: int, scale: float) -> None:
    statistics = random_statistics(seed, scale)
    vectors, values = statistics.constants.embedding, statistics.constants.values
    assert vectors is not None
    assert values is not None
    assert (statistics.nll >= 0).all()
    assert (statistics.max_log_prob <= 0).all()
    assert ((statistics.entropy >= -1e-12) & (statistics.entropy <= math.log(VOCAB_SIZE) + 1e-12)).all()
    assert ((statistics.sum_sq_prob >= 1 / VOCAB_SIZE - 1e-12) & (statistics.sum_sq_prob <= 1 + 1e-12)).all()
    assert (statistics.expected_value >= values.min() - 1e-12).all()
    assert (statistics.expected_value <= values.max() + 1e-12).all()
    assert (statistics.expected_embedding >= vectors.amin(dim=0) - 1e-12).all()
    assert (statistics.expected_embedding <= vectors.amax(dim=0) + 1e-12).all()
    assert (statistics.gathered_log_prob <= 0).all()
    assert ((statistics.tail_nll == 0) | (statistics.tail_nll > -math.log(0.05))).all()


@pytest.mark.parametrize("name", sorted(DIFFERENTIABLE - {Statistic.TARGET_LOGIT, Statistic.GATHERED_LOGITS}))
@given(seeds, scales, st.floats(-100, 100))
@settings(deadline=None)
def test_a_constant_added_to_the_logits_moves_statistics_of_p_not_at_all(
    name: Statistic, seed: int, scale: float, shift: float
) -> None:
    logits, inputs, constants = random_case(seed, scale)
    before, after = (
        logit_statistics(z, inputs, constants=constants, needs={name}).values[name] for z in (logits, logits + shift)
    )
    moves = name in (Statistic.LOGSUMEXP, Statistic.PRIOR_LOGIT)
    torch.testing.assert_close(after, before + shift if moves else before, rtol=1e-9, atol=1e-9)


@given(seeds, scales, st.integers(1, 7))
@settings(deadline=None)
def test_how_tokens_are_cut_into_chunks_changes_neither_statistics_nor_loss_nor_gradients(
    seed: int, scale: float, chunk_rows: int
) -> None:
    logits, inputs, constants = random_case(seed, scale)
    logits.requires_grad_()
    definition = logit_statistics(logits, inputs, constants=constants, needs=ALL)
    expected = everything(definition).sum()
    hidden = torch.eye(NUM_TOKENS, dtype=torch.float64)
    weight = logits.detach().t().contiguous().requires_grad_()  # identity times weight.T = logits
    loss, collected = linear_objective(
        hidden,
        weight,
        inputs,
        function=everything,
        mask=None,
        constants=constants,
        needs=ALL,
        chunk_rows=chunk_rows,
        matmul_dtype=None,
    )
    recomputed = linear_logit_statistics(
        hidden, weight, inputs, constants=constants, needs=ALL, chunk_rows=chunk_rows, matmul_dtype=None
    )
    by_logits = torch.autograd.grad(expected, logits)[0].t()
    atol = 1e-12 * max(scale, 1)
    assert set(recomputed.values) == set(Statistic)
    for statistics in (collected, recomputed):
        for name, value in statistics.values.items():
            torch.testing.assert_close(value, definition.values[name], rtol=1e-12, atol=atol)
    for value in (loss, everything(recomputed).sum()):
        torch.testing.assert_close(torch.autograd.grad(value, weight)[0], by_logits, rtol=1e-9, atol=1e-9)


@given(seeds, scales)
@settings(deadline=None)
def test_gradients_by_the_logits_of_a_token_sum_to_what_a_common_shift_does(seed: int, scale: float) -> None:
    logits, inputs, constants = random_case(seed, scale)
    weight = logits.t().contiguous().requires_grad_()
    for name in DIFFERENTIABLE:
        statistics = linear_logit_statistics(
            torch.eye(NUM_TOKENS, dtype=torch.float64),
            weight,
            inputs,
            constants=constants,
            needs={name},
            chunk_rows=4,
            matmul_dtype=None,
        )
        by_shift = torch.autograd.grad(statistics.values[name].sum(), weight)[0].sum(dim=0)
        slope = {
            Statistic.LOGSUMEXP: 1.0,
            Statistic.TARGET_LOGIT: 1.0,
            Statistic.PRIOR_LOGIT: 1.0,
            Statistic.GATHERED_LOGITS: 4.0,
        }.get(name, 0.0)
        expected = torch.full((NUM_TOKENS,), slope, dtype=torch.float64)
        torch.testing.assert_close(by_shift, expected, rtol=1e-9, atol=1e-9 * max(scale, 1))


@given(seeds, st.integers(0, 20))
@settings(deadline=None)
def test_padding_and_the_split_of_a_batch_change_nothing(seed: int, num_first: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(20, 4, generator=generator, dtype=torch.float64)
    weight = torch.randn(9, 4, generator=generator, dtype=torch.float64)
    labels = torch.randint(9, (20,), generator=generator)
    loss = TranslationLoss(9, pad_id=0)
    whole = loss.sums(hidden, weight, labels, with_diagnostics=True)
    parts = [
        loss.sums(hidden[part], weight, labels[part], with_diagnostics=True)
        for part in (slice(num_first), slice(num_first, None))
    ]
    is_real = labels != 0
    packed = loss.sums(hidden[is_real], weight, labels[is_real], with_diagnostics=True)
    for first, second, total, real in zip(*parts, whole, packed, strict=True):
        if total is not None:
            torch.testing.assert_close(first + second, total)
            torch.testing.assert_close(real, total)
