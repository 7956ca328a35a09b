"""Penalties on certainty: low entropy costs. Notation: see `smoothing.py`; H is the entropy of p, in nats."""

from torch import Tensor

from mt_trainer.objectives.logit_statistics import LogitStatistics


def confidence_penalty(statistics: LogitStatistics, *, beta: float) -> Tensor:
    """nll - beta H, which is nll + beta KL(p || uniform) less the constant beta log V.

    Source: Pereyra et al. 2017; code, rycolab/entropyRegularization at 1dff1671.
    """
    return statistics.nll - beta * statistics.entropy


def thresholded_confidence_penalty(statistics: LogitStatistics, *, beta: float, threshold: float) -> Tensor:
    """nll + beta max(0, threshold - H): only an entropy below the threshold costs.

    Source: Pereyra et al. 2017. Deviation: they print `nll - beta max(0, threshold - H)`, which would reward
    certainty; the sign here is the one that their text describes.
    """
    return statistics.nll + beta * (threshold - statistics.entropy).clamp(min=0)


def unigram_confidence_penalty(statistics: LogitStatistics, *, beta: float) -> Tensor:
    """nll + beta KL(p || u) = nll - beta (H + sum_v p_v log u_v), with log u as `expected_value`.

    Source: Pereyra et al. 2017; code, rycolab/entropyRegularization at 1dff1671. Deviation: a piece that never occurs
    counts as one occurrence in u, since its logarithm would be infinite.
    """
    return statistics.nll - beta * (statistics.entropy + statistics.expected_value)
