"""How good the model is on dev: true NLL from teacher forcing, BLEU and chrF from translations."""

import math
from dataclasses import dataclass

import torch

from mt_trainer.data.evaluation_sets import EvalSet
from mt_trainer.decoding.translate import Translator
from mt_trainer.evaluation.evaluate import SetScores, evaluate_set
from mt_trainer.evaluation.likelihood import References
from mt_trainer.evaluation.metrics import Metrics
from mt_trainer.objectives.loss_sums import LossSums
from mt_trainer.teacher_forcing import TeacherForcing
from mt_trainer.tokenizer import TokenizerPair


@dataclass(frozen=True)
class Validation:
    """One validation.

    Attributes:
        sums: over all target tokens of the set.
        scores: of its translations; None where the NLL is not finite, for such a model is not translated with.
    """

    sums: LossSums
    scores: SetScores | None


class Validator:
    """Judges a model on one set; encodes the set once.

    Args:
        batch_tokens, max_positions: as in `References`.
    """

    def __init__(
        self,
        eval_set: EvalSet,
        tokenizers: TokenizerPair,
        translator: Translator,
        metrics: Metrics,
        *,
        batch_tokens: int,
        max_positions: int,
    ) -> None:
        self.eval_set, self.translator, self.metrics = eval_set, translator, metrics
        self.references = References(eval_set, tokenizers, batch_tokens=batch_tokens, max_positions=max_positions)

    def validate(self, teacher_forcing: TeacherForcing, device: torch.device) -> Validation:
        """NLL and, where that is finite, translation scores of the model as it stands."""
        sums = self.references.sums(teacher_forcing, device)
        if not math.isfinite(float(sums.nll)):
            return Validation(sums, None)
        return Validation(sums, evaluate_set(self.translator, self.metrics, self.eval_set, progress="validating"))
