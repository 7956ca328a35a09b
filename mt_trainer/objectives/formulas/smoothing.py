"""Cross-entropy and its smoothed forms: functions of per-token logit statistics, in nats per token.

Notation here and in the other files of formulas: z the logits of a token, p = softmax(z), y its label,
`nll` = -log p_y, r a fixed prior over the vocabulary, `prior_nll` = -sum_v r_v log p_v, V the size of the vocabulary
including the special pieces. Losses are summed over real tokens and divided once, by their number.
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


def kl_label_smoothing(statistics: LogitStatistics, *, epsilon: float, vocab_size: int) -> Tensor:
    """sum_v q_v (log q_v - log p_v) with q_y = 1 - epsilon and q_v = epsilon / V elsewhere; r must be uniform.

    Source: the KL form of the tutorial that this project started from. Defect, kept: q sums to 1 - epsilon / V, so
    this is not a divergence, and its value lies below the cross-entropy by sum_v -q_v log q_v.
    """
    share = epsilon / vocab_size
    log_q = (1 - epsilon) * math.log(1 - epsilon) + ((vocab_size - 1) * share * math.log(share) if share else 0.0)
    return log_q + (1 - epsilon - share) * statistics.nll + epsilon * statistics.prior_nll


def class_weight(statistics: LogitStatistics) -> Tensor:
    """w_y, the weight of the label."""
    return statistics.label_value


def class_weighted(statistics: LogitStatistics, *, epsilon: float, mean_weight: float) -> Tensor:
    """(1 - epsilon) w_y nll + (epsilon / V) sum_v w_v (-log p_v), with w as `label_value` and r_v = w_v / sum_u w_u.

    Source: `torch.nn.CrossEntropyLoss(weight=w, label_smoothing=epsilon, reduction="sum")`; `mean_weight` is that of
    w over the vocabulary. Deviation: torch's "mean" divides by the sum of w_y, here the number of tokens divides.
    With epsilon = 0 no prior is read.
    """
    weighted_nll = class_weight(statistics) * statistics.nll
    if epsilon == 0:
        return weighted_nll
    return (1 - epsilon) * weighted_nll + epsilon * mean_weight * statistics.prior_nll


def weighted_label_smoothing(statistics: LogitStatistics, *, alpha: float, own_share: float) -> Tensor:
    """(1 - alpha - alpha own_share) nll + alpha prior_nll, where r gives each group of pieces its share of alpha.

    Source: Chen et al., ACL 2022, in the form of their code, chenllliang/MLS at e30b24b4; `own_share` is r_v of a piece
    of the target side only. Defect, kept: the label's mass is lessened by what that group's pieces get, but all of them
    get it, the label too. So the target sums to 1 - alpha own_share, whatever the label.
    """
    return (1 - alpha - alpha * own_share) * statistics.nll + alpha * statistics.prior_nll


def graduated_epsilon(
    statistics: LogitStatistics, *, thresholds: tuple[float, float], epsilons: tuple[float, float, float]
) -> Tensor:
    """The epsilon of each token by the probability of its label, without gradient: below, between and above."""
    p = statistics.target_log_prob.detach().exp()
    low, middle, high = (torch.full_like(p, epsilon) for epsilon in epsilons)
    return middle.where(p >= thresholds[0], low).where(p <= thresholds[1], high)


def graduated_label_smoothing(
    statistics: LogitStatistics, *, thresholds: tuple[float, float], epsilons: tuple[float, float, float]
) -> Tensor:
    """(1 - e) nll + e prior_nll with e = `graduated_epsilon`, held constant: the surer the model, the more smoothing.

    Source: Wang et al., ACL 2020. Deviation: there the probability is that of a trained model with uniform smoothing,
    here that of the model in training. No official code of it is known.
    """
    epsilon = graduated_epsilon(statistics, thresholds=thresholds, epsilons=epsilons)
    return (1 - epsilon) * statistics.nll + epsilon * statistics.prior_nll


def smoothing_epsilon(convention: SmoothingConvention, *, epsilon: float, num_pieces: int) -> float:
    """The epsilon of `label_smoothing` that equals `epsilon` in a toolkit's convention.

    | convention | the mass epsilon goes to | used by |
    |---|---|---|
    | `torch` | all V pieces, the label too | torch, Sockeye, Marian, OpenNMT-py since 3.0.3, fairseq before Feb 2021 |
    | `fairseq` | the V - 1 others | fairseq since 791ab7c2, tensor2tensor, THUMT |
    | `no_pad` | the V - 2 others that are not padding | JoeyNMT, OpenNMT-py up to 3.0.2 |

    Args:
        convention: one of the above.
        epsilon: as in that toolkit.
        num_pieces: V; for masked label smoothing (Chen et al., ACL 2022) the pieces that the prior is shared by.
    """
    match convention:
        case "torch":
            return epsilon
        case "fairseq":
            return epsilon * num_pieces / (num_pieces - 1)
        case "no_pad":
            return epsilon * (num_pieces - 1) / (num_pieces - 2)
        case _:
            assert_never(convention)
