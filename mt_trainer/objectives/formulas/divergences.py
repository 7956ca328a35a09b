"""Objectives over two distributions: of the model and its second pass, or of the model and a teacher.

Notation: p the model's distribution, q that of its second pass, t the teacher's, y the label, `nll` = -log p_y,
KL(a, b) = sum_v a_v (log a_v - log b_v). All are in nats per token, and written in log-probabilities, which are finite
for any finite logits.
"""

import math
from typing import Literal, assert_never

import torch
from torch import Tensor

from mt_trainer.objectives.logit_statistics import LogitStatistics, required
from mt_trainer.objectives.objective import LogitPair

Divergence = Literal["forward_kl", "reverse_kl", "symmetric_kl", "skewed_forward_kl", "skewed_reverse_kl", "js", "tv"]

LEAST_RESIDUAL = 1e-5
"""Below this the student's residual of `ghost_distillation` counts as this, and has no gradient."""


def r_drop(pair: LogitPair, *, alpha: float, epsilon: float) -> Tensor:
    """LS(p) + LS(q) + alpha (KL(p, q) + KL(q, p)) / 2, with LS = (1 - epsilon) nll + epsilon mean_v(-log p_v).

    Source: Liang et al., NeurIPS 2021, as released (dropreg/R-Drop at 9dcc8302): a sum over both passes for each token
    of one, so that cross-entropy counts twice. `epsilon` is that of torch's convention, see `smoothing_epsilon`.
    The two divergences add up to sum_v (p_v - q_v) (log p_v - log q_v), of which no term is negative.
    """
    log_p, log_q = pair.logits.log_softmax(dim=-1), pair.other.log_softmax(dim=-1)
    both = _smoothed(log_p, pair.labels, epsilon) + _smoothed(log_q, pair.labels, epsilon)
    return both + alpha / 2 * ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(dim=-1)


def _smoothed(log_p: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    return -(1 - epsilon) * _at(log_p, labels) - epsilon * log_p.mean(dim=-1)


def _at(log_p: Tensor, labels: Tensor) -> Tensor:
    return log_p.gather(-1, labels.unsqueeze(-1)).squeeze(-1)


def distillation(pair: LogitPair, *, divergence: Divergence, mix: float, skew: float, temperature: float) -> Tensor:
    """(1 - mix) nll + mix T^2 D(t, p), with both logits divided by the temperature T in D.

    | divergence | D, with a = `skew` | source |
    |---|---|---|
    | `forward_kl` | -sum_v t_v log p_v = KL(t, p) + H(t) | Kim & Rush 2016, T after Hinton et al. 2015 |
    | `reverse_kl` | KL(p, t) | DistiLLM |
    | `symmetric_kl` | (1 - a) `forward_kl` + a `reverse_kl` | DistiLLM, a = 0.9 |
    | `skewed_forward_kl` | -sum_v t_v log m_v, m = a t + (1 - a) p | DistiLLM, a = 0.1 |
    | `skewed_reverse_kl` | KL(p, m), m = (1 - a) t + a p | DistiLLM, a = 0.1 |
    | `js` | a KL(p, m) + (1 - a) KL(t, m), m = (1 - a) t + a p | DistiLLM, a = 0.9 |
    | `tv` | sum_v abs(p_v - t_v) / 2 | DistiLLM |

    Source: Ko et al., ICML 2024, jongwooko/distillm at d47e77ff, for all but mix and T. As there, the forward forms
    leave out -H(t), a constant: they are cross-entropies. The skewed forms and `js` need 0 < skew < 1.
    """
    log_p = (pair.logits / temperature).log_softmax(dim=-1)
    log_t = (pair.other / temperature).log_softmax(dim=-1)
    apart = temperature**2 * _divergence(log_p, log_t, divergence=divergence, skew=skew)
    return (1 - mix) * -_at(pair.logits.log_softmax(dim=-1), pair.labels) + mix * apart


def _divergence(log_p: Tensor, log_t: Tensor, *, divergence: Divergence, skew: float) -> Tensor:
    match divergence:
        case "forward_kl":
            return _cross_entropy(log_t, log_p)
        case "reverse_kl":
            return _kl(log_p, log_t)
        case "symmetric_kl":
            return (1 - skew) * _cross_entropy(log_t, log_p) + skew * _kl(log_p, log_t)
        case "skewed_forward_kl":
            return _cross_entropy(log_t, _mixture(log_t, log_p, skew))
        case "skewed_reverse_kl":
            return _kl(log_p, _mixture(log_p, log_t, skew))
        case "js":
            mixture = _mixture(log_p, log_t, skew)
            return skew * _kl(log_p, mixture) + (1 - skew) * _kl(log_t, mixture)
        case "tv":
            return (log_p.exp() - log_t.exp()).abs().sum(dim=-1) / 2
        case _:
            assert_never(divergence)


def _cross_entropy(log_a: Tensor, log_b: Tensor) -> Tensor:
    return -(log_a.exp() * log_b).sum(dim=-1)


def _kl(log_a: Tensor, log_b: Tensor) -> Tensor:
    return (log_a.exp() * (log_a - log_b)).sum(dim=-1)


def _mixture(log_a: Tensor, log_b: Tensor, share: float) -> Tensor:
    """log(share a + (1 - share) b)."""
    return torch.logaddexp(log_a + math.log(share), log_b + math.log1p(-share))


def sparse_distillation(statistics: LogitStatistics, *, mix: float) -> Tensor:
    """(1 - mix) nll + mix sum_k t_k (-log p_k), over some pieces of the teacher's, their weights t_k scaled to one.

    With the pieces drawn from the teacher, t_k their counts divided by their number, its gradient is on average that of
    distillation from the whole distribution (Anshumann et al., ACL 2025). With the teacher's best pieces it is biased:
    the student becomes too sure of them; see `ghost_distillation`.
    """
    log_p = statistics.gathered_log_prob
    weights = required(statistics.inputs.id_weights, "id_weights").to(log_p)
    shares = weights / weights.sum(dim=-1, keepdim=True)
    return (1 - mix) * statistics.nll - mix * (shares * log_p).sum(dim=-1)


def ghost_distillation(statistics: LogitStatistics, *, mix: float) -> Tensor:
    """(1 - mix) nll + mix (sum_k t_k (-log p_k) - t_0 log p_0), t_k the teacher's probabilities of its best pieces.

    t_0 = 1 - sum_k t_k and p_0 = 1 - sum_k p_k stand for all other pieces as if they were one. Source: Anshumann et
    al., ACL 2025 (slides). Deviation: p_0 is held above `LEAST_RESIDUAL`, below which its logarithm is noise.
    """
    log_p = statistics.gathered_log_prob
    weights = required(statistics.inputs.id_weights, "id_weights").to(log_p)
    rest, log_rest = 1 - weights.sum(dim=-1), (1 - log_p.exp().sum(dim=-1)).clamp(min=LEAST_RESIDUAL).log()
    return (1 - mix) * statistics.nll - mix * ((weights * log_p).sum(dim=-1) + rest * log_rest)
