"""What holds for objectives whatever the numbers."""

from functools import partial

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mt_trainer.objectives import LogitStatistics, Statistic, TranslationLoss, linear_objective, logit_statistics
from mt_trainer.objectives.per_token import cross_entropy, label_smoothing, tailr, tailr_weight

epsilons = st.floats(0, 0.99)
gammas = st.floats(0, 1)
scales = st.sampled_from([0.0, 0.1, 1.0, 10.0, 1000.0])
seeds = st.integers(0, 2**31 - 1)


def random_logits(seed: int, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(6, 9, generator=generator, dtype=torch.float64) * scale
    labels = torch.randint(9, (6,), generator=generator)
    prior = torch.rand(9, generator=generator, dtype=torch.float64)
    return logits, labels, prior / prior.sum()


def random_statistics(seed: int, scale: float) -> LogitStatistics:
    logits, labels, prior = random_logits(seed, scale)
    return logit_statistics(logits, labels, prior=prior, needs=set(Statistic))


@given(seeds, scales)
def test_label_smoothing_without_mass_is_cross_entropy(seed: int, scale: float) -> None:
    statistics = random_statistics(seed, scale)
    assert torch.equal(label_smoothing(statistics, epsilon=0.0), cross_entropy(statistics))


@given(seeds, scales, epsilons, st.floats(0, 1))
def test_tailr_with_gamma_zero_is_label_smoothing(seed: int, scale: float, epsilon: float, floor: float) -> None:
    statistics = random_statistics(seed, scale)
    expected = label_smoothing(statistics, epsilon=epsilon)
    torch.testing.assert_close(tailr(statistics, gamma=0.0, min_weight=floor, epsilon=epsilon), expected)


@given(seeds, scales, gammas, st.floats(0, 1))
def test_weights_stay_between_their_floor_and_one_and_fall_with_gamma(
    seed: int, scale: float, gamma: float, floor: float
) -> None:
    statistics = random_statistics(seed, scale)
    weight = tailr_weight(statistics, gamma=gamma, min_weight=floor)
    assert ((weight >= floor) & (weight <= 1)).all()
    assert (tailr_weight(statistics, gamma=1.0, min_weight=floor) <= weight + 1e-12).all()


@given(seeds, scales)
def test_statistics_keep_their_bounds(seed: int, scale: float) -> None:
    statistics = random_statistics(seed, scale)
    assert (statistics.nll >= 0).all()
    assert (statistics.max_log_prob <= 0).all()
    assert ((statistics.entropy >= -1e-12) & (statistics.entropy <= torch.tensor(9.0).log() + 1e-6)).all()
    assert ((statistics.sum_sq_prob >= 1 / 9 - 1e-12) & (statistics.sum_sq_prob <= 1 + 1e-12)).all()


@given(seeds, scales, epsilons, gammas, st.integers(1, 7))
@settings(deadline=None)
def test_how_tokens_are_cut_into_chunks_changes_neither_loss_nor_gradient(
    seed: int, scale: float, epsilon: float, gamma: float, chunk_rows: int
) -> None:
    logits, labels, prior = random_logits(seed, scale)
    function = partial(tailr, gamma=gamma, min_weight=0.1, epsilon=epsilon)
    logits.requires_grad_()
    expected = function(logit_statistics(logits, labels, prior=prior, needs={Statistic.PRIOR_LOGIT})).sum()
    hidden = torch.eye(6, dtype=torch.float64)
    weight = logits.detach().t().contiguous().requires_grad_()  # identity times weight.T = logits
    loss, _ = linear_objective(
        hidden,
        weight,
        labels,
        function=function,
        mask=None,
        prior=prior,
        needs={Statistic.PRIOR_LOGIT},
        chunk_rows=chunk_rows,
        matmul_dtype=None,
    )
    torch.testing.assert_close(loss, expected)
    by_weight, by_logits = torch.autograd.grad(loss, weight)[0], torch.autograd.grad(expected, logits)[0]
    torch.testing.assert_close(by_weight, by_logits.t(), rtol=1e-9, atol=1e-10)


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
