"""TranslationLoss: an objective over a vocabulary, as sums for our training step and as means for other people's loops.

Shapes: B sentences, T positions of the target with BOS, N tokens, D width, V vocabulary.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mt_trainer.objectives.linear import linear_objective
from mt_trainer.objectives.logit_statistics import LogitStatistics, Statistic, logit_statistics
from mt_trainer.objectives.objective import Objective, label_smoothing_objective

TUTORIAL_SMOOTHING = 0.1


class LossSums(NamedTuple):
    """Sums over the tokens that are not padding; 0-dimensional tensors, so that adding batches and ranks is `+`.

    Attributes:
        loss: the objective, in nats; the only one that carries a graph.
        nll: -log p of the labels, in nats, whatever the objective.
        num_correct: tokens whose label has the largest logit; a tie counts, but with diagnostics the first piece wins.
        num_tokens: tokens that are not padding.
        entropy: entropy of the model's distribution, in nats; only with diagnostics.
        confidence: the largest probability; only with diagnostics.
        weight: token weights of the objective, if it weights tokens.
        num_at_floor: tokens whose weight is the least possible, if it weights tokens.
    """

    loss: Tensor
    nll: Tensor
    num_correct: Tensor
    num_tokens: Tensor
    entropy: Tensor | None
    confidence: Tensor | None
    weight: Tensor | None
    num_at_floor: Tensor | None


class TranslationLoss(nn.Module):
    """The loss of a translation model."""

    prior: Tensor | None

    def __init__(
        self, vocab_size: int, pad_id: int = 0, smoothing: float | None = None, *, objective: Objective | None = None
    ) -> None:
        """Label smoothing in torch's convention, as the tutorial has it, or any objective.

        Args:
            vocab_size: V, the number of output pieces, special ones included.
            pad_id: the label that does not count; it need not be in the vocabulary (-100 is fine).
            smoothing: epsilon of label smoothing, 0.1 if nothing is given.
            objective: anything from `build_objective`, instead of `smoothing`.

        Raises:
            ValueError: both are given, or `smoothing` is outside 0 <= smoothing < 1.
        """
        super().__init__()
        if objective is None:
            epsilon = TUTORIAL_SMOOTHING if smoothing is None else smoothing
            objective = label_smoothing_objective("torch", epsilon=epsilon, vocab_size=vocab_size, pad_id=pad_id)
        elif smoothing is not None:
            raise ValueError("`smoothing` has no effect beside `objective`: give one of them")
        self.vocab_size = vocab_size
        self.pad_id = pad_id
        self.objective = objective
        # It stays float64, as exact as it was built; it is cast where the statistics' own precision is known.
        self.register_buffer("prior", objective.prior, persistent=False)

    def sums(
        self,
        hidden: Tensor,
        output_weight: Tensor,
        labels: Tensor,
        *,
        with_diagnostics: bool = False,
        matmul_dtype: torch.dtype | None = None,
        chunk_rows: int | None = None,
    ) -> LossSums:
        """Sums over N tokens without forming their logits; `loss` is differentiable once, by `hidden` and the weight.

        Args:
            hidden: [N, D], what the output projection reads.
            output_weight: [V, D].
            labels: [N] int64; padding counts nothing.
            with_diagnostics: entropy and confidence too, and accuracy by the exact argmax; for evaluation.
            matmul_dtype: precision of the matrix products, by default that of `hidden`; statistics are float32.
            chunk_rows: tokens whose logits are held at once, by default what suits the device.
        """
        mask = labels != self.pad_id
        needs = self.objective.needs
        if with_diagnostics:
            needs = needs | {Statistic.ENTROPY, Statistic.ARGMAX}
        loss, statistics = linear_objective(
            hidden,
            output_weight,
            labels.where(mask, 0),
            function=self.objective.function,
            mask=mask,
            prior=self.prior,
            needs=needs,
            chunk_rows=chunk_rows,
            matmul_dtype=matmul_dtype,
        )
        return self._summarize(loss, statistics, labels, mask, with_diagnostics)

    @torch.no_grad()
    def _summarize(
        self, loss: Tensor, statistics: LogitStatistics, labels: Tensor, mask: Tensor, with_diagnostics: bool
    ) -> LossSums:
        if with_diagnostics:
            is_correct = statistics.argmax == labels
        else:
            is_correct = statistics.target_logit == statistics.max_logit
        weight = num_at_floor = None
        if self.objective.weight is not None:
            weights = self.objective.weight.function(statistics)
            weight = weights.where(mask, 0).sum()
            num_at_floor = ((weights <= self.objective.weight.floor) & mask).sum()
        return LossSums(
            loss=loss,
            nll=statistics.nll.where(mask, 0).sum(),
            num_correct=(is_correct & mask).sum(),
            num_tokens=mask.sum(),
            entropy=statistics.entropy.where(mask, 0).sum() if with_diagnostics else None,
            confidence=statistics.max_log_prob.exp().where(mask, 0).sum() if with_diagnostics else None,
            weight=weight,
            num_at_floor=num_at_floor,
        )

    def forward(self, logits: Tensor, target_ids: Tensor) -> dict[str, Tensor]:
        """Means over the tokens that are not padding, for a training loop that has logits; zeros where there is none.

        Args:
            logits: [B, T-1, V], for the positions after BOS.
            target_ids: [B, T] int64, BOS first; it is removed here.

        Returns:
            `loss` (with its graph), `nll_loss` (never smoothed), `accuracy`, `num_tokens`: 0-dimensional tensors.

        Raises:
            ValueError: the shapes do not fit together.
        """
        labels = target_ids[:, 1:]
        if logits.shape != (*labels.shape, self.vocab_size):
            raise ValueError(
                f"logits {list(logits.shape)} do not fit target_ids {list(target_ids.shape)} "
                f"and a vocabulary of {self.vocab_size}: [B, T-1, V] and [B, T] are expected, BOS at position 0"
            )
        labels = labels.reshape(-1)
        mask = labels != self.pad_id
        statistics = logit_statistics(
            logits.reshape(-1, self.vocab_size),
            labels.where(mask, 0),
            prior=self.prior,
            needs=self.objective.needs | {Statistic.ARGMAX},
        )
        num_tokens = mask.sum()
        denominator = num_tokens.clamp(min=1)
        return {
            "loss": self.objective.function(statistics).where(mask, 0).sum() / denominator,
            "nll_loss": statistics.nll.detach().where(mask, 0).sum() / denominator,
            "accuracy": ((statistics.argmax == labels) & mask).sum() / denominator,
            "num_tokens": num_tokens,
        }
