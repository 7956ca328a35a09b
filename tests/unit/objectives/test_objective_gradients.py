"""Gradients by the logits against their analytic form, each from its paper or worked by hand."""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mt_trainer.objectives import Statistic, logit_statistics
from mt_trainer.objectives.formulas.confidence_penalty import (
    confidence_penalty,
    thresholded_confidence_penalty,
    unigram_confidence_penalty,
)
from mt_trainer.objectives.formulas.earth_mover import earth_mover, embedding_distance
from mt_trainer.objectives.formulas.scores import brier, spherical, z_loss
from mt_trainer.objectives.formulas.smoothing import label_smoothing, weighted_label_smoothing
from mt_trainer.objectives.formulas.token_weights import tailr
from mt_trainer.objectives.formulas.unlikelihood import repetition_penalty
from mt_trainer.objectives.objective import TokenFunction
from mt_trainer.objectives.token_inputs import Constants, TokenInputs

V, N = 7, 40
GENERATOR = torch.Generator().manual_seed(11)
LOGITS = 3 * torch.randn(N, V, generator=GENERATOR, dtype=torch.float64)
LABELS = torch.randint(V, (N,), generator=GENERATOR)
PRIOR = torch.rand(V, generator=GENERATOR, dtype=torch.float64).softmax(0)
EMBEDDING = F.normalize(torch.randn(V, 3, generator=GENERATOR, dtype=torch.float64))
IDS = torch.randint(V, (N, 2), generator=GENERATOR)
CONSTANTS = Constants(prior=PRIOR, values=PRIOR.log(), embedding=EMBEDDING, tail_below=0.1 / V)
INPUTS = TokenInputs(LABELS, ids=IDS, id_weights=torch.tensor([1.0, 0.5], dtype=torch.float64).expand(N, 2))

P = LOGITS.softmax(dim=-1)
LOG_P = LOGITS.log_softmax(dim=-1)
ONEHOT = F.one_hot(LABELS, V).double()
P_Y = (P * ONEHOT).sum(-1, keepdim=True)
NLL = -P_Y.log()
S2 = P.square().sum(-1, keepdim=True)
H = -(P * LOG_P).sum(-1, keepdim=True)
COSINE = EMBEDDING[LABELS] @ EMBEDDING.t()
D = 1 - (P * COSINE).sum(-1, keepdim=True)
D_SLOPE = -P * (COSINE - (P * COSINE).sum(-1, keepdim=True))
ENTROPY_SLOPE = -P * (LOG_P + H)
IS_TAIL = (P < 0.1 / V).double()
TAIL_SLOPE = -(IS_TAIL - IS_TAIL.sum(-1, keepdim=True) * P)
CE_SLOPE = P - ONEHOT
W = (P_Y / (0.2 + 0.8 * P_Y)).clamp(min=0.1)


def unlikelihood_slope() -> Tensor:
    total = torch.zeros_like(P)
    for k, weight in enumerate((1.0, 0.5)):
        chosen = F.one_hot(IDS[:, k], V).double()
        p = (P * chosen).sum(-1, keepdim=True)
        total += weight * p / (1 - p) * (chosen - P)
    return total


CASES: dict[str, tuple[TokenFunction, Tensor]] = {
    "any target": (partial(label_smoothing, epsilon=0.2), P - 0.8 * ONEHOT - 0.2 * PRIOR),
    "a target that sums to less than one": (
        partial(weighted_label_smoothing, alpha=0.2, own_share=0.1),
        (1 - 0.02) * P - (1 - 0.2 - 0.02) * ONEHOT - 0.2 * PRIOR,
    ),
    "confidence penalty": (partial(confidence_penalty, beta=0.5), CE_SLOPE - 0.5 * ENTROPY_SLOPE),
    "thresholded": (
        partial(thresholded_confidence_penalty, beta=0.5, threshold=0.5),
        CE_SLOPE - 0.5 * ENTROPY_SLOPE * (H < 0.5),
    ),
    "unigram": (
        partial(unigram_confidence_penalty, beta=0.5),
        CE_SLOPE - 0.5 * ENTROPY_SLOPE - 0.5 * P * (PRIOR.log() - (P * PRIOR.log()).sum(-1, keepdim=True)),
    ),
    "TaiLr": (
        partial(tailr, gamma=0.2, min_weight=0.1, epsilon=0.3),
        0.7 * W * CE_SLOPE + 0.3 * (P - PRIOR),
    ),
    "Brier": (partial(brier, epsilon=0.0, vocab_size=V), 2 * (P * (P - S2 + P_Y) - P_Y * ONEHOT)),
    "Brier, smoothed": (
        partial(brier, epsilon=0.1, vocab_size=V),
        2 * P * (P - S2) + 0.9 * 2 * P_Y * (P - ONEHOT) + 0.1 / V * TAIL_SLOPE,
    ),
    "spherical": (partial(spherical, epsilon=0.0, vocab_size=V), P_Y / S2.sqrt() * (P.square() / S2 - ONEHOT)),
    "spherical, smoothed": (
        partial(spherical, epsilon=0.1, vocab_size=V),
        0.9 * P_Y / S2.sqrt() * (P.square() / S2 - ONEHOT)
        + 0.1 / V * P * (P - S2) / S2**1.5
        + 0.1 / V * TAIL_SLOPE,
    ),
    "distance of embeddings": (partial(embedding_distance, adaptive=True), D_SLOPE),
    "EMO-1": (partial(earth_mover, variant=1, adaptive=False), 0.5 * (CE_SLOPE + NLL / (D + 1e-10) * D_SLOPE)),
    "EMO-2": (
        partial(earth_mover, variant=2, adaptive=True),
        D_SLOPE + (D + P_Y) / (NLL + 1e-10) * CE_SLOPE,
    ),
    "unlikelihood": (repetition_penalty, unlikelihood_slope()),
    "z-loss": (partial(z_loss, coefficient=0.1), 0.2 * LOGITS.logsumexp(-1, keepdim=True) * P),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_is_the_analytic_one(name: str) -> None:
    function, expected = CASES[name]
    logits = LOGITS.clone().requires_grad_()
    statistics = logit_statistics(logits, INPUTS, constants=CONSTANTS, needs=frozenset(Statistic))
    gradient = torch.autograd.grad(function(statistics).sum(), logits)[0]
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-12)


def test_the_tokens_have_what_the_cases_tell_apart() -> None:
    """Some are above a threshold and some below, some weights are at the floor, some pieces in the tail."""
    for condition in (H < 0.5, W > 0.1, IS_TAIL > 0):
        assert condition.any()
        assert not condition.all()


VALUES: dict[str, tuple[Callable[..., Tensor], float]] = {
    # p = (1/4, 3/4), the label is the first. Brier: 10/16 - 2/4; spherical: -(1/4) / sqrt(10/16).
    "brier": (partial(brier, epsilon=0.0, vocab_size=2), 0.125),
    "spherical": (partial(spherical, epsilon=0.0, vocab_size=2), -0.25 / 0.625**0.5),
    # Smoothed by 0.8: the mean of S over both labels is 10/16 - 1, and p_1 < 0.8 / 2 adds 0.4 ln 4.
    "brier, smoothed": (partial(brier, epsilon=0.8, vocab_size=2), 0.2 * 0.125 - 0.8 * 0.375 + 0.4 * math.log(4)),
    "spherical, smoothed": (
        partial(spherical, epsilon=0.8, vocab_size=2),
        -0.2 * 0.25 / 0.625**0.5 - 0.8 * 0.5 / 0.625**0.5 + 0.4 * math.log(4),
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_scores_by_hand(name: str) -> None:
    function, expected = VALUES[name]
    logits = torch.tensor([[0.25, 0.75]], dtype=torch.float64).log()
    statistics = logit_statistics(
        logits,
        TokenInputs(torch.tensor([0])),
        constants=Constants(tail_below=0.4),
        needs={Statistic.SUM_SQ_PROB, Statistic.TAIL_NLL},
    )
    assert function(statistics).item() == pytest.approx(expected)
