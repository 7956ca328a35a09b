"""How good the model is on dev: true NLL from teacher forcing, BLEU and chrF from translations."""

import math
from dataclasses import dataclass

import torch

from mt_trainer.data.evaluation_sets import EvalSet
from mt_trainer.data.loader import Batch, pad_pairs
from mt_trainer.decoding.translate import Translator
from mt_trainer.evaluation.evaluate import SetScores, evaluate_set
from mt_trainer.evaluation.metrics import Metrics
from mt_trainer.machine import seed_everything
from mt_trainer.objectives.loss_sums import LossSums, add_sums
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
        batch_tokens: target positions, padding included, that are scored together.
        max_positions: longer sides are cut to it for the NLL.
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
        src, tgt = tokenizers.src.encode(eval_set.src_texts), tokenizers.tgt.encode(eval_set.tgt_texts)
        pairs = [(s[: max_positions - 1], t[: max_positions - 1]) for s, t in zip(src, tgt, strict=True)]
        self.batches: list[Batch] = pad_pairs(
            pairs,
            batch_tokens=batch_tokens,
            pad_id=tokenizers.tgt.pad_id,
            bos_id=tokenizers.tgt.bos_id,
            eos_id=tokenizers.tgt.eos_id,
        )

    def likelihood(self, teacher_forcing: TeacherForcing, device: torch.device) -> LossSums:
        """Sums over the set's target tokens, EOS included, with entropy and confidence; without dropout.

        An objective that draws from a teacher draws the same every time.
        """
        was_training = teacher_forcing.training
        teacher_forcing.eval()
        total: LossSums | None = None
        with torch.no_grad():
            for index, batch in enumerate(self.batches):
                seed_everything(index)
                total = add_sums(total, teacher_forcing(batch.to(device), with_diagnostics=True))
        teacher_forcing.train(was_training)
        assert total is not None, "an evaluation set is never empty"
        return total

    def validate(self, teacher_forcing: TeacherForcing, device: torch.device) -> Validation:
        """NLL and, where that is finite, translation scores of the model as it stands."""
        sums = self.likelihood(teacher_forcing, device)
        if not math.isfinite(float(sums.nll)):
            return Validation(sums, None)
        return Validation(sums, evaluate_set(self.translator, self.metrics, self.eval_set, progress="validating"))
