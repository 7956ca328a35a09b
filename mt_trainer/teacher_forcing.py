"""A model and a loss joined: a batch in, sums over its target tokens out. Training and validation both use it."""

from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor, nn

from mt_trainer.data.loader import Batch
from mt_trainer.model.transformer import Transformer
from mt_trainer.objectives.loss_sums import LossSums
from mt_trainer.objectives.objective import Objective, PairObjective, Source
from mt_trainer.objectives.projection.linear import linear_logit_statistics
from mt_trainer.objectives.projection.teacher_pieces import linear_teacher_pieces
from mt_trainer.objectives.sentences import number_sentences, previous_targets
from mt_trainer.objectives.token_inputs import Constants, TokenInputs
from mt_trainer.objectives.translation_loss import TranslationLoss


@dataclass(frozen=True)
class Teacher:
    """A trained model that a student is drawn to: without gradient, in evaluation mode.

    Attributes:
        model: with the student's vocabularies.
        dtype: precision of its matmuls.
    """

    model: Transformer
    dtype: torch.dtype


class TeacherForcing(nn.Module):
    """Predicts every target token from the reference before it.

    What an objective reads beside the labels is computed here. Its parameters are those of the model: the teacher is no
    part of the module.

    Args:
        dtype: precision of the matmuls (autocast); statistics and loss are float32.
        teacher: for an objective that reads one.
    """

    def __init__(
        self, model: Transformer, translation_loss: TranslationLoss, dtype: torch.dtype, teacher: Teacher | None = None
    ) -> None:
        super().__init__()
        self.model, self.translation_loss, self.dtype, self.teacher = model, translation_loss, dtype, teacher

    @property
    def is_thread_safe(self) -> bool:
        """Whether several batches may go through at the same time: none changes the mode of the model or a state."""
        objective = self.translation_loss.current
        return isinstance(objective, PairObjective) or (
            objective.source is not Source.EVALUATION_PASS and objective.truncation is None
        )

    def forward(self, batch: Batch, *, with_diagnostics: bool) -> LossSums:
        """Sums over the real target tokens of the batch; the vocabulary projection sees no padding.

        What is drawn at random comes from the seeded generator: dropout first, then draws from the teacher.
        """
        labels = of_targets(batch.tgt_labels, batch)
        hidden = hidden_states(self.model, batch, self.dtype)
        objective = self.translation_loss.current
        if isinstance(objective, PairObjective):
            other_hidden, other_weight, other_dtype = self._other(objective, hidden, batch)
            return self.translation_loss.pair_sums(
                hidden,
                self.model.output_weight,
                other_hidden,
                other_weight,
                labels,
                matmul_dtype=self.dtype,
                other_matmul_dtype=other_dtype,
                with_diagnostics=with_diagnostics,
            )
        sentences = of_targets(number_sentences(batch.tgt_segments), batch) if reads_sentences(objective) else None
        return self.translation_loss.sums(
            hidden,
            self.model.output_weight,
            self._inputs(objective, labels, sentences, batch),
            sentences=sentences,
            matmul_dtype=self.dtype,
            with_diagnostics=with_diagnostics,
        )

    def _other(self, objective: PairObjective, hidden: Tensor, batch: Batch) -> tuple[Tensor, Tensor, torch.dtype]:
        """Hidden states [N, E], output weight [V, E] and precision of the second distribution.

        The second pass of the model has other dropout. Without dropout it would be the first one, which then serves.
        """
        match objective.other:
            case "dropout":
                second = hidden_states(self.model, batch, self.dtype) if self.model.training else hidden
                return second, self.model.output_weight, self.dtype
            case "teacher":
                teacher = self._teacher()
                with torch.no_grad():
                    taught = hidden_states(teacher.model, batch, teacher.dtype)
                return taught, teacher.model.output_weight, teacher.dtype
            case _:
                assert_never(objective.other)

    def _inputs(self, objective: Objective, labels: Tensor, sentences: Tensor | None, batch: Batch) -> TokenInputs:
        """What the objective reads of the N tokens beside their logits."""
        match objective.source:
            case Source.LABELS:
                return TokenInputs(labels)
            case Source.PREVIOUS_TARGETS:
                assert sentences is not None
                ids, id_weights = previous_targets(labels, sentences, longest=batch.longest_tgt)
                return TokenInputs(labels, ids=ids, id_weights=id_weights)
            case Source.EVALUATION_PASS:
                # in evaluation mode the pass itself is the one that is asked for
                weight_nll = self._evaluation_nll(labels, batch) if self.model.training else None
                return TokenInputs(labels, weight_nll=weight_nll)
            case Source.TEACHER:
                teacher, pieces = self._teacher(), objective.teacher_pieces
                assert pieces is not None, "an objective that reads the teacher's pieces says which"
                with torch.no_grad():
                    taught = hidden_states(teacher.model, batch, teacher.dtype)
                ids, id_weights = linear_teacher_pieces(
                    taught,
                    teacher.model.output_weight,
                    pieces,
                    matmul_dtype=teacher.dtype,
                    logit_buffer_bytes=self.translation_loss.logit_buffer_bytes,
                )
                return TokenInputs(labels, ids=ids, id_weights=id_weights)
            case _:
                assert_never(objective.source)

    @torch.no_grad()
    def _evaluation_nll(self, labels: Tensor, batch: Batch) -> Tensor:
        """-log p_y [N] of the model without dropout."""
        self.model.eval()
        hidden = hidden_states(self.model, batch, self.dtype)
        self.model.train()
        return linear_logit_statistics(
            hidden,
            self.model.output_weight,
            TokenInputs(labels),
            constants=Constants(),
            needs=frozenset(),
            chunk_rows=None,
            matmul_dtype=self.dtype,
            logit_buffer_bytes=self.translation_loss.logit_buffer_bytes,
        ).nll

    def _teacher(self) -> Teacher:
        if self.teacher is None:
            raise ValueError("this objective reads a teacher, and there is none")
        return self.teacher


def reads_sentences(objective: Objective) -> bool:
    """Whether an objective has to know where sentences begin."""
    return objective.source is Source.PREVIOUS_TARGETS or objective.truncation is not None


def hidden_states(model: Transformer, batch: Batch, dtype: torch.dtype) -> Tensor:
    """What the output projection reads of the target tokens [N, D], with matmuls in a precision (autocast)."""
    # no weight is read twice, and the cache of cast weights would be shared between threads
    with torch.autocast(batch.src_tokens.device.type, dtype, enabled=dtype.itemsize < 4, cache_enabled=False):
        hidden: Tensor = model(batch.src_tokens, batch.src_segments, batch.tgt_inputs, batch.tgt_segments)
    return of_targets(hidden, batch)


def of_targets(values: Tensor, batch: Batch) -> Tensor:
    """What belongs to the target tokens of a batch, [N, ...], of values [R, L, ...]."""
    return values.flatten(0, 1).index_select(0, batch.tgt_places)
