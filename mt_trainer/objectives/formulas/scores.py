"""Strictly proper scores as losses, and the z-loss. Notation: see `smoothing.py`; S2 = sum_v p_v^2."""

from torch import Tensor

from mt_trainer.objectives.logit_statistics import LogitStatistics


def brier(statistics: LogitStatistics, *, epsilon: float, vocab_size: int) -> Tensor:
    """(1 - epsilon) (S2 - 2 p_y) + epsilon (S2 - 2 / V) + M, with M = (epsilon / V) `tail_nll` below epsilon / V.

    Source: Shao et al., ICML 2024, in the form of their code, shaochenze/ScoringRulesLM at 4af3587d: the mean of the
    score over all labels takes the place of smoothing, and M saves pieces whose probability collapses, where a bounded
    score has no slope. Deviation: log p is z - logsumexp, where theirs is infinite if a probability underflows.
    """
    sum_sq_prob, p = statistics.sum_sq_prob, statistics.target_log_prob.exp()
    if epsilon == 0:
        return sum_sq_prob - 2 * p
    return sum_sq_prob - 2 * ((1 - epsilon) * p + epsilon / vocab_size) + epsilon / vocab_size * statistics.tail_nll


def spherical(statistics: LogitStatistics, *, epsilon: float, vocab_size: int) -> Tensor:
    """-((1 - epsilon) p_y + epsilon / V) / sqrt(S2) + M, with M as in `brier`; S2 is at least 1 / V.

    Source and deviation: as for `brier`.
    """
    length, p = statistics.sum_sq_prob.sqrt(), statistics.target_log_prob.exp()
    if epsilon == 0:
        return -p / length
    return -((1 - epsilon) * p + epsilon / vocab_size) / length + epsilon / vocab_size * statistics.tail_nll


def z_loss(statistics: LogitStatistics, *, coefficient: float) -> Tensor:
    """coefficient logsumexp(z)^2, added to an objective: it keeps the logits from drifting off together.

    It is the one term here that a constant added to the logits changes.
    """
    return coefficient * statistics.logsumexp.square()
