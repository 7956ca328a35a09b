"""Cross-entropy with a weight for each token. Notation: see `smoothing.py`.

All but the focal loss hold the weight constant. It multiplies the nll and not the smoothing term, except where said.
The weights are not normalised: where they are small, so are the steps, which Adam hides for the most part.
"""

from torch import Tensor

from mt_trainer.objectives.logit_statistics import LogitStatistics


def weighted_nll(statistics: LogitStatistics, weight: Tensor, *, epsilon: float) -> Tensor:
    """(1 - epsilon) w nll + epsilon prior_nll; with epsilon = 0 no prior is read."""
    if epsilon == 0:
        return weight * statistics.nll
    return (1 - epsilon) * weight * statistics.nll + epsilon * statistics.prior_nll


def tailr_weight(statistics: LogitStatistics, *, gamma: float, min_weight: float) -> Tensor:
    """The token weight of `tailr`, without gradient: p_y / (gamma + (1 - gamma) p_y), within [min_weight, 1].

    p_y is that of `inputs.weight_nll` where it is given. Deviation from the official code: the fraction is written
    1 / (1 - gamma + gamma exp(nll)) with nll capped at 80, which is the same number, but neither 0/0 nor NaN where a
    probability underflows.
    """
    nll = statistics.nll.detach() if statistics.inputs.weight_nll is None else statistics.inputs.weight_nll
    return (1 / (1 - gamma + gamma * nll.clamp(max=80.0).exp())).clamp(min=min_weight, max=1.0)


def tailr(statistics: LogitStatistics, *, gamma: float, min_weight: float, epsilon: float) -> Tensor:
    """(1 - epsilon) w nll + epsilon prior_nll with w = `tailr_weight`, held constant: improbable labels count less.

    Source: Ji et al., ICLR 2023, in the form of its released code, thu-coai/TaiLr at 12f209cf: the weight comes from
    the training pass, the smoothing term is not weighted, and its prior is uniform over all V pieces. The compiled
    files of that repository's first commit took p_y from a copy of the model in evaluation mode.
    gamma = 0 gives w = 1, that is `label_smoothing`; gamma = 1 gives w = p_y.
    """
    return weighted_nll(statistics, tailr_weight(statistics, gamma=gamma, min_weight=min_weight), epsilon=epsilon)


def mixce_weight(statistics: LogitStatistics, *, eta: float) -> Tensor:
    """eta + (1 - eta) p_y, without gradient."""
    return eta + (1 - eta) * statistics.target_log_prob.detach().exp()


def mixce(statistics: LogitStatistics, *, eta: float) -> Tensor:
    """w nll with w = `mixce_weight`, held constant: eta forward and 1 - eta (approximate) reverse cross-entropy.

    Source: Zhang et al., ACL 2023, in the form of DRSY/EMO at 14da9d5b, whose gpt2.py has it too. eta = 1 is
    cross-entropy.
    """
    return mixce_weight(statistics, eta=eta) * statistics.nll


def gold_delta_weight(statistics: LogitStatistics, *, min_weight: float) -> Tensor:
    """p_y, within [min_weight, 1], without gradient."""
    return statistics.target_log_prob.detach().exp().clamp(min=min_weight)


def gold_delta(statistics: LogitStatistics, *, min_weight: float, epsilon: float) -> Tensor:
    """(1 - epsilon) w nll + epsilon prior_nll with w = `gold_delta_weight`, held constant.

    Source: GOLD, Pang & He, ICLR 2021, with a constant reward. Deviation: p_y is the model's own, not that of a copy
    made some steps ago. It is `tailr` with gamma = 1; min_weight = 1 is `label_smoothing`.
    """
    return weighted_nll(statistics, gold_delta_weight(statistics, min_weight=min_weight), epsilon=epsilon)


def focal_weight(statistics: LogitStatistics, *, gamma: float) -> Tensor:
    """(1 - p_y)^gamma, with gradient; gamma is 0 or at least 1, since between them the slope at p_y = 1 is infinite."""
    return (-statistics.target_log_prob.expm1()).pow(gamma)


def focal(statistics: LogitStatistics, *, gamma: float) -> Tensor:
    """w nll with w = `focal_weight`, with gradient through the weight: probable labels count less.

    Source: Lin et al. 2017. gamma = 0 is cross-entropy.
    """
    return focal_weight(statistics, gamma=gamma) * statistics.nll


def anti_focal_weight(statistics: LogitStatistics, *, alpha: float, gamma: float) -> Tensor:
    """(1 + alpha p_y)^gamma, without gradient."""
    return (1 + alpha * statistics.target_log_prob.detach().exp()).pow(gamma)


def anti_focal(statistics: LogitStatistics, *, alpha: float, gamma: float) -> Tensor:
    """w nll with w = `anti_focal_weight`, held constant: probable labels count more.

    Source: Raunak et al., Findings of EMNLP 2020, in the form of their code, vyraun/long-tailed at e6c94a77.
    """
    return anti_focal_weight(statistics, alpha=alpha, gamma=gamma) * statistics.nll


def held_nll(statistics: LogitStatistics) -> Tensor:
    """nll without gradient, by whose mean over a sentence loss truncation judges it (Kang & Hashimoto, ACL 2020)."""
    return statistics.nll.detach()


def error_norm(statistics: LogitStatistics) -> Tensor:
    """The length of the error vector p - onehot(y), sqrt(sum_v p_v^2 - 2 p_y + 1), without gradient."""
    p = statistics.target_log_prob.detach().exp()
    return (statistics.sum_sq_prob.detach() - 2 * p + 1).clamp(min=0).sqrt()


def error_norm_weight(statistics: LogitStatistics, *, threshold: float) -> Tensor:
    """1 where `error_norm` is at most the threshold, else 0."""
    return (error_norm(statistics) <= threshold).to(statistics.nll)


def error_norm_truncation(statistics: LogitStatistics, *, threshold: float, epsilon: float) -> Tensor:
    """w ((1 - epsilon) nll + epsilon prior_nll) with w = `error_norm_weight`: the smoothing term is left out too.

    Source: Li et al., ICLR 2024, in the form of their code, tianjianl/error_norm_truncation at c29b9721. The
    denominator stays all tokens.
    """
    weight = error_norm_weight(statistics, threshold=threshold)
    return weight * weighted_nll(statistics, weight, epsilon=epsilon)
