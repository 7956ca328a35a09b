"""TranslationLoss: an objective over a vocabulary, as sums for our training step and as means for other people's loops.

Shapes: B sentences, T positions of the target with BOS, N tokens, D and E widths, V vocabulary.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mt_trainer.objectives.build import label_smoothing_objective
from mt_trainer.objectives.logit_statistics import LogitStatistics, Statistic, logit_statistics, statistics_dtype
from mt_trainer.objectives.loss_sums import LossSums
from mt_trainer.objectives.objective import AnyObjective, Objective, PairObjective, Source
from mt_trainer.objectives.projection.linear import linear_logit_statistics, linear_objective
from mt_trainer.objectives.projection.linear_pair import linear_pair_objective
from mt_trainer.objectives.running_quantile import Join
from mt_trainer.objectives.sentences import previous_targets
from mt_trainer.objectives.token_inputs import Constants, TokenInputs
from mt_trainer.objectives.truncator import Truncator, truncator_for

TUTORIAL_SMOOTHING = 0.1

DIAGNOSTICS = frozenset({Statistic.ENTROPY, Statistic.ARGMAX})


class TranslationLoss(nn.Module):
    """The loss of a translation model.

    An objective may change with the step, and one that leaves out tokens learns from each step what to leave out in the
    next ones: begin every optimizer step with `start_step` and finish it with `end_step`. Others do without. In
    evaluation mode nothing is left out.

    Attributes:
        objective: as it was built.
        current: as it stands at the step.
        truncator: what leaves out tokens, if the current objective does; its scores are the module's only state.
    """

    def __init__(
        self,
        vocab_size: int,
        pad_id: int = 0,
        smoothing: float | None = None,
        *,
        objective: AnyObjective | None = None,
        logit_buffer_bytes: int | None = None,
    ) -> None:
        """Label smoothing in torch's convention, as the tutorial has it, or any objective.

        Args:
            vocab_size: V, the number of output pieces, special ones included.
            pad_id: the label that does not count; it need not be in the vocabulary (-100 is fine).
            smoothing: epsilon of label smoothing, 0.1 if nothing is given.
            objective: anything from `build_objective`, instead of `smoothing`.
            logit_buffer_bytes: memory for logits; None for what suits the device.

        Raises:
            ValueError: both are given, or `smoothing` is outside 0 <= smoothing < 1.
        """
        super().__init__()
        if objective is None:
            epsilon = TUTORIAL_SMOOTHING if smoothing is None else smoothing
            objective = label_smoothing_objective("torch", epsilon=epsilon, vocab_size=vocab_size, pad_id=pad_id)
        elif smoothing is not None:
            raise ValueError("`smoothing` has no effect beside `objective`: give one of them")
        self.vocab_size, self.pad_id, self.logit_buffer_bytes = vocab_size, pad_id, logit_buffer_bytes
        self.objective = objective
        self.truncator: Truncator | None = None
        self._moved: tuple[Constants, torch.device, torch.dtype, Constants] | None = None
        self.start_step(1)

    def start_step(self, step: int) -> None:
        """Take the objective as it stands at a step, counted from 1."""
        self.current = self.objective.at(step)
        truncation = self.current.truncation if isinstance(self.current, Objective) else None
        self.truncator = truncator_for(truncation, self.truncator)

    def end_step(self, is_finite: Tensor | bool = True, join: Join = list) -> None:
        """Let what was seen in the step decide, from the next step on, what is left out.

        Args:
            is_finite: False for a step that did not change the weights: what was seen in it is forgotten.
            join: of several processes that share a step, what all of them have seen.
        """
        if self.truncator is not None:
            self.truncator.quantile.end_step(is_finite, join)

    def sums(
        self,
        hidden: Tensor,
        output_weight: Tensor,
        labels: Tensor | TokenInputs,
        *,
        sentences: Tensor | None = None,
        with_diagnostics: bool = False,
        matmul_dtype: torch.dtype | None = None,
        chunk_rows: int | None = None,
    ) -> LossSums:
        """Sums over N tokens without forming their logits; `loss` is differentiable once, by `hidden` and the weight.

        Args:
            hidden: [N, D], what the output projection reads.
            output_weight: [V, D].
            labels: [N] int64, or with whatever else the objective reads; padding counts nothing.
            sentences: [N] int64 from 0 to N - 1, for an objective that leaves out whole sentences.
            with_diagnostics: entropy and confidence too, and accuracy by the exact argmax; for evaluation.
            matmul_dtype: precision of the matrix products, by default that of `hidden`; statistics are float32.
            chunk_rows: tokens whose logits are held at once, by default what suits the device.

        Raises:
            ValueError: the objective compares two distributions, or lacks something that it reads.
        """
        objective = self._objective_of_one()
        inputs = labels if isinstance(labels, TokenInputs) else TokenInputs(labels)
        mask = inputs.labels != self.pad_id
        inputs = replace(inputs, labels=inputs.labels.where(mask, 0))
        constants = self._constants(hidden.device, statistics_dtype(matmul_dtype or hidden.dtype))
        if objective.embeds_with_output:
            constants = with_normed_embedding(constants, output_weight)
        how: dict[str, Any] = {
            "constants": constants,
            "chunk_rows": chunk_rows,
            "matmul_dtype": matmul_dtype,
            "logit_buffer_bytes": self.logit_buffer_bytes,
        }
        kept = mask
        if self.truncator is not None and self.training:
            with torch.no_grad():
                known = linear_logit_statistics(hidden, output_weight, inputs, needs=objective.needs, **how)
            kept = self.truncator.kept(known, mask, sentences)
        loss, statistics = linear_objective(
            hidden,
            output_weight,
            inputs,
            function=objective.function,
            mask=kept,
            needs=objective.needs | (DIAGNOSTICS if with_diagnostics else frozenset()),
            **how,
        )
        return self._summarize(loss, statistics, mask, kept, with_diagnostics)

    def pair_sums(
        self,
        hidden: Tensor,
        output_weight: Tensor,
        other_hidden: Tensor,
        other_output_weight: Tensor,
        labels: Tensor,
        *,
        with_diagnostics: bool = False,
        matmul_dtype: torch.dtype | None = None,
        other_matmul_dtype: torch.dtype | None = None,
        chunk_rows: int | None = None,
    ) -> LossSums:
        """The same for an objective over two distributions; all sums but `loss` are of the first one.

        Args:
            hidden, output_weight, labels: as for `sums`.
            other_hidden: [N, E], of the model's second pass or of the teacher.
            other_output_weight: [V, E].
            with_diagnostics, matmul_dtype, chunk_rows: as for `sums`.
            other_matmul_dtype: of the second distribution, by default that of `other_hidden`.

        Raises:
            ValueError: the objective is over one distribution.
        """
        if not isinstance(self.current, PairObjective):
            raise ValueError("this objective is over one distribution: call `sums`")
        mask = labels != self.pad_id
        loss, statistics = linear_pair_objective(
            hidden,
            output_weight,
            other_hidden,
            other_output_weight,
            labels.where(mask, 0),
            function=self.current.function,
            mask=mask,
            chunk_rows=chunk_rows,
            matmul_dtype=matmul_dtype,
            other_matmul_dtype=other_matmul_dtype,
            logit_buffer_bytes=self.logit_buffer_bytes,
        )
        if with_diagnostics:  # as for any objective, to the last bit
            with torch.no_grad():
                statistics = linear_logit_statistics(
                    hidden,
                    output_weight,
                    TokenInputs(labels.where(mask, 0)),
                    constants=Constants(),
                    needs=DIAGNOSTICS,
                    chunk_rows=chunk_rows,
                    matmul_dtype=matmul_dtype,
                    logit_buffer_bytes=self.logit_buffer_bytes,
                )
        return self._summarize(loss, statistics, mask, mask, with_diagnostics)

    @torch.no_grad()
    def _summarize(
        self, loss: Tensor, statistics: LogitStatistics, mask: Tensor, kept: Tensor, with_diagnostics: bool
    ) -> LossSums:
        if with_diagnostics:
            is_correct = statistics.argmax == statistics.inputs.labels
        else:
            is_correct = statistics.target_logit == statistics.max_logit
        weight = num_at_floor = None
        weighting = self.current.weight if isinstance(self.current, Objective) else None
        if weighting is not None or self.truncator is not None:
            weights = torch.ones_like(loss) if weighting is None else weighting.function(statistics)
            is_at_floor = ~kept if weighting is None else ~kept | (weights <= weighting.floor)
            weight, num_at_floor = weights.where(kept, 0).sum(), (is_at_floor & mask).sum()
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
            target_ids: [B, T] int64, BOS first; it is removed here. Each row is a sentence.

        Returns:
            `loss` (with its graph), `nll_loss` (never smoothed), `accuracy`, `num_tokens`: 0-dimensional tensors.

        Raises:
            ValueError: the shapes do not fit together, or the objective reads more than these logits and labels.
        """
        labels = target_ids[:, 1:]
        if logits.shape != (*labels.shape, self.vocab_size):
            raise ValueError(
                f"logits {list(logits.shape)} do not fit target_ids {list(target_ids.shape)} "
                f"and a vocabulary of {self.vocab_size}: [B, T-1, V] and [B, T] are expected, BOS at position 0"
            )
        objective = self._objective_of_logits()
        rows = torch.arange(len(labels), device=labels.device).unsqueeze(1).expand_as(labels).reshape(-1)
        labels, logits = labels.reshape(-1), logits.reshape(-1, self.vocab_size)
        mask = labels != self.pad_id
        inputs = TokenInputs(labels.where(mask, 0))
        if objective.source is Source.PREVIOUS_TARGETS:
            ids, id_weights = previous_targets(labels, rows.where(mask, -1))
            inputs = replace(inputs, ids=ids, id_weights=id_weights)
        statistics = logit_statistics(
            logits,
            inputs,
            constants=self._constants(logits.device, statistics_dtype(logits.dtype)),
            needs=objective.needs | {Statistic.ARGMAX},
        )
        kept = mask
        if self.truncator is not None and self.training:
            kept = self.truncator.kept(statistics, mask, rows)
        num_tokens = mask.sum()
        denominator = num_tokens.clamp(min=1)
        return {
            "loss": objective.function(statistics).where(kept, 0).sum() / denominator,
            "nll_loss": statistics.nll.detach().where(mask, 0).sum() / denominator,
            "accuracy": ((statistics.argmax == labels) & mask).sum() / denominator,
            "num_tokens": num_tokens,
        }

    def _objective_of_one(self) -> Objective:
        if isinstance(self.current, PairObjective):
            raise ValueError("this objective compares two distributions: call `pair_sums`")
        return self.current

    def _objective_of_logits(self) -> Objective:
        if isinstance(self.current, PairObjective) or self.current.source is Source.TEACHER:
            raise ValueError(
                "this objective reads a second distribution beside these logits: train with `TeacherForcing`"
            )
        if self.current.source is Source.EVALUATION_PASS and self.training:
            raise ValueError("this objective reads a pass without dropout as well: train with `TeacherForcing`")
        if self.current.embeds_with_output:
            raise ValueError("this objective reads the output projection: call `sums`")
        return self.current

    def _constants(self, device: torch.device, dtype: torch.dtype) -> Constants:
        """What the objective holds fixed; moved once, not for every batch."""
        source = self.current.constants if isinstance(self.current, Objective) else Constants()
        key = source, device, dtype
        if self._moved is None or self._moved[:3] != key:
            self._moved = (*key, source.to(device, dtype))
        return self._moved[3]


def with_normed_embedding(constants: Constants, output_weight: Tensor) -> Constants:
    """The same with the output projection's rows, normed and without gradient, for embedding."""
    norms = torch.linalg.vector_norm(output_weight.detach(), dim=-1)
    return replace(constants, embedding=output_weight.detach(), embedding_scale=1 / norms.clamp(min=1e-12))
