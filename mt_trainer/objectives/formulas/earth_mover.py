"""EMO: an upper bound of the earth mover's distance beside cross-entropy. Notation: see `smoothing.py`."""

from typing import Literal

from torch import Tensor

from mt_trainer.objectives.logit_statistics import LogitStatistics


def embedding_distance(statistics: LogitStatistics, *, adaptive: bool) -> Tensor:
    """d = 1 - sum_v p_v cos(E_y, E_v), for the rows E_v of `embedding`, which have length one.

    `adaptive` adds p_y, held constant: it changes the value, not the gradient. A value that rounding puts below zero is
    zero, with the gradient that it has.
    """
    distance = 1 - (statistics.expected_embedding * statistics.label_embedding).sum(dim=-1)
    distance = distance - distance.detach().clamp(max=0)
    return distance + statistics.target_log_prob.detach().exp() if adaptive else distance


def earth_mover(statistics: LogitStatistics, *, variant: Literal[1, 2], adaptive: bool) -> Tensor:
    """Variant 1: (nll + [nll / (d + 1e-10)] d) / 2; variant 2: d + [d / (nll + 1e-10)] nll; the brackets constant.

    Source: Ren et al., ICLR 2024, in the form of their code, DRSY/EMO at 14da9d5b, where the adaptive versions take
    d = `embedding_distance` from the model's own output embedding, as here. Deviations: theirs that are not adaptive
    use a fixed pre-trained embedding, which a model trained from scratch does not have; and a d that rounding
    put below zero counts as zero.
    """
    distance, nll = embedding_distance(statistics, adaptive=adaptive), statistics.nll
    held_distance, held_nll = distance.detach(), nll.detach()
    if variant == 1:
        return 0.5 * (nll + held_nll / (held_distance + 1e-10) * distance)
    return distance + held_distance / (held_nll + 1e-10) * nll
