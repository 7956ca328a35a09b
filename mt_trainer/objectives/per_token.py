"""The objectives: each a function of per-token logit statistics, in nats per token, to be summed over real tokens.

Notation: p the model's distribution, y the label, `nll` = -log p_y, r a fixed prior over the vocabulary,
`prior_nll` = -sum_v r_v log p_v, V the size of the vocabulary including the special pieces.
"""

import math
from typing import Literal, assert_never

import torch
from torch import Tensor

from mt_trainer.objectives.logit_statistics import LogitStatistics

SmoothingConvention = Literal["torch", "fairseq", "no_pad"]


def cross_entropy(statistics: LogitStatistics) -> Tensor:
    """nll: the negative log-likelihood of the label."""
    return statistics.nll


def label_smoothing(statistics: LogitStatistics, *, epsilon: float) -> Tensor:
    """(1 - epsilon) nll + epsilon prior_nll: cross-entropy against (1 - epsilon) onehot(y) + epsilon r.

    Source: Szegedy et al. 2016; with another prior than the uniform one, Pereyra et al. 2017. What toolkits call
    label smoothing are choices of (epsilon, r), see `smoothing_epsilon` and `smoothing_prior`. The value is a
    cross-entropy: OpenNMT-py up to 3.0.2, JoeyNMT and tensor2tensor report it less the target's entropy, a constant.
    """
    return (1 - epsilon) * statistics.nll + epsilon * statistics.prior_nll


def tailr_weight(statistics: LogitStatistics, *, gamma: float, min_weight: float) -> Tensor:
    """The token weight of `tailr`, without gradient: p_y / (gamma + (1 - gamma) p_y), within [min_weight, 1].

    Deviation from the official code: the fraction is written 1 / (1 - gamma + gamma exp(nll)) with nll capped at 80,
    which is the same number, but neither 0/0 nor NaN where a probability underflows.
    """
    odds = statistics.nll.detach().clamp(max=80.0).exp()
    return (1 / (1 - gamma + gamma * odds)).clamp(min=min_weight, max=1.0)


def tailr(statistics: LogitStatistics, *, gamma: float, min_weight: float, epsilon: float) -> Tensor:
    """(1 - epsilon) w nll + epsilon prior_nll with w = `tailr_weight`, held constant: improbable labels count less.

    Source: Ji et al., ICLR 2023, in the form of its released code, thu-coai/TaiLr at 12f209cf: the weight comes from
    the training pass, the smoothing term is not weighted, and its prior is uniform over all V pieces.
    gamma = 0 gives w = 1, that is `label_smoothing`; gamma = 1 gives w = p_y. With epsilon = 0 no prior is read.
    """
    weight = tailr_weight(statistics, gamma=gamma, min_weight=min_weight)
    if epsilon == 0:
        return weight * statistics.nll
    return (1 - epsilon) * weight * statistics.nll + epsilon * statistics.prior_nll


def kl_label_smoothing(statistics: LogitStatistics, *, epsilon: float, vocab_size: int) -> Tensor:
    """sum_v q_v (log q_v - log p_v) with q_y = 1 - epsilon and q_v = epsilon / V elsewhere; r must be uniform.

    Source: the KL form of the tutorial that this project started from. Defect, kept: q sums to 1 - epsilon / V, so
    this is not a divergence, and its value lies below the cross-entropy by sum_v -q_v log q_v.
    """
    share = epsilon / vocab_size
    log_q = (1 - epsilon) * math.log(1 - epsilon) + ((vocab_size - 1) * share * math.log(share) if share else 0.0)
    return log_q + (1 - epsilon - share) * statistics.nll + epsilon * statistics.prior_nll


def smoothing_epsilon(convention: SmoothingConvention, *, epsilon: float, vocab_size: int) -> float:
    """The epsilon of `label_smoothing` that equals `epsilon` in a toolkit's convention.

    | convention | the mass epsilon goes to | used by |
    |---|---|---|
    | `torch` | all V pieces, the label too | torch, Sockeye, Marian, OpenNMT-py since 3.0.3, fairseq before Feb 2021 |
    | `fairseq` | the V - 1 others | fairseq since 791ab7c2, tensor2tensor, THUMT |
    | `no_pad` | the V - 2 others that are not padding | JoeyNMT, OpenNMT-py up to 3.0.2 |
    """
    match convention:
        case "torch":
            return epsilon
        case "fairseq":
            return epsilon * vocab_size / (vocab_size - 1)
        case "no_pad":
            return epsilon * (vocab_size - 1) / (vocab_size - 2)
        case _:
            assert_never(convention)


def smoothing_prior(convention: SmoothingConvention, *, vocab_size: int, pad_id: int) -> Tensor:
    """The prior [V] of a convention, float64: uniform, for `no_pad` over all pieces but padding.

    Raises:
        ValueError: `no_pad` with a `pad_id` that is no piece of the vocabulary.
    """
    prior = torch.ones(vocab_size, dtype=torch.float64)
    match convention:
        case "torch" | "fairseq":
            pass
        case "no_pad":
            if not 0 <= pad_id < vocab_size:
                raise ValueError(f"the no_pad convention needs a pad_id from 0 to {vocab_size - 1}, not {pad_id}")
            prior[pad_id] = 0
        case _:
            assert_never(convention)
    return prior / prior.sum()
