"""Unlikelihood of repetitions. Notation: see `smoothing.py`."""

from torch import Tensor

from mt_trainer.objectives.formulas.token_weights import weighted_nll
from mt_trainer.objectives.logit_statistics import LogitStatistics, required


def repetition_penalty(statistics: LogitStatistics) -> Tensor:
    """sum_c -log(1 - p_c) over the pieces `inputs.ids` as weighted by `id_weights`; 1 - p_c counts as 1e-5 at least."""
    chance_of_others = (-statistics.gathered_log_prob.expm1()).clamp(min=1e-5)
    return -(required(statistics.inputs.id_weights, "id_weights") * chance_of_others.log()).sum(dim=-1)


def unlikelihood(statistics: LogitStatistics, *, alpha: float, epsilon: float) -> Tensor:
    """(1 - epsilon) nll + epsilon prior_nll + alpha `repetition_penalty`; alpha = 0 is `label_smoothing`.

    Source: Welleck et al., ICLR 2020, token level, with the clamp of facebookresearch/unlikelihood_training at
    94446558. Deviations: the pieces are those before the token in its own sentence, where the official code lets
    sentences before it in the batch leak in, and it takes padding for one of them.
    """
    smoothed = weighted_nll(statistics, statistics.nll.new_ones(()), epsilon=epsilon)
    return smoothed + alpha * repetition_penalty(statistics)
