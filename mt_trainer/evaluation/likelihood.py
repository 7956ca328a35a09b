"""How likely a model finds the references of a set: by teacher forcing, for validation and for trained runs alike."""

import math
from dataclasses import asdict, dataclass
from typing import Literal

import torch

from mt_trainer.config.objective import CrossEntropyConfig
from mt_trainer.data.evaluation_sets import EvalSet
from mt_trainer.data.loader import Batch, pad_pairs
from mt_trainer.machine import precision_name, seed_everything
from mt_trainer.model import Transformer
from mt_trainer.objectives import TranslationLoss, build_objective
from mt_trainer.objectives.loss_sums import LossSums, add_sums, per_token
from mt_trainer.teacher_forcing import TeacherForcing
from mt_trainer.tokenizer import TokenizerPair


class References:
    """The references of a set, encoded once, for a model to predict.

    Args:
        batch_tokens: target positions, padding included, that are scored together.
        max_positions: longer sides are cut to it.

    Attributes:
        num_cut: references that were.
    """

    def __init__(self, eval_set: EvalSet, tokenizers: TokenizerPair, *, batch_tokens: int, max_positions: int) -> None:
        src, tgt = tokenizers.src.encode(eval_set.src_texts), tokenizers.tgt.encode(eval_set.tgt_texts)
        limit = max_positions - 1  # the end mark takes one
        self.num_cut = sum(len(ids) > limit for ids in tgt)
        self.batches: list[Batch] = pad_pairs(
            [(s[:limit], t[:limit]) for s, t in zip(src, tgt, strict=True)],
            batch_tokens=batch_tokens,
            pad_id=tokenizers.tgt.pad_id,
            bos_id=tokenizers.tgt.bos_id,
            eos_id=tokenizers.tgt.eos_id,
        )

    def sums(self, teacher_forcing: TeacherForcing, device: torch.device) -> LossSums:
        """Sums over the set's target tokens, EOS included, with entropy and confidence; without dropout.

        All but those of the objective itself depend on the model alone. An objective that draws from a teacher draws
        the same every time.
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


@dataclass(frozen=True)
class Likelihood:
    """What a model makes of the references of a set: means over its target tokens, end marks counted.

    Attributes:
        nll: true negative log-likelihood in nats, never smoothed.
        ppl: exp(nll).
        accuracy: the share of tokens that are the likeliest piece.
        entropy: of the model's distribution, in nats.
        confidence: the largest probability.
        num_tokens: of the set, by the run's tokenizer: likelihoods of other tokenizers are not comparable.
        precision: of the matrix products; all else is float32.
        num_cut: references longer than the model can place, and cut.
    """

    nll: float
    ppl: float
    accuracy: float
    entropy: float
    confidence: float
    num_tokens: int
    precision: Literal["fp32", "bf16"]
    num_cut: int

    def as_record(self) -> dict[str, float | int | str | None]:
        """For JSON, which has no number that is not finite: None stands for it."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }


class LikelihoodMeter:
    """Measures the likelihood of any set under a model that is trained.

    It is that of validation: the same passes over the same batches. What the model was trained to minimise has no part
    in it.

    Args:
        model: not changed.
        dtype: precision of the matrix products.
        batch_tokens: as in `References`.
        logit_buffer_bytes: memory for logits; None for what suits the device.
    """

    def __init__(
        self,
        model: Transformer,
        tokenizers: TokenizerPair,
        *,
        device: torch.device,
        dtype: torch.dtype,
        batch_tokens: int,
        logit_buffer_bytes: int | None,
    ) -> None:
        self.tokenizers, self.device, self.dtype, self.batch_tokens = tokenizers, device, dtype, batch_tokens
        size, pad_id = tokenizers.tgt.vocab_size, tokenizers.tgt.pad_id
        objective = build_objective(CrossEntropyConfig(name="cross_entropy"), vocab_size=size, pad_id=pad_id)
        loss = TranslationLoss(size, pad_id, objective=objective, logit_buffer_bytes=logit_buffer_bytes)
        self._teacher_forcing = TeacherForcing(model, loss, dtype).eval()

    def measure(self, eval_set: EvalSet) -> Likelihood:
        """The likelihood of a set's references."""
        references = References(
            eval_set,
            self.tokenizers,
            batch_tokens=self.batch_tokens,
            max_positions=self._teacher_forcing.model.max_positions,
        )
        sums = references.sums(self._teacher_forcing, self.device).as_numbers()
        means = per_token(sums)
        return Likelihood(
            nll=means["nll"],
            ppl=means["ppl"],
            accuracy=means["accuracy"],
            entropy=means["entropy"],
            confidence=means["confidence"],
            num_tokens=int(sums["num_tokens"]),
            precision=precision_name(self.dtype),
            num_cut=references.num_cut,
        )
